// ringbridge/sim loads where there is no Node: nothing that its built files import is a module of Node's.

import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";

const root = fileURLToPath(new URL("../..", import.meta.url));
const IMPORT = /^(?:import|export)\s(?:[^"';]*?\sfrom\s)?"([^"]+)"/gm;

test("the entry point imports YAML, zod, the loader and nothing of Node's", () => {
  const files = new Set<string>();
  const packages = new Set<string>();
  const visit = (file: string) => {
    if (files.has(file)) return;
    files.add(file);
    for (const [, name] of readFileSync(file, "utf8").matchAll(IMPORT)) {
      if (name!.startsWith(".")) visit(join(dirname(file), name!));
      else packages.add(name!);
    }
  };
  visit(join(root, "dist/src/sim/index.js"));
  expect([...packages].sort()).toEqual(["@assemblyscript/loader", "yaml", "zod"]);
  const own = [...files].filter((file) => /src\/(sim|testing|junit|bench)/.test(file));
  expect(own.length).toBeGreaterThan(50);
  for (const file of own) expect(readFileSync(file, "utf8"), file).not.toMatch(/\bnew Date|Date\.now|Math\.random/);
});

test("it plays a scenario without what only Node has", () => {
  const program = `
    const { readFile } = await import("node:fs/promises");
    const { log } = console;
    for (const name of ["process", "Buffer", "setImmediate", "clearImmediate", "global"]) delete globalThis[name];
    globalThis.fetch = async (url) => ({ ok: true, arrayBuffer: async () => new Uint8Array(await readFile(url)).buffer });
    const sim = await import("./dist/src/sim/index.js");
    const text = "about: x\\nguests: { a: {}, b: {} }\\ntraffic: { t: { from: a, to: b, count: 7 } }\\n";
    const { result } = await sim.simulate(sim.loadScenario(text, "x.yaml"));
    log(result.pass, result.runs[0].flows[0].received, sim.simulationReport(result, "x").length > 5000);`;
  const words = ["--input-type=module", "--eval", program];
  expect(execFileSync(process.execPath, words, { cwd: root, encoding: "utf8" })).toBe("true 7 true\n");
});
