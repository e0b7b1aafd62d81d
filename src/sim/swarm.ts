// Many seeds of one scenario, until one fails.

import type { Check } from "./expectations.js";
import type { LoadedScenario } from "./load.js";
import { type SimulationOptions, simulate } from "./run.js";

export interface SwarmOptions extends Omit<SimulationOptions, "seed" | "capture"> {
  /** How many seeds, and the first of them. */
  runs: number;
  first: number;
  /** Told before each run how many have passed. True ends the swarm. */
  before?: (passed: number) => boolean | undefined;
}

/** A seed with which an expectation does not hold. */
export interface Failure {
  seed: number;
  check: Check;
}

/** How many seeds passed, and the first that did not. */
export interface SwarmResult {
  passed: number;
  frames: number;
  failure: Failure | undefined;
}

const SEEDS = 2 ** 32;

/** Plays one seed after the other. */
export async function swarm(loaded: LoadedScenario, options: SwarmOptions): Promise<SwarmResult> {
  const { runs, first, before, ...rest } = options;
  let frames = 0;
  for (let passed = 0; passed < runs; passed++) {
    if (before?.(passed)) return { passed, frames, failure: undefined };
    const seed = (first + passed) % SEEDS;
    const { result } = await simulate(loaded, { ...rest, seed });
    for (const run of result.runs) frames += run.frames;
    const check = result.checks.find(({ pass }) => !pass);
    if (check) return { passed, frames, failure: { seed, check } };
  }
  return { passed: runs, frames, failure: undefined };
}
