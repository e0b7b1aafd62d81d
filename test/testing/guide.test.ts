// docs/TESTING-YOUR-DATAPLANE.md, executed: its blocks become files of a folder in which the package's own name means this
// checkout's build; they must have the types that they use, pass (the one that is there to fail: fail, in the words that
// the page shows), and the commands must work.

import { execFileSync, spawnSync } from "node:child_process";
import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, expect, test } from "vitest";
import { readCapture } from "../../src/testing/index.js";

const root = fileURLToPath(new URL("../..", import.meta.url));
/** Below package.json, so that imports of "ringbridge/testing" lead to dist; outside of what git and npm look at. */
const folder = join(root, ".cache/guide");
const vitest = join(root, "node_modules/vitest/vitest.mjs");
const guide = readFileSync(join(root, "docs/TESTING-YOUR-DATAPLANE.md"), "utf8");

/** The one whose test fails. */
const FAILING = "failing.test.ts";

interface Block {
  language: string;
  name: string;
  text: string;
}

const blocks: Block[] = [...guide.matchAll(/^```(\w*) ?(\S*)\n(.*?)^```$/gms)].map(([, language, name, text]) => ({
  language: language!,
  name: name!,
  text: text!,
}));
const of = (...languages: string[]) => blocks.filter(({ language }) => languages.includes(language));

/** What a program says, colours and times apart, and its exit status. */
function run(command: string, words: readonly string[], env: NodeJS.ProcessEnv = {}) {
  const { status, stdout, stderr } = spawnSync(command, words, {
    cwd: folder,
    encoding: "utf8",
    // A vitest in a vitest must not take itself for a worker of the outer one.
    env: { PATH: `${join(root, "node_modules/.bin")}:${process.env.PATH}`, NO_COLOR: "1", ...env },
  });
  return { status, output: stdout + stderr };
}

beforeAll(() => {
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
  for (const { name, text } of of("ts", "js")) writeFileSync(join(folder, name), text);
  writeFileSync(join(folder, "vitest.config.js"), "export default {};\n");
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

test("every block is one that this test knows, and has its file's name", () => {
  expect(of("ts", "js", "sh", "text", "html")).toHaveLength(blocks.length);
  expect(of("ts").length).toBeGreaterThan(8);
  const names = of("ts", "js").map(({ name }) => name);
  expect(names.filter((name) => !/^[a-z]+(\.test\.ts|\.js)$/.test(name))).toEqual([]);
  expect(new Set(names).size).toBe(names.length);
});

test("the code is formatted and has the types that it uses", () => {
  const biome = join(root, "node_modules/@biomejs/biome/bin/biome");
  for (const { name, text } of of("ts", "js")) {
    const words = ["format", `--stdin-file-path=${name}`];
    expect(execFileSync(biome, words, { cwd: root, input: text, encoding: "utf8" })).toBe(text);
  }
  const options = "--noEmit --strict --skipLibCheck --target es2022 --module nodenext --types node".split(" ");
  const files = of("ts").map(({ name }) => name);
  expect(run("tsc", ["--ignoreConfig", ...options, ...files]).output).toBe("");
});

test("the tests pass, and the one that is there to fail fails as shown", () => {
  const all = run(process.execPath, [vitest, "run"]);
  const files = of("ts").length;
  expect(all.output).toMatch(new RegExp(`Test Files +1 failed \\| ${files - 1} passed \\(${files}\\)`));
  expect(all.output).toContain(`FAIL  ${FAILING}`);
  const [shown] = of("text");
  expect(shown!.name).toBe(FAILING);
  for (const line of shown!.text.trimEnd().split("\n")) expect(all.output).toContain(line);
  expect(readCapture(readFileSync(join(folder, "failed.pcapng"))).length).toBeGreaterThan(100);
  // The seed that is said to fail fails alone, the one before it does not.
  const seed = Number(/RINGBRIDGE_SEED=(\d+) npx/.exec(shown!.text)![1]);
  const alone = (number: number) => run(process.execPath, [vitest, "run", FAILING], { RINGBRIDGE_SEED: `${number}` });
  expect(alone(seed)).toMatchObject({ status: 1, output: expect.stringContaining(`seed ${seed} fails`) });
  expect(alone(seed - 1)).toMatchObject({ status: 0 });
});

test("the commands work, but the first, which test/engines carries out", () => {
  const commands = of("sh").map(({ text }) => text.trim());
  expect(commands.shift()).toBe("npm install --save-dev ringbridge vitest");
  expect(commands).toHaveLength(3);
  for (const command of commands) expect(run("sh", ["-c", command]), command).toMatchObject({ status: 0 });
});

test("the page's import map is that of the example, which test/engines opens in Chromium", () => {
  const [map] = of("html");
  expect(readFileSync(join(root, "examples/ci/anywhere/index.html"), "utf8")).toContain(map!.text);
});
