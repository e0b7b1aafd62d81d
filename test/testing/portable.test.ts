// ringbridge/testing loads where there is no Node: nothing in its graph of imports, and of the package's built files, is a
// module of Node's, and nothing but the loader of the core's module mentions what only Node has.

import { execFileSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";
import { createLab, udp } from "../../src/testing/index.js";

const root = fileURLToPath(new URL("../..", import.meta.url));
const IMPORT = /^(?:import|export)\s(?:[^"';]*?\sfrom\s)?"([^"]+)"/gm;

/** Every built file that `entry` loads, and the packages beside them. */
function graph(entry: string): { files: string[]; packages: string[] } {
  const files: string[] = [];
  const packages = new Set<string>();
  const visit = (file: string) => {
    if (files.includes(file)) return;
    files.push(file);
    const text = readFileSync(file, "utf8");
    for (const [, name] of text.matchAll(IMPORT)) {
      if (name!.startsWith(".")) visit(join(dirname(file), name!));
      else packages.add(name!);
    }
    expect(text, `${file} loads something later`).not.toMatch(/\bimport\(|\brequire\(/);
  };
  visit(join(root, entry));
  return { files: files.map((file) => relative(root, file)), packages: [...packages] };
}

test("the entry point imports nothing of Node's, and no native module", () => {
  const { files, packages } = graph("dist/src/testing/index.js");
  expect(packages).toEqual(["@assemblyscript/loader"]);
  expect(files.length).toBeGreaterThan(40);
  const loader = readFileSync(join(root, "node_modules/@assemblyscript/loader/index.js"), "utf8");
  expect(loader).not.toMatch(IMPORT);
  for (const file of files) {
    expect(file).toMatch(/^dist\/(src\/(testing|core|guest|capture)|assembly\/spec)\//);
    const text = readFileSync(join(root, file), "utf8");
    expect(text, file).not.toMatch(/\bBuffer\.|\bnode:(?!fs"\))/);
  }
});

test("the matchers need vitest besides", () => {
  expect(graph("dist/src/testing/vitest.js").packages).toEqual(["vitest"]);
});

test("the built entry point finds its own core in Node", () => {
  const program = `
    const { createLab, udp } = await import("./dist/src/testing/index.js");
    const lab = await createLab();
    const [a, b] = [await lab.guest("a"), await lab.guest("b")];
    a.send(udp({ from: a, to: b, payload: "hello" }));
    await lab.settle();
    console.log(new TextDecoder().decode(b.receive()[0].subarray(42)));`;
  const words = ["--input-type=module", "--eval", program];
  expect(execFileSync(process.execPath, words, { cwd: root, encoding: "utf8" })).toBe("hello\n");
});

test("it does without what only Node has: the core is fetched, guests come and go", () => {
  const program = `
    const { readFile } = await import("node:fs/promises");
    const { log } = console;
    for (const name of ["process", "Buffer", "setImmediate", "clearImmediate", "global"]) delete globalThis[name];
    globalThis.fetch = async (url) => ({ ok: true, arrayBuffer: async () => new Uint8Array(await readFile(url)).buffer });
    const { createLab, constantRate, conservesFrames, drawFaults } = await import("./dist/src/testing/index.js");
    const lab = await createLab();
    const [a, b] = [await lab.guest("a"), await lab.guest("b", { ring: "packed" })];
    lab.traffic(a, constantRate({ to: b, perSecond: 10000, count: 100 }));
    lab.inject({ kind: "disconnect", guest: "b", at: 2, for: 1 }, { kind: "loop", guest: "a", at: 4, for: 1 });
    lab.inject({ kind: "unplug", guest: "b", at: 6, for: 1 });
    await lab.run(20);
    log(conservesFrames(lab).pass, a.sent > 80, b.received.length > 60);`;
  const words = ["--input-type=module", "--eval", program];
  expect(execFileSync(process.execPath, words, { cwd: root, encoding: "utf8" })).toBe("true true true\n");
});

test("bytes, a compiled module, a function or a URL do for the core, as a page has them", async () => {
  const url = new URL("../../dist/wasm/core.browser.wasm", import.meta.url);
  expect(existsSync(url)).toBe(true);
  const bytes = readFileSync(url);
  const sources = [bytes, await WebAssembly.compile(bytes), async () => bytes, url];
  for (const wasm of sources) {
    const lab = await createLab({ wasm, memoryMiB: 16 });
    expect(lab.sw.memory.buffer).toBeInstanceOf(ArrayBuffer);
    const [a, b] = [await lab.guest("a"), await lab.guest("b")];
    a.send(udp({ from: a, to: b, payload: "hello" }));
    await lab.settle();
    expect(b.received).toHaveLength(1);
  }
});

test.each(["release", "checked"] as const)("the %s build, over shared memory, does the same", async (build) => {
  const captures: Uint8Array[] = [];
  for (const each of ["browser", build] as const) {
    const lab = await createLab({ build: each });
    const [a, b] = [await lab.guest("a", { ring: "packed" }), await lab.guest("b")];
    for (let i = 0; i < 50; i++) a.send(udp({ from: a, to: b, payload: i }));
    await lab.settle();
    captures.push(lab.pcapng());
  }
  expect(captures[1]).toEqual(captures[0]);
});
