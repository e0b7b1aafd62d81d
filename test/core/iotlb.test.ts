// Buffers at I/O virtual addresses: what has no translation is asked for, and no fault. A transmitq waits before it, a
// frame for such a receive buffer is dropped and counted.

import { describe, expect, test } from "vitest";
import {
  VIRTIO_F_INDIRECT_DESC,
  VIRTIO_F_VERSION_1,
  VIRTIO_NET_F_MRG_RXBUF,
  VIRTQ_DESC_F_INDIRECT,
} from "../../assembly/spec/virtio.js";
import type { MappedRegion } from "../../src/core/bridge-port.js";
import { bits } from "../../src/core/feature-bits.js";
import { MISSES } from "../../src/core/layout.js";
import { frame, type GuestOptions, TestGuest, TestSwitch, VARIANTS } from "./support/bench-guest.js";
import { testMemory } from "./support/test-switch.js";
import { Witness } from "./support/witness.js";

const PAGE = 4096n;
const [READ, WRITE] = [1, 2];
const MODERN = bits(VIRTIO_F_VERSION_1);
/** Pages of RAM behind the rings' own region; no two of them are side by side in linear memory. */
const PAGES = 100;
const RINGS_BYTES = 64 * 1024;

const memory = testMemory();

/** A guest whose port knows of its memory only what it is told. */
class IommuGuest {
  private readonly known = new Map<bigint, number>();

  private constructor(
    private readonly sw: TestSwitch,
    readonly guest: TestGuest,
  ) {}

  static async create(sw: TestSwitch, options: GuestOptions = {}): Promise<IommuGuest> {
    const regions = [RINGS_BYTES, ...Array.from({ length: PAGES }, () => Number(PAGE))];
    const guest = await TestGuest.create(sw, { size: 64, rxBuffers: 0, features: MODERN, ...options, regions });
    for (const index of [0, 1]) await sw.bridge.stopQueue(guest.port, index);
    await sw.bridge.setTranslations(guest.port, { readable: [], writable: [] });
    for (const index of [0, 1]) await guest.startQueue(index);
    // From here on each buffer begins in the next page.
    while (guest.allocate(16) < guest.base + BigInt(RINGS_BYTES) - 16n);
    return new IommuGuest(sw, guest);
  }

  /** Translates pages, or forgets them with permission 0. */
  async tell(pages: readonly bigint[], permission = READ | WRITE): Promise<void> {
    for (const page of pages) {
      if (permission === 0) this.known.delete(page);
      else this.known.set(page, permission);
    }
    const list = (access: number): MappedRegion[] =>
      [...this.known]
        .filter(([, allowed]) => (allowed & access) !== 0)
        .sort(([a], [b]) => (a < b ? -1 : 1))
        .map(([guestAddress]) => ({ guestAddress, size: PAGE, window: this.guest.memory.at(guestAddress) }));
    await this.sw.bridge.setTranslations(this.guest.port, { readable: list(READ), writable: list(WRITE) });
  }

  /** All bytes of the RAM behind the rings. */
  contents(): Buffer {
    const { regions } = this.guest.memory;
    const { bytes } = this.sw.bridge.views;
    return Buffer.concat(regions.slice(1).map(({ window, size }) => bytes.slice(window, window + Number(size))));
  }

  /** Pages that the core asks for, and the access. */
  asks(index: number): [bigint, number][] {
    return this.guest
      .queue(index)
      .takeMisses()
      .map((miss) => [miss - (miss % PAGE), Number(miss % PAGE)]);
  }

  /** Sends frames, each in pages of its own; these pages. */
  send(frames: readonly Uint8Array[], options: { pieces?: number[]; indirect?: boolean } = {}): bigint[] {
    return frames.map((bytes) => {
      const page = this.guest.allocate(0, Number(PAGE));
      this.guest.send(bytes, options);
      return page;
    });
  }

  /** Gives receive buffers, each a page of its own; these pages. */
  give(count: number, length = Number(PAGE)): bigint[] {
    return Array.from({ length: count }, () => {
      const page = this.guest.allocate(0, Number(PAGE));
      this.guest.giveBuffer(length);
      return page;
    });
  }
}

const frames = (count: number, to: number, from: number, length = 100) =>
  Array.from({ length: count }, (_, i) => frame(to, from, length + i, i));

describe.each(VARIANTS)("a transmitq behind a virtual IOMMU, $form rings, $target build", ({ target, ring }) => {
  async function scene(features = 0n) {
    const sw = new TestSwitch({ target, memory });
    const a = await IommuGuest.create(sw, { features: MODERN | ring | features });
    const room = { rxBuffers: 64, rxBufferBytes: 17_000, ramBytes: 2 << 20 };
    const b = await TestGuest.create(sw, { features: MODERN | ring, ...room });
    return { sw, a, b };
  }

  test("a burst ends before a chain that is not translated, and goes on when it is", async () => {
    const { sw, a, b } = await scene();
    const sent = frames(6, 2, 1);
    const pages = a.send(sent);
    await a.tell(pages.slice(0, 3));
    sw.settle();
    expect(b.receive()).toEqual(sent.slice(0, 3));
    expect(a.guest.reclaim()).toBe(3);
    // Those behind it are asked for in the same breath.
    expect(a.asks(1)).toEqual(pages.slice(3).map((page) => [page, READ]));
    // While nothing changes it does not look again.
    expect([sw.poll(), a.asks(1), sw.arm()]).toEqual([0, [], false]);
    sw.disarm();
    await a.tell([pages[3]!, pages[5]!]);
    expect(sw.arm()).toBe(true);
    sw.disarm();
    sw.settle();
    expect(b.receive()).toEqual([sent[3]]);
    expect(a.asks(1)).toEqual([[pages[4], READ]]);
    await a.tell([pages[4]!]);
    sw.settle();
    expect(b.receive()).toEqual(sent.slice(4));
    expect(a.guest.reclaim()).toBe(3);
    expect([a.guest.drops(1), a.guest.state(1)]).toEqual([{}, "QUEUE_OK"]);
  });

  test.each([
    ["in several buffers", false],
    ["through an indirect table", true],
  ])("a frame %s waits for the last of its pages", async (_, indirect) => {
    const { sw, a, b } = await scene(bits(VIRTIO_F_INDIRECT_DESC));
    // The table, if there is one, lies behind the frame's end.
    const bytes = frame(2, 1, 9000, 5);
    const [first] = a.send([bytes], { pieces: [12, 5000], indirect });
    const asked: bigint[] = [];
    for (let round = 0; round < 3; round++) {
      sw.settle();
      expect([b.receive(), a.guest.reclaim()]).toEqual([[], 0]);
      const [page] = a.asks(1)[0]!;
      asked.push(page - first!);
      // One at a time: so each of them is missed by itself.
      await a.tell([page]);
    }
    sw.settle();
    expect(b.receive()).toEqual([bytes]);
    expect(asked).toEqual(indirect ? [2n * PAGE, 0n, PAGE] : [0n, PAGE, 2n * PAGE]);
    expect([a.guest.reclaim(), a.guest.drops(1), a.guest.state(1)]).toEqual([1, {}, "QUEUE_OK"]);
  });

  test("pages that may only be written to are not sent from", async () => {
    const { sw, a, b } = await scene();
    const sent = frames(1, 2, 1);
    const pages = a.send(sent);
    await a.tell(pages, WRITE);
    sw.settle();
    expect([b.receive(), a.asks(1)]).toEqual([[], [[pages[0], READ]]]);
    await a.tell(pages, READ);
    sw.settle();
    expect(b.receive()).toEqual(sent);
  });

  test.each([1, 8, 9, 16, 17, 63, PAGES - 40])("any number of translations is searched: %i", async (count) => {
    const { sw, a, b } = await scene();
    const sent = frames(count, 2, 1);
    const pages = a.send(sent);
    await a.tell(pages);
    sw.settle();
    expect(b.receive()).toEqual(sent);
    expect(a.asks(1)).toEqual([]);
  });

  test("no more is asked for at once than there is room for, and the rest when that was taken", async () => {
    const { sw, a, b } = await scene();
    // 20 frames of 4 pages and a bit each.
    const sent = frames(20, 2, 1, 4 * Number(PAGE));
    a.send(sent);
    sw.settle();
    const first = a.asks(1);
    expect(first).toHaveLength(MISSES);
    expect(new Set(first.map(([page]) => page)).size).toBe(MISSES);
    for (let asked = first, rounds = 0; asked.length > 0; asked = a.asks(1)) {
      if (++rounds > 10) throw new Error("it asks for ever");
      await a.tell(asked.map(([page]) => page));
      sw.settle();
    }
    expect(a.guest.reclaim()).toBe(20);
    expect(a.guest.drops(1)).toEqual({});
    expect(b.receive()).toEqual(sent);
  });

  test("M51: whatever a descriptor says, looking ahead ends and stays in the ring", async () => {
    const { sw, a } = await scene(bits(VIRTIO_F_INDIRECT_DESC));
    const [page] = a.send(frames(1, 2, 1));
    const { desc } = a.guest.driver(1).ring;
    const witness = new Witness(sw);
    for (const [address, length, flags] of [
      [(1n << 64n) - PAGE, 0xffffffff, 0],
      [(1n << 64n) - 1n, 1, 0],
      [0n, 0xffffffff, 0],
      [page!, 0, 0],
      [(1n << 64n) - 16n, 32, VIRTQ_DESC_F_INDIRECT],
      [12345n, 16, VIRTQ_DESC_F_INDIRECT],
    ] as const) {
      // The chain that it waits for becomes another: the bits of a packed one that make it available stay.
      const at = a.guest.memory.at(desc);
      const { data } = a.guest.memory;
      data.setBigUint64(at, address, true);
      data.setUint32(at + 8, length, true);
      const flagsAt = ring === 0n ? at + 12 : at + 14;
      data.setUint16(flagsAt, (data.getUint16(flagsAt, true) & ~VIRTQ_DESC_F_INDIRECT) | flags, true);
      await a.tell([page!]);
      sw.settle();
      const asked = a.asks(1);
      expect(asked.length).toBeLessThanOrEqual(MISSES);
      if (a.guest.reclaim() > 0) break;
      expect([address, a.guest.state(1)]).toEqual([address, "QUEUE_OK"]);
    }
    expect(a.guest.queue(1).struct.get("missCount")).toBe(0);
    expect(witness.firstChange([...a.guest.deviceWritable(), { offset: a.guest.memory.at(desc), length: 1024 }])).toBe(
      null,
    );
  });
});

describe.each(VARIANTS)("a receiveq behind a virtual IOMMU, $form rings, $target build", ({ target, ring }) => {
  async function scene(features = 0n) {
    const sw = new TestSwitch({ target, memory });
    const a = await IommuGuest.create(sw, { features: MODERN | ring | features });
    const b = await TestGuest.create(sw, { features: MODERN | ring, ramBytes: 1 << 20, rxBuffers: 0 });
    const pass = (bytes: Uint8Array) => {
      b.send(bytes);
      sw.settle();
      b.reclaim();
      return a.guest.receive();
    };
    return { sw, a, b, pass };
  }

  test("a frame for a buffer that is not translated is dropped and counted, the buffer stays", async () => {
    const { a, pass } = await scene();
    const pages = a.give(5);
    const index = a.guest.queue(0).struct.get("nextAvail");
    const before = a.contents();
    expect(pass(frame(1, 2, 60, 1))).toEqual([]);
    expect(a.guest.drops(0)).toEqual({ DROP_TRANSLATION: 1 });
    expect(a.guest.queue(0).struct.get("nextAvail")).toBe(index);
    // The pages of the buffers behind it too, to be written to.
    expect(a.asks(0)).toEqual(pages.map((page) => [page, WRITE]));
    expect(a.contents().equals(before)).toBe(true);
    await a.tell(pages.slice(0, 2));
    for (const number of [2, 3]) expect(pass(frame(1, 2, 60, number))).toEqual([frame(1, 2, 60, number)]);
    // It looks ahead when it has enough for now, so that the next one need not be lost.
    expect(a.asks(0)).toEqual(pages.slice(2).map((page) => [page, WRITE]));
    await a.tell(pages);
    for (const number of [4, 5, 6]) expect(pass(frame(1, 2, 60, number))).toEqual([frame(1, 2, 60, number)]);
    expect([a.guest.drops(0), a.guest.state(0)]).toEqual([{ DROP_TRANSLATION: 1 }, "QUEUE_OK"]);
  });

  test("pages that may only be read are not written to", async () => {
    const { a, pass } = await scene();
    const pages = a.give(1);
    await a.tell(pages, READ);
    expect([pass(frame(1, 2, 60, 1)), a.asks(0)]).toEqual([[], [[pages[0], WRITE]]]);
    await a.tell(pages, WRITE);
    expect(pass(frame(1, 2, 60, 2))).toEqual([frame(1, 2, 60, 2)]);
  });

  test("what is forgotten is used no more", async () => {
    const { a, pass } = await scene();
    const pages = a.give(4);
    await a.tell(pages);
    expect(pass(frame(1, 2, 60, 1))).toHaveLength(1);
    await a.tell(pages.slice(1, 2), 0);
    expect([pass(frame(1, 2, 60, 2)), a.guest.drops(0)]).toEqual([[], { DROP_TRANSLATION: 1 }]);
    expect(a.asks(0)).toEqual([[pages[1], WRITE]]);
    await a.tell(pages.slice(1, 2));
    for (const number of [3, 4, 5]) expect(pass(frame(1, 2, 60, number))).toHaveLength(1);
  });

  test("a frame for several buffers of which one is not translated is dropped whole", async () => {
    const { a, pass } = await scene(bits(VIRTIO_NET_F_MRG_RXBUF));
    const pages = a.give(6, 1000);
    await a.tell([pages[0]!, pages[2]!]);
    const before = a.contents();
    const bytes = frame(1, 2, 2500, 1);
    expect(pass(bytes)).toEqual([]);
    expect(a.guest.drops(0)).toEqual({ DROP_TRANSLATION: 1 });
    expect(a.contents().equals(before)).toBe(true);
    await a.tell(pages);
    expect(pass(bytes)).toEqual([bytes]);
    expect(pass(bytes)).toEqual([bytes]);
  });
});
