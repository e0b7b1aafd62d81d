// The traced build of the core: the release build's instructions, and a call in front of each that touches memory
// (tools/traced/instrument.mjs). No Node, no DOM: the page and the tests load the same.

import { ABI_VERSION } from "../../core/layout.js";
import type { CoreExports } from "../../core/module.js";
import type { SiteTable } from "./sites.js";

/** Is told of each access before it is made. What it throws comes out of the core's function, which is then over. */
export interface Tracer {
  /** A load, store or atomic: the site's number, the offset in linear memory. */
  access(site: number, address: number): void;
  /** memory.copy; for memory.fill `from` is the byte to fill with. */
  range(site: number, to: number, from: number, length: number): void;
}

const IMPORTS = ["env.memory", "env.mapChunk", "env.clock", "trace.access", "trace.range"];

/** Compiles the traced build. Throws when it imports anything but what the core does and the tracer's functions. */
export function compileTraced(bytes: BufferSource): WebAssembly.Module {
  const module = new WebAssembly.Module(bytes);
  const names = WebAssembly.Module.imports(module).map(({ module: from, name }) => `${from}.${name}`);
  const foreign = names.find((name) => !IMPORTS.includes(name));
  if (foreign) throw new Error(`the module imports ${foreign}: it is not the core's traced build (npm run build)`);
  if (!names.includes("trace.access")) throw new Error("the module does not trace: load core.traced.wasm");
  return module;
}

/** An instance of it over a shared memory. Throws when it is of another version than this code. */
export function instantiateTraced(
  module: WebAssembly.Module,
  memory: WebAssembly.Memory,
  { table }: { table: { sites: Pick<SiteTable["sites"], "offset"> } },
  tracer: Tracer,
): CoreExports {
  const { offset } = table.sites;
  const { exports } = new WebAssembly.Instance(module, {
    // Guests are mapped whole, and nothing is captured.
    env: { memory, mapChunk: () => 0, clock: () => 0 },
    trace: {
      access: (site: number, address: number) => tracer.access(site, (address + offset[site]!) >>> 0),
      range: (site: number, to: number, from: number, length: number) =>
        tracer.range(site, to >>> 0, from >>> 0, length >>> 0),
    },
  });
  const version = (exports.ABI_VERSION as WebAssembly.Global).value;
  if (version !== ABI_VERSION) {
    throw new Error(`the traced core has ABI version ${version}, this code has ${ABI_VERSION}: build both anew`);
  }
  return exports as unknown as CoreExports;
}
