// A receiver that has agreed to an MTU gets no frame whose payload is longer (virtio 1.3, 5.1.4.1).

import { describe, expect, test } from "vitest";
import { VIRTIO_F_RING_PACKED, VIRTIO_F_VERSION_1 } from "../../assembly/spec/virtio.js";
import { bits } from "../../src/core/feature-bits.js";
import { BROADCAST, frame, TARGETS, TestGuest, TestSwitch, VARIANTS } from "./support/bench-guest.js";
import { GUEST_ALL, OffloadPair } from "./support/offload-guests.js";
import { KINDS, QINQ, VARIANTS as GSO_KINDS } from "./support/offload-kinds.js";
import { packet } from "./support/packets.js";
import { ask, segments } from "./support/wire.js";

const V1 = bits(VIRTIO_F_VERSION_1);
const ETHERNET = 14;

/** A frame with tags of these types and `payload` bytes behind them. */
function tagged(to: number | number[], tags: number[], payload: number): Uint8Array {
  const bytes = frame(to, 2, ETHERNET + 4 * tags.length + payload);
  const view = new DataView(bytes.buffer);
  tags.forEach((tag, i) => {
    view.setUint16(12 + 4 * i, tag);
  });
  view.setUint16(12 + 4 * tags.length, 0x0800);
  return bytes;
}

describe.each(VARIANTS)("an MTU, $target build, $form ring", ({ target, ring }) => {
  /** `small` has agreed to an MTU, `large` has none; `sender` is 2, and `small` is known as 1. */
  async function guests(mtu = 1500) {
    const sw = new TestSwitch({ target });
    const sender = await TestGuest.create(sw, { features: V1 | ring, rxBuffers: 8 });
    const small = await TestGuest.create(sw, { features: V1 | ring, rxBufferBytes: 4096 });
    const large = await TestGuest.create(sw, { features: V1 | ring, rxBufferBytes: 4096 });
    sw.bridge.setMtu(small.port, mtu);
    small.send(frame(9, 1, 60));
    sw.settle();
    large.receive();
    return { sw, sender, small, large };
  }
  const lengths = (frames: Uint8Array[]) => frames.map(({ length }) => length);

  test.each([
    ["no tag", []],
    ["a tag", [0x8100]],
    ["two tags", QINQ],
  ])("F26: with %s: what it allows goes, what is longer is dropped and counted", async (_, tags) => {
    const { sw, sender, small } = await guests();
    const longest = ETHERNET + 4 * tags.length + 1500;
    for (const payload of [1501, 1500, 1501, 1502, 46, 1500, 1600]) sender.send(tagged(1, tags, payload));
    sw.settle();
    expect(lengths(small.receive())).toEqual([longest, longest - 1454, longest]);
    expect(small.drops(0)).toEqual({ DROP_MTU: 4 });
    expect([sender.reclaim(), sender.drops(1)]).toEqual([7, {}]);
  });

  test("a third tag is payload", async () => {
    const { sw, sender, small } = await guests();
    sender.send(tagged(1, [0x88a8, 0x8100, 0x8100], 1497));
    sender.send(tagged(1, [0x88a8, 0x8100, 0x8100], 1496));
    sw.settle();
    expect(lengths(small.receive())).toEqual([1522]);
    expect(small.drops(0)).toEqual({ DROP_MTU: 1 });
  });

  test("a frame in pieces is judged like one in one piece", async () => {
    const { sw, sender, small } = await guests();
    for (const payload of [1500, 1501]) sender.send(tagged(1, QINQ, payload), { pieces: [5, 10, 6, 3, 700] });
    sw.settle();
    expect(lengths(small.receive())).toEqual([1522]);
    expect(small.drops(0)).toEqual({ DROP_MTU: 1 });
  });

  test("of a flood each port gets what it takes, in order", async () => {
    const { sw, sender, small, large } = await guests();
    const sent = [1600, 60, 1700, 1514, 61, 1515];
    for (const length of sent) sender.send(frame(BROADCAST, 2, length));
    sw.settle();
    expect(lengths(small.receive())).toEqual([60, 1514, 61]);
    expect(lengths(large.receive())).toEqual(sent);
    expect([small.drops(0), large.drops(0)]).toEqual([{ DROP_MTU: 3 }, {}]);
  });

  test("changes under a running ring, and goes", async () => {
    const { sw, sender, small } = await guests(68);
    const arrivals = () => {
      for (const length of [82, 83, 9014]) sender.send(frame(1, 2, Math.min(length, 4000)));
      sw.settle();
      return lengths(small.receive(0, true));
    };
    expect(arrivals()).toEqual([82]);
    sw.bridge.setMtu(small.port, 69);
    expect(arrivals()).toEqual([82, 83]);
    sw.bridge.setMtu(small.port, undefined);
    expect(arrivals()).toEqual([82, 83, 4000]);
    expect(small.drops(0)).toEqual({ DROP_MTU: 3 });
  });
});

describe.each(TARGETS)("segmentation and an MTU, %s build", (target) => {
  const shapes = [
    ["that it can take", GUEST_ALL],
    ["that is cut for it", 0n],
  ] as const;
  describe.each(shapes)("a frame %s", (_, receiver) => {
    test.each(GSO_KINDS)("$name is judged by its segments", async ({ gsoType, gsoSize, shape }) => {
      const pair = await OffloadPair.create({ target, receiver });
      const frame = packet(shape);
      const header = ask(frame, gsoType, gsoSize);
      const pieces = segments(frame, header);
      // The MTU at which the longest piece that goes over a wire just passes.
      const mtu = Math.max(...pieces.map(({ length }) => length)) - ETHERNET - 4 * (shape.tags?.length ?? 0);
      pair.sw.bridge.setMtu(pair.receiver.port, mtu);
      expect(pair.pass(frame, header)).toHaveLength(receiver === 0n ? pieces.length : 1);
      expect(pair.receiver.drops(0)).toEqual({});
      pair.sw.bridge.setMtu(pair.receiver.port, mtu - 1);
      expect(pair.pass(frame, header)).toEqual([]);
      expect(pair.receiver.drops(0)).toEqual({ DROP_MTU: 1 });
    });
  });

  test("a frame with nothing but an open checksum is judged by its length", async () => {
    const common = V1 | bits(VIRTIO_F_RING_PACKED);
    const pair = await OffloadPair.create({ target, common, guest: { rxBufferBytes: 4096, rxBuffers: 64 } });
    const [kind] = KINDS;
    const frame = packet({ ...kind!.shape, payload: 2000 });
    pair.sw.bridge.setMtu(pair.receiver.port, frame.length - ETHERNET);
    expect(pair.pass(frame, ask(frame, 0, 0))).toHaveLength(1);
    pair.sw.bridge.setMtu(pair.receiver.port, frame.length - ETHERNET - 1);
    expect(pair.pass(frame, ask(frame, 0, 0))).toEqual([]);
    expect(pair.receiver.drops(0)).toEqual({ DROP_MTU: 1 });
  });
});
