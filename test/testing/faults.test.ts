// Faults: what they do, that the others do not notice, and that the books balance whatever the seed makes of them.

import { describe, expect, test } from "vitest";
import "../../src/testing/vitest.js";
import {
  constantRate,
  createLab,
  drawFaults,
  drawShape,
  type Fault,
  forEachSeed,
  type GuestShape,
  type Lab,
  poisson,
} from "../../src/testing/index.js";
import { runs } from "../sample.js";

async function busyLab(shape: GuestShape = {}): Promise<Lab> {
  const lab = await createLab();
  for (const name of ["a", "b", "c"]) await lab.guest(name, shape);
  return lab;
}

describe.each(["split", "packed"] as const)("%s rings", (ring) => {
  test.each<[string, Fault, (lab: Lab) => void]>([
    [
      "a stalled guest fills up",
      { kind: "stall", guest: "b", at: 1, for: 5 },
      (lab) => {
        expect(lab.named("b")).toHaveDroppedFor("no-rx-buffer");
      },
    ],
    [
      "a slow guest drops what it cannot take",
      { kind: "slow", guest: "b", rate: 2, at: 1, for: 8 },
      (lab) => {
        expect(lab.named("b")).toHaveDroppedFor("no-rx-buffer");
      },
    ],
    [
      "a full ring",
      { kind: "full-ring", guest: "b", at: 1, for: 5 },
      (lab) => {
        expect(lab.named("b")).toHaveDroppedFor("no-rx-buffer");
        expect(lab.named("b").refused).toBe(0);
      },
    ],
    [
      "lost kicks are made up for by the next ones",
      { kind: "lose-kicks", guest: "a", at: 1, for: 2 },
      (lab) => {
        expect(lab.named("a").lostNotifications).toBeGreaterThan(0);
        expect(lab.drops()).toEqual({});
      },
    ],
    [
      "lost calls",
      { kind: "lose-calls", guest: "b", at: 1, for: 2 },
      (lab) => {
        expect(lab.named("b").lostNotifications).toBeGreaterThan(0);
      },
    ],
    [
      "late kicks",
      { kind: "late-kicks", guest: "a", by: 0.7, at: 1, for: 4 },
      (lab) => {
        // The other sender's kicks come every tenth of a millisecond.
        expect(Math.max(...lab.named("b").received.map(({ latency }) => latency!))).toBeGreaterThan(0.04);
        expect(lab.drops()).toEqual({});
      },
    ],
    [
      "late calls",
      { kind: "late-calls", guest: "b", by: 0.7, at: 1, for: 4 },
      (lab) => {
        expect(Math.max(...lab.named("b").received.map(({ latency }) => latency!))).toBeGreaterThan(0.6);
      },
    ],
    [
      "a torn descriptor",
      { kind: "torn-descriptor", guest: "a", at: 1 },
      (lab) => {
        expect(lab.drops()).toEqual({ "tx-address": 1 });
      },
    ],
    [
      "an address outside of the memory",
      { kind: "bad-address", guest: "a", at: 1 },
      (lab) => {
        expect(lab.drops()).toEqual({ "tx-address": 1 });
      },
    ],
    [
      "the same for a receive buffer",
      { kind: "bad-address", guest: "b", at: 1, queue: "receive" },
      (lab) => {
        expect(lab.drops()).toEqual({ "rx-chain-bad": 1 });
      },
    ],
    [
      "memory that was freed",
      { kind: "freed-memory", guest: "a", at: 1, for: 1 },
      (lab) => {
        expect(lab).toHaveDroppedFor("tx-address", 1);
      },
    ],
    [
      "a loop, and a reset",
      { kind: "loop", guest: "a", at: 1, for: 1 },
      (lab) => {
        expect(lab.named("a").abandoned).toBeGreaterThan(0);
      },
    ],
    [
      "a loop of receive buffers, and a reset",
      { kind: "loop", guest: "b", at: 1, for: 7, queue: "receive" },
      (lab) => {
        expect(lab.drops()).toEqual(
          ring === "split"
            ? { "rx-chain-bad": 1, "port-down": expect.any(Number) }
            : { "no-rx-buffer": expect.any(Number) },
        );
      },
    ],
    [
      "memory unplugged and plugged in",
      { kind: "unplug", guest: "a", at: 1, for: 2 },
      (lab) => {
        expect(lab.drops()).toEqual({});
      },
    ],
    [
      "a connection that breaks and comes back",
      { kind: "disconnect", guest: "a", at: 1, for: 3 },
      (lab) => {
        expect(lab.named("a").refused).toBeGreaterThan(0);
      },
    ],
    [
      "a clock that jumps: addresses are forgotten, and floods reach their guest",
      { kind: "clock-jump", at: 1, seconds: 400 },
      (lab) => {
        expect(lab.drops()).toEqual({});
      },
    ],
  ])("%s", async (_, fault, check) => {
    const lab = await busyLab({ ring, eventIdx: true, mergeable: true });
    const [a, b, c] = ["a", "b", "c"].map((name) => lab.named(name)) as [never, never, never];
    lab.inject(fault);
    const flow = lab.traffic(a, constantRate({ to: b, perSecond: 20_000, count: 200 }));
    const other = lab.traffic(c, constantRate({ to: a, perSecond: 10_000, count: 100 }));
    await lab.run(15);
    await lab.settle();
    check(lab);
    expect(flow.received).toBeGreaterThan(50);
    if (!("guest" in fault) || fault.guest === "b") expect(other.received).toBe(100);
    expect(lab).toConserveFrames();
    for (const guest of lab.guests) expect(guest.fault).toBeUndefined();
    // And all is well again.
    const last = lab.traffic(a, constantRate({ to: b, perSecond: 1000, count: 3 }));
    await lab.run(5);
    await lab.settle();
    expect(last.received).toBe(3);
  });

  test("an index that runs ahead stops the queue, and no other", async () => {
    const lab = await busyLab({ ring });
    const [a, b, c] = ["a", "b", "c"].map((name) => lab.named(name)) as [never, never, never];
    lab.inject({ kind: "index-jump", guest: "a" });
    const other = lab.traffic(c, constantRate({ to: b, perSecond: 1000, count: 10 }));
    await lab.run(20);
    if (ring === "split") expect(lab.named("a").fault).toContain("avail index ran ahead");
    // In a packed ring nobody looks at a descriptor before its turn.
    else expect(lab.named("a").fault).toBeUndefined();
    expect(other.received).toBe(10);
    lab.inject({ kind: "reset", guest: "a" });
    const flow = lab.traffic(a, constantRate({ to: b, perSecond: 1000, count: 300 }));
    await lab.run(400);
    expect(flow.received).toBe(300);
    expect(lab).toConserveFrames();
  });
});

test("a bad chain takes the room of a buffer that was withheld: the buffer waits, and nothing is lost uncounted", async () => {
  const lab = await createLab();
  const a = await lab.guest("a");
  const b = await lab.guest("b", { size: 8, rxBuffers: 8 });
  lab.inject(
    { kind: "full-ring", guest: "b", at: 8, for: 3 },
    { kind: "loop", guest: "b", queue: "receive", at: 8.5, for: 5 },
  );
  lab.traffic(a, constantRate({ to: b, perSecond: 2000, count: 60 }));
  await lab.run(40);
  await lab.settle();
  expect(lab).toConserveFrames();
  expect(b.fault).toBeUndefined();
});

test("random guests, traffic and faults: no frame is lost that nobody counted", async () => {
  await forEachSeed({ runs: runs(50), memoryMiB: 24 }, async (lab) => {
    const names = ["a", "b", "c", "d"];
    for (const name of names) {
      await lab.guest(name, { ...drawShape(lab.random), regions: lab.random.integer(1, 3), rxBufferBytes: 1600 });
    }
    for (const from of lab.guests) {
      const to = lab.random.chance(0.1) ? "broadcast" : lab.random.pick(lab.guests);
      const burst = lab.random.pick([1, 7, 40]);
      lab.traffic(from, poisson({ to, perSecond: 30_000, sizes: [60, 200, 1514], burst, count: 300 }));
    }
    lab.inject(...drawFaults(lab.random, { guests: names, until: 10, count: 8 }));
    await lab.run(20);
    await lab.settle();
    expect(lab).toConserveFrames();
  });
});
