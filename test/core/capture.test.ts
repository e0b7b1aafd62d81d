// Captures in the core: what passes a port is copied into rings that the host reads, whatever shape it has, and nothing
// ever waits for the host.

import { afterEach, describe, expect, test } from "vitest";
import {
  DROP_BAD_SOURCE,
  DROP_HAIRPIN,
  DROP_NO_PORT,
  DROP_PORT_DOWN,
  DROP_RESERVED,
  DROP_TX_OFFLOAD,
} from "../../assembly/spec/status.js";
import { VIRTIO_NET_F_MRG_RXBUF, VIRTIO_NET_F_CSUM, VIRTIO_F_VERSION_1 } from "../../assembly/spec/virtio.js";
import { type CaptureRecord, CaptureRings } from "../../src/core/capture-rings.js";
import { bits } from "../../src/core/feature-bits.js";
import { BROADCAST, frame, TARGETS, TestGuest, TestSwitch, VARIANTS } from "./support/bench-guest.js";
import { numbered, numberOf } from "./support/frames.js";
import { MODERN, OffloadPair } from "./support/offload-guests.js";
import { tcp4 } from "./support/offload-kinds.js";
import { packet } from "./support/packets.js";
import { ask } from "./support/wire.js";
import { WorkerThreads } from "./support/worker-threads.js";

const V1 = bits(VIRTIO_F_VERSION_1);
const RING = 256 * 1024;
const ALL = 65_558;

type Taken = Omit<CaptureRecord, "timeHigh" | "timeLow"> & { time: number };

function readAll(rings: CaptureRings): Taken[] {
  const taken: Taken[] = [];
  rings.read(
    ({ timeHigh, timeLow, bytes, ...record }) => {
      taken.push({ ...record, bytes: bytes.slice(), time: timeHigh * 2 ** 32 + timeLow });
    },
    () => false,
  );
  return taken;
}

const bytesOf = (records: Taken[]) => records.map(({ bytes }) => bytes);

describe.each(VARIANTS)("captures, $target build, $form ring", ({ target, ring }) => {
  const features = V1 | ring;

  async function scene(snapLength = ALL, more = {}) {
    const sw = new TestSwitch({ target });
    const a = await TestGuest.create(sw, { features, ...more });
    const b = await TestGuest.create(sw, { features, ...more });
    b.send(frame(BROADCAST, 2, 60));
    sw.settle();
    a.receive();
    b.reclaim();
    const rings = new CaptureRings(sw.bridge, snapLength, RING);
    return { sw, a, b, rings };
  }

  test("frames of one port, both ways, byte for byte, in the order in which they went", async () => {
    const { sw, a, b, rings } = await scene();
    await rings.attach(a.port, 7);
    const out = [60, 64, 100, 1514, 14].map((length, i) => frame(2, 1, length, i));
    for (const bytes of out) a.send(bytes);
    sw.settle();
    const back = [61, 1000].map((length, i) => frame(1, 2, length, i));
    for (const bytes of back) b.send(bytes);
    sw.settle();
    expect(b.receive()).toEqual(out);
    const records = readAll(rings);
    expect(records.map(({ direction }) => direction).join()).toBe("in,in,in,in,in,out,out");
    expect(bytesOf(records)).toEqual([...out, ...back]);
    for (const [i, { tap, length, dropped, time }] of records.entries()) {
      expect({ tap, length, dropped }).toEqual({ tap: 7, length: records[i]!.bytes.length, dropped: undefined });
      if (i > 0) expect(time).toBeGreaterThanOrEqual(records[i - 1]!.time);
    }
    expect(records[5]!.time).toBeGreaterThan(records[0]!.time);
    expect(rings.counts(7)).toEqual({ frames: 7, missed: 0 });
    expect(readAll(rings)).toEqual([]);
  });

  test("both ports in one capture: in before out, and each with its number", async () => {
    const { sw, a, b, rings } = await scene();
    await Promise.all([rings.attach(a.port, 0), rings.attach(b.port, 1)]);
    a.send(frame(2, 1, 99));
    sw.settle();
    expect(readAll(rings).map(({ tap, direction }) => `${tap} ${direction}`)).toEqual(["0 in", "1 out"]);
  });

  test("of long frames as much as wanted is kept, and the length of all", async () => {
    const { sw, a, b, rings } = await scene(100);
    await Promise.all([rings.attach(a.port, 0), rings.attach(b.port, 1)]);
    const sent = [99, 100, 101, 1500].map((length) => frame(2, 1, length));
    for (const bytes of sent) a.send(bytes, { pieces: [5, 30, 90] });
    sw.settle();
    const records = readAll(rings);
    for (const half of [records.slice(0, 4), records.slice(4)]) {
      expect(bytesOf(half)).toEqual(sent.map((bytes) => bytes.subarray(0, 100)));
      expect(half.map(({ length }) => length)).toEqual([99, 100, 101, 1500]);
    }
  });

  test("frames in pieces, and merged receive buffers, are put together", async () => {
    const merged = { features: features | bits(VIRTIO_NET_F_MRG_RXBUF), rxBufferBytes: 70 };
    const { sw, a, b, rings } = await scene(ALL, merged);
    await Promise.all([rings.attach(a.port, 0), rings.attach(b.port, 1)]);
    const sent = [[1], [12, 3], [5, 20, 100, 1, 64]].map((pieces, i) => {
      const bytes = frame(2, 1, 900 + i, i);
      a.send(bytes, { pieces });
      return bytes;
    });
    sw.settle();
    expect(b.receive()).toEqual(sent);
    expect(bytesOf(readAll(rings))).toEqual([...sent, ...sent]);
  });

  test("a full ring: what finds no room is counted as missed, all is forwarded, and reading makes room", async () => {
    const { sw, a, b, rings } = await scene(ALL, { rxBuffers: 64, ramBytes: 4 << 20 });
    await rings.attach(a.port, 0);
    const free = a.mark();
    let sent = 0;
    const round = () => {
      free();
      for (let i = 0; i < 60; i++) a.send(numbered(2, 1, 1000 + (sent % 500), sent++));
      sw.settle();
      expect(b.receive(0, true).map(numberOf)).toEqual(Array.from({ length: 60 }, (_, i) => sent - 60 + i));
      a.reclaim();
    };
    for (let i = 0; i < 5; i++) round();
    const { frames, missed } = rings.counts(0);
    const first = readAll(rings).map(({ bytes }) => numberOf(bytes));
    // A ring of 256 KiB holds about 200 of these.
    expect(frames).toBe(300);
    expect(first.length).toBeGreaterThan(180);
    expect(first.length + missed).toBe(300);
    expect(first).toEqual(first.map((_, i) => i));
    // Once round the ring several times, read each time: nothing is missed any more.
    for (let i = 0; i < 20; i++) {
      round();
      const records = readAll(rings);
      expect(records.map(({ bytes }) => numberOf(bytes))).toEqual(Array.from({ length: 60 }, (_, i) => sent - 60 + i));
      for (const { bytes, length } of records) expect(bytes).toHaveLength(length);
    }
    expect(rings.counts(0).missed).toBe(missed);
  });

  describe("copies are paid by the transmitq whose frames they are of", () => {
    const BURST = 64;

    /** Two pairs with rings full of frames; how many of each sender were taken in `polls` rounds. */
    async function twoPairs(capture: "sender" | "receiver", length = 60) {
      const more = { size: 1024, rxBuffers: 400, rxBufferBytes: 1536, ramBytes: 2 << 20 };
      const { sw, a, b, rings } = await scene(ALL, more);
      const c = await TestGuest.create(sw, { features, ...more });
      const d = await TestGuest.create(sw, { features, ...more });
      d.send(frame(BROADCAST, 4, 60));
      sw.settle();
      for (const guest of [a, b, c]) guest.receive();
      const load = () => {
        for (let i = 0; i < 400; i++) {
          a.send(numbered(2, 1, length, i));
          c.send(numbered(4, 3, length, i));
        }
      };
      const taken = ({ port }: TestGuest) => Number(sw.bridge.queue(port, 1).counters().frames);
      const rounds = (polls: number) => {
        const before = [taken(a), taken(c)];
        for (let i = 0; i < polls; i++) sw.poll();
        return { captured: taken(a) - before[0]!, other: taken(c) - before[1]! };
      };
      load();
      await rings.attach(capture === "sender" ? a.port : b.port, 0);
      return { sw, a, b, c, d, rings, rounds };
    }

    test.each(["sender", "receiver"] as const)("the other pair gets every turn, captured: the %s", async (capture) => {
      const { rings, rounds } = await twoPairs(capture);
      expect(rounds(6)).toEqual({ captured: 3 * BURST, other: 6 * BURST });
      expect(readAll(rings)).toHaveLength(3 * BURST);
    });

    test("what found a full ring was not copied, and nothing is owed for it", async () => {
      const { rings, rounds } = await twoPairs("sender", 1500);
      rounds(4);
      // A ring of 256 KiB is full in the third burst.
      const { frames, missed } = rings.counts(0);
      expect({ frames, seen: frames - missed }).toEqual({ frames: 2 * BURST, seen: 2 * BURST });
      rounds(1);
      expect(rings.counts(0).missed).toBeGreaterThan(0);
      rounds(1);
      const { missed: before } = rings.counts(0);
      expect(rounds(2).captured).toBe(2 * BURST);
      expect(rings.counts(0).missed - before).toBe(2 * BURST);
    });

    test("who is alone waits for nobody: no poll comes back empty while there is something to send", async () => {
      const { sw, a, b, c, rings } = await twoPairs("sender");
      const short = new CaptureRings(sw.bridge, 20, RING);
      await Promise.all([short.attach(a.port, 0), rings.attach(b.port, 1), short.attach(b.port, 1)]);
      while (sw.poll() > 0);
      expect([a, c].map((guest) => guest.reclaim())).toEqual([400, 400]);
    });

    test("nothing is owed any more when the captures have ended", async () => {
      const { a, b, rings, rounds } = await twoPairs("sender");
      rounds(1);
      await rings.attach(b.port, 1);
      rounds(1);
      await rings.close();
      expect(rounds(3).captured).toBe(3 * BURST);
      expect(a.drops(1)).toEqual({});
      expect(b.receive()).toHaveLength(4 * BURST);
    });
  });

  test("the positions of a ring wrap around at 2^32", async () => {
    const { sw, a, rings } = await scene();
    await rings.attach(a.port, 0);
    const ring = (rings as unknown as { rings: { set(field: string, value: number): void }[] }).rings[0]!;
    for (const field of ["head", "next", "tail"]) ring.set(field, 0xffff_ff00);
    const sent = Array.from({ length: 20 }, (_, i) => frame(2, 1, 100 + i, i));
    for (const bytes of sent) a.send(bytes);
    sw.settle();
    expect(bytesOf(readAll(rings))).toEqual(sent);
  });

  test("a frame that goes nowhere is recorded with the cause of its drop", async () => {
    const { sw, a, b, rings } = await scene();
    await rings.attach(a.port, 0);
    a.send(frame(2, 1, 60));
    a.send(frame(2, [1, 0, 0, 0, 0, 1], 61));
    a.send(frame([1, 0x80, 0xc2, 0, 0, 3], 1, 62));
    a.send(frame(1, 1, 63));
    a.send(frame(2, 1, 64));
    sw.settle();
    await sw.bridge.stopQueue(b.port, 0);
    a.send(frame(2, 1, 65));
    a.send(frame(2, 1, 66));
    a.send(frame(BROADCAST, 1, 67));
    a.send(new Uint8Array(5));
    sw.settle();
    expect(readAll(rings).map(({ length, dropped }) => [length, dropped])).toEqual([
      [60, undefined],
      [61, DROP_BAD_SOURCE],
      [62, DROP_RESERVED],
      [63, DROP_HAIRPIN],
      [64, undefined],
      [65, DROP_PORT_DOWN],
      [66, DROP_PORT_DOWN],
      [67, DROP_NO_PORT],
    ]);
  });

  test("several captures of one port, with lengths of their own, end one by one", async () => {
    const { sw, a, rings } = await scene();
    const used = sw.bridge.control.usedBytes;
    const short = new CaptureRings(sw.bridge, 20, RING);
    await Promise.all([rings.attach(a.port, 0), short.attach(a.port, 3)]);
    const sent = frame(2, 1, 80);
    a.send(sent);
    sw.settle();
    expect(bytesOf(readAll(rings))).toEqual([sent]);
    expect(bytesOf(readAll(short))).toEqual([sent.subarray(0, 20)]);
    await rings.detach(0);
    a.send(sent);
    sw.settle();
    expect(readAll(rings)).toEqual([]);
    expect(rings.counts(0)).toEqual({ frames: 1, missed: 0 });
    expect(readAll(short)).toHaveLength(1);
    await short.close();
    await short.close();
    a.send(sent);
    sw.settle();
    expect(sw.bridge.control.usedBytes).toBe(used);
  });
});

describe.each(TARGETS)("captures of offloads, %s build", (target) => {
  test("a frame to be segmented is recorded whole from its sender, in segments to its receiver, finished", async () => {
    const pair = await OffloadPair.create({ target });
    const rings = new CaptureRings(pair.sw.bridge, ALL, RING);
    await rings.attach(pair.sender.port, 0);
    await rings.attach(pair.receiver.port, 1);
    const bytes = packet({ ...tcp4, payload: 3000 });
    const received = pair.pass(bytes, ask(bytes, 1, 1000));
    const records = readAll(rings);
    expect(bytesOf(records.filter(({ tap }) => tap === 0))).toEqual([bytes]);
    expect(bytesOf(records.filter(({ tap }) => tap === 1))).toEqual(received.map(({ frame }) => frame));
    expect(received.length).toBeGreaterThan(1);
  });

  test("one whose header makes no sense is recorded as dropped", async () => {
    const sw = new TestSwitch({ target });
    const a = await TestGuest.create(sw, { features: MODERN | bits(VIRTIO_NET_F_CSUM) });
    await TestGuest.create(sw, { features: MODERN });
    const rings = new CaptureRings(sw.bridge, ALL, RING);
    await rings.attach(a.port, 0);
    a.send(frame(BROADCAST, 1, 60), { header: Uint8Array.of(1, 0, 0, 0, 0, 0, 200, 0, 16, 0) });
    sw.settle();
    expect(readAll(rings).map(({ length, dropped }) => [length, dropped])).toEqual([[60, DROP_TX_OFFLOAD]]);
  });
});

describe.each(TARGETS)("captures with workers in threads, %s build", (target) => {
  let threads: WorkerThreads | undefined;
  afterEach(async () => {
    await threads?.stop();
    threads = undefined;
  });

  test("captures come and go under load of two workers: every record is whole, in order, and counted", async () => {
    const sw = new TestSwitch({ target, workers: 2 });
    const a = await TestGuest.create(sw, { features: V1, rxBuffers: 1 });
    const b = await TestGuest.create(sw, { features: V1, rxBuffers: 1, firstWorker: 1 });
    const c = await TestGuest.create(sw, { features: V1, size: 512, rxBuffers: 400, rxBufferBytes: 256 });
    c.send(frame(BROADCAST, 3, 60));
    sw.poll();
    c.reclaim();
    threads = new WorkerThreads(sw, target);
    await threads.rounds(1);
    const senders = [a, b].map((guest, i) => ({ guest, from: i + 1, sent: 0, free: guest.mark() }));
    let [seen, missed] = [0, 0];
    for (let round = 0; round < 12; round++) {
      const rings = new CaptureRings(sw.bridge, 64, RING);
      await rings.attach(c.port, 5);
      for (const sender of senders) {
        sender.free();
        for (let i = 0; i < 150; i++) sender.guest.send(numbered(3, sender.from, 60 + (i % 90), sender.sent++));
      }
      for (const { guest } of senders) {
        let back = 0;
        await threads.until(() => {
          back += guest.reclaim();
          return back === 150;
        });
      }
      if (round % 3 === 0) await rings.detach(5);
      const got = c.receive(0, true);
      const records = readAll(rings);
      const counts = rings.counts(5);
      expect(counts.frames).toBe(got.length);
      expect(records.length + counts.missed).toBe(got.length);
      for (const from of [1, 2]) {
        const numbers = (frames: Uint8Array[]) => frames.filter((bytes) => bytes[11] === from).map(numberOf);
        expect(numbers(bytesOf(records))).toEqual(numbers(got));
      }
      seen += records.length;
      missed += counts.missed;
      await rings.close();
    }
    expect(seen).toBeGreaterThan(1000);
    expect(missed).toBe(0);
  });
});
