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
step("install", "node_modules/.ringbridge-installed", lock, "installing packages", () =>
  run("npm", [existsSync("package-lock.json") ? "ci" : "install", "--no-fund", "--no-audit", "--loglevel=error"]),
);
const sources = fingerprint([...walk("assembly"), ...walk("src"), ...walk("tools"), "tsconfig.json", "asconfig.json"]);
step("build", "dist/.ringbridge-built", lock + sources, "building", () => run(process.execPath, ["tools/build.mjs"]));

/** Runs `work` unless the stamp file already names this very state. */
function step(name, stamp, state, text, work) {
  if (existsSync(stamp) && readFileSync(stamp, "utf8") === state) return;
  process.stderr.write(`ringbridge: ${text} …\n`);
  const started = Date.now();
  if (work() !== 0) fail(`${name} failed, see above`);
  mkdirSync(dirname(stamp), { recursive: true });
  writeFileSync(stamp, name === "build" ? lock + refreshed() : state);
  process.stderr.write(`ringbridge: ${text} done in ${((Date.now() - started) / 1000).toFixed(1)} s\n`);
}

/** The build may write the generated layout into src: take the state after it. */
function refreshed() {
  return fingerprint([...walk("assembly"), ...walk("src"), ...walk("tools"), "tsconfig.json", "asconfig.json"]);
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
