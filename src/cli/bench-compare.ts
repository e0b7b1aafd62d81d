// `ringbridge bench compare`: what changed between two results, and whether it is more than noise.

import { readFileSync } from "node:fs";
import { type Comparison, compareResults } from "../bench/compare.js";
import type { BenchResult } from "../bench/result.js";
import { type Io, UsageError } from "./io.js";
import { renderTable } from "./table.js";

export interface CompareFlags {
  failOnRegression?: boolean;
}

/**
 * Compares two JSON files that `ringbridge bench --json` wrote.
 * @returns exit code 0; with failOnRegression 1 when something got worse by more than noise
 */
export function compareCommand(before: string, after: string, flags: CompareFlags, io: Io): number {
  const comparison = compareResults(readResult(before), readResult(after));
  io.stdout.write(`${comparisonText(comparison)}\n`);
  const worse = comparison.changes.some(({ verdict }) => verdict === "worse");
  return flags.failOnRegression && worse ? 1 : 0;
}

function readResult(path: string): BenchResult {
  let result: Partial<BenchResult> | null;
  try {
    result = JSON.parse(readFileSync(path, "utf8")) as Partial<BenchResult> | null;
  } catch (error) {
    throw new UsageError(`cannot read ${path}: ${(error as Error).message}`);
  }
  if (result?.schema !== 1 || !Array.isArray(result.throughput) || !Array.isArray(result.latency)) {
    throw new UsageError(`${path} is no result of a benchmark: give a file that "ringbridge bench --json" wrote`);
  }
  return result as BenchResult;
}

/** The comparison as a table, with what could not be compared. */
export function comparisonText({ changes, onlyBefore, onlyAfter }: Comparison): string {
  const rows = changes.map(({ what, unit, before, after, change, verdict }) => [
    what,
    `${digits(before)} ${unit}`,
    `${digits(after)} ${unit}`,
    `${change > 0 ? "+" : ""}${(change * 100).toFixed(1)} %`,
    verdict,
  ]);
  const right = { align: "right" } as const;
  const columns = [
    ...[{ title: "measured" }, { title: "before", ...right }, { title: "after", ...right }],
    ...[{ title: "change", ...right }, { title: "is" }],
  ];
  const parts = changes.length > 0 ? [renderTable(columns, rows)] : ["The two results have no point in common."];
  if (onlyBefore.length > 0) parts.push(`Only before:\n  ${onlyBefore.join("\n  ")}`);
  if (onlyAfter.length > 0) parts.push(`Only after:\n  ${onlyAfter.join("\n  ")}`);
  return parts.join("\n\n");
}

function digits(value: number): string {
  return value.toPrecision(value >= 100 ? 4 : 3);
}
