// The report, the JUnit XML and the tables: what they say, that they need nothing else, and that they say nothing of the machine.

import { expect, test } from "vitest";
import { simulationView } from "../../src/cli/sim-view.js";
import { loadScenario, simulate, simulationJunit, simulationReport } from "../../src/sim/index.js";
import { readScenario } from "./files.js";

const FAILING = `
about: A <b>claim</b> that is false.
guests: { a: {}, b: { rate: 1 } }
traffic: { load: { from: a, to: b, rate: 5000 } }
expect:
  - { that: missing, flow: load, is: 0, why: "It loses & says so." }
  - { that: latency, flow: load, quantile: 0, at-most: 1 }
`;

test("what failed is said in all of them, with what was expected and what came", async () => {
  const { result } = await simulate(loadScenario(FAILING, "x.yaml"));
  expect(result.pass).toBe(false);
  const [, missing] = result.checks;
  expect(missing).toMatchObject({ what: "missing of flow load", expected: "exactly 0", came: "336", pass: false });
  const xml = simulationJunit(result, "x");
  expect(xml).toContain('<testsuites name="ringbridge sim x" tests="3" failures="1" errors="0" skipped="0"');
  expect(xml).toContain('<testcase classname="sim.x" name="missing of flow load: exactly 0" time=');
  expect(xml).toContain(
    '<failure message="expected exactly 0, came 336" type="expectation">It loses &amp; says so.</failure>',
  );
  const page = simulationReport(result, "x");
  expect(page).toContain("1 of 3 expectations failed. Seed 1.");
  expect(page).toContain("A &lt;b&gt;claim&lt;/b&gt; that is false.");
  expect(page.match(/<svg viewBox/g)!.length).toBeGreaterThanOrEqual(5);
  const view = simulationView(result, 0.5);
  expect(view).toMatch(/FAILED +missing of flow load +exactly 0 +336/);
  expect(view).toMatch(/b +0 +0 +164 +0 +\d+ +336 no-rx-buffer/);
  expect(view).toContain("1 of 3 expectations failed; seed 1; 500 frames in 0.50 s of this machine, 1.00 kframes/s");
});

test("an expectation of what was not there to measure fails", async () => {
  const silent = `
about: Nothing is sent.
guests: { a: {}, b: {} }
traffic: { load: { from: a, to: b, count: 0 } }
expect: [{ that: latency, flow: load, at-most: 1 }]
`;
  const { result } = await simulate(loadScenario(silent, "x.yaml"));
  expect(result.checks.at(-1)).toMatchObject({ pass: false, came: "nothing to measure" });
});

test("the page needs nothing else, and says nothing of the machine", async () => {
  const { result } = await simulate(readScenario("ring-size"));
  const page = simulationReport(result, "ring-size");
  expect(page).not.toMatch(/<script|<link|src=|url\(|https?:|@import/);
  expect(page).not.toContain(process.version);
  expect(page).not.toContain(process.cwd());
  expect(JSON.stringify(result)).not.toContain(process.cwd());
  for (const { variant } of result.runs) expect(page).toContain(`<h2>${variant}</h2>`);
  expect(page.match(/NaN|undefined|Infinity/)).toBeNull();
});

test("many guests are shown by group on a terminal", async () => {
  const { result } = await simulate(readScenario("incast"));
  const view = simulationView(result, 1);
  expect(view).toMatch(/worker \(24\) +960 /);
  expect(view).not.toContain("worker7");
});
