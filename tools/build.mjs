// Builds everything into dist/: the Wasm modules with asc, the host with tsc, the web pages with esbuild (tools/pages.mjs).
// `--only-wasm`, `--only-host` and `--only-pages` build a part; more than one may be named.
// Also writes the layout files (tools/layout-transform.mjs) from the structs that the host and the modules share.

import { spawnSync } from "node:child_process";
import { chmodSync, existsSync, mkdirSync, rmSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const root = join(dirname(fileURLToPath(import.meta.url)), "..");
process.chdir(root);

const PARTS = ["wasm", "host", "pages"];
const named = PARTS.filter((part) => process.argv.includes(`--only-${part}`));
const wanted = named.length > 0 ? named : PARTS;
const MODULES = [
  { entry: "assembly/index.ts", name: "core", layout: ["assembly/abi.ts", "src/core/layout.ts"] },
  {
    entry: "assembly/driver/index.ts",
    name: "driver",
    layout: ["assembly/driver/abi.ts", "src/guest/driver-layout.ts"],
  },
];
const TARGETS = ["release", "checked", "browser"];

if (wanted.includes("wasm")) await buildWasm();
if (wanted.includes("host")) buildHost();
if (wanted.includes("pages")) await (await import("./pages.mjs")).buildPages();

async function buildWasm() {
  const asc = await import("assemblyscript/asc");
  const { default: InlineTransform } = await import("./inline-transform.mjs");
  const { default: layoutTransform } = await import("./layout-transform.mjs");
  const { writeTraced } = await import("./traced.mjs");
  mkdirSync("dist/wasm", { recursive: true });
  for (const { entry, name, layout } of MODULES) {
    for (const target of TARGETS) {
      // The checked build compiles every struct, the trace's too; all targets have the same ones.
      const transforms = [InlineTransform, ...(target === "checked" ? [layoutTransform(...layout)] : [])];
      const words = [entry, "--config", "asconfig.json", "--target", target];
      words.push("--outFile", `dist/wasm/${name}.${target}.wasm`);
      await compile(asc, words, transforms);
    }
  }
  // The same once more with names and a source map, from which the traced build is made.
  const mapped = "dist/wasm/core.mapped.wasm";
  const words = ["assembly/index.ts", "--config", "asconfig.json", "--target", "release", "--outFile", mapped];
  await compile(asc, [...words, "--debug", "--sourceMap"], [InlineTransform]);
  writeTraced("core", "dist/wasm/core.release.wasm", mapped);
}

async function compile(asc, words, transforms) {
  const { error, stderr } = await asc.main(words, { transforms });
  const text = stderr?.toString() ?? "";
  if (text) process.stderr.write(text);
  if (error) throw new Error(`asc could not build ${words.join(" ")}: ${error.message}`);
}

function buildHost() {
  // A file that was renamed must not live on in dist.
  rmSync("dist/src", { recursive: true, force: true });
  rmSync("dist/assembly", { recursive: true, force: true });
  rmSync("dist/.tsbuildinfo", { force: true });
  const tsc = join("node_modules", "typescript", "bin", "tsc");
  const { status } = spawnSync(process.execPath, [tsc, "-p", "tsconfig.json"], { stdio: "inherit" });
  if (status !== 0) throw new Error("tsc found errors, see above");
  for (const cli of ["cli/main.js", "cli/vhost-user-main.js", "ovs-vsctl/main.js"].map((file) => `dist/src/${file}`)) {
    if (existsSync(cli)) chmodSync(cli, 0o755);
  }
}
