// Every scenario of the examples comes out as it says it does.

import { expect, test } from "vitest";
import { simulate } from "../../src/sim/index.js";
import { readFile, readScenario, SCENARIOS } from "./files.js";

test.each(SCENARIOS)("%s", async (name) => {
  const loaded = readScenario(name);
  expect(loaded.scenario.expect?.length, "expects something").toBeGreaterThan(0);
  const { result } = await simulate(loaded, { readFile });
  expect(result.checks.filter(({ pass }) => !pass)).toEqual([]);
});
