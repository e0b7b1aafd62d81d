// Split and packed rings as a well-behaved driver uses them: every size, every shape of a chain, every header.

import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  VIRTIO_F_INDIRECT_DESC,
  VIRTIO_F_RING_PACKED,
  VIRTIO_F_VERSION_1,
  VIRTIO_NET_F_MRG_RXBUF,
} from "../../assembly/spec/virtio.js";
import { FRAME_MAX } from "../../src/core/layout.js";
import { PACKED_START, packedAfter } from "../../src/core/packed-ring.js";
import { BROADCAST, frame, TARGETS, TestGuest, TestSwitch, VARIANTS } from "./support/bench-guest.js";
import { testMemory } from "./support/test-switch.js";
import { Witness } from "./support/witness.js";
import { cases, runs } from "../sample.js";

const VERSION_1 = 1n << BigInt(VIRTIO_F_VERSION_1);
const MERGEABLE = 1n << BigInt(VIRTIO_NET_F_MRG_RXBUF);
const INDIRECT = 1n << BigInt(VIRTIO_F_INDIRECT_DESC);
const PACKED = 1n << BigInt(VIRTIO_F_RING_PACKED);
const MIB = 1024 * 1024;

/** Frames as texts: compared much faster. */
const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex");

const HEADERS = [
  { name: "legacy, 10 bytes", features: 0n },
  { name: "version 1, 12 bytes", features: VERSION_1 },
  { name: "legacy mergeable, 12 bytes", features: MERGEABLE },
  { name: "version 1 mergeable, 12 bytes", features: VERSION_1 | MERGEABLE },
];

/** Polls until nothing moves, and expects that no byte changed but where the guests let the switch write. */
function settleWatched(sw: TestSwitch, ...guests: TestGuest[]): void {
  const witness = new Witness(sw);
  sw.settle();
  expect(witness.firstChange(guests.flatMap((guest) => guest.deviceWritable()))).toBeNull();
}

describe.each(TARGETS)("ring sizes, %s build", (target) => {
  const memory = testMemory();

  const sizes = Array.from({ length: 16 }, (_, power) => 2 ** power);
  test.each(cases(sizes))("M29: a ring of %i entries wraps anywhere, its indices wrap at 65536", async (size) => {
    for (const firstIndex of new Set([0, size - 1, 65_530])) {
      const sw = new TestSwitch({ target, memory });
      const options = { size, firstIndex, features: VERSION_1, ramBytes: 3 * MIB, rxBufferBytes: 256, rxBuffers: 0 };
      const a = await TestGuest.create(sw, options);
      const b = await TestGuest.create(sw, options);
      const burst = Math.min(size, 100);
      for (let i = 0; i < burst; i++) b.giveBuffer(256);
      for (let round = 0; round < 3; round++) {
        const sent = Array.from({ length: burst }, (_, i) => frame(2, 1, 60 + ((i + round) % 100), i * 7 + round));
        for (const bytes of sent) a.send(bytes);
        sw.settle();
        expect(a.reclaim()).toBe(burst);
        expect(b.receive(0, true).map(hex)).toEqual(sent.map(hex));
      }
      expect(a.queue(1).struct.get("nextAvail")).toBe((firstIndex + 3 * burst) & 0xffff);
      expect([a.state(1), b.state(0)]).toEqual(["QUEUE_OK", "QUEUE_OK"]);
    }
  });

  const any = [1, 2, 3, 5, 7, 64, 100, 255, 257, 1000, 32_767, 32_768];
  test.each(cases(any))("M29, M43: a packed ring of %i entries wraps anywhere, in either round", async (size) => {
    for (const firstIndex of new Set([PACKED_START, PACKED_START | (size - 1), size >> 1])) {
      const sw = new TestSwitch({ target, memory });
      const features = VERSION_1 | PACKED;
      const options = { size, firstIndex, features, ramBytes: 3 * MIB, rxBufferBytes: 256, rxBuffers: 0 };
      const a = await TestGuest.create(sw, options);
      const b = await TestGuest.create(sw, options);
      const burst = Math.min(size, 100);
      for (let i = 0; i < burst; i++) b.giveBuffer(256);
      let place = firstIndex;
      for (let round = 0; round < 3; round++) {
        const sent = Array.from({ length: burst }, (_, i) => frame(2, 1, 60 + ((i + round) % 100), i * 7 + round));
        for (const bytes of sent) a.send(bytes);
        sw.settle();
        expect(a.reclaim()).toBe(burst);
        expect(b.receive(0, true).map(hex)).toEqual(sent.map(hex));
        place = packedAfter(place, burst, size);
      }
      expect(a.queue(1).struct.get("nextAvail")).toBe(place);
      expect([a.state(1), b.state(0)]).toEqual(["QUEUE_OK", "QUEUE_OK"]);
    }
  });

  test("a whole ring of 32768 frames, as many as can be, arrives in order", async () => {
    const sw = new TestSwitch({ target, memory });
    const options = { size: 32_768, firstIndex: 40_000, ramBytes: 7 * MIB, rxBuffers: 0 };
    const a = await TestGuest.create(sw, options);
    const b = await TestGuest.create(sw, options);
    const sent = frame(2, 1, 60);
    for (let i = 0; i < 32_768; i++) {
      b.giveBuffer(72);
      a.send(sent.map((byte, at) => (at < 58 ? byte : i >> ((at - 58) * 8))));
    }
    sw.settle();
    expect(a.reclaim()).toBe(32_768);
    const numbers = b.receive().map((bytes) => bytes[58]! | (bytes[59]! << 8));
    expect(numbers).toEqual(Array.from({ length: 32_768 }, (_, i) => i));
  });
});

describe.each(VARIANTS)("chains, $target build, $form ring", ({ target, ring }) => {
  const memory = testMemory();

  async function pair(from: bigint, to: bigint = from, rxBuffers = 64) {
    const sw = new TestSwitch({ target, memory });
    const a = await TestGuest.create(sw, { features: from | INDIRECT | ring });
    const b = await TestGuest.create(sw, { features: to | INDIRECT | ring, base: 0x7000n, rxBuffers });
    return { sw, a, b };
  }

  describe.each(HEADERS)("from $name", ({ features }) => {
    test.each(HEADERS)("to $name", async (to) => {
      const { sw, a, b } = await pair(features, to.features);
      // Around the sizes at which the copy changes its ways.
      const lengths = [14, 15, 29, 30, 31, 60, 63, 64, 65, 511, 512, 513, 1500, 1514, 2000];
      const sent = lengths.map((length, i) => frame(i % 2 ? BROADCAST : 2, 1, length, i));
      for (const bytes of sent) a.send(bytes);
      settleWatched(sw, a, b);
      expect(a.reclaim()).toBe(sent.length);
      expect(b.receive().map(hex)).toEqual(sent.map(hex));
    });

    test("M11: a header over descriptors of one byte, exactly one descriptor, or together with the frame", async () => {
      const { sw, a, b } = await pair(features);
      const header = a.headerBytes;
      const shapes: number[][] = [
        new Array(header).fill(1),
        new Array(header + 14).fill(1),
        new Array(header + 60).fill(1),
        [header],
        [header - 1],
        [header + 1],
        [header, 1],
        [header, 13, 1],
        [3, header - 3, 6, 6, 2],
        [1, header, 20],
      ];
      const sent = shapes.map((_, i) => frame(2, 1, 60 + i, i));
      for (const [i, pieces] of shapes.entries()) a.send(sent[i]!, { pieces, indirect: i % 2 === 1 });
      settleWatched(sw, a, b);
      expect(a.drops(1)).toEqual({});
      expect(a.reclaim()).toBe(sent.length);
      expect(b.receive().map(hex)).toEqual(sent.map(hex));
    });
  });

  const shape = fc.record({
    length: fc.integer({ min: 14, max: 3000 }),
    pieces: fc.array(fc.integer({ min: 1, max: 500 }), { maxLength: 12 }),
    indirect: fc.boolean(),
    room: fc.array(fc.integer({ min: 1, max: 900 }), { maxLength: 12 }),
    indirectRoom: fc.boolean(),
  });

  test("frames in pieces of any sizes arrive whole in buffers of any pieces, direct and indirect", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.constantFrom(...HEADERS),
        fc.constantFrom(...HEADERS),
        fc.array(shape, { minLength: 1, maxLength: 8 }),
        async (from, to, shapes) => {
          const { sw, a, b } = await pair(from.features, to.features, 0);
          const sent = shapes.map(({ length }, i) => frame(2, 1, length, i));
          for (const [i, { pieces, indirect, room, indirectRoom }] of shapes.entries()) {
            a.send(sent[i]!, { pieces, indirect });
            // One chain, the last descriptor of which has room for all that is missing.
            const buffers = [...room, 3100].map((length) => ({
              address: b.allocate(length, 1),
              length,
              writable: true,
            }));
            b.giveBuffers(buffers, 0, indirectRoom);
          }
          settleWatched(sw, a, b);
          expect(a.reclaim()).toBe(sent.length);
          expect(b.receive().map(hex)).toEqual(sent.map(hex));
        },
      ),
      { numRuns: runs(60) },
    );
  });

  test("a chain of as many descriptors as the ring has entries is the longest", async () => {
    const { sw, a, b } = await pair(VERSION_1);
    const bytes = frame(2, 1, 1000);
    a.send(bytes, { pieces: new Array(255).fill(3) });
    expect(a.tx[0]!.freeDescriptors).toBe(0);
    settleWatched(sw, a, b);
    expect(a.reclaim()).toBe(1);
    expect(a.tx[0]!.freeDescriptors).toBe(256);
    expect(b.receive()).toEqual([bytes]);
  });

  test("an indirect table may have more entries than the ring; more pieces than are carried are refused", async () => {
    const { sw, a, b } = await pair(VERSION_1);
    const bytes = frame(2, 1, 2000);
    a.send(bytes, { pieces: new Array(1000).fill(2), indirect: true });
    a.send(bytes, { pieces: new Array(1200).fill(1), indirect: true });
    settleWatched(sw, a, b);
    expect(b.receive()).toEqual([bytes]);
    expect(a.reclaim()).toBe(2);
    expect(a.drops(1)).toEqual({ DROP_TX_OVERSIZE: 1 });
  });
});

describe.each(VARIANTS)("receive buffers, $target build, $form ring", ({ target, form, ring }) => {
  const memory = testMemory();

  async function receiver(features: bigint) {
    const sw = new TestSwitch({ target, memory });
    const a = await TestGuest.create(sw, { features: VERSION_1 | ring, ramBytes: 2 * MIB });
    const b = await TestGuest.create(sw, { features: features | ring, rxBuffers: 0, ramBytes: 4 * MIB });
    return { sw, a, b };
  }

  test("M46: a merged frame fills each buffer, num_buffers says how many, nothing behind the written is touched", async () => {
    const { sw, a, b } = await receiver(VERSION_1 | MERGEABLE);
    const rooms = [100, 33, 2048, 12, 500, 1, 700, 5000];
    const buffers = rooms.map((room) => b.giveBuffer(room));
    for (const { address, length } of buffers) b.write(address, new Uint8Array(length).fill(0xee));
    // 12 + 88, 33, 79 bytes; then 2 buffers after the one that fits exactly.
    const sent = [frame(2, 1, 88 + 33 + 79, 1), frame(2, 1, 100, 2), frame(2, 1, 88 + 3, 3)];
    for (const bytes of sent) a.send(bytes);
    settleWatched(sw, a, b);

    const { data } = sw.bridge.views;
    const { desc, used } = b.rx[0]!.ring;
    // Each buffer is one descriptor: in a packed ring the lengths stand over them.
    const lengths = form === "packed" ? b.memory.at(desc) + 8 : b.memory.at(used) + 8;
    const stride = form === "packed" ? 16 : 8;
    const written = Array.from({ length: 7 }, (_, i) => data.getUint32(lengths + i * stride, true));
    expect(written).toEqual([100, 33, 79, 12, 100, 1, 102]);
    for (const [i, { address, length }] of buffers.entries()) {
      const behind = b.read(address, length).subarray(written[i] ?? 0);
      expect(behind.every((byte) => byte === 0xee)).toBe(true);
    }
    const numBuffers = [0, 3, 5].map((i) => b.read(buffers[i]!.address, 12));
    expect(numBuffers[0]!.subarray(10)).toEqual(new Uint8Array([3, 0]));
    expect(numBuffers[1]!.subarray(0, 1)).toEqual(new Uint8Array([0]));
    expect(b.receive().map(hex)).toEqual(sent.map(hex));
  });

  test("frames of any length merge over buffers of any sizes", async () => {
    const rooms = fc.array(fc.integer({ min: 1, max: 3000 }), { minLength: 1, maxLength: 60 });
    const lengths = fc.array(fc.integer({ min: 14, max: 4000 }), { minLength: 1, maxLength: 30 });
    await fc.assert(
      fc.asyncProperty(rooms, lengths, async (sizes, frames) => {
        const { sw, a, b } = await receiver(VERSION_1 | MERGEABLE);
        for (const size of sizes) b.giveBuffer(size);
        const sent = frames.map((length, i) => frame(2, 1, length, i));
        for (const bytes of sent) a.send(bytes);
        settleWatched(sw, a, b);
        // A frame that finds too little room leaves it to a smaller one behind it.
        let room = [...sizes];
        const fitting = sent.filter((bytes) => {
          let need = bytes.length + 12;
          let count = 0;
          while (need > 0 && count < room.length) need -= room[count++]!;
          if (need > 0) return false;
          room = room.slice(count);
          return true;
        });
        expect(b.receive().map(hex)).toEqual(fitting.map(hex));
        expect(b.drops(0).DROP_NO_RX_BUFFER ?? 0).toBe(sent.length - fitting.length);
        expect(a.reclaim()).toBe(sent.length);
      }),
      { numRuns: runs(60) },
    );
  });

  test("without merging a frame that does not fit is dropped, and the buffer waits for one that does", async () => {
    const { sw, a, b } = await receiver(VERSION_1);
    b.giveBuffer(112);
    b.giveBuffer(2000);
    a.send(frame(2, 1, 101));
    a.send(frame(2, 1, 100));
    a.send(frame(2, 1, 1988));
    settleWatched(sw, a, b);
    expect(b.drops(0)).toEqual({ DROP_RX_BUFFER_TOO_SMALL: 1 });
    expect(b.receive()).toEqual([frame(2, 1, 100), frame(2, 1, 1988)]);
  });

  test("the longest frame is carried, merged and in one chain; one byte more is dropped as oversize", async () => {
    const merged = { features: VERSION_1 | MERGEABLE, buffers: 80, room: 2048 };
    const single = { features: VERSION_1, buffers: 2, room: FRAME_MAX + 12 };
    for (const { features, buffers, room } of [merged, single]) {
      const { sw, a, b } = await receiver(features);
      for (let i = 0; i < buffers; i++) b.giveBuffer(room);
      const longest = frame(2, 1, FRAME_MAX);
      const longer = frame(2, 1, FRAME_MAX + 1);
      a.send(longest);
      a.send(longer);
      a.send(longer, { pieces: [12, 60_000] });
      a.send(longest, { pieces: [12, 14, 30_001, 5] });
      settleWatched(sw, a, b);
      expect(a.drops(1)).toEqual({ DROP_TX_OVERSIZE: 2 });
      expect(a.reclaim()).toBe(4);
      const received = b.receive();
      expect(received).toHaveLength(2);
      for (const bytes of received) expect(Buffer.from(bytes).equals(Buffer.from(longest))).toBe(true);
    }
  });

  test("a group of frames that needs more segments than a worker holds is copied in parts", async () => {
    const { sw, a, b } = await receiver(VERSION_1 | INDIRECT);
    const sent = Array.from({ length: 20 }, (_, i) => frame(2, 1, 1000 + i, i));
    for (const bytes of sent) {
      // 600 segments for each frame: 2048 do not hold four of them and a reserve.
      const pieces = Array.from({ length: 600 }, () => ({ address: b.allocate(2, 1), length: 2, writable: true }));
      b.giveBuffers(pieces, 0, true);
      a.send(bytes);
    }
    settleWatched(sw, a, b);
    expect(b.receive().map(hex)).toEqual(sent.map(hex));
  });
});

describe.each(VARIANTS)("several regions, $target build, $form ring", ({ target, ring }) => {
  const memory = testMemory();
  const FIRST = 64 * 1024;

  /** Guests whose RAM is three regions, side by side for them and apart in linear memory. */
  async function guests() {
    const sw = new TestSwitch({ target, memory });
    const options = { features: VERSION_1 | INDIRECT | ring, regions: [FIRST, 8192, FIRST], rxBuffers: 0, size: 64 };
    const a = await TestGuest.create(sw, { ...options, base: 0xfff0_0000n });
    const b = await TestGuest.create(sw, { ...options, base: 0n });
    const border = (guest: TestGuest) => guest.base + BigInt(FIRST);
    return { sw, a, b, border };
  }

  /** Sends the frame from the one buffer at `address`. */
  function sendFrom(guest: TestGuest, address: bigint, bytes: Uint8Array): void {
    guest.write(address, new Uint8Array(12));
    guest.write(address + 12n, bytes);
    guest.tx[0]!.add([{ address, length: 12 + bytes.length }], []);
  }

  test("buffers that cross into the next region are read and written on both sides of every border", async () => {
    for (let ahead = 1; ahead <= 80; ahead += 1) {
      const { sw, a, b, border } = await guests();
      const bytes = frame(2, 1, 68, ahead);
      sendFrom(a, border(a) - BigInt(ahead), bytes);
      b.giveBuffers([{ address: border(b) - BigInt(81 - ahead), length: 80, writable: true }]);
      settleWatched(sw, a, b);
      expect(a.reclaim()).toBe(1);
      expect(b.receive()).toEqual([bytes]);
    }
  });

  test("one buffer may span three regions, in both directions", async () => {
    const { sw, a, b, border } = await guests();
    const bytes = frame(2, 1, 9000);
    sendFrom(a, border(a) - 400n, bytes);
    b.giveBuffers([{ address: border(b) - 17n, length: 9100, writable: true }]);
    settleWatched(sw, a, b);
    expect(a.reclaim()).toBe(1);
    expect(b.receive()).toEqual([bytes]);
  });

  test("frames from different regions in one burst", async () => {
    const { sw, a, b, border } = await guests();
    const places = [-4000n, 500n, 8700n, -2000n, 4000n, 8192n + 5000n, -100n, 8100n];
    const sent = places.map((_, i) => frame(2, 1, 300 + i, i));
    for (const [i, place] of places.entries()) {
      sendFrom(a, border(a) + place, sent[i]!);
      b.giveBuffers([{ address: border(b) + places[(i + 3) % 8]!, length: 400, writable: true }]);
    }
    settleWatched(sw, a, b);
    expect(b.receive().map(hex)).toEqual(sent.map(hex));
    expect(a.drops(1)).toEqual({});
  });
});
