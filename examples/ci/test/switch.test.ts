// Five questions that one asks of a dataplane, each as short as it can be asked. The switch is ringbridge's own.

import { expect, test } from "vitest";
import { constantRate, createLab, drawFaults, drawShape, forEachSeed, IMIX, poisson, udp } from "ringbridge/testing";
import "ringbridge/testing/vitest";

/** More seeds where there is time for them: SEEDS=500 at night. */
const SEEDS = Number(process.env.SEEDS ?? 10);

test("two guests talk, whatever rings they have", async () => {
  const lab = await createLab();
  const a = await lab.guest("a", { ring: "split" });
  const b = await lab.guest("b", { ring: "packed", size: 64, mergeable: true });
  const [hello, answer] = [
    udp({ from: a, to: b, payload: "hello" }),
    udp({ from: b, to: a, payload: "hello yourself" }),
  ];
  a.send(hello);
  b.send(answer);
  await lab.settle();
  expect(b).toHaveReceivedExactly([hello]);
  expect(a).toHaveReceivedExactly([answer]);
  expect(lab).toHaveLearned(a.mac, a);
});

test("a guest that is too slow loses frames, and every one is counted", async () => {
  const lab = await createLab();
  const a = await lab.guest("a");
  const slow = await lab.guest("slow", { rate: 5, size: 16 });
  const flow = lab.traffic(a, constantRate({ to: slow, perSecond: 50_000, count: 1000 }));
  await lab.run(50);
  await lab.settle();
  expect(flow.missing).toBeGreaterThan(0);
  expect(slow).toHaveDroppedFor("no-rx-buffer", flow.missing);
  expect(lab).toConserveFrames();
});

test("a guest with broken rings hurts nobody else", async () => {
  const lab = await createLab();
  const [a, b] = [await lab.guest("a"), await lab.guest("b")];
  const hostile = await lab.guest("hostile");
  const flow = lab.traffic(a, constantRate({ to: b, perSecond: 20_000, count: 400 }));
  lab.traffic(hostile, constantRate({ to: b, perSecond: 20_000, count: 400 }));
  lab.inject({ kind: "loop", guest: "hostile", at: 5 }, { kind: "bad-address", guest: "hostile", at: 3, for: 1 });
  await lab.run(30);
  expect(hostile.fault).toMatch(/loop/);
  expect(flow.received).toBe(400);
  expect(lab).toConserveFrames();
});

test("99 of 100 frames take less than 10 microseconds", async () => {
  const lab = await createLab();
  const [a, b] = [await lab.guest("a"), await lab.guest("b")];
  const flow = lab.traffic(a, poisson({ to: b, perSecond: 100_000, sizes: IMIX, count: 2000 }));
  await lab.run(30);
  expect(flow.received).toBe(2000);
  expect(flow).toHaveLatencyAtMost(0.99, 0.01);
});

test("nothing is lost uncounted, whatever guests there are and whatever goes wrong", async () => {
  await forEachSeed({ runs: SEEDS, memoryMiB: 32 }, async (lab) => {
    for (const name of ["a", "b", "c"]) await lab.guest(name, drawShape(lab.random));
    for (const from of lab.guests) {
      const to = lab.random.pick(lab.guests.filter((guest) => guest !== from));
      lab.traffic(from, poisson({ to, perSecond: 50_000, sizes: IMIX, count: 300 }));
    }
    lab.inject(...drawFaults(lab.random, { guests: ["a", "b", "c"], until: 6, count: 6 }));
    await lab.run(20);
    await lab.settle();
    expect(lab).toConserveFrames();
  });
});
