// Two results side by side: what changed, and whether the change is more than noise. Pure.

import { frameName } from "./report/words.js";
import type { BenchResult, LatencyPoint, Spread, ThroughputPoint } from "./result.js";

/** A single figure without a spread has changed when it did by more than this share. */
const LATENCY_NOISE = 0.1;

export type Verdict = "noise" | "better" | "worse";

export interface Change {
  /** What was measured, in words: "ringbridge, 64 B one-way, MRR, shared-cache". */
  what: string;
  /** "Mpps" or "µs". */
  unit: string;
  before: number;
  after: number;
  /** after / before - 1. */
  change: number;
  verdict: Verdict;
}

export interface Comparison {
  changes: Change[];
  /** Points that only one of the results has. */
  onlyBefore: string[];
  onlyAfter: string[];
}

interface Figure {
  unit: string;
  spread: Spread;
  /** Whether more is better. */
  more: boolean;
}

/** Compares point by point; only what both have measured can be. */
export function compareResults(before: BenchResult, after: BenchResult): Comparison {
  const [old, now] = [figures(before), figures(after)];
  const changes: Change[] = [];
  for (const [what, figure] of now) {
    const other = old.get(what);
    if (!other) continue;
    const [a, b] = [other.spread.median, figure.spread.median];
    const verdict = verdictOf(other.spread, figure.spread, figure.more);
    changes.push({ what, unit: figure.unit, before: a, after: b, change: b / a - 1, verdict });
  }
  return {
    changes,
    onlyBefore: [...old.keys()].filter((what) => !now.has(what)),
    onlyAfter: [...now.keys()].filter((what) => !old.has(what)),
  };
}

/** Noise while the ranges between the quartiles overlap. */
export function verdictOf(before: Spread, after: Spread, moreIsBetter: boolean): Verdict {
  if (after.low <= before.high && before.low <= after.high) return "noise";
  return after.median > before.median === moreIsBetter ? "better" : "worse";
}

function figures(result: BenchResult): Map<string, Figure> {
  const all = new Map<string, Figure>();
  for (const point of result.throughput) {
    const { median, low, high, windows } = point.framesPerSecond;
    const spread = { median: median / 1e6, low: low / 1e6, high: high / 1e6, windows };
    all.set(nameOf(point, point.method.toUpperCase()), { unit: "Mpps", spread, more: true });
  }
  for (const point of result.latency) {
    const load = point.load === "in-flight-1" ? "one in flight" : `at ${point.load * 100} % of PDR`;
    for (const quantile of ["p50", "p99"] as const) {
      const value = point[quantile];
      const half = LATENCY_NOISE / 2;
      const spread = { median: value, low: value * (1 - half), high: value * (1 + half), windows: 1 };
      all.set(nameOf(point, `latency ${quantile} ${load}`), { unit: "µs", spread, more: false });
    }
  }
  return all;
}

function nameOf(point: ThroughputPoint | LatencyPoint, method: string): string {
  const { backEnd, frame, direction, flows = 1, ports = 2, cacheClass } = point;
  const parts = [backEnd, `${frameName(frame)}${direction ? ` ${direction}` : ""}`];
  if (flows > 1) parts.push(`${flows} flows`);
  if (ports > 2) parts.push(`${ports} ports`);
  return [...parts, method, cacheClass].join(", ");
}
