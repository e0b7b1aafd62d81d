// Guests whose memory is larger than the switch's linear memory: what is mapped of it comes and goes, every frame
// arrives as it was sent, and the switch does not grow.

import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { VIRTIO_F_INDIRECT_DESC, VIRTIO_F_VERSION_1, VIRTIO_NET_F_MRG_RXBUF } from "../../assembly/spec/virtio.js";
import { bits } from "../../src/core/feature-bits.js";
import { numberOf } from "../core/support/frames.js";
import { describeLinux, testHugePages } from "../sys/linux.js";
import { HandGuest, type HandGuestOptions, handFrame, pass } from "./support/hand-guest.js";
import { Lab, until } from "./support/lab.js";
import { useLab } from "./support/use-lab.js";

const GIB = 2 ** 30;
const MIB = 2 ** 20;
const GUESTS = 8;
const ROUNDS = 300;

/** Bytes of shared memory that a process has touched and that is mapped now. */
function residentShared(pid: number): number {
  const status = readFileSync(`/proc/${pid}/status`, "latin1");
  return Number(/^RssShmem:\s+(\d+) kB$/m.exec(status)![1]) * 1024;
}

const lengthOf = (number: number) => 60 + (number % 1400);

/** All guests send to each other in turn, and each frame is looked at byte by byte. Returns how many there were. */
async function everyoneToEveryone(guests: readonly HandGuest[], rounds: number): Promise<number> {
  const wanted = new Map<number, Uint8Array>();
  let number = 0;
  const take = () => {
    for (const guest of guests) {
      for (const bytes of guest.receive()) {
        const sent = wanted.get(numberOf(bytes));
        if (sent === undefined) continue;
        expect(Buffer.from(bytes).equals(sent)).toBe(true);
        wanted.delete(numberOf(bytes));
      }
    }
  };
  for (let round = 0; round < rounds; round++) {
    for (const [i, from] of guests.entries()) {
      const to = guests[(i + 1 + (round % (guests.length - 1))) % guests.length]!;
      const frame = handFrame(to.number, from.number, lengthOf(number), 1_000_000 + number);
      await until(`room for frame ${number}`, () => {
        take();
        return from.send(frame) || undefined;
      });
      wanted.set(1_000_000 + number++, frame);
    }
    // Nobody's receive buffers run out: then nothing may be lost.
    if (round % 4 === 3) {
      await until(`the frames of round ${round}`, () => {
        take();
        return wanted.size === 0 || undefined;
      });
    }
  }
  return number;
}

describeLinux("guests of 8 GiB", () => {
  const features = bits(VIRTIO_F_VERSION_1, VIRTIO_F_INDIRECT_DESC);

  describe.each([
    ["one worker", []],
    ["two workers", ["--workers", "2"]],
  ])("%s", (_, words) => {
    test(`${GUESTS} of them, rings and buffers all over: every frame arrives, the switch stays small`, async () => {
      const lab = new Lab();
      const guests: HandGuest[] = [];
      try {
        const names = Array.from({ length: GUESTS }, (_, i) => `vm${i}`);
        await lab.start(
          names.map((name) => `${name}=listen`),
          words,
        );
        for (const [i, name] of names.entries()) {
          const mmapOffset = i % 2 === 0 ? 0 : 4096 * i;
          const guest = new HandGuest({ features, scattered: { seed: i + 1, mmapOffset } });
          guests.push(guest);
          await guest.start(lab.file(name));
        }
        // The switch learns where everybody is.
        for (const [i, guest] of guests.entries()) await pass(guest, guests[(i + 1) % GUESTS]!, i);
        const frames = await everyoneToEveryone(guests, ROUNDS);

        const status = await lab.control.status();
        const misses = status.workers.reduce((sum, { chunkMisses }) => sum + chunkMisses, 0);
        // 128 places of each guest, 127 in chunks of their own, through 128 windows: most accesses are misses.
        expect(misses).toBeGreaterThan(frames);
        for (const { chunkWindows, chunkWindowsUsed, chunkMisses, chunkMissNanoseconds } of status.workers) {
          expect([chunkWindows, chunkWindowsUsed]).toEqual([128, 128]);
          expect(chunkMissNanoseconds).toBeGreaterThan(chunkMisses);
        }
        for (const port of status.ports) {
          expect(port.memory).toEqual({ wholeBytes: 0, chunkedBytes: 8 * GIB });
          expect(port.regions[0]!.window).toBeUndefined();
          expect(Object.keys(port.drops)).toEqual([]);
        }
        // Windows, and three parts of each ring; of either only the pages of a few buffers.
        const windows = status.workers.length * 128;
        expect(lab.guestMappings()).toBeLessThanOrEqual(windows + GUESTS * 2 * 3 * 2);
        expect(residentShared(lab.pid)).toBeLessThan(16 * MIB * status.workers.length);

        for (const guest of guests) guest.leave();
        for (const name of names) await lab.vacant(name);
        expect(lab.guestMappings()).toBe(0);
        expect(Object.keys(lab.descriptors()).filter((kind) => kind.includes("memfd"))).toEqual([]);
      } finally {
        for (const guest of guests) guest.close();
        await lab.close();
      }
    }, 120_000);
  });
});

describeLinux("a region that is mapped in chunks", () => {
  const group = useLab();

  async function start(options: HandGuestOptions = {}) {
    const [vm1, vm2] = group.ports(2) as [string, string];
    const [sender, receiver] = [group.hand(options), group.hand({ ...options, scattered: { seed: 7 } })];
    await receiver.start(group.lab.file(vm2));
    await sender.start(group.lab.file(vm1));
    return { vm1, vm2, sender, receiver };
  }

  test("comes and goes while frames are received into it", async () => {
    const { vm1, vm2, sender, receiver } = await start();
    const dimm = receiver.addScattered({ guestAddress: 0x100_0000_0000n, seed: 99, slices: 32 });
    const ring = receiver.rings[0]!;
    const there = Array.from({ length: 16 }, () => dimm.allocate(2048, 64));
    const region = { kind: "memRegion", region: dimm.region } as const;
    let number = 0;
    // What was there is taken first, so that the next frames go to the buffers of the region.
    const mappings = group.lab.guestMappings();
    for (let round = 0; round < 8; round++) {
      await receiver.expectDone("ADD_MEM_REG", region, [dimm.fd]);
      ring.offer(there.slice(0, ring.driver.freeDescriptors));
      const passing = (async () => {
        for (let i = 0; i < 80; i++) await pass(sender, receiver, number++);
      })();
      await passing;
      const dropped = async () => Object.values((await group.lab.port(vm2)).drops).reduce((a, b) => a + b, 0);
      const before = await dropped();
      // The guest does not take its buffers back first: what comes to them now is dropped and counted.
      let sent = 0;
      let stop = false;
      const flood = (async () => {
        while (!stop) {
          if (sender.send(handFrame(receiver.number, sender.number, 60, 5_000_000))) sent++;
          receiver.receive();
          await new Promise(setImmediate);
        }
      })();
      await receiver.expectDone("REM_MEM_REG", region);
      stop = true;
      await flood;
      expect(sent).toBeGreaterThan(0);
      expect(await dropped()).toBeGreaterThanOrEqual(before);
      // All as new, with the buffers of the other region.
      await receiver.stopRing(0);
      ring.reset();
      ring.offer(ring.buffers);
      await receiver.setUp(ring);
      await pass(sender, receiver, number++);
    }
    expect((await group.lab.port(vm2)).regions).toHaveLength(1);
    const used = (await group.lab.port(vm2)).regions[0]!.mappedBytes;
    expect(used).toBeGreaterThan(0);
    expect(group.lab.guestMappings()).toBeLessThanOrEqual(mappings + 128);
    for (const guest of [sender, receiver]) guest.leave();
    for (const name of [vm1, vm2]) await group.lab.vacant(name);
  });

  testHugePages(32, "whose file is of huge pages", async () => {
    const [vm1, vm2] = group.ports(2) as [string, string];
    // Two pages in the middle of each slice, one at either end.
    const slices = 8;
    const huge = (seed: number) => ({ size: 16, scattered: { hugePages: true, slices, seed } });
    const [sender, receiver] = [group.hand(huge(1)), group.hand(huge(2))];
    await receiver.start(group.lab.file(vm2));
    await sender.start(group.lab.file(vm1));
    const misses = async () =>
      (await group.lab.control.status()).workers.reduce((sum, { chunkMisses }) => sum + chunkMisses, 0);
    const before = await misses();
    for (let i = 0; i < 200; i++) {
      await pass(sender, receiver, i);
      await pass(receiver, sender, i);
    }
    expect(await misses()).toBeGreaterThan(before);
    for (const name of [vm1, vm2]) {
      const { memory, regions, drops } = await group.lab.port(name);
      expect([memory, drops]).toEqual([{ wholeBytes: 0, chunkedBytes: 8 * GIB }, {}]);
      expect(regions[0]!.mappedBytes).toBeLessThanOrEqual(2 * slices * 2 * MIB);
    }
    for (const guest of [sender, receiver]) guest.leave();
    for (const name of [vm1, vm2]) await group.lab.vacant(name);
  });

  test("with merged receive buffers: long frames lie in many chunks at both ends", async () => {
    const features = bits(VIRTIO_F_VERSION_1, VIRTIO_NET_F_MRG_RXBUF, VIRTIO_F_INDIRECT_DESC);
    const { sender, receiver } = await start({ features, scattered: { seed: 3 } });
    for (let i = 0; i < 400; i++) await pass(sender, receiver, i);
  });
});
