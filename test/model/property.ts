// A property of the core: random operations of which every outcome must be right. The same ones run in `npm test` over each
// build and against every mutant of the core (test/mutants), so they know nothing of a test runner.

import fc from "fast-check";
import type { TestedCore } from "./tested-core.js";

export interface RunOptions {
  core: TestedCore;
  /** A memory that no living switch uses. */
  memory: WebAssembly.Memory;
  runs: number;
  /** Seed and, to run one failed case alone, its path. Default those of the environment, else a new seed. */
  seed?: number;
  path?: string;
  /** Whether a failure is made as small as can be before it is told. Default true. */
  shrink?: boolean;
}

export interface Outcome {
  /** Runs until it failed, or all. */
  runs: number;
  /** What was done in them. */
  operations: number;
  /** Why it failed, with how to see it again; undefined: it holds. */
  failure: string | undefined;
}

export interface Property {
  name: string;
  check(options: RunOptions): Promise<Outcome>;
}

/** The variables of the environment that make a run again. */
export const SEED = "RINGBRIDGE_MODEL_SEED";
export const PATH = "RINGBRIDGE_MODEL_PATH";

/**
 * A property from what draws a case and what plays it, which throws when something is wrong and calls `played` with each
 * operation.
 */
export function property<T>(
  name: string,
  draw: fc.Arbitrary<T>,
  play: (drawn: T, options: RunOptions, played: () => void) => Promise<void>,
): Property {
  return {
    name,
    async check(options) {
      const { env } = process;
      const seed = options.seed ?? (env[SEED] ? Number(env[SEED]) : Date.now() | 0);
      const path = options.path ?? env[PATH];
      let operations = 0;
      const details = await fc.check(
        fc.asyncProperty(draw, (drawn) => play(drawn, options, () => void operations++)),
        {
          ...{ numRuns: options.runs, seed, endOnFailure: !(options.shrink ?? true) },
          ...(path ? { path } : {}),
        },
      );
      if (!details.failed) return { runs: details.numRuns, operations, failure: undefined };
      const error = details.errorInstance;
      const reason = error instanceof Error ? error.message : String(error);
      const again = `${SEED}=${seed} ${PATH}=${details.counterexamplePath} npx vitest run --config test/vitest.config.ts test/model -t '${name}'`;
      const smallest = fc.stringify(details.counterexample);
      return {
        runs: details.numRuns,
        operations,
        failure: `${reason}\n  case: ${smallest}\n  to run it again: ${again}`,
      };
    },
  };
}
