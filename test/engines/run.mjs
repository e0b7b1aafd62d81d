// npm run test:engines [-- --quick] [ENGINE …]: the example project, from the packed tarball, on every engine; and whether
// one seed is one run on all of them. --quick leaves out the files of examples/scenarios. An engine that cannot be had is
// said to be missing; named on the command line it must be there.

import { styleText } from "node:util";
import { browserParts } from "./browser-engine.mjs";
import { consoleParts } from "./console-engine.mjs";
import { ENGINES, Missing } from "./engines.mjs";
import { makeProject } from "./project.mjs";

const quick = process.argv.includes("--quick");
const named = process.argv.slice(2).filter((word) => word !== "--quick");
const unknown = named.find((name) => !(name in ENGINES));
if (unknown) {
  process.stderr.write(`there is no engine "${unknown}"; there are ${Object.keys(ENGINES).join(", ")}\n`);
  process.exit(2);
}

const PARTS = ["example", "anywhere", "hashes", "scenarios"];
const say = (text) => process.stderr.write(`engines: ${text}\n`);
const rows = [];
const faults = [];
/** By part: the digests of the first engine that has any, by their names; and which engine that was. */
const references = {};

say("packing the package, installing the example project from it …");
const { project, remove } = await makeProject();
try {
  for (const name of named.length > 0 ? named : Object.keys(ENGINES)) rows.push(await runEngine(name));
} finally {
  remove();
}
print();
process.exit(faults.length > 0 ? 1 : 0);

async function runEngine(name) {
  const started = Date.now();
  const row = { engine: name, version: "", example: "", anywhere: "", hashes: "", scenarios: "", seconds: "" };
  let parts;
  try {
    say(`${name}: looking for it …`);
    const { words } = ENGINES[name];
    const found = await ENGINES[name].find();
    row.version = found.version;
    parts = name === "chromium" ? await browserParts(found, project) : consoleParts({ ...found, words }, project);
    for (const part of PARTS) {
      if (!parts[part] || (part === "scenarios" && (quick || !ENGINES[name].scenarios))) continue;
      say(`${name} ${row.version}: ${part} …`);
      try {
        const result = await parts[part]();
        row[part] = typeof result === "string" ? result : compare(name, part, result);
      } catch (error) {
        row[part] = "FAILED";
        faults.push(`${name}, ${part}: ${error.message}`);
      }
    }
  } catch (error) {
    const missing = error instanceof Missing;
    row.version ||= missing ? "missing" : "FAILED";
    // Named by hand it is wanted; in a run of all it is only said.
    if (missing && !named.includes(name)) row.example = error.message;
    else faults.push(`${name}: ${error.message}`);
  } finally {
    await parts?.close?.();
  }
  row.seconds = ((Date.now() - started) / 1000).toFixed(1);
  return row;
}

/** Digests as the reference has them, or an Error that names those that differ. */
function compare(name, part, digests) {
  const wrong = Object.entries(digests).filter(([, digest]) => !/^[0-9a-f]{64}$/.test(digest));
  if (wrong.length > 0) throw new Error(wrong.map((each) => each.join(": ")).join("; "));
  const reference = references[part];
  if (!reference) {
    references[part] = { name, digests };
    return `${Object.keys(digests).length} taken`;
  }
  const names = Object.keys({ ...reference.digests, ...digests });
  const different = names.filter((each) => digests[each] !== reference.digests[each]);
  if (different.length > 0) throw new Error(`not what ${reference.name} has: ${different.join(", ")}`);
  return `${names.length} equal`;
}

function print() {
  const columns = ["engine", "version", ...PARTS, "seconds"];
  const width = (column) => Math.max(column.length, ...rows.map((row) => row[column].length));
  const line = (row) =>
    columns
      .map((column) => row[column].padEnd(width(column)))
      .join("  ")
      .trimEnd();
  const titles = Object.fromEntries(columns.map((column) => [column, column]));
  for (const row of [titles, ...rows]) process.stdout.write(`${line(row)}\n`);
  for (const { digests } of Object.values(references)) {
    for (const [name, digest] of Object.entries(digests)) process.stdout.write(`${name}: ${digest}\n`);
  }
  for (const fault of faults) process.stdout.write(`${styleText("red", "FAIL")} ${fault}\n`);
}
