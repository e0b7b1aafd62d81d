// `npm run bench`, `npm run bench:peers`, `npm run bench:cost` and `npm run conformance`: makes the checkout ready (tools/prepare.mjs), compiles the benches into
// dist/bench and runs one of them with the words that follow its name. Nothing of them is part of the package.

import { spawnSync } from "node:child_process";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const PROGRAMS = {
  cases: "bench/cases/main.js",
  peers: "bench/peers/main.js",
  cost: "bench/cost/main.js",
  conformance: "bench/conformance/main.js",
};

process.chdir(join(dirname(fileURLToPath(import.meta.url)), ".."));
const [name, ...words] = process.argv.slice(2);
const program = PROGRAMS[name];
if (program === undefined) {
  process.stderr.write(`bench: name one of ${Object.keys(PROGRAMS).join(", ")}\n`);
  process.exit(2);
}

run("tools/prepare.mjs", []);
run(join("node_modules", "typescript", "bin", "tsc"), ["-p", "bench/tsconfig.json"]);
if (name === "cases") {
  const { buildBenchModules } = await import("./build-wasm.mjs");
  await buildBenchModules();
}
process.argv.splice(2, Number.POSITIVE_INFINITY, ...words);
await import(join(process.cwd(), "dist", program));

function run(script, rest) {
  // Progress belongs on standard error: standard output is the report.
  const { status } = spawnSync(process.execPath, [script, ...rest], { stdio: ["ignore", 2, 2] });
  if (status !== 0) process.exit(1);
}
