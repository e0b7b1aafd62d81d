// Builds everything into dist/: the Wasm modules with asc, the host with tsc, the web pages with esbuild (tools/pages.mjs).
// `--only-wasm`, `--only-host` and `--only-pages` build a part; more than one may be named.
// Also writes the layout files (tools/layout-transform.mjs) from the structs that the host and the modules share. asc takes
// seconds for each module, so two processes build them (`--modules`).

import { spawn, spawnSync } from "node:child_process";
import { chmodSync, existsSync, mkdirSync, rmSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const self = fileURLToPath(import.meta.url);
process.chdir(join(dirname(self), ".."));

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
/** Halves that take about as long. */
const HALVES = [
  ["core.release", "core.browser", "core.traced"],
  ["core.checked", ...TARGETS.map((target) => `driver.${target}`)],
];

const modules = process.argv[2] === "--modules" ? process.argv.slice(3) : undefined;
if (modules) for (const module of modules) await buildModule(module);
else {
  if (wanted.includes("wasm")) await buildWasm();
  if (wanted.includes("host")) buildHost();
  if (wanted.includes("pages")) await (await import("./pages.mjs")).buildPages();
}

async function buildWasm() {
  mkdirSync("dist/wasm", { recursive: true });
  const halves = HALVES.map(async (names) => {
    const child = spawn(process.execPath, [self, "--modules", ...names], { stdio: "inherit" });
    const code = await new Promise((resolve) => child.once("error", resolve).once("exit", resolve));
    if (code !== 0) throw new Error(`asc could not build ${names.join(", ")}, see above`);
  });
  const failed = (await Promise.allSettled(halves)).find(({ status }) => status === "rejected");
  if (failed) throw failed.reason;
}

/** Builds dist/wasm/<module>.wasm. */
async function buildModule(module) {
  const [name, target] = module.split(".");
  const { entry, layout } = MODULES.find((each) => each.name === name);
  if (target === "traced") {
    // The release build once more with names and a source map, from which the traced build is made.
    const mapped = `dist/wasm/${name}.mapped.wasm`;
    await compile([entry, "--target", "release", "--outFile", mapped, "--debug", "--sourceMap"]);
    const { writeTraced } = await import("./traced.mjs");
    return writeTraced(name, `dist/wasm/${name}.release.wasm`, mapped);
  }
  // The checked build compiles every struct, the trace's too; all targets have the same ones.
  const { default: layoutTransform } = await import("./layout-transform.mjs");
  const transforms = target === "checked" ? [layoutTransform(...layout)] : [];
  await compile([entry, "--target", target, "--outFile", `dist/wasm/${module}.wasm`], transforms);
}

async function compile(words, transforms = []) {
  const asc = await import("assemblyscript/asc");
  const { default: InlineTransform } = await import("./inline-transform.mjs");
  const { error, stderr } = await asc.main([...words, "--config", "asconfig.json"], {
    transforms: [InlineTransform, ...transforms],
  });
  // That another round of optimising would find something more is of use to nobody.
  const text = (stderr?.toString() ?? "").replace("Last converge was suboptimal.\n", "");
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
