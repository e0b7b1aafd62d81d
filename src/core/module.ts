// Loading the Wasm modules: find, verify, instantiate over a given memory. No sockets, no threads: browser-safe but for
// `readModule`, which reads a file.

import { instantiateSync } from "@assemblyscript/loader";
import { ABI_VERSION } from "./layout.js";

/** The functions of assembly/index.ts. Pointers and results are u32. */
export interface CoreExports {
  poll(core: number, worker: number, now: number): number;
  arm(worker: number): number;
  disarm(worker: number): void;
  startQueue(queue: number): void;
  fdbLearn(core: number, port: number, addressLow: number, addressHigh: number, seen: number): void;
  fdbAge(core: number, now: number): number;
  fdbFlush(core: number, port: number): number;
}

/**
 * A function the core is given (assembly/memory/env.ts): maps a chunk of a region that is not mapped whole over a
 * window of the worker's pool. Pointers and offsets are u32. Returns the nanoseconds it took, at least 1; 0: not done.
 */
export type MapChunk = (worker: number, region: number, chunk: number, offset: number) => number;

/** For a memory in which all regions are mapped whole, and for instances that poll nothing. */
const mapNothing: MapChunk = () => 0;

/** The other one: nanoseconds of a clock that all workers of a switch share, asked while frames are captured. */
export type Clock = () => number;

/** For instances of one thread. */
const threadClock: Clock = () => Math.floor(performance.now() * 1e6);

/** What a module may import from "env". */
const IMPORTS = ["memory", "mapChunk", "clock"];

export type BuildTarget = "release" | "checked" | "browser";

/** 64 KiB pages of the whole address space that a 32-bit memory can have. */
export const FULL_MEMORY_PAGES = 65536;

/**
 * A shared memory of `pages` 64 KiB pages. All of it is virtual: the kernel gives a page when it is first touched.
 * Throws a RangeError when the machine refuses that much address space (ulimit -v).
 */
export function createMemory(pages = FULL_MEMORY_PAGES): WebAssembly.Memory {
  return new WebAssembly.Memory({ initial: pages, maximum: pages, shared: true });
}

/**
 * Compiles a module and checks that it is what this host was built with: it may import the memory, `mapChunk`, `clock` and
 * nothing else. Throws when it is another.
 */
export function compileModule(bytes: BufferSource): WebAssembly.Module {
  const module = new WebAssembly.Module(bytes);
  for (const { module: from, name } of WebAssembly.Module.imports(module)) {
    if (from !== "env" || !IMPORTS.includes(name)) {
      const allowed = IMPORTS.map((word) => `env.${word}`).join(", ");
      throw new Error(`the Wasm module imports ${from}.${name}: only ${allowed} are allowed (build it anew)`);
    }
  }
  return module;
}

/** An instance of the core over `memory`. Any number of them may share one memory. */
export function instantiateCore(
  module: WebAssembly.Module,
  memory: WebAssembly.Memory,
  mapChunk = mapNothing,
  clock = threadClock,
): CoreExports {
  return instantiate<CoreExports>(module, memory, mapChunk, clock);
}

/** An instance of any of our modules over `memory`, with plain (unwrapped) functions; checks the ABI version. */
export function instantiate<T>(
  module: WebAssembly.Module,
  memory: WebAssembly.Memory,
  mapChunk = mapNothing,
  clock = threadClock,
): T {
  const imports = { env: { memory, mapChunk, clock } };
  const { instance } = instantiateSync(module, imports);
  const exports = instance.exports as Record<string, unknown>;
  const version = (exports.ABI_VERSION as WebAssembly.Global | undefined)?.value;
  if (version !== ABI_VERSION) {
    throw new Error(`the Wasm module has ABI version ${version}, the host has ${ABI_VERSION}: build both anew`);
  }
  return exports as T;
}
