// Runs a scenario: every variant of it in a network of its own, then the expectations.

import { type CapturedFrame, writePcapng } from "../capture/pcapng.js";
import { type Check, examine } from "./expectations.js";
import { expand } from "./expand.js";
import type { LoadedScenario } from "./load.js";
import type { Finished } from "./metrics.js";
import { Network, type NetworkOptions } from "./network.js";
import { type RunResult, resultOf } from "./result.js";
import { Sampler } from "./samples.js";

export interface SimulationOptions extends NetworkOptions {
  /** Wins over the file's. */
  seed?: number;
}

/** What came of a scenario. Nothing in it is of the machine or the hour. */
export interface SimulationResult {
  about: string;
  seed: number;
  /** One for each variant; one without a name where the file has none. */
  runs: RunResult[];
  checks: Check[];
  pass: boolean;
}

export interface Simulation {
  result: SimulationResult;
  /** What all ports saw; undefined unless it was kept. */
  pcapng(): Uint8Array | undefined;
}

/** Runs a scenario to its end. Throws when the core, or a capture to be replayed, cannot be read. */
export async function simulate(
  { scenario, variants }: LoadedScenario,
  options: SimulationOptions = {},
): Promise<Simulation> {
  const seed = options.seed ?? scenario.seed ?? 1;
  const runs: Finished[] = [];
  for (const [variant, each] of variants.size > 0 ? variants : [[undefined, scenario] as const]) {
    const expanded = expand(each, seed);
    const network = await Network.make(expanded.scenario, options);
    const sampler = new Sampler(network, expanded);
    runs.push({ variant, expanded, network, sampler, broke: await outcome(network) });
  }
  const checks = examine(scenario, runs);
  const result = {
    ...{ about: scenario.about.trim(), seed, runs: runs.map(resultOf), checks },
    pass: checks.every(({ pass }) => pass),
  };
  return { result, pcapng: () => (options.capture ? captureOf(runs) : undefined) };
}

/** Undefined when a run came to its end; else why not. What is the scenario's or its files' fault is thrown. */
async function outcome(network: Network): Promise<string | undefined> {
  try {
    await network.run();
    return undefined;
  } catch (error) {
    if (!(error instanceof Error) || error.name === "ConfigError") throw error;
    return error.message.split("\n", 1)[0];
  }
}

/** The ports of all switches and variants in one file, in the order of their times. */
function captureOf(runs: readonly Finished[]): Uint8Array {
  const names: string[] = [];
  const frames: CapturedFrame[] = [];
  for (const { variant, network } of runs) {
    for (const [name, lab] of network.labs) {
      const base = names.length;
      const prefix = [...(variant === undefined ? [] : [variant]), ...(network.labs.size > 1 ? [name] : [])];
      for (const guest of lab.guests) names.push([...prefix, guest.name].join("/"));
      for (const frame of lab.capture.frames) frames.push({ ...frame, interface: base + frame.interface });
    }
  }
  return writePcapng(
    names,
    frames.sort((a, b) => a.time - b.time),
  );
}
