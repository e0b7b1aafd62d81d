// Two workers in two threads that map chunks all the time, each in its pool, while the host takes a region away from both.

import { afterEach, expect, test } from "vitest";
import { VIRTIO_F_VERSION_1 } from "../../assembly/spec/virtio.js";
import { bits } from "../../src/core/feature-bits.js";
import { createMemory } from "../../src/core/module.js";
import { builtFile } from "../../src/guest/children.js";
import { memoryBase, unmap } from "../../src/sys/mapping.js";
import { describeLinux } from "../sys/linux.js";
import { frame, TARGETS, TestGuest, TestSwitch } from "./support/bench-guest.js";
import { BigRam, CHUNK } from "./support/big-ram.js";
import { concat, numbered, numberOf } from "./support/frames.js";
import { WorkerThreads } from "./support/worker-threads.js";

const FEATURES = bits(VIRTIO_F_VERSION_1);
const HEADER = 12;
const WINDOWS = 8;
/** More of them where the other threads get no processor while the region goes. */
const ROUNDS = 12;
const ROUNDS_MAX = 200;
const RECEIVER = 9;
/** Frames of a round on each queue pair: each lies in a chunk of its own. */
const STEADY = 200;
const LEAVING = 10;

let threads: WorkerThreads | undefined;
afterEach(async () => {
  await threads?.stop();
  threads = undefined;
});

for (const target of TARGETS) {
  describeLinux(`chunks under two workers, ${target} build`, () => {
    test("a region goes, while both map those of another: every frame arrives whole and in order", async () => {
      const sw = new TestSwitch({ target, workers: 2, chunkWindows: WINDOWS, memory: createMemory(64 * 16) });
      const base = memoryBase(sw.memory);
      const options = { features: FEATURES, rxBuffers: 0, ramBytes: 128 * 1024, pairs: 2 };
      const receiver = await TestGuest.create(sw, { ...options, size: 1024, pairs: 1, ramBytes: 512 * 1024 });
      for (let i = 0; i < 2 * (STEADY + LEAVING); i++) receiver.giveBuffer(256);
      const [steady, leaving] = [await TestGuest.create(sw, options), await TestGuest.create(sw, options)];
      receiver.send(frame(1, RECEIVER, 60));
      sw.settle();
      threads = new WorkerThreads(sw, target, builtFile("src/switch/chunk-mapper.js"));
      await threads.rounds(1);

      const rams: BigRam[] = [await BigRam.add(steady)];
      let number = 0;
      /** From an address for each queue pair, so that their order can be told apart. */
      const send = (guest: TestGuest, ram: BigRam, from: number, count: number): number[][] =>
        [0, 1].map((pair) =>
          Array.from({ length: count }, (_, i) => {
            const bytes = concat([new Uint8Array(HEADER), numbered(RECEIVER, from + pair, 60 + (i % 100), number)]);
            const address = ram.chunk(1 + 2 * i + pair) + BigInt(64 * i);
            ram.write(address, bytes);
            expect(guest.tx[pair]!.add([{ address, length: bytes.length }], [])).not.toBeNull();
            return number++;
          }),
        );
      const back = async (guest: TestGuest, count: number) => {
        let left = 2 * count;
        await threads!.until(() => {
          left -= guest.reclaim(0) + guest.reclaim(1);
          return left === 0;
        });
      };
      let missesWhileItWent = 0;
      const misses = () => sw.bridge.chunks.usage(0).misses + sw.bridge.chunks.usage(1).misses;
      for (let round = 0; round < ROUNDS || (missesWhileItWent === 0 && round < ROUNDS_MAX); round++) {
        const ram = await BigRam.add(leaving);
        rams.push(ram);
        threads.hold();
        const sent = [...send(leaving, ram, 3, LEAVING), ...send(steady, rams[0]!, 1, STEADY)];
        threads.release();
        await back(leaving, LEAVING);
        const before = misses();
        await sw.bridge.setRegions(leaving.port, leaving.regions);
        const gone: number[] = [];
        await sw.bridge.chunks.remove(ram.chunks, (offset) => {
          unmap(base, offset, CHUNK);
          gone.push(offset);
        });
        missesWhileItWent += misses() - before;
        expect(new Set(gone).size).toBe(gone.length);
        expect(sw.bridge.chunks.mappedBytes(ram.chunks)).toBe(0);
        await back(steady, STEADY);
        const got = receiver.receive(0, true);
        const from = [3, 4, 1, 2].map((address) => got.filter((bytes) => bytes[11] === address));
        expect(from.map((frames) => frames.map(numberOf))).toEqual(sent);
        for (const bytes of got) {
          const whole = numbered(RECEIVER, bytes[11]!, bytes.length, numberOf(bytes));
          expect(Buffer.compare(bytes, whole)).toBe(0);
        }
        expect([steady.drops(1), steady.drops(3), leaving.drops(1), leaving.drops(3)]).toEqual([{}, {}, {}, {}]);
      }
      // Else nothing was raced for.
      expect(missesWhileItWent).toBeGreaterThan(0);
      await threads.stop();
      threads = undefined;
      for (const ram of rams) ram.close();
    });
  });
}
