// The same test for many seeds.

import { createLab, type Lab, type LabOptions } from "./lab.js";
import { replayCommand, SEED_VARIABLE, seedFromEnvironment } from "./replay.js";

/** Which seeds, and what their labs are made with. */
export interface SeedsOptions extends Omit<LabOptions, "seed"> {
  /** How many seeds, and the first of them. Default 20 and 1. */
  runs?: number;
  first?: number;
}

/**
 * Runs a scenario in a new lab for each seed, or with RINGBRIDGE_SEED in the environment for that one alone. What fails
 * is thrown with its seed and how to run it again, the first failure's error being the cause.
 */
export async function forEachSeed(options: SeedsOptions, scenario: (lab: Lab) => Promise<void>): Promise<void> {
  const { runs = 20, first = 1, ...lab } = options;
  const only = seedFromEnvironment();
  const seeds = only === undefined ? Array.from({ length: runs }, (_, i) => first + i) : [only];
  for (const seed of seeds) {
    try {
      await scenario(await createLab({ ...lab, seed }));
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      const again = `set ${SEED_VARIABLE}=${seed} in the environment and run this test alone${replayCommand(seed)}`;
      throw new Error(`seed ${seed} fails: ${reason}\n  to run it again: ${again}`, { cause: error });
    }
  }
}
