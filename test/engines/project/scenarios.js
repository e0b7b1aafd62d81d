// Each scenario of examples/scenarios, played with its own seed: the SHA-256 of its capture and whether what it expects
// came true. Scenarios are played by a part of the package that is no entry point of it, so it is named by its path.

import { loadScenario, simulate } from "../node_modules/ringbridge/dist/src/sim/index.js";
import { sha256 } from "./hashes.js";

/** Digests by the scenarios' names. `files`: everything that lies in the folder, by name. */
export async function scenarios(files) {
  const all = {};
  const names = [...files.keys()].filter((name) => name.endsWith(".yaml")).sort();
  for (const name of names) {
    const loaded = loadScenario(new TextDecoder().decode(files.get(name)), name);
    // A capture of a million frames is larger than it is worth: there what came of them must do.
    const capture = !name.startsWith("million");
    const simulation = await simulate(loaded, { capture, readFile: (path) => files.get(path) });
    const seen = capture ? simulation.pcapng() : new TextEncoder().encode(JSON.stringify(simulation.result));
    const digest = await sha256([seen]);
    all[name] = simulation.result.pass ? digest : `${digest}, and not what it expects`;
  }
  return all;
}
