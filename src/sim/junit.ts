// A scenario's answers as JUnit's XML: a suite for each run of it, a case for each expectation.

import { junitXml, type JunitCase } from "../junit.js";
import type { Check } from "./expectations.js";
import type { SimulationResult } from "./run.js";

/** `name`: the scenario's, such as its file's without ending. Times are the network's own: the document is always the same. */
export function simulationJunit({ runs, checks }: SimulationResult, name: string): string {
  const suites = runs.map(({ variant, milliseconds }) => {
    const own = checks.filter((check) => check.variant === variant);
    const share = milliseconds / Math.max(1, own.length);
    return {
      name: variant === undefined ? name : `${name} ${variant}`,
      cases: own.map((check) => testCase(check, `sim.${name}`, share)),
    };
  });
  return junitXml(`ringbridge sim ${name}`, suites);
}

function testCase(
  { what, expected, came, why, pass, variant }: Check,
  classname: string,
  milliseconds: number,
): JunitCase {
  const name = `${what}: ${expected}${variant === undefined ? "" : ` (${variant})`}`;
  const named = { classname, name, milliseconds };
  if (pass) return named;
  const message = `expected ${expected}, came ${came}`;
  return {
    ...named,
    problem: { kind: "failure", message, type: "expectation", ...(why !== undefined && { text: why }) },
  };
}
