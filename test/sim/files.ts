// The scenarios of examples/scenarios, read as `ringbridge sim` reads them.

import { readdirSync, readFileSync } from "node:fs";
import { type LoadedScenario, loadScenario } from "../../src/sim/index.js";

export const FOLDER = new URL("../../examples/scenarios/", import.meta.url);

export const SCENARIOS = readdirSync(FOLDER)
  .filter((file) => file.endsWith(".yaml"))
  .map((file) => file.slice(0, -5))
  .sort();

export function readScenario(name: string): LoadedScenario {
  return loadScenario(readFileSync(new URL(`${name}.yaml`, FOLDER), "utf8"), `${name}.yaml`);
}

export const readFile = (path: string) => readFileSync(new URL(path, FOLDER));
