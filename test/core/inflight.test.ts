// The inflight area: where a ring goes on after the switch was killed at any step of a burst.

import { describe, expect, test } from "vitest";
import { VIRTIO_F_RING_PACKED, VIRTIO_F_VERSION_1 } from "../../assembly/spec/virtio.js";
import type { RingInMemory } from "../../src/core/bridge-port.js";
import { bits } from "../../src/core/feature-bits.js";
import { clearInflight, inflightBytes, noteStop, openInflight } from "../../src/core/inflight.js";
import { frame, TARGETS, TestGuest, TestSwitch } from "./support/bench-guest.js";

const AREA = 0x1000;
const PACKED = bits(VIRTIO_F_VERSION_1, VIRTIO_F_RING_PACKED);

function memory(): DataView {
  return new DataView(new ArrayBuffer(0x10000));
}

function ring(change: Partial<RingInMemory> = {}): RingInMemory {
  return { size: 8, desc: 0x2000, avail: 0x3000, used: 0x4000, nextAvail: 5, packed: false, ...change };
}

test("a queue's part has the specification's sizes, on boundaries of 64 bytes", () => {
  expect(inflightBytes(128, false)).toBe(2112);
  expect(inflightBytes(1, false)).toBe(64);
  expect(inflightBytes(128, true)).toBe(32 + 32 * 128 + 32);
});

describe("a split ring", () => {
  test("that nobody ran before starts from the front-end's base, and the area is made", () => {
    const data = memory();
    data.setUint16(0x4002, 3, true);
    expect(openInflight(data, AREA, ring(), 77n)).toBe(5);
    expect(data.getBigUint64(AREA, true)).toBe(77n);
    expect([8, 10, 12, 14].map((at) => data.getUint16(AREA + at, true))).toEqual([1, 8, 0, 5]);
    expect(data.getUint8(AREA + 16)).toBe(0);
  });

  test("that ran before goes on behind what was given back, whatever avail index the front-end gives", () => {
    const data = memory();
    openInflight(data, AREA, ring({ nextAvail: 0 }), 0n);
    data.setUint16(0x4002, 65535, true);
    expect(openInflight(data, AREA, ring({ nextAvail: 4 }), 0n)).toBe(65535);
    noteStop(data, AREA, 9);
    expect(data.getUint16(AREA + 14, true)).toBe(9);
    clearInflight(data, AREA);
    expect(openInflight(data, AREA, ring({ nextAvail: 4 }), 0n)).toBe(4);
  });

  test("of another size is another ring", () => {
    const data = memory();
    openInflight(data, AREA, ring(), 0n);
    expect(openInflight(data, AREA, ring({ size: 16, nextAvail: 4 }), 0n)).toBe(4);
  });
});

describe("a packed ring", () => {
  const packed = (nextAvail: number) => ring({ packed: true, nextAvail });
  const USED = 16;
  const OLD = 18;
  function note(data: DataView, at: number, cursor: number): void {
    data.setUint16(AREA + at, cursor & 0x7fff, true);
    data.setUint8(AREA + at + (at === USED ? 4 : 3), cursor >>> 15);
  }
  const AVAIL_FLAG = 0x80;
  const USED_FLAG = 0x8000;
  const setFlags = (data: DataView, slot: number, flags: number) =>
    data.setUint16(0x2000 + 16 * slot + 14, flags, true);

  test("that nobody ran before starts from the front-end's base, and the area is made", () => {
    const data = memory();
    expect(openInflight(data, AREA, packed(0x8003), 0n)).toBe(0x8003);
    expect([8, 10, 12, 14, 16, 18].map((at) => data.getUint16(AREA + at, true))).toEqual([1, 8, 0, 0, 3, 3]);
    expect([20, 21].map((at) => data.getUint8(AREA + at))).toEqual([1, 1]);
    expect([0, 1, 7].map((i) => data.getUint16(AREA + 32 + 32 * i + 2, true))).toEqual([1, 2, 8]);
  });

  test.each([
    // The burst from 0x8006 to 0x0002, at each step of it: [used, old, was the driver told?] → where it goes on.
    ["before", 0x8006, 0x8006, false, 0x8006],
    ["the index is noted, the wrap counter not yet", 0x8002, 0x8006, false, 0x8006],
    ["noted, the driver not told", 0x0002, 0x8006, false, 0x8006],
    ["the driver told", 0x0002, 0x8006, true, 0x0002],
    ["the old index is noted, its wrap counter not yet", 0x0002, 0x8002, true, 0x0002],
    ["all noted", 0x0002, 0x0002, true, 0x0002],
  ])("killed %s goes on there", (_, used, old, told, expected) => {
    const data = memory();
    openInflight(data, AREA, packed(0x8000), 0n);
    for (let slot = 0; slot < 6; slot++) setFlags(data, slot, AVAIL_FLAG | USED_FLAG);
    // Made available in this round at 6 and 7, in the next one at 0 and 1.
    for (const slot of [6, 7]) setFlags(data, slot, AVAIL_FLAG);
    for (const slot of [0, 1]) setFlags(data, slot, USED_FLAG);
    if (told) setFlags(data, 6, AVAIL_FLAG | USED_FLAG);
    note(data, USED, used);
    note(data, OLD, old);
    expect(openInflight(data, AREA, packed(0x8001), 0n)).toBe(expected);
  });

  test("the driver has used the descriptor again since it was told", () => {
    const data = memory();
    openInflight(data, AREA, packed(0x8000), 0n);
    note(data, USED, 0x8004);
    note(data, OLD, 0x8002);
    setFlags(data, 2, USED_FLAG);
    expect(openInflight(data, AREA, packed(0), 0n)).toBe(0x8004);
  });

  test("M9: an area with places that the ring has not is not believed", () => {
    const data = memory();
    openInflight(data, AREA, packed(0x8000), 0n);
    for (const at of [USED, OLD]) {
      note(data, USED, 0x8002);
      note(data, OLD, 0x8002);
      note(data, at, 0x8008);
      expect(openInflight(data, AREA, packed(0x8001), 0n)).toBe(0x8001);
    }
  });
});

describe.each(TARGETS)("the core, %s build", (target) => {
  test("notes where a packed ring stands with every burst, so that the area alone is enough to go on", async () => {
    const sw = new TestSwitch({ target });
    const a = await TestGuest.create(sw, { features: PACKED, size: 100 });
    const b = await TestGuest.create(sw, { features: PACKED, size: 100 });
    const { data } = sw.bridge.views;
    const areas = [b, a].map((guest, i) => {
      const { struct } = guest.queue(1 - i);
      const at = sw.bridge.control.allocate(inflightBytes(100, true));
      const [size, desc, avail, used] = (["size", "desc", "avail", "used"] as const).map((field) => struct.get(field));
      const place = { size: size!, desc: desc!, avail: avail!, used: used!, packed: true, inflight: at };
      expect(openInflight(data, at, { ...place, nextAvail: 0x8000 }, PACKED)).toBe(0x8000);
      struct.set("inflight", at);
      return { at, place, struct };
    });
    for (let round = 0; round < 40; round++) {
      for (let i = 0; i <= round % 5; i++) b.send(frame(1, 2, 60 + i));
      sw.settle();
      b.reclaim();
      expect(a.receive(0, true)).toHaveLength((round % 5) + 1);
      for (const { at, place, struct } of areas) {
        const now = struct.get("nextAvail");
        expect(data.getUint16(at + 16, true) | (data.getUint8(at + 20) << 15)).toBe(now);
        // A base that is wrong is not asked.
        expect(openInflight(data, at, { ...place, nextAvail: 0x8000 }, PACKED)).toBe(now);
      }
    }
  });
});
