// A scenario that fails, cut down to the least that fails in the same way: fewest faults, flows, guests, frames, and no
// setting that does not matter. Of the variants only those are left that the failing expectation is about.

import { checkScenario } from "./check.js";
import { expand } from "./expand.js";
import { type Check, hasNothing } from "./expectations.js";
import type { LoadedScenario } from "./load.js";
import { type Cut, namesIn, scenarioOf } from "./shrink-cut.js";
import { explicit } from "./shrink-names.js";
import { candidates } from "./shrink-steps.js";
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
  /** With the failing expectation alone, and the two variants that it compares, if it compares any. */
  scenario: Scenario;
  check: Check;
  runs: number;
  /** How much is left, of two variants in either or both. */
  left: { guests: number; flows: number; faults: number; variants: number };
}

/**
 * Cuts a failure down. Undefined when the scenario written out, each guest, flow and fault by itself, does not fail in the
 * same way: then there is nothing to begin with.
 */
export async function shrink(
  loaded: LoadedScenario,
  { seed, check }: Failure,
  options: ShrinkOptions = {},
): Promise<Shrunk | undefined> {
  const { most = 3000, after, ...rest } = options;
  let cut = writtenOut(loaded, seed, check);
  let runs = 0;
  const fails = async (candidate: Cut): Promise<Check | undefined> => {
    const { scenario, variants, problems } = checkScenario(scenarioOf(candidate));
    if (scenario === undefined || problems.length > 0) return undefined;
    runs++;
    const { result } = await simulate({ scenario, variants }, rest);
    return result.checks.find((each) => !each.pass && alike(each, check));
  };
  const whole = await fails(cut);
  if (whole === undefined) return undefined;
  let answer = whole;
  const shrunk = (): Shrunk => ({ scenario: scenarioOf(cut), check: answer, runs, left: sizeOf(cut) });
  for (let smaller = true; smaller; ) {
    smaller = false;
    for (const step of candidates) {
      // Each way of cutting is tried from where the last one came to, until it comes to nothing more.
      for (let place = 0; ; ) {
        const candidate = step(cut, place);
        if (candidate === undefined) break;
        const failed = candidate === "skip" ? undefined : await fails(candidate);
        if (failed) {
          cut = candidate as Cut;
          answer = failed;
          smaller = true;
        } else place++;
        if (after?.(runs, scenarioOf(cut)) || runs >= most) return shrunk();
      }
    }
  }
  return shrunk();
}

/** The network that failed, and of a comparison the other one too, as they are at first. */
function writtenOut({ scenario, variants }: LoadedScenario, seed: number, check: Check): Cut {
  const spec = check.number === undefined ? undefined : scenario.expect![check.number]!;
  const named = (variant: string | undefined) =>
    expand((variant === undefined ? undefined : variants.get(variant)) ?? scenario, seed);
  const [own, other] = [check.variant, spec?.times?.variant];
  if (own === undefined || other === undefined || own === other) return explicit(named(own), spec);
  return explicit(named(own), spec, named(other), [own, other]);
}

function sizeOf(cut: Cut): Shrunk["left"] {
  const faults = Math.max(...cut.networks.map(({ faults = [] }) => faults.length));
  const [guests, flows] = [namesIn(cut, "guests").length, namesIn(cut, "traffic").length];
  return { guests, flows, faults, variants: cut.variants.length };
}

/** The same failure: of the same expectation, and not for want of anything to measure where there was something. */
function alike(one: Check, other: Check): boolean {
  const same = one.number === undefined ? one.what === other.what : other.number !== undefined;
  return same && (hasNothing(other) || !hasNothing(one));
}
