// The sources of ports: a folder of files, a list, the tables of Neutron.

import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { FolderSource } from "../../src/agent/folder-source.js";
import { ListSource } from "../../src/agent/list-source.js";
import { portFile, portId, replaceFile } from "./port-files.js";

let folder: string;
const file = (name: string) => join(folder, name);
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "ringbridge-source-"));
});
afterEach(() => rmSync(folder, { recursive: true }));

describe("a folder", () => {
  test("has a port in each file; what is being written and what is something else does not count", async () => {
    const source = new FolderSource(folder);
    replaceFile(file("b.json"), portFile(2));
    replaceFile(file("a.json"), portFile(1));
    writeFileSync(file(".c.json"), "{");
    writeFileSync(file("d.json.tmp"), "{");
    writeFileSync(file("README"), "x");
    const reading = await source.read();
    expect(reading).toEqual({
      items: [
        { from: "a.json", value: portFile(1) },
        { from: "b.json", value: portFile(2) },
      ],
      refused: [],
    });
    // Again from what is known, and then what changed.
    expect(await source.read()).toEqual(reading);
    replaceFile(file("a.json"), portFile(3));
    rmSync(file("b.json"));
    expect((await source.read()).items).toEqual([{ from: "a.json", value: portFile(3) }]);
  });

  test("sees a change that leaves length and time as they were, as far as a clock can tell", async () => {
    const source = new FolderSource(folder);
    for (let i = 10; i < 60; i++) {
      writeFileSync(file("a.json"), JSON.stringify(i));
      expect((await source.read()).items).toEqual([{ from: "a.json", value: i }]);
    }
  });

  test("every beginning of a file is refused, and what is whole is read", async () => {
    const source = new FolderSource(folder);
    const text = JSON.stringify(portFile(1));
    replaceFile(file("b.json"), portFile(2));
    for (let length = 0; length < text.length; length += 7) {
      writeFileSync(file("a.json"), text.slice(0, length));
      const { items, refused } = await source.read();
      expect([items.length, refused.map(({ from }) => from)]).toEqual([1, ["a.json"]]);
      expect(refused[0]!.reason).toMatch(/^is (empty|no JSON, or not all of it is there).*then rename$/);
    }
  });

  test("what is no file, is too long, is a FIFO, or points nowhere", async () => {
    const source = new FolderSource(folder);
    mkdirSync(file("dir.json"));
    execFileSync("mkfifo", [file("fifo.json")]);
    writeFileSync(file("long.json"), `"${"x".repeat(300_000)}"`);
    symlinkSync("/nonexistent", file("nowhere.json"));
    symlinkSync(file(".real"), file("link.json"));
    writeFileSync(file(".real"), JSON.stringify(portFile(1)));
    const { items, refused } = await source.read();
    expect(items).toEqual([{ from: "link.json", value: portFile(1) }]);
    expect(refused).toEqual([
      { from: "dir.json", reason: expect.stringMatching(/is no file/) },
      { from: "fifo.json", reason: expect.stringMatching(/is no file/) },
      { from: "long.json", reason: "has 300002 bytes, more than the 262144 that are read" },
    ]);
  });

  test("that is not there", async () => {
    expect((await new FolderSource(file("none")).read()).fault).toMatch(/none cannot be read: ENOENT/);
  });
});

describe("a list", () => {
  const read = async (text: string) => {
    writeFileSync(file("ports"), text);
    return new ListSource(file("ports")).read();
  };

  test("in JSON, in YAML, or under the key ports; a port is known by its id", async () => {
    const items = [
      { from: `port ${portId(1)}`, value: portFile(1) },
      { from: "item 1", value: 7 },
    ];
    expect(await read(JSON.stringify([portFile(1), 7]))).toEqual({ items, refused: [] });
    expect(await read(JSON.stringify({ ports: [portFile(1), 7] }))).toEqual({ items, refused: [] });
    const yaml = `ports:\n  - port: { id: ${portId(1)} }\n`;
    expect(await read(yaml)).toEqual({
      items: [{ from: `port ${portId(1)}`, value: { port: { id: portId(1) } } }],
      refused: [],
    });
    expect(await read("[]")).toEqual({ items: [], refused: [] });
  });

  test.each<[string, string, RegExp]>([
    ["empty", "", /is empty: for no ports write \[\]/],
    ["half-written JSON", '[{"port": {', /ports:1:\d+: not valid YAML/],
    ["half-written YAML", "ports:\n  - { port: ", /not valid YAML/],
    ["a map without ports", "a: 1", /must be a list of ports/],
    ["a text", "hello", /must be a list of ports/],
    ["very deep", "[".repeat(100_000), /nested too deeply/],
    ["very deep in blocks", "- ".repeat(100_000), /nested too deeply/],
    ["very long", "- a\n".repeat(1_100_000), /too long for YAML/],
  ])("%s says nothing of any port", async (_, text, reason) => {
    const { items, refused, fault } = await read(text);
    expect([items, refused]).toEqual([[], []]);
    expect(fault).toMatch(reason);
  });

  test("that is not there, and comes", async () => {
    const source = new ListSource(file("later"));
    expect((await source.read()).fault).toMatch(/later cannot be read: ENOENT/);
    replaceFile(file("later"), [portFile(1)]);
    expect((await source.read()).items).toHaveLength(1);
    replaceFile(file("later"), []);
    expect((await source.read()).items).toEqual([]);
  });
});
