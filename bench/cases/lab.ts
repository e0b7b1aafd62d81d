// What the cases are made of: the core's parts as a module of their own (assembly/bench.ts), and switches to run them
// in, without threads or sockets.

import { readFileSync } from "node:fs";
import { compileModule, instantiate } from "../../src/core/module.js";
import type { TestSwitch } from "../../test/core/support/test-switch.js";

/** The functions of assembly/bench.ts. Pointers are u32. */
export interface Parts {
  translateAll(worker: number, port: number, addresses: number, count: number, length: number): number;
  walkChains(worker: number, queue: number, count: number, times: number): number;
  dequeueBursts(worker: number, queue: number, times: number): number;
  enqueueBursts(worker: number, source: number, queue: number, group: number, times: number): number;
  lookupAll(core: number, addresses: number, count: number): number;
  learnAll(core: number, addresses: number, count: number, port: number, now: number): number;
  copyAll(to: number, from: number, length: number, stride: number, buffers: number): void;
  memoryCopyAll(to: number, from: number, length: number, stride: number, buffers: number): void;
}

/** One thing to measure: `run` does it `operations` times. */
export interface Case {
  group: string;
  name: string;
  operations: number;
  /** Runs at least, where one takes long. Default 64. */
  iterations?: number;
  run(): void | Promise<void>;
  /** Before each run, and not measured. */
  before?(): void;
}

/** A group of cases, made when its turn comes. */
export type Cases = () => Case[] | Promise<Case[]>;

/** The parts over a switch's memory; "inline": with the core's own copy loop for every length. */
export function partsOf(sw: TestSwitch, build: "parts" | "inline" = "parts"): Parts {
  const bytes = readFileSync(new URL(`../wasm/${build}.wasm`, import.meta.url));
  return instantiate<Parts>(compileModule(bytes), sw.memory);
}

/** Room for `count` numbers of 64 bits in the switch's own tables, and the numbers in it. */
export function numbers(sw: TestSwitch, list: readonly bigint[]): number {
  const at = sw.bridge.control.allocate(list.length * 8);
  sw.bridge.views.u64.set(list, at >>> 3);
  return at;
}

/** Throws when a part did not do what is measured: then its time means nothing. */
export function expect(what: string, got: number, wanted: number): void {
  if (got !== wanted) throw new Error(`${what}: ${got} instead of ${wanted}`);
}
