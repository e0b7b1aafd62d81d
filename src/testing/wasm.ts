// The core's module for the lab: by default the one that lies beside this file in the package, read from the file system
// where there is one and fetched elsewhere. Nothing of Node is imported, so a bundler for browsers finds nothing amiss.

import { compileModule, createMemory } from "../core/module.js";

/** The core: a compiled module, its bytes, or where it lies. */
export type WasmSource = WebAssembly.Module | BufferSource | URL | (() => Promise<BufferSource>);

/** A build of the core: without shared memory, the running switch's, or the one with assertions. */
export type LabBuild = "browser" | "release" | "checked";

const compiled = new Map<LabBuild, Promise<WebAssembly.Module>>();

/** A build of the core. Throws when it cannot be read. */
export async function loadCore(build: LabBuild, source?: WasmSource): Promise<WebAssembly.Module> {
  if (source === undefined) {
    let module = compiled.get(build);
    if (!module) {
      module = read(wasmUrl(build)).then(compileModule);
      compiled.set(build, module);
    }
    return module;
  }
  if (source instanceof WebAssembly.Module) return source;
  if (typeof source === "function") return compileModule(await source());
  return compileModule(source instanceof URL ? await read(source) : source);
}

/** A memory for that build: the browser's shares none, so a page needs no cross-origin isolation. */
export function labMemory(build: LabBuild, mebibytes: number): WebAssembly.Memory {
  const pages = mebibytes * 16;
  return build === "browser" ? new WebAssembly.Memory({ initial: pages, maximum: pages }) : createMemory(pages);
}

/** Whole paths in each URL: bundlers look for them. */
function wasmUrl(build: LabBuild): URL {
  const built = import.meta.url.includes("/dist/src/");
  if (build === "browser") {
    if (built) return new URL("../../wasm/core.browser.wasm", import.meta.url);
    return new URL("../../dist/wasm/core.browser.wasm", import.meta.url);
  }
  return new URL(`../../${built ? "" : "dist/"}wasm/core.${build}.wasm`, import.meta.url);
}

interface NodeProcess {
  getBuiltinModule?(name: "node:fs"): { readFileSync(path: URL): Uint8Array<ArrayBuffer> } | undefined;
}

async function read(url: URL): Promise<BufferSource> {
  // Node fetches no file: URLs.
  const files = (globalThis as { process?: NodeProcess }).process?.getBuiltinModule?.("node:fs");
  if (url.protocol === "file:" && files) return files.readFileSync(url);
  const response = await fetch(url);
  if (!response.ok) throw new Error(`${url} could not be fetched: ${response.status} ${response.statusText}`);
  return response.arrayBuffer();
}
