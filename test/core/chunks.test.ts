// Memory that is not mapped whole: whatever lies in it, wherever it lies, is seen as if it were, through very few windows.

import { readFileSync } from "node:fs";
import fc from "fast-check";
import { afterEach, expect, test } from "vitest";
import {
  VIRTIO_F_INDIRECT_DESC,
  VIRTIO_F_VERSION_1,
  VIRTIO_NET_F_MRG_RXBUF,
  VIRTQ_DESC_F_INDIRECT,
  VIRTQ_DESC_F_NEXT,
} from "../../assembly/spec/virtio.js";
import { bits } from "../../src/core/feature-bits.js";
import { memoryBase, unmap } from "../../src/sys/mapping.js";
import { chunkMapper } from "../../src/switch/chunk-mapper.js";
import { describeLinux } from "../sys/linux.js";
import { frame, TARGETS, type Target, TestGuest, TestSwitch } from "./support/bench-guest.js";
import { BigRam, type BigRamOptions, CHUNK } from "./support/big-ram.js";
import { concat, numbered, numberOf } from "./support/frames.js";
import { testMemory } from "./support/test-switch.js";
import { runs } from "../sample.js";

const FEATURES = bits(VIRTIO_F_VERSION_1, VIRTIO_NET_F_MRG_RXBUF, VIRTIO_F_INDIRECT_DESC);
const HEADER = 12;
const WINDOWS = 8;
/** What the frames of a burst may hold, and what a delivery has at least. */
const HALF = WINDOWS / 2;

interface Piece {
  address: bigint;
  length: number;
}

for (const target of TARGETS) {
  describeLinux(`chunks, ${target} build`, () => {
    const memory = testMemory();
    const rams: BigRam[] = [];
    afterEach(() => {
      for (const ram of rams.splice(0)) ram.close();
      // The pool is memory like any other again.
      unmap(memoryBase(memory), 8 * 1024 * 1024, 2 * WINDOWS * CHUNK);
    });

    /** A sender and a receiver with big RAM each, known to the switch; the receiver has no buffers. */
    async function scene(
      options: { ram?: BigRamOptions; mapChunk?: (offset: number) => boolean; target?: Target } = {},
    ) {
      const map = chunkMapper(memory);
      const sw = new TestSwitch({
        ...{ target, memory, chunkWindows: WINDOWS },
        mapChunk: (worker, region, chunk, offset) =>
          options.mapChunk?.(offset) === false ? 0 : map(worker, region, chunk, offset),
      });
      const [sender, receiver] = [
        await TestGuest.create(sw, { features: FEATURES, rxBuffers: 0, ramBytes: 256 * 1024 }),
        await TestGuest.create(sw, { features: FEATURES, rxBuffers: 0, ramBytes: 256 * 1024 }),
      ];
      receiver.send(frame(1, 2, 60));
      sw.settle();
      const from = await BigRam.add(sender, options.ram);
      const to = await BigRam.add(receiver, options.ram);
      rams.push(from, to);
      const send = (bytes: Uint8Array, pieces: Piece[]) => {
        const whole = concat([new Uint8Array(HEADER), bytes]);
        let at = 0;
        for (const { address, length } of pieces) {
          from.write(address, whole.subarray(at, at + length));
          at += length;
        }
        expect(at).toBe(whole.length);
        expect(sender.tx[0]!.add(pieces, [])).not.toBeNull();
      };
      const offer = (pieces: Piece[]) => {
        const buffers = pieces.map((piece) => ({ ...piece, writable: true }));
        expect(receiver.rx[0]!.add(buffers, buffers)).not.toBeNull();
      };
      const take = (): Uint8Array[] => {
        const frames: Uint8Array[] = [];
        for (let used = receiver.rx[0]!.take(); used; used = receiver.rx[0]!.take()) {
          const bytes = concat(used.token.map(({ address, length }) => to.read(address, length)));
          frames.push(bytes.slice(HEADER, used.written));
        }
        return frames;
      };
      const misses = () => sw.bridge.chunks.usage(0).misses;
      return { sw, sender, receiver, from, to, send, offer, take, misses };
    }

    const cut = (whole: number, at: number[]) => {
      const marks = [...new Set(at.filter((mark) => mark > 0 && mark < whole))].sort((a, b) => a - b);
      return [...marks, whole].map((mark, i) => mark - (marks[i - 1] ?? 0));
    };

    test("frames and buffers anywhere, in pieces, over the ends of chunks: every byte arrives", async () => {
      // Near the end of a chunk, or anywhere; each piece in a slot of its own, so that none overlap.
      const place = fc.record({ chunk: fc.integer({ min: 0, max: 36 }), back: fc.integer({ min: -2000, max: 2000 }) });
      const shape = fc.record({
        length: fc.integer({ min: 60, max: 1500 }),
        cuts: fc.array(fc.integer({ min: 1, max: 1500 }), { maxLength: 1 }),
        places: fc.array(place, { minLength: 4, maxLength: 4 }),
      });
      await fc.assert(
        fc.asyncProperty(fc.array(shape, { minLength: 1, maxLength: 24 }), fc.nat(4095), async (shapes, skew) => {
          const s = await scene({ ram: { skew } });
          const sent: Uint8Array[] = [];
          let slot = 0;
          const lay = (length: number, { chunk, back }: { chunk: number; back: number }): Piece => {
            // 39 chunks for each slot, in which it keeps away from both ends: 24 shapes of 4 places.
            return { address: s.from.chunk(1 + chunk + 39 * slot++) - BigInt(back), length };
          };
          for (const [number, { length, cuts, places }] of shapes.entries()) {
            const bytes = numbered(1, 2, length, number);
            bytes.set(frame(2, 1, 12).subarray(0, 12), 0);
            const parts = cut(length + HEADER, cuts);
            s.send(
              bytes,
              parts.map((part, i) => lay(part, places[i]!)),
            );
            const room = cut(length + HEADER + 40, cuts);
            s.offer(room.map((part, i) => lay(part, places[2 + i]!)));
            sent.push(bytes);
          }
          s.sw.settle();
          expect(s.take()).toEqual(sent);
          expect([s.sender.drops(1), s.receiver.drops(0)]).toEqual([{}, {}]);
          expect(s.sender.reclaim()).toBe(sent.length);
          for (const ram of rams.splice(0)) ram.close();
        }),
        { numRuns: runs(30) },
      );
    });

    test("the first and last bytes of a region that is no whole number of chunks", async () => {
      const bytes = 5 * CHUNK + 4096 + 100;
      const s = await scene({ ram: { bytes, skew: 4096 + 1234 } });
      const data = frame(2, 1, 500);
      const length = data.length + HEADER;
      const first = { address: s.from.base, length };
      const last = { address: s.from.end - BigInt(length), length };
      for (const [at, to] of [
        [first, last],
        [last, first],
      ] as const) {
        s.send(data, [at]);
        s.offer([to]);
        s.sw.settle();
        expect(s.take()).toEqual([data]);
      }
      // One byte on there is nothing.
      s.sender.tx[0]!.add([{ address: last.address + 1n, length }], []);
      s.offer([{ address: last.address + 1n, length }]);
      s.send(data, [first]);
      s.sw.settle();
      expect([s.sender.drops(1), s.receiver.drops(0)]).toEqual([{ DROP_TX_ADDRESS: 1 }, { DROP_RX_CHAIN_BAD: 1 }]);
    });

    test("a chunk is mapped once while it is in use, and the one not used for longest goes", async () => {
      const s = await scene();
      const data = frame(2, 1, 60);
      const pass = (chunk: number) => {
        const before = s.misses();
        const room = [{ address: s.to.base + 5000n, length: 200 }];
        s.offer(room);
        s.send(data, [{ address: s.from.chunk(chunk) + 64n, length: data.length + HEADER }]);
        s.sw.settle();
        expect(s.take()).toEqual([data]);
        return s.misses() - before;
      };
      expect(pass(1)).toBe(2); // the receiver's chunk too
      expect([1, 1, 1].map(pass)).toEqual([0, 0, 0]);
      expect([2, 3, 4, 5, 6, 7].map(pass)).toEqual([1, 1, 1, 1, 1, 1]); // eight windows: all are used
      expect(pass(1)).toBe(0);
      expect(pass(8)).toBe(1); // in the place of chunk 2
      expect([1, 3, 4, 5, 6, 7].map(pass)).toEqual([0, 0, 0, 0, 0, 0]);
      expect(pass(2)).toBe(1);
    });

    test("64 frames of one burst, each in a chunk of its own, go in several bursts and in order", async () => {
      const s = await scene();
      const sent = Array.from({ length: 64 }, (_, i) => numbered(2, 1, 100 + i, i));
      for (const [i, bytes] of sent.entries()) {
        s.offer([{ address: s.to.chunk(2 * i) + 100n, length: 300 }]);
        s.send(bytes, [{ address: s.from.chunk(63 - i) + 100n, length: bytes.length + HEADER }]);
      }
      expect(s.sw.poll()).toBe(HALF);
      s.sw.settle();
      const got = s.take();
      expect(got.map(numberOf)).toEqual(sent.map((_, i) => i));
      expect(got).toEqual(sent);
    });

    test("a frame in more chunks than it may hold is dropped and counted; the next ones go on", async () => {
      const s = await scene();
      const good = frame(2, 1, 200);
      for (const count of [HALF, HALF + 1, 200]) {
        const data = frame(2, 1, 1000, count);
        const lengths = Array.from({ length: count }, (_, i) => (i === 0 ? data.length + HEADER - (count - 1) : 1));
        s.offer([{ address: s.to.base, length: 2000 }]);
        s.send(
          data,
          lengths.map((length, i) => ({ address: s.from.chunk(7 * i + 1) + 9n, length })),
        );
        s.sw.settle();
        if (count === HALF) expect(s.take()).toEqual([data]);
        s.send(good, [{ address: s.from.chunk(3) + 50n, length: good.length + HEADER }]);
        s.sw.settle();
        if (count > HALF) expect(s.take()).toEqual([good]);
        else s.offer([{ address: s.to.base, length: 2000 }]);
        s.sw.settle();
        s.sender.reclaim();
        s.take();
      }
      expect([s.sender.drops(1), s.sender.state(1)]).toEqual([{ DROP_WINDOW: 2 }, "QUEUE_OK"]);
    });

    test("hostile: a frame of 1000 segments in 1000 chunks, from an indirect table that lies over a chunk's end", async () => {
      const s = await scene();
      const table = s.from.chunk(5) - 16n * 500n - 5n; // a descriptor lies across as well
      const entries = new DataView(new ArrayBuffer(16 * 1000));
      for (let i = 0; i < 1000; i++) {
        entries.setBigUint64(16 * i, s.from.chunk(3 * i + 2), true);
        entries.setUint32(16 * i + 8, 60, true);
        entries.setUint16(16 * i + 12, i === 999 ? 0 : VIRTQ_DESC_F_NEXT, true);
        entries.setUint16(16 * i + 14, i + 1, true);
      }
      s.from.write(table, new Uint8Array(entries.buffer));
      const driver = s.sender.splitDriver(1);
      const place = { address: table, length: 16 * 1000 };
      const head = driver.add([place], [])!;
      driver.writeDescriptor(driver.ring.desc, head, place, VIRTQ_DESC_F_INDIRECT, 0);
      const good = frame(2, 1, 200);
      s.offer([{ address: s.to.base, length: 2000 }]);
      s.send(good, [{ address: s.from.base, length: good.length + HEADER }]);
      s.sw.settle();
      expect(s.take()).toEqual([good]);
      expect([s.sender.drops(1), s.sender.state(1), s.sender.reclaim()]).toEqual([{ DROP_WINDOW: 1 }, "QUEUE_OK", 2]);
    });

    test.each([0, 1, 5, 8, 15])(
      "an indirect table over a chunk's end, its descriptor cut after %i bytes",
      async (bytes) => {
        const s = await scene();
        const data = frame(2, 1, 600);
        const parts = [HEADER, 100, 200, 300];
        const table = s.from.chunk(9) - 32n - BigInt(bytes);
        const entries = new DataView(new ArrayBuffer(16 * parts.length));
        const whole = concat([new Uint8Array(HEADER), data]);
        let at = 0;
        for (const [i, length] of parts.entries()) {
          const address = s.from.chunk(9) + BigInt(1000 + 400 * i);
          s.from.write(address, whole.subarray(at, at + length));
          at += length;
          entries.setBigUint64(16 * i, address, true);
          entries.setUint32(16 * i + 8, length, true);
          entries.setUint16(16 * i + 12, i === parts.length - 1 ? 0 : VIRTQ_DESC_F_NEXT, true);
          entries.setUint16(16 * i + 14, i + 1, true);
        }
        s.from.write(table, new Uint8Array(entries.buffer));
        const driver = s.sender.splitDriver(1);
        const place = { address: table, length: 16 * parts.length };
        const head = driver.add([place], [])!;
        driver.writeDescriptor(driver.ring.desc, head, place, VIRTQ_DESC_F_INDIRECT, 0);
        s.offer([{ address: s.to.base, length: 2000 }]);
        s.sw.settle();
        expect(s.take()).toEqual([data]);
      },
    );

    test("a receive buffer of a GiB is seen only as far as it is needed", async () => {
      const s = await scene();
      const data = frame(2, 1, 900);
      s.offer([{ address: s.to.chunk(3) - 100n, length: 2 ** 30 }]);
      s.send(data, [{ address: s.from.base, length: data.length + HEADER }]);
      s.sw.settle();
      const used = s.receiver.rx[0]!.take()!;
      expect(used.written).toBe(data.length + HEADER);
      expect(s.to.read(s.to.chunk(3) - 100n + 12n, 900)).toEqual(data);
      expect(s.misses()).toBe(3);
      // Its end must be the guest's all the same.
      s.offer([{ address: s.to.end - BigInt(2 ** 30), length: 2 ** 30 + 1 }]);
      s.send(data, [{ address: s.from.base, length: data.length + HEADER }]);
      s.sw.settle();
      expect(s.receiver.drops(0)).toEqual({ DROP_RX_CHAIN_BAD: 1 });
    });

    test("merged receive buffers in more chunks than there are windows: the frame is dropped, a shorter one fits", async () => {
      const s = await scene();
      for (let i = 0; i < 40; i++) s.offer([{ address: s.to.chunk(2 * i + 1), length: 100 }]);
      const long = frame(2, 1, 3000);
      const short = frame(2, 1, 250);
      for (const data of [long, short]) {
        s.send(data, [{ address: s.from.base + (data === long ? 0n : 8000n), length: data.length + HEADER }]);
      }
      s.sw.settle();
      const parts = s.take();
      expect(parts).toHaveLength(3);
      expect([s.receiver.drops(0), s.receiver.state(0)]).toEqual([{ DROP_WINDOW: 1 }, "QUEUE_OK"]);
    });

    test("a chunk that cannot be mapped costs the frame that needs it, and nothing else", async () => {
      let allowed = true;
      const s = await scene({ mapChunk: () => allowed });
      const data = frame(2, 1, 300);
      const length = data.length + HEADER;
      const pass = (chunk: number) => {
        s.send(data, [{ address: s.from.chunk(chunk), length }]);
        s.sw.settle();
      };
      for (let i = 0; i < 3; i++) s.offer([{ address: s.to.base + BigInt(4096 * i), length: 1000 }]);
      pass(1);
      allowed = false;
      for (const chunk of [2, 3, 1, 2]) pass(chunk); // chunk 1 is there already
      expect(s.sender.drops(1)).toEqual({ DROP_WINDOW: 3 });
      allowed = true;
      pass(2);
      expect(s.take()).toEqual([data, data, data]);
      expect(s.sender.reclaim()).toBe(6);
    });

    test("a region that is removed leaves no window behind", async () => {
      const s = await scene();
      const data = frame(2, 1, 100);
      const mapped = () => readFileSync("/proc/self/maps", "latin1").split("memfd:big-ram").length - 1;
      const before = mapped();
      for (let i = 0; i < 3; i++) {
        // Not side by side: such chunks may be one mapping for the kernel.
        s.offer([{ address: s.to.chunk(2 * i), length: 500 }]);
        s.send(data, [{ address: s.from.chunk(2 * i), length: data.length + HEADER }]);
      }
      s.sw.settle();
      expect(s.take()).toHaveLength(3);
      expect([mapped() - before, s.sw.bridge.chunks.usage(0).used]).toEqual([6, 6]);
      expect(s.sw.bridge.chunks.mappedBytes(s.from.chunks)).toBe(3 * CHUNK);
      const used = s.sw.bridge.control.usedBytes;
      const base = memoryBase(memory);
      await s.sw.bridge.setRegions(s.sender.port, s.sender.regions);
      await s.sw.bridge.chunks.remove(s.from.chunks, (offset) => unmap(base, offset, CHUNK));
      expect([mapped() - before, s.sw.bridge.chunks.usage(0).used]).toEqual([3, 3]);
      expect(s.sw.bridge.control.usedBytes).toBeLessThan(used);
      s.sender.tx[0]!.add([{ address: s.from.chunk(0), length: 200 }], []);
      s.sw.settle();
      expect(s.sender.drops(1)).toEqual({ DROP_TX_ADDRESS: 1 });
    });
  });
}
