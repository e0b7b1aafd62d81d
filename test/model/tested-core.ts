// A build of the core as the properties use it: as it is, and with a call in front of each access to memory.

import { instantiateTraced } from "../../src/explore/machine/traced-core.js";
import { instrument } from "../../tools/traced/instrument.mjs";
import type { CoreSource } from "./match.js";

export class TestedCore {
  private traced: { module: WebAssembly.Module; offset: number[]; stores: boolean[] } | undefined;

  /** `wasm`: the module's bytes. */
  constructor(
    readonly module: WebAssembly.Module,
    private readonly wasm: Uint8Array,
  ) {}

  /** The same code, which tells of each store to an offset in linear memory before it is made. */
  telling(memory: WebAssembly.Memory, storing: (offset: number) => void): CoreSource {
    this.traced ??= trace(this.wasm);
    const { module, offset, stores } = this.traced;
    const tracer = {
      access: (site: number, at: number) => {
        if (stores[site]) storing(at);
      },
      range: (_: number, to: number) => storing(to),
    };
    const instantiate = () => instantiateTraced(module, memory, { table: { sites: { offset } } }, tracer);
    return { module, memory, instantiate };
  }
}

function trace(wasm: Uint8Array) {
  const { bytes, sites } = instrument(wasm);
  return {
    module: new WebAssembly.Module(bytes),
    offset: sites.map(({ memory }) => memory.offset ?? 0),
    stores: sites.map(({ memory }) => memory.kind === "write"),
  };
}
