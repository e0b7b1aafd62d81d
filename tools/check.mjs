// `npm run check`: everything that must hold before a commit, in the order in which it fails fastest.

import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

process.chdir(join(dirname(fileURLToPath(import.meta.url)), ".."));
const layoutBefore = readFileSync("src/core/layout.ts", "utf8");

const bin = (name) => join("node_modules", ".bin", name);
const steps = [
  ["format and lint", bin("biome"), ["check", "--error-on-warnings", "."]],
  ["build (asc, tsc)", process.execPath, ["tools/prepare.mjs"]],
  ["layout is the core's", checkLayout],
  ["types of tests and benches", bin("tsc"), ["-p", "test/tsconfig.json"]],
  ["unit tests", bin("vitest"), ["run", "--config", "test/vitest.config.ts"]],
];

for (const [name, command, words] of steps) {
  const started = Date.now();
  const ok = typeof command === "function" ? command() : spawnSync(command, words, { stdio: "inherit" }).status === 0;
  process.stdout.write(`${ok ? "ok  " : "FAIL"} ${name} (${((Date.now() - started) / 1000).toFixed(1)} s)\n`);
  if (!ok) process.exit(1);
}

function checkLayout() {
  if (readFileSync("src/core/layout.ts", "utf8") === layoutBefore) return true;
  process.stdout.write(
    "src/core/layout.ts was not what assembly/abi.ts says; the build has written it anew: commit it\n",
  );
  return false;
}
