// Buffers at I/O virtual addresses: what has no translation is asked for, and no fault. A transmitq waits before it, a
// frame for such a receive buffer waits.

import { describe, expect, test } from "vitest";
import {
  VIRTIO_F_INDIRECT_DESC,
  VIRTIO_F_VERSION_1,
  VIRTIO_NET_F_MRG_RXBUF,
  VIRTQ_DESC_F_INDIRECT,
} from "../../assembly/spec/virtio.js";
import { bits } from "../../src/core/feature-bits.js";
import { BACKLOG_BYTES } from "../../src/core/backlogs.js";
import { BACKLOG_SECONDS, MISSES } from "../../src/core/layout.js";
import { frame, TestGuest, TestSwitch, VARIANTS } from "./support/bench-guest.js";
import { IommuGuest, PAGE, PAGES, READ, WRITE } from "./support/iommu-guest.js";
import { testMemory } from "./support/test-switch.js";
import { Witness } from "./support/witness.js";

const MODERN = bits(VIRTIO_F_VERSION_1);

const memory = testMemory();

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
    const b = await TestGuest.create(sw, { features: MODERN | ring, ramBytes: 4 << 20, rxBuffers: 0 });
    const pass = (bytes: Uint8Array) => {
      b.send(bytes);
      sw.settle();
      b.reclaim();
      return a.guest.receive();
    };
    return { sw, a, b, pass };
  }

  test("a frame for a buffer that is not translated waits, and the buffer stays", async () => {
    const { sw, a, pass } = await scene();
    const pages = a.give(20);
    const index = a.guest.queue(0).struct.get("nextAvail");
    const before = a.contents();
    const sent = [1, 2, 3].map((number) => frame(1, 2, 60 + number, number));
    for (const bytes of sent) expect(pass(bytes)).toEqual([]);
    expect([a.guest.drops(0), a.guest.queue(0).struct.get("nextAvail")]).toEqual([{}, index]);
    expect(a.contents().equals(before)).toBe(true);
    // The pages of some buffers behind it too, to be written to; asked for once.
    const asked = a.asks(0);
    expect(asked).toEqual(pages.slice(0, asked.length).map((page) => [page, WRITE]));
    expect(asked.length).toBeGreaterThan(1);
    expect([sw.poll(), a.asks(0), sw.arm()]).toEqual([0, [], false]);
    sw.disarm();
    // As far as there is a place now, and in order.
    await a.tell(pages.slice(0, 2));
    expect(sw.arm()).toBe(true);
    sw.disarm();
    sw.settle();
    expect(a.guest.receive()).toEqual(sent.slice(0, 2));
    // The more of them, the more it uses.
    expect(a.asks(0).length).toBeGreaterThan(asked.length);
    await a.tell(pages.slice(2));
    const fourth = frame(1, 2, 64, 4);
    expect(pass(fourth)).toEqual([sent[2], fourth]);
    expect([a.guest.drops(0), a.guest.state(0)]).toEqual([{}, "QUEUE_OK"]);
  });

  test("pages that may only be read are not written to", async () => {
    const { a, sw, pass } = await scene();
    const pages = a.give(2);
    await a.tell(pages, READ);
    const sent = [frame(1, 2, 60, 1), frame(1, 2, 60, 2)];
    expect([pass(sent[0]!), a.asks(0)]).toEqual([[], pages.map((page) => [page, WRITE])]);
    await a.tell(pages, WRITE);
    sw.settle();
    expect([...a.guest.receive(), ...pass(sent[1]!)]).toEqual(sent);
  });

  test("what is forgotten is used no more", async () => {
    const { a, sw, pass } = await scene();
    const pages = a.give(4);
    await a.tell(pages);
    expect(pass(frame(1, 2, 60, 1))).toHaveLength(1);
    const before = a.contents();
    await a.tell(pages.slice(1, 2), 0);
    expect(pass(frame(1, 2, 60, 2))).toEqual([]);
    expect(a.contents().equals(before)).toBe(true);
    expect(a.asks(0)).toEqual([[pages[1], WRITE]]);
    await a.tell(pages.slice(1, 2));
    sw.settle();
    expect(a.guest.receive()).toEqual([frame(1, 2, 60, 2)]);
    for (const number of [3, 4]) expect(pass(frame(1, 2, 60, number))).toHaveLength(1);
  });

  test("a frame for several buffers of which one is not translated waits whole", async () => {
    const { a, sw, pass } = await scene(bits(VIRTIO_NET_F_MRG_RXBUF));
    const pages = a.give(6, 1000);
    await a.tell([pages[0]!, pages[2]!]);
    const before = a.contents();
    const bytes = frame(1, 2, 2500, 1);
    expect(pass(bytes)).toEqual([]);
    // One that would fit does not overtake it.
    expect(pass(frame(1, 2, 100, 2))).toEqual([]);
    expect(a.contents().equals(before)).toBe(true);
    await a.tell(pages);
    sw.settle();
    expect(a.guest.receive()).toEqual([bytes, frame(1, 2, 100, 2)]);
    expect(a.guest.drops(0)).toEqual({});
  });

  test("so many as there is room for wait; what is more, or for too long, is dropped and counted", async () => {
    const { a, sw, pass } = await scene();
    const pages = a.give(30);
    const long = frame(1, 2, 60_000, 1);
    for (let i = 0; i < 30; i++) expect(pass(long)).toEqual([]);
    const room = Math.floor(BACKLOG_BYTES / 60_000);
    expect(a.guest.drops(0)).toEqual({ DROP_TRANSLATION: 30 - room });
    sw.now += BACKLOG_SECONDS - 1;
    sw.settle();
    expect(a.guest.drops(0)).toEqual({ DROP_TRANSLATION: 30 - room });
    sw.now += 1;
    sw.settle();
    expect(a.guest.drops(0)).toEqual({ DROP_TRANSLATION: 30 });
    await a.tell(pages);
    expect(pass(frame(1, 2, 60, 2))).toEqual([frame(1, 2, 60, 2)]);
  });

  test("the room is used round and round", async () => {
    const { a, sw, pass } = await scene();
    const pages = a.give(60);
    const sent: Uint8Array[] = [];
    const got: Uint8Array[] = [];
    // More than the room in all, and it is never empty.
    for (let round = 0; round < 80; round++) {
      for (let i = 0; i < 4; i++) {
        sent.push(frame(1, 2, 4000, sent.length));
        expect(pass(sent.at(-1)!)).toEqual([]);
      }
      if (round < 10) continue;
      const next = Array.from({ length: 4 }, (_, i) => pages[(got.length + i) % pages.length]!);
      await a.tell(next);
      sw.settle();
      got.push(...a.guest.receive(0, true));
      await a.tell(next, 0);
    }
    expect(got).toHaveLength(sent.length - 40);
    for (const [i, bytes] of got.entries()) expect(Buffer.from(bytes).equals(sent[i]!)).toBe(true);
    expect(a.guest.drops(0)).toEqual({});
  });

  test("frames wait for a ring of which it is not known where it lies, till it starts again", async () => {
    const { a, sw, pass } = await scene();
    await a.tell(a.give(8));
    expect(pass(frame(1, 2, 60, 1))).toHaveLength(1);
    const at = await sw.bridge.pauseQueue(a.guest.port, 0);
    const before = a.contents();
    const sent = [2, 3, 4].map((number) => frame(1, 2, 60, number));
    for (const bytes of sent) expect(pass(bytes)).toEqual([]);
    expect([a.contents().equals(before), sw.arm()]).toEqual([true, false]);
    sw.disarm();
    await a.guest.startQueue(0, at);
    sw.settle();
    expect(a.guest.receive()).toEqual(sent);
    expect(a.guest.drops(0)).toEqual({});
    // One that stops for good takes what waits with it.
    await sw.bridge.pauseQueue(a.guest.port, 0);
    expect(pass(sent[0]!)).toEqual([]);
    await sw.bridge.stopQueue(a.guest.port, 0);
    expect(a.guest.drops(0)).toEqual({ DROP_TRANSLATION: 1 });
  });

  test("a queue that breaks, and a port that goes, take what waits with them", async () => {
    const { a, sw, pass } = await scene();
    a.give(1);
    expect(pass(frame(1, 2, 60, 1))).toEqual([]);
    a.guest.queue(0).struct.set("status", 1);
    sw.settle();
    expect(a.guest.drops(0)).toEqual({ DROP_PORT_DOWN: 1 });
    a.guest.queue(0).struct.set("status", 0);
    expect(pass(frame(1, 2, 60, 2))).toEqual([]);
    await sw.bridge.removePort(a.guest.port);
    expect(sw.bridge.workers[0]!.get("backlogs")).toBe(0);
    sw.settle();
  });

  test("what could not be asked for is asked for when the host has taken the questions before", async () => {
    const { a, sw, pass } = await scene();
    const pages = a.give(2);
    a.guest.queue(0).struct.set("missCount", 1);
    expect(pass(frame(1, 2, 60, 1))).toEqual([]);
    // Nobody will wake this worker for it.
    expect(sw.arm()).toBe(true);
    sw.disarm();
    a.guest.queue(0).struct.set("missCount", 0);
    sw.settle();
    expect(a.asks(0)).toEqual(pages.map((page) => [page, WRITE]));
    expect(sw.arm()).toBe(false);
    sw.disarm();
  });
});
