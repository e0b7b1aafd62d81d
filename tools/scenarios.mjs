// `npm run scenarios`: plays examples/scenarios and writes what came of it: the table of docs/SCENARIOS.md, and in
// examples/scenarios/hashes.json the SHA-256 of captures, reports and JUnit XML, which are the same on every engine.

import { createHash } from "node:crypto";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

const root = new URL("../", import.meta.url);
const folder = new URL("examples/scenarios/", root);
const guide = new URL("docs/SCENARIOS.md", root);
const hashes = new URL("examples/scenarios/hashes.json", root);
/** A capture of so many frames would be larger than it is worth. */
const CAPTURE_MAX = 100_000;

/** Plays one: its row of the guide's table and its digests. Throws when what it expects does not come. */
export async function playScenario(sim, name) {
  const loaded = sim.loadScenario(readFileSync(new URL(`${name}.yaml`, folder), "utf8"), `${name}.yaml`);
  const readFile = (path) => readFileSync(new URL(path, folder));
  const capture = !name.startsWith("million");
  const { result, pcapng } = await sim.simulate(loaded, { readFile, capture });
  const failed = result.checks.filter(({ pass }) => !pass);
  if (failed.length > 0) throw new Error(`${name} fails: ${JSON.stringify(failed)}`);
  const frames = result.runs.reduce((sum, run) => sum + run.frames, 0);
  if (capture && frames > CAPTURE_MAX) throw new Error(`${name} has ${frames} frames, too many for a capture`);
  const sums = {
    ...(capture && { pcapng: sha256(pcapng()) }),
    report: sha256(sim.simulationReport(result, name)),
    junit: sha256(sim.simulationJunit(result, name)),
  };
  return { row: row(name, result, frames), sums };
}

/** Names of the scenarios, without ending. */
function names() {
  const files = readdirSync(folder).filter((file) => file.endsWith(".yaml"));
  return files.map((file) => file.slice(0, -5)).sort();
}

function row(name, { checks }, frames) {
  const lessons = checks.filter(({ why }) => why !== undefined);
  const seen = new Set();
  const lines = lessons.map(({ why, variant, what, came }) => {
    const first = !seen.has(why);
    seen.add(why);
    return `${first ? `${why.trim()} ` : ""}*${what}${variant === undefined ? "" : ` (${variant})`}: ${came}*`;
  });
  return `| [${name}](../examples/scenarios/${name}.yaml) | ${lines.join("<br>")} | ${frames} |`;
}

function replaced(text, name, by) {
  const [before, , after] = text.split(new RegExp(`(<!-- ${name}:[^>]*-->[\\s\\S]*?<!-- end of ${name} -->)`));
  if (after === undefined) throw new Error(`docs/SCENARIOS.md has no place for "${name}"`);
  return `${before}<!-- ${name}: made by npm run scenarios -->\n\n${by}\n\n<!-- end of ${name} -->${after}`;
}

function sha256(data) {
  return createHash("sha256").update(data).digest("hex");
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const sim = await import(new URL("dist/src/sim/index.js", root).href);
  const { schemaReference } = await import(new URL("dist/src/sim/reference.js", root).href);
  const rows = [];
  const sums = {};
  for (const name of names()) {
    const played = await playScenario(sim, name);
    rows.push(played.row);
    sums[name] = played.sums;
    process.stderr.write(`${name}\n`);
  }
  const table = ["| scenario | what it teaches, and what came | frames |", "|---|---|---|", ...rows].join("\n");
  const text = readFileSync(guide, "utf8");
  writeFileSync(guide, replaced(replaced(text, "scenarios", table), "reference", schemaReference()));
  writeFileSync(hashes, `${JSON.stringify(sums, null, 2)}\n`);
}
