// `ringbridge sim`: plays a scenario's file, and says whether what it expects came true.

import { readFileSync, writeFileSync } from "node:fs";
import { basename, dirname, extname, resolve } from "node:path";
import { ConfigError } from "../config/problems.js";
import { simulationJunit } from "../sim/junit.js";
import { type LoadedScenario, loadScenario } from "../sim/load.js";
import { simulationReport } from "../sim/report.js";
import { simulate, type SimulationOptions } from "../sim/run.js";
import { type Io, UsageError } from "./io.js";
import { swarmCommand } from "./sim-swarm.js";
import { simulationView } from "./sim-view.js";

/** As written on the command line; absent ones were not. */
export interface SimFlags {
  seed?: number;
  report?: string;
  junit?: string;
  pcap?: string;
  json?: boolean;
  runs?: number;
}

/** Runs the command; exit code 1 when an expectation failed. Throws a ConfigError for a file that is none. */
export async function simCommand(file: string, flags: SimFlags, io: Io): Promise<number> {
  const loaded = read(file);
  const name = basename(file, extname(file));
  if (flags.runs !== undefined) refuseFiles(flags);
  const options: SimulationOptions = {
    ...{ seed: flags.seed, capture: flags.pcap !== undefined },
    readFile: (path) => readReplay(file, path),
  };
  if (flags.runs !== undefined) return swarmCommand(loaded, name, { ...options, runs: flags.runs }, io);
  const started = performance.now();
  const { result, pcapng } = await simulate(loaded, options);
  const seconds = (performance.now() - started) / 1000;
  if (flags.pcap !== undefined) writeFileSync(flags.pcap, pcapng()!);
  if (flags.report !== undefined) writeFileSync(flags.report, simulationReport(result, name));
  if (flags.junit !== undefined) writeFileSync(flags.junit, simulationJunit(result, name));
  io.stdout.write(flags.json ? `${JSON.stringify(result, null, 2)}\n` : `${simulationView(result, seconds)}\n`);
  return result.pass ? 0 : 1;
}

/** Many seeds have no one page or capture. */
function refuseFiles(flags: SimFlags): void {
  for (const flag of ["report", "junit", "pcap", "json"] as const) {
    if (flags[flag]) throw new UsageError(`--${flag} is of one run: run the seed that fails with it, without --runs`);
  }
}

function read(file: string): LoadedScenario {
  let text: string;
  try {
    text = readFileSync(file, "utf8");
  } catch (error) {
    throw new ConfigError([`${file}: cannot be read: ${(error as Error).message}`]);
  }
  return loadScenario(text, file);
}

/** A capture that a scenario replays lies beside it. */
function readReplay(file: string, path: string): Uint8Array {
  try {
    return readFileSync(resolve(dirname(file), path));
  } catch (error) {
    throw new ConfigError([`${file}: the capture ${path} cannot be read: ${(error as Error).message}`]);
  }
}
