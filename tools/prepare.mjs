// Makes a checkout ready to run: installs the npm packages and builds, each only when it is needed.
// It runs before anything is installed, so it uses nothing but Node itself.

import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const root = join(dirname(fileURLToPath(import.meta.url)), "..");
process.chdir(root);

const [major, minor] = process.versions.node.split(".").map(Number);
if (major < 20 || (major === 20 && minor < 19)) {
  fail(`Node ${process.versions.node} is too old: ringbridge needs 20.19 or newer (https://nodejs.org)`);
}

const lock = fingerprint(["package.json", "package-lock.json"]);
step(
  "install",
  "node_modules/.ringbridge-installed",
  () => lock,
  "installing packages",
  () => run("npm", [existsSync("package-lock.json") ? "ci" : "install", "--no-fund", "--no-audit", "--loglevel=error"]),
);
// Compiling the core takes most of the time: what needs only the host or the pages built anew does not wait for it.
const WASM = { stamp: "dist/.ringbridge-wasm-built", state: () => lock + fingerprint(wasmSources()) };
const HOST = { stamp: "dist/.ringbridge-built", state: () => lock + fingerprint([...wasmSources(), ...hostSources()]) };
step("build of the core", WASM.stamp, WASM.state, "building the core", () => build("--only-wasm"));
step("build", HOST.stamp, HOST.state, "building the host and the pages", () => build("--only-host", "--only-pages"));

/** Runs `work` unless the stamp file already names this very state. The build of the core may write into src: the state is that after it. */
function step(name, stamp, state, text, work) {
  if (existsSync(stamp) && readFileSync(stamp, "utf8") === state()) return;
  process.stderr.write(`ringbridge: ${text} …\n`);
  const started = Date.now();
  if (work() !== 0) fail(`${name} failed, see above`);
  mkdirSync(dirname(stamp), { recursive: true });
  writeFileSync(stamp, state());
  process.stderr.write(`ringbridge: ${text} done in ${((Date.now() - started) / 1000).toFixed(1)} s\n`);
}

function build(...words) {
  return run(process.execPath, ["tools/build.mjs", ...words]);
}

/** What the Wasm modules are made of, with the two files of src that their build writes. */
function wasmSources() {
  const tools = walk("tools").filter((path) => /build\.mjs$|transform\.mjs$|traced/.test(path));
  return [...walk("assembly"), ...tools, "asconfig.json", "src/core/layout.ts", "src/guest/driver-layout.ts"];
}

function hostSources() {
  return [...walk("src"), ...walk("tools"), "tsconfig.json", "tsconfig.pages.json"];
}

function fingerprint(files) {
  const hash = createHash("sha256");
  for (const file of files) {
    if (existsSync(file)) hash.update(file).update("\0").update(readFileSync(file)).update("\0");
  }
  return hash.digest("hex");
}

function walk(folder) {
  return readdirSync(folder, { withFileTypes: true, recursive: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath ?? entry.path, entry.name))
    .sort();
}

function run(command, words) {
  // Progress belongs on standard error: standard output is the command's own (npm start -- --json).
  return spawnSync(command, words, { stdio: ["ignore", 2, 2] }).status;
}

function fail(text) {
  process.stderr.write(`ringbridge: ${text}\n`);
  process.exit(1);
}
