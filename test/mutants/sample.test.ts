// A few mutants of the core are found; `npm run test:mutants` looks for all of them.

import { expect, test } from "vitest";
import { builds, runs } from "../sample.js";
import { hunt } from "./hunt.js";
import { MUTANTS, type Mutant } from "./mutants.js";

const SAMPLE = ["off by one where the ring wraps", "used length without the header", "published before it was copied"];

test.each(builds(SAMPLE))("%s", { timeout: 180_000 }, async (name) => {
  const mutant = MUTANTS.find((each) => each.name === name)!;
  expect((await hunt(mutant, 40)).seen).toBeDefined();
});

test("in the core as it is nothing is found", { timeout: 180_000 }, async () => {
  const [{ file, text }] = MUTANTS as [Mutant];
  expect((await hunt({ file, text, by: text }, 60, runs(2))).seen).toBeUndefined();
});

test("no two have one name, and each breaks a rule that it names", () => {
  expect(new Set(MUTANTS.map(({ name }) => name)).size).toBe(MUTANTS.length);
  for (const { name, rule } of MUTANTS) expect(rule, name).toMatch(/^(\d+\.\d|802\.1Q \d|vhost-user, |promise: )/);
});
