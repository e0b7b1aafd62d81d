// A scenario that fails, cut down to the least that fails in the same way: fewest faults, flows, guests, frames, and no
// setting that does not matter.

import { checkScenario } from "./check.js";
import { expand } from "./expand.js";
import type { Check } from "./expectations.js";
import type { LoadedScenario } from "./load.js";
import { candidates } from "./shrink-steps.js";
import { explicit } from "./shrink-names.js";
import { type SimulationOptions, simulate } from "./run.js";
import type { Scenario } from "./schema.js";
import type { Failure } from "./swarm.js";

export interface ShrinkOptions extends Omit<SimulationOptions, "seed" | "capture"> {
  /** Runs that it may take. Default 3000. */
  most?: number;
  /** Told after each run that was made. True ends it with what there is. */
  after?: (runs: number, scenario: Scenario) => boolean | undefined;
}

export interface Shrunk {
  /** With the failing expectation alone. */
  scenario: Scenario;
  check: Check;
  runs: number;
}

/**
 * Cuts a failure down. One that compares variants is left as large as it is: undefined. Variants are settings of the file's
 * groups, flows and faults by their names; what is cut down has every guest and flow by itself, which no variant knows.
 */
export async function shrink(
  loaded: LoadedScenario,
  { seed, check }: Failure,
  options: ShrinkOptions = {},
): Promise<Shrunk | undefined> {
  const spec = check.number === undefined ? undefined : loaded.scenario.expect![check.number]!;
  if (spec?.times?.variant !== undefined) return undefined;
  const whole = (check.variant === undefined ? undefined : loaded.variants.get(check.variant)) ?? loaded.scenario;
  const expanded = expand(whole, seed);
  let scenario = explicit(expanded, spec);
  let answer = check;
  let runs = 0;
  const { most = 3000, after, ...rest } = options;
  const fails = async (candidate: Scenario): Promise<Check | undefined> => {
    if (checkScenario(candidate).problems.length > 0) return undefined;
    runs++;
    const { result } = await simulate({ scenario: candidate, variants: new Map() }, rest);
    return result.checks.find((each) => !each.pass && alike(each, check));
  };
  for (let smaller = true; smaller; ) {
    smaller = false;
    for (const step of candidates) {
      // Each way of cutting is tried from where the last one came to, until it comes to nothing more.
      for (let place = 0; ; ) {
        const candidate = step(scenario, place);
        if (candidate === undefined) break;
        const failed = candidate === "skip" ? undefined : await fails(candidate);
        if (failed) {
          scenario = candidate as Scenario;
          answer = failed;
          smaller = true;
        } else place++;
        if (after?.(runs, scenario) || runs >= most) return { scenario, check: answer, runs };
      }
    }
  }
  return { scenario, check: answer, runs };
}

/** The same failure: of the same expectation, and not for want of anything to measure where there was something. */
function alike(one: Check, other: Check): boolean {
  const nothing = (check: Check) => check.came === "nothing to measure";
  const same = one.number === undefined ? one.what === other.what : other.number !== undefined;
  return same && (nothing(other) || !nothing(one));
}
