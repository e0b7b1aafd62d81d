// Each scenario of examples/scenarios, played with its own seed: the SHA-256 of its capture, of its report and of its JUnit
// XML, and whether what it expects came true and the digests are those of hashes.json beside it.

import {
  loadScenario,
  simulate,
  simulationJunit,
  simulationReport,
} from "../node_modules/ringbridge/dist/src/sim/index.js";
import { sha256 } from "./hashes.js";

/** Digests by the scenarios' names and files. `files`: everything that lies in the folder, by name. */
export async function scenarios(files) {
  const all = {};
  const text = (name) => new TextDecoder().decode(files.get(name));
  const known = JSON.parse(text("hashes.json"));
  const names = [...files.keys()].filter((name) => name.endsWith(".yaml")).sort();
  for (const file of names) {
    const name = file.replace(/\.yaml$/, "");
    // A capture of a million frames is larger than it is worth.
    const capture = !name.startsWith("million");
    const { result, pcapng } = await simulate(loadScenario(text(file), file), {
      capture,
      readFile: (path) => files.get(path),
    });
    const bytes = (written) => new TextEncoder().encode(written);
    const made = {
      ...(capture && { pcapng: pcapng() }),
      report: bytes(simulationReport(result, name)),
      junit: bytes(simulationJunit(result, name)),
    };
    for (const [kind, data] of Object.entries(made)) {
      const digest = await sha256([data]);
      const faults = [
        result.pass || "not what it expects",
        digest === known[name]?.[kind] || "not what hashes.json has",
      ];
      all[`${name} ${kind}`] = [digest, ...faults.filter((fault) => fault !== true)].join(", ");
    }
  }
  return all;
}
