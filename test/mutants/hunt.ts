// Builds one mutant of the core and lets the properties look for what is wrong with it.

import { performance } from "node:perf_hooks";
import { PROPERTIES } from "../model/properties/index.js";
import { TestedCore } from "../model/tested-core.js";
import { compileModule } from "../../src/core/module.js";
import { labMemory } from "../../src/testing/wasm.js";
import { type Change, mutatedCore } from "./mutated-core.js";

export interface Catch {
  /** What was seen, in one line; undefined: the mutant survived. */
  seen: string | undefined;
  /** The property that saw it. */
  property: string | undefined;
  operations: number;
  /** Of the properties alone; and what asc took to build it. */
  seconds: number;
  buildSeconds: number;
}

/** Cases of each property in a turn. */
const TURN = 40;

/** Looks for so many seconds, and no longer than for so many turns; the cases are those of seed 1, then 2, and so on. */
export async function hunt(mutant: Change, seconds: number, turns = Number.POSITIVE_INFINITY): Promise<Catch> {
  const started = performance.now();
  const wasm = await mutatedCore(mutant);
  const core = new TestedCore(compileModule(wasm), wasm);
  const memory = labMemory("browser", 32);
  const begun = performance.now();
  const until = begun + seconds * 1000;
  let operations = 0;
  const result = (seen?: string, property?: string): Catch => ({
    ...{ seen, property, operations },
    seconds: (performance.now() - begun) / 1000,
    buildSeconds: (begun - started) / 1000,
  });
  for (let seed = 1; seed <= turns && performance.now() < until; seed++) {
    for (const property of PROPERTIES) {
      const outcome = await property.check({ core, memory, runs: TURN, seed, until, shrink: false });
      operations += outcome.operations;
      if (outcome.failure !== undefined) return result(outcome.failure.split("\n")[0], property.name);
    }
  }
  return result();
}
