// Sources, links between labs, and captures that are played again.

import { expect, test } from "vitest";
import "../../src/testing/vitest.js";
import {
  constantRate,
  createLab,
  Exchange,
  IMIX,
  type Lab,
  type LabGuest,
  linkLabs,
  numbered,
  percentile,
  poisson,
  readCapture,
  replay,
  udp,
  writePcapng,
} from "../../src/testing/index.js";
import { concat } from "../../src/testing/bytes.js";

async function pair(options = {}): Promise<{ lab: Lab; a: LabGuest; b: LabGuest }> {
  const lab = await createLab();
  return { lab, a: await lab.guest("a"), b: await lab.guest("b", options) };
}

test("a constant rate is constant, to the nanosecond", async () => {
  const { lab, a, b } = await pair();
  const flow = lab.traffic(a, constantRate({ to: b, perSecond: 1000, sizes: IMIX, count: 24 }));
  await lab.run(10.5);
  expect([flow.sent, flow.done]).toEqual([10, false]);
  await lab.run(20);
  expect([flow.sent, flow.received, flow.missing, flow.done]).toEqual([24, 24, 0, true]);
  const times = b.received.map(({ at }) => at);
  expect(times.map((at, i) => at - (times[i - 1] ?? at - 1))).toEqual(times.map(() => expect.closeTo(1, 6)));
  expect(b.received.map(({ frame }) => frame.length)).toEqual([...IMIX, ...IMIX]);
  // A kick and a call, a microsecond each.
  expect(flow).toHaveLatencyAtMost(1, 0.002);
  expect(flow).not.toHaveLatencyAtMost(0.5, 0.001);
});

test("a Poisson process has the rate and the spread of one", async () => {
  const { lab, a, b } = await pair();
  const flow = lab.traffic(a, poisson({ to: b, perSecond: 10_000, count: 4000 }));
  await lab.run(1000);
  expect(flow.received).toBe(4000);
  const times = b.received.map(({ at }) => at);
  const gaps = times.slice(1).map((at, i) => at - times[i]!);
  const mean = gaps.reduce((sum, gap) => sum + gap, 0) / gaps.length;
  expect(mean).toBeGreaterThan(0.095);
  expect(mean).toBeLessThan(0.105);
  // Half of the gaps of an exponential distribution are shorter than ln 2 of the mean, 5 % longer than 3 times.
  expect(percentile(gaps, 0.5)! / mean).toBeCloseTo(Math.LN2, 1);
  expect(gaps.filter((gap) => gap > 3 * mean).length / gaps.length).toBeCloseTo(0.05, 1);
});

test("bursts come at once, at the same rate", async () => {
  const { lab, a, b } = await pair();
  const flow = lab.traffic(a, constantRate({ to: b, perSecond: 1000, burst: 5, count: 12 }));
  await lab.run(14.5);
  expect([flow.sent, flow.done]).toEqual([10, false]);
  await lab.run(5);
  expect(b.received.map(({ at }) => Math.round(at))).toEqual([5, 5, 5, 5, 5, 10, 10, 10, 10, 10, 15, 15]);
});

test("a source that is stopped sends no more, and one without end is for run, not for settle", async () => {
  const { lab, a, b } = await pair();
  const flow = lab.traffic(a, constantRate({ to: b, perSecond: 1000 }));
  await lab.run(5);
  await lab.settle();
  flow.stop();
  await lab.run(5);
  expect(flow.received).toBe(5);
});

test("requests wait for answers; lost ones are given up", async () => {
  const { lab, a, b } = await pair();
  const exchange = new Exchange({ client: a, server: b, count: 20, think: 1, timeout: 10 });
  await lab.run(8);
  lab.inject({ kind: "stall", guest: "b", for: 25 });
  await lab.settle();
  expect(exchange.done).toBe(true);
  expect([exchange.answered, exchange.timedOut]).toEqual([18, 2]);
  expect(percentile(exchange.roundTrips, 0.5)).toBeCloseTo(0.004, 6);
  expect(lab).toConserveFrames();
});

test("two senders share a slow receiver fairly", async () => {
  const lab = await createLab();
  const senders = [await lab.guest("a"), await lab.guest("b")];
  const slow = await lab.guest("c", { rate: 20 });
  const flows = senders.map((from) => lab.traffic(from, poisson({ to: slow, perSecond: 30_000, count: 3000 })));
  await lab.run(100);
  await lab.settle();
  expect(slow).toHaveDroppedFor("no-rx-buffer");
  expect(flows).toShareFairly(0.1);
  expect([flows[0], { received: 1, lab }]).not.toShareFairly(0.1);
  expect(lab).toConserveFrames();
});

test("a link carries frames between labs: rate, delay, loss and queue", async () => {
  const first = await createLab({ seed: 4 });
  const second = await createLab({ seed: 4, clock: first.clock, site: 1 });
  const link = await linkLabs(first, second, { bitsPerSecond: 1e6, delay: 5, loss: 0.1, queueBytes: 20_000 });
  const a = await first.guest("a");
  const b = await second.guest("b");
  expect([a.mac, b.mac, a.ip4, b.ip4]).toEqual(["02:00:00:00:00:02", "02:00:00:00:01:02", "10.0.0.2", "10.0.1.2"]);
  // 976 and 24 bytes: 8 ms each, so 100 frames of 4 ms apart make a queue.
  const flow = first.traffic(a, constantRate({ to: b, perSecond: 250, sizes: 976, count: 100 }));
  await first.run(500);
  await first.settle();
  const { carried, lost, overflowed, refused } = link.forth;
  expect(flow.sent).toBe(100);
  expect(carried + lost + overflowed).toBe(100);
  expect([lost > 0, overflowed > 0, refused]).toEqual([true, true, 0]);
  expect(b.received).toHaveLength(carried);
  expect(b.received[0]!.at).toBeCloseTo(4 + 8 + 5, 1);
  const gaps = b.received.slice(1).map(({ at }, i) => at - b.received[i]!.at);
  expect(Math.min(...gaps)).toBeCloseTo(8, 1);
  // The way back is known now on both sides.
  b.send(udp({ from: b, to: a, payload: "back" }));
  await second.settle();
  expect(link.back.carried + link.back.lost).toBe(1);
  for (const lab of [first, second]) expect(lab).toConserveFrames();
  const stranger = await createLab();
  await expect(linkLabs(first, stranger)).rejects.toThrow("one clock");
});

test("what the ports saw can be played again", async () => {
  const { lab, a, b } = await pair();
  lab.traffic(a, poisson({ to: b, perSecond: 5000, count: 50 }));
  await lab.run(100);
  const recorded = readCapture(lab.pcapng());
  expect(recorded).toHaveLength(100);
  const sent = recorded.filter((_, i) => i % 2 === 0);
  const file = writePcapng(
    ["replayed"],
    sent.map(({ time, bytes }) => ({ interface: 0, direction: "in", time, bytes })),
  );
  const again = await pair();
  again.lab.traffic(again.a, replay(file));
  await again.lab.run(100);
  expect(again.b).toHaveReceivedInOrder(b.received.map(({ frame }) => frame));
  const gap = (guest: LabGuest) => guest.received.at(-1)!.at - guest.received[0]!.at;
  expect(gap(again.b)).toBeCloseTo(gap(b), 3);
  const faster = await pair();
  faster.lab.traffic(faster.a, replay(file, { speed: 4 }));
  await faster.lab.run(100);
  expect(gap(faster.b)).toBeCloseTo(gap(b) / 4, 3);
});

test.each([
  ["microseconds, little-endian", 0xa1b2c3d4, true, 1000],
  ["nanoseconds, little-endian", 0xa1b23c4d, true, 1],
  ["microseconds, big-endian", 0xa1b2c3d4, false, 1000],
])("pcap of %s is read", (_, magic, little, unit) => {
  const head = new DataView(new ArrayBuffer(24));
  head.setUint32(0, magic, little);
  head.setUint32(20, 1, little);
  const packet = (fraction: number, bytes: number[]) => {
    const view = new DataView(new ArrayBuffer(16));
    for (const [i, word] of [7, fraction, bytes.length, 99].entries()) view.setUint32(i * 4, word, little);
    return concat([new Uint8Array(view.buffer), Uint8Array.from(bytes)]);
  };
  const file = concat([new Uint8Array(head.buffer), packet(5, [1, 2, 3]), packet(9, [4])]);
  expect(readCapture(file)).toEqual([
    { time: 0, bytes: Uint8Array.of(1, 2, 3) },
    { time: 4 * unit, bytes: Uint8Array.of(4) },
  ]);
  expect(() => readCapture(file.subarray(0, 42))).toThrow("ends within the frame");
  head.setUint32(20, 101, little);
  expect(() => readCapture(new Uint8Array(head.buffer))).toThrow("link type 101");
  expect(() => readCapture(new Uint8Array(24))).toThrow("neither pcap nor pcapng");
});

test("a damaged pcapng is refused", () => {
  const file = writePcapng(["x"], [{ interface: 0, direction: "in", time: 5, bytes: new Uint8Array(60) }]);
  expect(readCapture(file)).toHaveLength(1);
  expect(() => readCapture(file.subarray(0, file.length - 4))).toThrow("damaged");
  const orphan = file.slice();
  const at = file.length - 12 - 20 - 60 - 12;
  expect(new DataView(orphan.buffer).getUint32(at, true)).toBe(6);
  orphan[at + 8] = 3;
  expect(() => readCapture(orphan)).toThrow("an interface that the file does not describe");
});

test("the frames of a rate are those that numbered makes, checksums and all", async () => {
  const lab = await createLab();
  const [a, b] = [await lab.guest("a"), await lab.guest("b")];
  for (const to of [b, "broadcast"] as const) {
    const frames = constantRate({ to, perSecond: 1, sizes: [60, 1514, 61], count: 70_000 })(a, 0xffff_0001, lab.random);
    for (let number = 0; number < 70_000; number++) {
      const { frame } = frames.next().value!;
      if (number > 20 && number % 4099 !== 0 && number < 69_990) continue;
      expect(frame).toEqual(numbered(a, to, 0xffff_0001, number, [60, 1514, 61][number % 3]!));
    }
  }
});
