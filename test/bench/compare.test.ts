// Two results side by side, and the command that shows them.

import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import { compareResults, verdictOf } from "../../src/bench/compare.js";
import type { BenchResult, LatencyPoint, ThroughputPoint } from "../../src/bench/result.js";
import { main } from "../../src/cli/program.js";
import { FakeIo } from "../cli/fake-io.js";

const folder = mkdtempSync(join(tmpdir(), "ringbridge-compare-"));
afterAll(() => rmSync(folder, { recursive: true }));

function rate(backEnd: string, median: number, low: number, high: number): ThroughputPoint {
  const framesPerSecond = { median, low, high, windows: 9 };
  const setting = { frame: 64, direction: "one-way", flows: 1, ports: 2, cacheClass: "shared-cache" } as const;
  return {
    backEnd,
    ...setting,
    method: "mrr",
    framesPerSecond,
    bitsPerSecond: framesPerSecond,
    lossRatio: 0,
    wrong: 0,
  };
}

function latency(p50: number, p99: number): LatencyPoint {
  const point = { p50, p90: p50, p99, p999: p99, max: p99, frames: 1000 };
  return { backEnd: "ringbridge", frame: 64, cacheClass: "far", load: "in-flight-1", direction: "one-way", ...point };
}

function result(throughput: ThroughputPoint[], points: LatencyPoint[] = []): BenchResult {
  return { schema: 1, throughput, latency: points } as unknown as BenchResult;
}

test("while the quartiles overlap a change is noise", () => {
  const spread = (low: number, median: number, high: number) => ({ median, low, high, windows: 9 });
  expect(verdictOf(spread(9, 10, 11), spread(10.5, 12, 13), true)).toBe("noise");
  expect(verdictOf(spread(9, 10, 11), spread(11.5, 12, 13), true)).toBe("better");
  expect(verdictOf(spread(9, 10, 11), spread(7, 8, 8.9), true)).toBe("worse");
  expect(verdictOf(spread(9, 10, 11), spread(11.5, 12, 13), false)).toBe("worse");
});

test("points are compared with their own kind, and the others are named", () => {
  const { changes, onlyBefore, onlyAfter } = compareResults(
    result([rate("ringbridge", 10e6, 9e6, 11e6), rate("ovs", 4e6, 4e6, 4e6)], [latency(0.4, 0.6)]),
    result([rate("ringbridge", 15e6, 14e6, 16e6), rate("testpmd", 9e6, 9e6, 9e6)], [latency(0.41, 0.9)]),
  );
  expect(changes.map(({ unit, change, verdict }) => [unit, Number(change.toFixed(3)), verdict])).toEqual([
    ["Mpps", 0.5, "better"],
    ["µs", 0.025, "noise"],
    ["µs", 0.5, "worse"],
  ]);
  expect(changes[0]).toMatchObject({ what: "ringbridge, 64 B one-way, MRR, shared-cache", before: 10, after: 15 });
  expect(onlyBefore).toEqual(["ovs, 64 B one-way, MRR, shared-cache"]);
  expect(onlyAfter).toEqual(["testpmd, 64 B one-way, MRR, shared-cache"]);
});

describe("bench compare", () => {
  const file = (name: string, value: unknown) => {
    const path = join(folder, name);
    writeFileSync(path, JSON.stringify(value));
    return path;
  };
  const fast = file("fast.json", result([rate("ringbridge", 10e6, 9e6, 11e6)]));
  const slow = file("slow.json", result([rate("ringbridge", 5e6, 4e6, 6e6)]));

  test("shows the change; a regression fails only where that was asked for", async () => {
    const io = new FakeIo();
    expect(await main(["bench", "compare", fast, slow], io)).toBe(0);
    expect(io.out).toMatch(/ringbridge, 64 B one-way, MRR, shared-cache +10\.0 Mpps +5\.00 Mpps +-50\.0 % +worse/);
    expect(await main(["bench", "compare", "--fail-on-regression", fast, slow], io)).toBe(1);
    expect(await main(["bench", "compare", "--fail-on-regression", slow, fast], io)).toBe(0);
    expect(await main(["bench", "compare", "--fail-on-regression", fast, fast], io)).toBe(0);
  });

  test("results without a common point, and files that are none", async () => {
    const io = new FakeIo();
    const other = file("other.json", result([rate("ovs", 5e6, 4e6, 6e6)]));
    expect(await main(["bench", "compare", fast, other], io)).toBe(0);
    expect(io.out).toContain("no point in common");
    expect(await main(["bench", "compare", fast, join(folder, "none")], io)).toBe(2);
    expect(io.err).toContain("ENOENT");
    expect(await main(["bench", "compare", file("bad.json", { schema: 2 }), fast], io)).toBe(2);
    expect(io.err).toContain('give a file that "ringbridge bench --json" wrote');
  });
});
