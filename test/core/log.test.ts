// The dirty log, from the side of whoever migrates a guest: he has a copy of its memory, and after the switch has run he
// takes the pages that are marked, and no others. Then the copy must be the memory, whatever was done.

import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  VIRTIO_F_EVENT_IDX,
  VIRTIO_F_INDIRECT_DESC,
  VIRTIO_F_RING_PACKED,
  VIRTIO_F_VERSION_1,
  VIRTIO_NET_F_CSUM,
  VIRTIO_NET_F_HOST_TSO4,
  VIRTIO_NET_F_MRG_RXBUF,
} from "../../assembly/spec/virtio.js";
import { bits } from "../../src/core/feature-bits.js";
import { BROADCAST, frame, type GuestOptions, TARGETS, TestGuest, TestSwitch } from "./support/bench-guest.js";
import { testMemory } from "./support/test-switch.js";

const PAGE = 4096;
/** Bytes on both sides of a log that nobody may touch. */
const GUARD = 64;
const GUARD_BYTE = 0x5a;

/** A guest whose memory is copied while it runs. */
class Migration {
  private readonly copies: Uint8Array[];
  private readonly window: number;

  static async begin(guest: TestGuest, logBytes = Migration.bytesFor(guest)): Promise<Migration> {
    const migration = new Migration(guest, logBytes);
    await guest.sw.bridge.setLog(guest.port, { window: migration.window, size: BigInt(logBytes) });
    return migration;
  }

  /** Bytes of a log that covers a guest's memory and nothing more. */
  static bytesFor({ regions }: TestGuest): number {
    const end = Math.max(...regions.map(({ guestAddress, size }) => Number(guestAddress + size)));
    return Math.ceil(end / PAGE / 8);
  }

  private constructor(
    private readonly guest: TestGuest,
    private readonly logBytes: number,
  ) {
    const { windows, views } = guest.sw.bridge;
    const room = windows.allocate(logBytes + 2 * GUARD, PAGE)!;
    views.bytes.fill(GUARD_BYTE, room, room + logBytes + 2 * GUARD);
    this.window = room + GUARD;
    this.log.fill(0);
    this.copies = guest.regions.map((region) => this.memory(region).slice());
  }

  /** What the guest itself has written is known to whoever migrates it: the copy has it. */
  follow(): void {
    for (const [i, region] of this.guest.regions.entries()) this.copies[i]!.set(this.memory(region));
  }

  /** Takes the marks and the pages they stand for; returns the guest addresses of those pages. */
  take(): bigint[] {
    const marked: bigint[] = [];
    for (const [byte, value] of this.log.entries()) {
      for (let bit = 0; bit < 8; bit++) if (value & (1 << bit)) marked.push(BigInt((byte * 8 + bit) * PAGE));
    }
    this.log.fill(0);
    for (const page of marked) {
      const i = this.guest.regions.findIndex((r) => page >= r.guestAddress && page < r.guestAddress + r.size);
      if (i < 0) throw new Error(`a page is marked that the guest does not have: 0x${page.toString(16)}`);
      const at = Number(page - this.guest.regions[i]!.guestAddress);
      this.copies[i]!.set(this.memory(this.guest.regions[i]!).subarray(at, at + PAGE), at);
    }
    return marked;
  }

  /** Guest addresses of pages in which copy and memory differ. */
  lost(): string[] {
    return this.guest.regions.flatMap((region, i) => {
      const memory = this.memory(region);
      const pages = Array.from({ length: Number(region.size) / PAGE }, (_, page) => page * PAGE);
      return pages
        .filter((at) => Buffer.compare(memory.subarray(at, at + PAGE), this.copies[i]!.subarray(at, at + PAGE)) !== 0)
        .map((at) => `0x${(region.guestAddress + BigInt(at)).toString(16)}`);
    });
  }

  /**
   * The copy is the memory, no mark stands for a page that the switch had no business in, the guards are whole. Of marks
   * of a worker the host has been told; `missed` says whether it looks.
   */
  check(missed?: boolean): void {
    const marked = this.take();
    if (missed !== undefined)
      expect([this.guest.port.takeMarks(), missed || marked.length === 0]).toEqual([marked.length > 0, true]);
    expect(this.lost()).toEqual([]);
    const { bytes } = this.guest.sw.bridge.views;
    const writable = this.guest.deviceWritable();
    for (const page of marked) {
      const { guestAddress, window } = this.guest.regions.find(
        (r) => page >= r.guestAddress && page < r.guestAddress + r.size,
      )!;
      const at = window + Number(page - guestAddress);
      expect(writable.some(({ offset, length }) => offset < at + PAGE && offset + length > at)).toBe(true);
    }
    for (const start of [this.window - GUARD, this.window + this.logBytes]) {
      expect(bytes.subarray(start, start + GUARD).every((byte) => byte === GUARD_BYTE)).toBe(true);
    }
  }

  private get log(): Uint8Array {
    return this.guest.sw.bridge.views.bytes.subarray(this.window, this.window + this.logBytes);
  }

  private memory({ window, size }: { window: number; size: bigint }): Uint8Array {
    return this.guest.sw.bridge.views.bytes.subarray(window, window + Number(size));
  }
}

const FORMS = {
  "split ring": 0n,
  "split ring, event idx": bits(VIRTIO_F_EVENT_IDX),
  "packed ring": bits(VIRTIO_F_RING_PACKED),
  "packed ring, event idx": bits(VIRTIO_F_RING_PACKED, VIRTIO_F_EVENT_IDX),
};
const MODERN = bits(VIRTIO_F_VERSION_1, VIRTIO_F_INDIRECT_DESC);
const MERGEABLE = bits(VIRTIO_NET_F_MRG_RXBUF);
/** Regions of odd numbers of pages, side by side in the guest and not here: they share bytes of the log. */
const REGIONS = [37 * PAGE, 3 * PAGE, 61 * PAGE, 101 * PAGE];

const operation = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      send: fc.array(
        fc.record({
          to: fc.constantFrom(1, 2, 9),
          length: fc.oneof(fc.integer({ min: 14, max: 200 }), fc.integer({ min: 14, max: 9000 })),
          pieces: fc.array(fc.integer({ min: 1, max: 3000 }), { maxLength: 3 }),
          indirect: fc.boolean(),
        }),
        { minLength: 1, maxLength: 12 },
      ),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({ give: fc.array(fc.integer({ min: 1, max: 5000 }), { minLength: 1, maxLength: 4 }) }),
  },
  { weight: 1, arbitrary: fc.record({ giveBad: fc.boolean() }) },
  { weight: 2, arbitrary: fc.constant({ sleep: true }) },
  { weight: 1, arbitrary: fc.record({ restart: fc.nat({ max: 1 }) }) },
  { weight: 1, arbitrary: fc.constant({ disable: true }) },
);

describe.each(TARGETS)("the dirty log, %s build", (target) => {
  const memory = testMemory();

  describe.each(Object.entries(FORMS))("%s", (_, form) => {
    test.each([
      ["mergeable", MODERN | MERGEABLE | form],
      ["not mergeable", MODERN | form],
    ])("F2, M33, %s: whatever the switch has written is marked, and nothing else", async (__, features) => {
      let writes = 0;
      await fc.assert(
        fc.asyncProperty(
          fc.array(operation, { minLength: 1, maxLength: 20 }),
          fc.constantFrom(2, 8, 64),
          fc.constantFrom(60, 700, 2048),
          async (operations, size, rxBufferBytes) => {
            const sw = new TestSwitch({ target, memory });
            const options: GuestOptions = { features, size, rxBufferBytes, regions: REGIONS };
            const guests = [
              await TestGuest.create(sw, { ...options, base: 0x5000n }),
              await TestGuest.create(sw, { ...options, base: 0x12_3000n }),
            ];
            for (const { port } of guests) port.logWatched = true;
            const migrations = [await Migration.begin(guests[0]!), await Migration.begin(guests[1]!)];
            const worker = sw.bridge.workers[0]!;
            /** The guests have had their turn; the switch has its own. */
            const turn = async (run: () => unknown, by: "worker" | "host" = "worker") => {
              worker.set("missed", 0);
              for (const migration of migrations) migration.follow();
              await run();
              const missed = by === "worker" ? worker.get("missed") === 1 : undefined;
              for (const migration of migrations) migration.check(missed);
            };
            for (const step of operations) {
              for (const [i, guest] of guests.entries()) {
                if ("send" in step) {
                  for (const { to, length, pieces, indirect } of step.send) {
                    attempt(() => guest.send(frame(to === 9 ? BROADCAST : to, i + 1, length), { pieces, indirect }));
                  }
                } else if ("give" in step) {
                  const buffers = step.give.map((length) => ({ address: 0n, length, writable: true }));
                  attempt(() => {
                    for (const buffer of buffers) buffer.address = guest.allocate(buffer.length, 1);
                    guest.giveBuffers(buffers, 0, buffers.length > 1);
                  });
                } else if ("giveBad" in step) {
                  const bad = step.giveBad
                    ? { address: 1n << 40n, writable: true }
                    : { address: 0x5000n, writable: false };
                  attempt(() => guest.rx[0]!.add([{ ...bad, length: 100 }], []));
                }
              }
              if ("sleep" in step) {
                await turn(() => sw.arm());
                await turn(() => sw.disarm());
              } else if ("restart" in step) {
                for (const guest of guests) {
                  const index = step.restart;
                  await sw.bridge.stopQueue(guest.port, index);
                  await turn(() => guest.startQueue(index, guest.queue(index).struct.get("nextAvail")), "host");
                }
              } else if ("disable" in step) {
                await sw.bridge.setEnabled(guests[0]!.port, 1, false);
                attempt(() => guests[0]!.send(frame(2, 1, 100)));
                await turn(() => sw.settle());
                await sw.bridge.setEnabled(guests[0]!.port, 1, true);
              }
              await turn(() => sw.settle());
              for (const guest of guests) {
                writes += guest.reclaim();
                // Who puts mergeable buffers together stumbles over the bad ones between them: their bytes do not matter here.
                for (let used = guest.rx[0]!.take(); used; used = guest.rx[0]!.take()) writes++;
              }
            }
          },
        ),
        { numRuns: 30 },
      );
      expect(writes).toBeGreaterThan(500);
    });

    test("marks are told once until the host has heard of them, in a new log too; nobody is told where nobody listens", async () => {
      const sw = new TestSwitch({ target, memory });
      const a = await TestGuest.create(sw, { features: MODERN | form });
      const b = await TestGuest.create(sw, { features: MODERN | form });
      const worker = sw.bridge.workers[0]!;
      const told = () => {
        worker.set("missed", 0);
        a.send(frame(2, 1, 100));
        sw.settle();
        return worker.get("missed");
      };
      await Migration.begin(b);
      expect([told(), b.port.takeMarks()]).toEqual([0, false]);
      b.port.logWatched = true;
      await Migration.begin(b);
      expect([told(), told()]).toEqual([1, 0]);
      await Migration.begin(b);
      expect([told(), b.port.takeMarks(), b.port.takeMarks()]).toEqual([0, true, false]);
      expect([told(), b.port.takeMarks(), a.port.takeMarks()]).toEqual([1, true, false]);
    });

    test("a log that was not there before has nothing of what was done before, and one that has gone nothing after", async () => {
      const sw = new TestSwitch({ target, memory });
      const [a, b] = [
        await TestGuest.create(sw, { features: MODERN | form }),
        await TestGuest.create(sw, { features: MODERN | form }),
      ];
      const send = () => {
        a.send(frame(2, 1, 100));
        sw.settle();
      };
      send();
      const migration = await Migration.begin(b!);
      expect(migration.take()).toEqual([]);
      send();
      expect(migration.take().length).toBeGreaterThan(1);
      await sw.bridge.setLog(b!.port, undefined);
      send();
      expect(migration.take()).toEqual([]);
      expect(migration.lost().length).toBeGreaterThan(0);
    });
  });

  test.each([
    ["cut into segments", 1, 20_000],
    ["summed", 0, 1000],
  ])("a frame that is %s for its receiver", async (_, gsoType, payload) => {
    for (const form of Object.values(FORMS)) {
      const sw = new TestSwitch({ target, memory });
      const offloads = bits(VIRTIO_NET_F_CSUM, VIRTIO_NET_F_HOST_TSO4);
      const sender = await TestGuest.create(sw, { features: MODERN | offloads });
      // Buffers of no round size: several make up a segment, and most lie in two pages.
      const receiver = await TestGuest.create(sw, { features: MODERN | MERGEABLE | form, base: 0x5000n, rxBuffers: 0 });
      for (let i = 0; i < 64; i++) receiver.giveBuffer(701);
      const migration = await Migration.begin(receiver);
      const whole = new Uint8Array(12 + 54 + payload);
      whole.set(frame(2, 1, whole.length - 12), 12);
      const view = new DataView(whole.buffer);
      // virtio_net_hdr: NEEDS_CSUM, gso_type, hdr_len, gso_size, csum_start, csum_offset.
      for (const [at, value] of [1 | (gsoType << 8), 54, gsoType === 1 ? 1448 : 0, 34, 16].entries()) {
        view.setUint16(2 * at, value, true);
      }
      // Ethernet type, version and lengths, no fragment, protocol TCP, 5 words of TCP header.
      const headers = { 12: 0x0800, 14: 0x4500, 16: 40 + payload, 20: 0, 22: 0x4006, 46: 0x5010 };
      for (const [at, value] of Object.entries(headers)) view.setUint16(12 + Number(at), value);
      const address = sender.allocate(whole.length);
      sender.write(address, whole);
      sender.tx[0]!.add([{ address, length: whole.length }], []);
      migration.follow();
      sw.settle();
      expect(receiver.queue(0).counters().frames).toBe(Math.ceil(payload / 1448));
      migration.check();
    }
  });

  test("F15: a log that ends before the memory is written up to its end and not behind", async () => {
    const sw = new TestSwitch({ target, memory });
    const base = 0x8000n;
    const a = await TestGuest.create(sw, { features: MODERN });
    const b = await TestGuest.create(sw, { features: MODERN, base, ramBytes: 64 * PAGE });
    // Its rings lie in the first pages, its last receive buffers behind what 4 bytes can say.
    const migration = await Migration.begin(b, 4);
    for (let i = 0; i < 60; i++) a.send(frame(2, 1, 1500));
    sw.settle();
    const marked = migration.take();
    expect(Math.max(...marked.map(Number))).toBe(31 * PAGE);
    expect(migration.lost().length).toBeGreaterThan(5);
  });

  test("memory that comes while the log is kept is known to it", async () => {
    const sw = new TestSwitch({ target, memory });
    const a = await TestGuest.create(sw, { features: MODERN });
    const b = await TestGuest.create(sw, {
      features: MODERN,
      base: 0x0n,
      regions: [64 * PAGE, 8 * PAGE],
      rxBuffers: 0,
    });
    await sw.bridge.setRegions(b.port, [b.regions[0]!]);
    const migration = await Migration.begin(b);
    await sw.bridge.setRegions(b.port, b.regions);
    const address = 65n * BigInt(PAGE) - 100n;
    b.giveBuffers([{ address, length: 2048, writable: true }]);
    migration.follow();
    a.send(frame(2, 1, 1000));
    sw.settle();
    const marked = migration.take();
    expect(marked).toContain(64n * BigInt(PAGE));
    expect(marked).toContain(65n * BigInt(PAGE));
    expect(migration.lost()).toEqual([]);
  });
});

/** A guest whose ring or memory is full just does not. */
function attempt(run: () => unknown): void {
  try {
    run();
  } catch (error) {
    if (!/full|used up/.test((error as Error).message)) throw error;
  }
}
