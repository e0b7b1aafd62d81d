// `npm run check`: everything that must hold before a commit. Two things at a time; what fails first is told first.
// `-- --no-tests` leaves out the unit tests, for who runs `npm test`, of which they are a sample.

import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

process.chdir(join(dirname(fileURLToPath(import.meta.url)), ".."));
const LAYOUTS = ["src/core/layout.ts", "src/guest/driver-layout.ts"];
const layoutsBefore = LAYOUTS.map((path) => readFileSync(path, "utf8"));

const bin = (name) => join("node_modules", ".bin", name);
/** Not those that start processes and wait for them: `npm test` runs them, here they would take longer than a minute. */
const TESTS = ["run", "--config", "test/vitest.config.ts", "--project", "pure", "--reporter=dot", "--no-isolate"];

const started = Date.now();
if (!existsSync(bin("biome"))) await step("packages", "npm", ["ci"]);
await together(
  () => step("format and lint", bin("biome"), ["check", "--error-on-warnings", "."]),
  async () => {
    await step("build (asc, tsc)", process.execPath, ["tools/prepare.mjs"]);
    checkLayouts();
  },
);
await together(
  async () => {
    await step("types of tests and benches", bin("tsc"), ["-p", "test/tsconfig.json"]);
    await buildBench();
  },
  async () => {
    if (process.argv.includes("--no-tests")) return;
    process.env.RINGBRIDGE_SAMPLE = "1";
    await step("unit tests, a sample of the long ones", bin("vitest"), TESTS, "inherit");
  },
);
tell("ok", "all", started);

/** Does both at once. When one fails the process ends, and what the other has started with it. */
function together(...works) {
  return Promise.all(works.map((work) => work()));
}

/** Runs a command and tells how it went; what it said only when it failed, unless it may say it by itself. */
async function step(name, command, words, output = "pipe") {
  const started = Date.now();
  const child = spawn(command, words, { stdio: ["ignore", output, output] });
  const end = () => child.kill();
  process.once("exit", end);
  const said = [];
  for (const stream of [child.stdout, child.stderr]) stream?.on("data", (data) => said.push(data));
  const code = await new Promise((resolve, reject) => {
    child.once("error", reject);
    child.once("close", resolve);
  });
  process.off("exit", end);
  if (code !== 0) fail(name, started, Buffer.concat(said));
  tell("ok", name, started);
}

function tell(verdict, name, started) {
  process.stdout.write(`${verdict.padEnd(4)} ${name} (${((Date.now() - started) / 1000).toFixed(1)} s)\n`);
}

function fail(name, started, text) {
  process.stdout.write(text);
  tell("FAIL", name, started);
  process.exit(1);
}

function checkLayouts() {
  const stale = LAYOUTS.filter((path, i) => readFileSync(path, "utf8") !== layoutsBefore[i]);
  const lines = stale.map((path) => `${path} was not what its abi.ts says; the build has written it anew: commit it\n`);
  if (stale.length > 0) fail("layouts are the modules'", Date.now(), lines.join(""));
}

/** Nobody else compiles assembly/bench.ts, which calls the core's parts. Left out when nothing of it has changed. */
async function buildBench() {
  const builder = "bench/build-wasm.mjs";
  const stamp = "dist/bench/.ringbridge-checked";
  const hash = createHash("sha256").update(readFileSync(builder)).update(readFileSync("dist/.ringbridge-wasm-built"));
  const state = hash.digest("hex");
  if (existsSync(stamp) && readFileSync(stamp, "utf8") === state) return;
  const script = `import { buildBenchModules } from "./${builder}"; await buildBenchModules();`;
  await step("build of npm run bench", process.execPath, ["--input-type=module", "-e", script]);
  writeFileSync(stamp, state);
}
