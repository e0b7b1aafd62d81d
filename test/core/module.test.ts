// The built modules are what the design needs: nothing but code, so that any number of workers share one memory.

import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { DROP_CAUSES } from "../../assembly/spec/status.js";
import { Bridge } from "../../src/core/bridge.js";
import * as layout from "../../src/core/layout.js";
import { compileModule, createMemory, instantiateCore } from "../../src/core/module.js";
import { loadModule } from "../../src/core/wasm-files.js";
import { BROADCAST, frame, TARGETS, TestGuest, TestSwitch } from "./support/bench-guest.js";
import { section, sectionIds } from "./support/wasm-sections.js";

const EXPORTS = ["ABI_VERSION", "arm", "disarm", "fdbAge", "fdbFlush", "fdbLearn", "poll", "startQueue"];
// Section numbers of the WebAssembly core specification, 5.5.2.
const TYPE = 1;
const IMPORT = 2;
const FUNCTION = 3;
const GLOBAL = 6;
const EXPORT = 7;
const CODE = 10;

describe.each(["release", "checked", "browser"] as const)("core module, %s build", (target) => {
  const bytes = readFileSync(new URL(`../../dist/wasm/core.${target}.wasm`, import.meta.url));
  const { module } = loadModule("core", target);

  test("imports the memory, the mapping of chunks and a clock, nothing else", () => {
    expect(WebAssembly.Module.imports(module)).toEqual([
      { module: "env", name: "clock", kind: "function" },
      { module: "env", name: "mapChunk", kind: "function" },
      { module: "env", name: "memory", kind: "memory" },
    ]);
  });

  test("exports exactly what assembly/index.ts documents", () => {
    const names = WebAssembly.Module.exports(module).map(({ name }) => name);
    expect(names.sort()).toEqual(EXPORTS);
  });

  test("is code alone: no table, no start function, no data that an instance would write again", () => {
    const present = sectionIds(bytes);
    expect(present).toEqual([TYPE, IMPORT, FUNCTION, GLOBAL, EXPORT, CODE]);
  });

  test("its only global is the constant ABI_VERSION: an instance holds no state", () => {
    // One global: i32 (0x7f), immutable (0), i32.const version, end. So there is no heap and no stack pointer.
    expect([...section(bytes, GLOBAL)!]).toEqual([1, 0x7f, 0, 0x41, layout.ABI_VERSION, 0x0b]);
  });
});

describe.each(TARGETS)("instances over one memory, %s build", (target) => {
  test("a new instance changes no byte, and two of them take turns on one switch", async () => {
    const sw = new TestSwitch({ target });
    const a = await TestGuest.create(sw);
    const b = await TestGuest.create(sw);
    a.send(frame(BROADCAST, 1, 60));
    sw.settle();
    const before = Buffer.from(sw.bridge.views.bytes.slice());
    const other = instantiateCore(loadModule("core", target).module, sw.memory);
    expect(before.equals(sw.bridge.views.bytes.slice())).toBe(true);

    for (let i = 0; i < 10; i++) {
      b.send(frame(1, 2, 100, i));
      const { poll } = i % 2 === 0 ? other : sw.core;
      expect(poll(sw.bridge.core.at, sw.bridge.workers[0]!.at, 1)).toBe(1);
    }
    expect(a.receive()).toEqual(Array.from({ length: 10 }, (_, i) => frame(1, 2, 100, i)));
    expect(b.reclaim()).toBe(10);
  });

  test("two switches in two memories know nothing of each other", async () => {
    const [one, two] = [new TestSwitch({ target }), new TestSwitch({ target })];
    const sender = await TestGuest.create(one);
    const receiver = await TestGuest.create(two);
    sender.send(frame(BROADCAST, 1, 60));
    one.settle();
    two.settle();
    expect(sender.drops(1)).toEqual({ DROP_NO_PORT: 1 });
    expect(receiver.receive()).toEqual([]);
    expect(two.bridge.fdbEntries()).toEqual([]);
  });
});

describe("a module that is not this host's", () => {
  const memory = createMemory(16);

  /** A module that exports one i32 constant under `name`, and imports env.<imported> as a function when given. */
  function module(name: string, value: number, imported?: string): Uint8Array<ArrayBuffer> {
    const text = (word: string) => [word.length, ...Buffer.from(word)];
    const part = (id: number, body: number[]) => [id, body.length, ...body];
    return new Uint8Array([
      ...[0, 0x61, 0x73, 0x6d, 1, 0, 0, 0],
      ...(imported ? part(1, [1, 0x60, 0, 0]) : []),
      ...(imported ? part(2, [1, ...text("env"), ...text(imported), 0, 0]) : []),
      ...part(6, [1, 0x7f, 0, 0x41, value, 0x0b]),
      ...part(7, [1, ...text(name), 3, 0]),
    ]);
  }

  test("this ABI version is taken, another or none is refused with both numbers", () => {
    const { ABI_VERSION } = layout;
    expect(() => instantiateCore(compileModule(module("ABI_VERSION", ABI_VERSION)), memory)).not.toThrow();
    const other = compileModule(module("ABI_VERSION", ABI_VERSION + 1));
    expect(() => instantiateCore(other, memory)).toThrow(
      `the Wasm module has ABI version ${ABI_VERSION + 1}, the host has ${ABI_VERSION}: build both anew`,
    );
    const none = compileModule(module("VERSION", ABI_VERSION));
    expect(() => instantiateCore(none, memory)).toThrow(/has ABI version undefined/);
  });

  test("a module that wants more than the memory is refused by the name of what it wants", () => {
    expect(() => compileModule(module("ABI_VERSION", 1, "abort"))).toThrow(
      "the Wasm module imports env.abort: only env.memory, env.mapChunk, env.clock are allowed",
    );
  });

  test("a module that was not built is named, with what to do", () => {
    expect(() => loadModule("core", "missing" as "release")).toThrow(
      /core\.missing\.wasm is missing: run "npm run build"/,
    );
  });
});

describe("layout of the shared structs", () => {
  const LINE = 64;

  test("a queue's groups (host, worker, counters) lie on cache lines of their own", () => {
    const { nextAvail, callFd, lock, frames, drops } = layout.Queue.fields;
    expect(callFd.offset).toBeLessThan(nextAvail.offset);
    expect([nextAvail.offset, frames.offset]).toEqual([LINE, 2 * LINE]);
    expect(lock.offset).toBeLessThan(frames.offset);
    // The drop counters go on behind the struct, so `drops` must be its last field.
    expect(drops.offset + 8).toBe(layout.Queue.size);
  });

  test("what one worker writes shares no line with what the host or another worker writes", () => {
    expect(layout.Worker.fields.epoch.offset).toBe(LINE);
    expect(layout.Worker.fields.frameTable.offset % LINE).toBe(0);
    expect(layout.Fdb.fields.lock.offset).toBe(LINE);
    const sw = new TestSwitch({ workers: 2 });
    const port = sw.bridge.addPort();
    const structs = [
      ...sw.bridge.workers.map(({ at }) => [at, at + layout.Worker.size]),
      ...[0, 1].map((index) => {
        const { at } = sw.bridge.queue(port, index).struct;
        return [at, at + layout.Queue.size + (DROP_CAUSES - 1) * 8];
      }),
    ].sort((a, b) => a[0]! - b[0]!);
    for (const [i, [at]] of structs.entries()) {
      expect(at! % LINE).toBe(0);
      if (i > 0) expect(structs[i - 1]![1]).toBeLessThanOrEqual(at!);
    }
  });

  test("64-bit fields are aligned, a bucket of the FDB is one line, table entries are addressed by shifts", () => {
    for (const struct of [layout.Queue, layout.Worker, layout.Fdb, layout.Region, layout.Frame, layout.FdbEntry]) {
      const wide = Object.values(struct.fields).filter(({ type }) => type === "u64");
      for (const { offset } of wide) expect(offset % 8).toBe(0);
      expect(struct.size % 8).toBe(0);
    }
    expect(layout.FdbEntry.size * 4).toBe(LINE);
    expect([layout.Frame.size, layout.Segment.size, layout.Placement.size, layout.Group.size]).toEqual([32, 8, 16, 16]);
    expect(layout.SEGMENTS).toBeGreaterThanOrEqual(2 * layout.CHAIN_SEGMENTS);
    expect(layout.BURST).toBeLessThan(256); // a group's number is a byte
  });

  test("the table of addresses is on a line boundary and twice as large as its limit", () => {
    const memory = createMemory(32 * 16);
    const core = instantiateCore(loadModule("core").module, memory);
    for (const limit of [1, 2, 100, 1024, 5000]) {
      const bridge = new Bridge({
        memory,
        core,
        workers: 1,
        fdb: { limit, portLimit: limit, ageingSeconds: 1 },
        windowsStart: 8 * 1024 * 1024,
      });
      expect(bridge.fdb.get("entries") % LINE).toBe(0);
      expect((bridge.fdb.get("bucketMask") + 1) * 4).toBeGreaterThanOrEqual(2 * limit);
    }
  });
});
