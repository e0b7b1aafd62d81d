// The history of benchmark runs: which figures of one are kept, and lines that are none.

import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { appendHistory, historyEntry, readHistory } from "../../../src/bench/report/history.js";
import { fixture, FRAMES, NAMES } from "./fixture.js";

let folder: string;
let path: string;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "ringbridge-history-"));
  path = join(folder, "history.jsonl");
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

describe("history", () => {
  it("keeps one line for each run, and reads them back in order", () => {
    const first = historyEntry(fixture(), "ringbridge");
    const second = historyEntry({ ...fixture(), startedAt: "2026-11-24T00:00:00.000Z" }, "dpdk");
    appendHistory(path, first);
    appendHistory(path, second);
    expect(readHistory(path)).toEqual([first, second]);
  });

  it("keeps the points between two ports with the fewest flows, with the ratio of the same setting", () => {
    const result = fixture();
    const { points } = historyEntry(result, "ringbridge");
    expect(points).toHaveLength(NAMES.length * 2 * FRAMES.length);
    const point = points.find((p) => p.backEnd === "ringbridge" && p.frame === 64 && p.cacheClass === "far")!;
    const wanted = result.ratios.find((r) => r.backEnd === "ringbridge" && r.frame === 64 && r.cacheClass === "far")!;
    expect(point.reference).toBe("testpmd-io");
    expect(point.ratio).toBeCloseTo(wanted.ratio.median, 3);
    expect(points.find(({ backEnd }) => backEnd === "testpmd-io")).not.toHaveProperty("ratio");
  });

  it("keeps no figure of wrong frames, nor of a search", () => {
    const result = fixture();
    for (const point of result.throughput) point.wrong = 1;
    expect(historyEntry(result, "ringbridge").points).toEqual([]);
    for (const point of result.throughput) Object.assign(point, { wrong: 0, method: "ndr" });
    expect(historyEntry(result, "ringbridge").points).toEqual([]);
  });

  it("is empty where there is no file, and passes over empty lines", () => {
    expect(readHistory(path)).toEqual([]);
    writeFileSync(path, "\n\n");
    expect(readHistory(path)).toEqual([]);
  });

  it.each(["{", "7", "null", '{"at":1,"points":[]}', '{"at":"x"}'])("names the line that is no entry: %s", (line) => {
    appendHistory(path, historyEntry(fixture(), "ringbridge"));
    writeFileSync(path, `${line}\n`, { flag: "a" });
    expect(() => readHistory(path)).toThrow(`${path}:2: this line is no benchmark run`);
  });
});
