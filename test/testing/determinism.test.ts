// One seed, one run: to the last byte of what the ports saw.

import { createHash } from "node:crypto";
import { expect, test } from "vitest";
import { createLab, drawFaults, drawShape, IMIX, linkLabs, poisson, Random } from "../../src/testing/index.js";
import { exponential } from "../../src/testing/random.js";

/** Two labs, a lossy link, drawn guests, drawn faults. */
async function run(seed: number): Promise<string> {
  const first = await createLab({ seed, memoryMiB: 24 });
  const second = await createLab({ seed: seed + 1, memoryMiB: 24, clock: first.clock, site: 1 });
  await linkLabs(first, second, { bitsPerSecond: 50e6, delay: 0.3, loss: 0.02 });
  const labs = [first, second];
  for (const lab of labs) for (const name of ["x", "y", "z"]) await lab.guest(name, drawShape(lab.random));
  for (const lab of labs) {
    for (const from of lab.guests.slice(1)) {
      const to = lab.random.pick(lab.random.pick(labs).guests.slice(1));
      lab.traffic(from, poisson({ to, perSecond: 20_000, sizes: IMIX, count: 200 }));
    }
    lab.inject(...drawFaults(lab.random, { guests: ["x", "y", "z"], until: 8, count: 5 }));
  }
  await first.run(20);
  await first.settle();
  const hash = createHash("sha256");
  for (const lab of labs) hash.update(lab.pcapng());
  return hash.digest("hex");
}

test("two runs of one seed see the same bytes at the same times; another seed others", async () => {
  const hashes = new Set<string>();
  for (const seed of [1, 2, 3, 4, 5]) {
    const hash = await run(seed);
    expect(await run(seed)).toBe(hash);
    hashes.add(hash);
  }
  expect(hashes.size).toBe(5);
});

test("random numbers are those of the algorithm, on every engine", () => {
  const random = new Random(1);
  expect([random.next(), random.next(), random.next()]).toEqual([2693262067, 11749833, 2265367787]);
  expect(new Random(1).fork("a").next()).not.toBe(new Random(1).fork("b").next());
  expect(new Random(1).fork("a").next()).toBe(new Random(1).fork("a").next());
  const values = Array.from({ length: 1000 }, () => random.integer(3, 7));
  expect([Math.min(...values), Math.max(...values)]).toEqual([3, 7]);
});

test("exponential numbers without Math.log", () => {
  for (const x of [0, 1e-9, 0.1, 0.2499, 0.25, 0.251, 0.5, 0.63, 0.9, 0.999999, 1 - 2 ** -32]) {
    expect(exponential(x)).toBeCloseTo(-Math.log1p(-x), 9);
  }
});
