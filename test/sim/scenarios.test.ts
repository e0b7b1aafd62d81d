// Every scenario of the examples comes out as it says, and as docs/SCENARIOS.md and hashes.json have it.

import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import * as sim from "../../src/sim/index.js";
import { schemaReference } from "../../src/sim/reference.js";
import { cases } from "../sample.js";
import { readFile, readScenario, SCENARIOS } from "./files.js";

const sha256 = (data: string | Uint8Array) => createHash("sha256").update(data).digest("hex");
const read = (path: string) => readFileSync(new URL(`../../${path}`, import.meta.url), "utf8");

const hashes: Record<string, Record<string, string>> = JSON.parse(read("examples/scenarios/hashes.json"));
const guide = read("docs/SCENARIOS.md");
const TABLE_ROW = /^\| \[[\w-]+\]\(\.\.\/examples\/scenarios\/([\w-]+)\.yaml\) \|/gm;

test.each(cases(SCENARIOS))(
  "%s comes out as the guide and the hashes have it: npm run scenarios",
  { timeout: 240_000 },
  async (name) => {
    const { playScenario } = await import(new URL("../../tools/scenarios.mjs", import.meta.url).href);
    const { row, sums } = await playScenario(sim, name);
    expect(sums).toEqual(hashes[name]);
    expect(guide.split("\n")).toContain(row);
  },
);

test("the guide and the hashes have the scenarios that there are, and the keys", () => {
  expect(Object.keys(hashes)).toEqual(SCENARIOS);
  expect([...guide.matchAll(TABLE_ROW)].map(([, name]) => name)).toEqual(SCENARIOS);
  expect(guide).toContain(`\n\n${schemaReference()}\n\n`);
});

test("there are a dozen and more, each with a text and something to expect", () => {
  expect(SCENARIOS.length).toBeGreaterThanOrEqual(12);
  for (const name of SCENARIOS) expect(readScenario(name).scenario.expect?.length, name).toBeGreaterThan(0);
});

test.each(cases(["swarm", "lossy-link", "noisy-neighbour"]))(
  "%s: one seed, one run; another seed, another",
  async (name) => {
    const digests = async (seed?: number) => {
      const { result, pcapng } = await sim.simulate(readScenario(name), { readFile, capture: true, seed });
      return [sha256(pcapng()!), sha256(sim.simulationReport(result, name))];
    };
    const first = await digests();
    const { pcapng, report } = hashes[name]!;
    expect(first).toEqual([pcapng, report]);
    const other = await digests(77);
    expect(other[0]).not.toBe(first[0]);
    expect(await digests(77)).toEqual(other);
  },
);

test("a capture that is kept changes nothing", async () => {
  const plain = await sim.simulate(readScenario("rolling-restart"));
  const kept = await sim.simulate(readScenario("rolling-restart"), { capture: true });
  expect(kept.result).toEqual(plain.result);
  expect(plain.pcapng()).toBeUndefined();
});

test("the guide's example is a scenario, and what it expects comes true", async () => {
  const [, example] = /```yaml\n([\s\S]*?)```/.exec(read("docs/SCENARIOS.md"))!;
  const { result } = await sim.simulate(sim.loadScenario(example!, "example.yaml"));
  expect(result.checks.filter(({ pass }) => !pass)).toEqual([]);
});
