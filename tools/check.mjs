// `npm run check`: everything that must hold before a commit, in the order in which it fails fastest.

import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

process.chdir(join(dirname(fileURLToPath(import.meta.url)), ".."));
const LAYOUTS = ["src/core/layout.ts", "src/guest/driver-layout.ts"];
const layoutsBefore = LAYOUTS.map((path) => readFileSync(path, "utf8"));

const bin = (name) => join("node_modules", ".bin", name);
/** Tests that start processes and wait for them: `npm test` runs them, here they would take longer than a minute. */
const SLOW = [
  "test/switch/**",
  "test/bench/**",
  "test/check/check.test.ts",
  "test/cli/check.test.ts",
  "test/cli/demo.test.ts",
  "test/testing/guide.test.ts",
  "test/guest/{front-end,guest-child,load-guest}.test.ts",
];

// Nobody else compiles assembly/bench.ts, which calls the core's parts.
const BENCH_BUILD = 'import { buildBenchModules } from "./bench/build-wasm.mjs"; await buildBenchModules();';

const steps = [
  ["format and lint", bin("biome"), ["check", "--error-on-warnings", "."]],
  ["build (asc, tsc)", process.execPath, ["tools/prepare.mjs"]],
  ["build of npm run bench", process.execPath, ["--input-type=module", "-e", BENCH_BUILD]],
  ["layouts are the modules'", checkLayouts],
  ["types of tests and benches", bin("tsc"), ["-p", "test/tsconfig.json"]],
  ["unit tests", bin("vitest"), ["run", "--config", "test/vitest.config.ts", ...SLOW.flatMap((f) => ["--exclude", f])]],
];

for (const [name, command, words] of steps) {
  const started = Date.now();
  const ok = typeof command === "function" ? command() : spawnSync(command, words, { stdio: "inherit" }).status === 0;
  process.stdout.write(`${ok ? "ok  " : "FAIL"} ${name} (${((Date.now() - started) / 1000).toFixed(1)} s)\n`);
  if (!ok) process.exit(1);
}

function checkLayouts() {
  const stale = LAYOUTS.filter((path, i) => readFileSync(path, "utf8") !== layoutsBefore[i]);
  for (const path of stale) {
    process.stdout.write(`${path} was not what its abi.ts says; the build has written it anew: commit it\n`);
  }
  return stale.length === 0;
}
