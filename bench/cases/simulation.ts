// What a simulated frame costs in the lab, network and all: examples/scenarios/million-frames.yaml for some milliseconds,
// as it stands, with its captures kept, and judged; and two guests alone.

import { readFileSync } from "node:fs";
import { type LoadedScenario, loadScenario, simulate } from "../../src/sim/index.js";
import type { Scenario } from "../../src/sim/schema.js";
import type { Case } from "./lab.js";

/** Some 20,000 frames: enough that making the network is a small part. */
const MILLISECONDS = 20;

const TWO_GUESTS = `
about: Two guests.
duration: ${MILLISECONDS}
guests: { a: {}, b: {} }
traffic: { load: { from: all, to: next, rate: 500000, burst: 32, sizes: imix } }
`;

export async function simulations(): Promise<Case[]> {
  const file = new URL("../../../examples/scenarios/million-frames.yaml", import.meta.url);
  const million = loadScenario(readFileSync(file, "utf8"), "million-frames.yaml");
  const guests = (change: Partial<Scenario>): LoadedScenario => ({
    ...million,
    scenario: { ...million.scenario, duration: MILLISECONDS, expect: [], ...change },
  });
  return [
    await simulationCase("16 guests with faults", guests({})),
    await simulationCase("16 guests with faults, captured", guests({}), true),
    await simulationCase("16 guests with faults, rings judged", guests({ judge: "rings" })),
    await simulationCase("2 guests, IMIX", loadScenario(TWO_GUESTS, "two-guests.yaml")),
  ];
}

async function simulationCase(name: string, loaded: LoadedScenario, capture = false): Promise<Case> {
  const play = async () => {
    const { result } = await simulate(loaded, { capture });
    if (!result.pass) throw new Error(`${name}: ${JSON.stringify(result.checks)}`);
    return result.runs.reduce((sum, { frames }) => sum + frames, 0);
  };
  const run = async () => void (await play());
  return { group: "a frame of the lab, sent and received", name, operations: await play(), iterations: 15, run };
}
