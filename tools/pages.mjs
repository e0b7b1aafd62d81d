// Bundles the web pages with esbuild, each into a folder of plain files that works from any web server, from any path on
// it, without special headers and without a network: dist/explore, and dist/web for a running switch. Part of
// `node tools/build.mjs`; `node tools/build.mjs --only-pages` builds them alone, in a second.

import { spawnSync } from "node:child_process";
import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";
import { gzipSync } from "node:zlib";

/**
 * `source` has main.tsx, main.css and the HTML files; `assets` are copied beside them, `packed` makes what goes into sources.bin;
 * `parts` are the packages that become part of main.js.
 */
const PAGES = [
  {
    name: "explore",
    source: "src/explore/page",
    html: ["index.html"],
    assets: ["dist/wasm/core.traced.wasm"],
    packed: () => ({
      sites: JSON.parse(readFileSync("dist/wasm/core.sites.json", "utf8")),
      drivers: textsOf("src/explore/machine/driver"),
    }),
    parts: ["preact"],
  },
  { name: "web", source: "src/web/page", html: ["index.html"], assets: [], parts: ["preact", "uplot"] },
];

/** Checks the types of all pages and builds those whose sources there are. Throws with the compilers' messages. */
export async function buildPages() {
  checkTypes();
  const { build } = await import("esbuild");
  for (const page of PAGES.filter(({ source }) => existsSync(join(source, "main.tsx")))) await buildPage(build, page);
}

async function buildPage(build, { name, source, html, assets, packed, parts }) {
  const out = join("dist", name);
  rmSync(out, { recursive: true, force: true });
  mkdirSync(out, { recursive: true });
  await build({
    entryPoints: ["main.tsx", "main.css"].map((file) => join(source, file)),
    outdir: out,
    bundle: true,
    format: "esm",
    splitting: true,
    chunkNames: "chunk-[hash]",
    target: ["es2022", "chrome110", "firefox115", "safari16.4"],
    minify: true,
    jsx: "automatic",
    jsxImportSource: "preact",
    legalComments: "none",
    logLevel: "warning",
  });
  for (const part of parts) cpSync(`node_modules/${part}/LICENSE`, join(out, `${part}-license.txt`));
  for (const asset of assets) cpSync(asset, join(out, basename(asset)));
  // Compressed here, because not every web server does. Not called .gz, because some then say that it is an encoding.
  if (packed) writeFileSync(join(out, "sources.bin"), gzipSync(JSON.stringify(packed()), { level: 9 }));
  const version = JSON.parse(readFileSync("package.json", "utf8")).version;
  for (const file of html) {
    writeFileSync(join(out, file), readFileSync(join(source, file), "utf8").replaceAll("%VERSION%", version));
  }
}

/** Of the files in a folder by their paths. */
function textsOf(folder) {
  const paths = readdirSync(folder).map((name) => `${folder}/${name}`);
  return Object.fromEntries(paths.sort().map((path) => [path, readFileSync(path, "utf8")]));
}

function checkTypes() {
  const tsc = join("node_modules", "typescript", "bin", "tsc");
  const { status } = spawnSync(process.execPath, [tsc, "-p", "tsconfig.pages.json"], { stdio: "inherit" });
  if (status !== 0) throw new Error("tsc found errors in the pages, see above");
}
