// Builds one mutant of the core and lets the properties look for what is wrong with it.

import { PROPERTIES } from "../model/properties/index.js";
import { TestedCore } from "../model/tested-core.js";
import { compileModule } from "../../src/core/module.js";
import { labMemory } from "../../src/testing/wasm.js";
import { type Change, mutatedCore } from "./mutated-core.js";

export interface Catch {
  /** What was seen, in one line; undefined: the mutant survived. */
  seen: string | undefined;
  operations: number;
  /** Of the processor's time, without what asc took. */
  seconds: number;
}

/** Cases of each property in a turn. */
const TURN = 40;

/**
 * Looks for so many seconds of this process's own time, and no longer than for so many turns; the cases are those of seed 1,
 * then 2, and so on.
 */
export async function hunt(mutant: Change, seconds: number, turns = Number.POSITIVE_INFINITY): Promise<Catch> {
  const wasm = await mutatedCore(mutant);
  const core = new TestedCore(compileModule(wasm), wasm);
  const memory = labMemory("browser", 32);
  const begun = process.cpuUsage();
  const spent = () => {
    const { user, system } = process.cpuUsage(begun);
    return (user + system) / 1e6;
  };
  let operations = 0;
  for (let seed = 1; seed <= turns && spent() < seconds; seed++) {
    for (const property of PROPERTIES) {
      const outcome = await property.check({ core, memory, runs: TURN, seed, shrink: false });
      operations += outcome.operations;
      const seen = outcome.failure?.split("\n")[0];
      if (seen !== undefined) return { seen, operations, seconds: spent() };
    }
  }
  return { seen: undefined, operations, seconds: spent() };
}
