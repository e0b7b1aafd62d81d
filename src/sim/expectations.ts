// What a scenario expects, compared with what came: each expectation once for every run that it is about.

import { conservesFrames } from "../testing/conservation.js";
import { subjectOfTimes } from "./check-names.js";
import { type Finished, measure, type Value } from "./metrics.js";
import type { MetricName } from "./metric-names.js";
import type { ExpectSpec, Scenario, SubjectSpec } from "./schema.js";

/** One answer. */
export interface Check {
  /** Place in the file's list; undefined for the expectation that frames are conserved. */
  number: number | undefined;
  variant: string | undefined;
  /** What was looked at, in words: "latency (0.99) of flow web". */
  what: string;
  expected: string;
  came: string;
  why: string | undefined;
  /** What the bounds are multiples of; undefined without `times`, and where that has no value. */
  times?: number;
  pass: boolean;
}

const NOTHING = "nothing to measure";

/** Whether there was nothing to measure, or to compare with: no value, or with `times` none or 0. */
export function hasNothing({ came, expected, times }: Check): boolean {
  return came === NOTHING || times === 0 || expected.endsWith(NONE);
}

const NONE = ", which has none";

/** Every answer: first runs that broke off, then the conservation of frames, then what the file says. */
export function examine(scenario: Scenario, runs: readonly Finished[]): Check[] {
  const broken = runs.filter(({ broke }) => broke !== undefined);
  // Half a run says nothing more.
  if (broken.length > 0) return broken.map(brokeOff);
  const checks = (scenario.conserved ?? true) ? runs.map(conserved) : [];
  for (const [number, spec] of (scenario.expect ?? []).entries()) {
    for (const run of runs) {
      if (spec.variant === undefined || spec.variant === run.variant) checks.push(examineOne(number, spec, run, runs));
    }
  }
  return checks;
}

function brokeOff({ variant, broke }: Finished): Check {
  const what = { number: undefined, variant, what: "run", expected: "no rule of the rings broken" };
  return { ...what, came: broke!, why: undefined, pass: false };
}

function conserved(run: Finished): Check {
  const verdicts = [...run.network.labs.values()].map(conservesFrames);
  const failed = verdicts.filter(({ pass }) => !pass);
  // The last line of a verdict says how to make the lab again; here it is the scenario that is made again.
  const problems = failed.flatMap(({ message }) => message.split("\n").slice(1, -1));
  return {
    ...{ number: undefined, variant: run.variant, what: "frames", expected: "none lost uncounted, doubled or changed" },
    came: failed.length === 0 ? "all accounted for" : problems.map((line) => line.trim()).join("; "),
    why: undefined,
    pass: failed.length === 0,
  };
}

function examineOne(number: number, spec: ExpectSpec, run: Finished, runs: readonly Finished[]): Check {
  const value = measure(run, spec);
  let factor: Value = 1;
  let unit = "";
  if (spec.times) {
    const other = subjectOfTimes(spec, spec.times);
    const place = spec.times.variant === undefined ? run : runs.find(({ variant }) => variant === spec.times!.variant);
    factor = place && measure(place, other);
    unit = ` × ${describe(other)}${factor === undefined ? NONE : ` (${numberText(factor)})`}`;
  }
  const bounds: [word: string, bound: number | undefined, holds: (value: number, bound: number) => boolean][] = [
    ["exactly", spec.is, (a, b) => a === b],
    ["at least", spec["at-least"], (a, b) => a >= b],
    ["at most", spec["at-most"], (a, b) => a <= b],
  ];
  const given = bounds.filter(([, bound]) => bound !== undefined);
  const pass =
    value !== undefined && factor !== undefined && given.every(([, bound, holds]) => holds(value, bound! * factor!));
  return {
    ...{ number, variant: run.variant, what: describe({ ...spec, variant: undefined }), why: spec.why, pass },
    expected: given.map(([word, bound]) => `${word} ${numberText(bound!)}`).join(", ") + unit,
    came: value === undefined ? NOTHING : numberText(value),
    ...(spec.times && factor !== undefined && { times: factor }),
  };
}

/** A value in words. */
function describe({
  that,
  quantile = 0.5,
  cause,
  flow,
  guest,
  link,
  variant,
}: SubjectSpec & { that: MetricName }): string {
  const detail =
    that === "latency" || that === "round-trip" ? ` (${quantile})` : cause === undefined ? "" : ` for ${cause}`;
  const [kind, names] = flow ? ["flow", flow] : guest ? ["guest", guest] : link ? ["link", link] : [];
  const place = names === undefined ? "" : ` of ${kind} ${[names].flat().join(", ")}`;
  return `${that}${detail}${place}${variant === undefined ? "" : ` in ${variant}`}`;
}

/** Six significant digits: the same on every engine. */
export function numberText(value: number): string {
  return String(Number.isInteger(value) ? value : Number(value.toPrecision(6)));
}
