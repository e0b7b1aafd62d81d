// bench/history.jsonl: one line for each run of `npm run bench:peers`, so that a change of speed has a date.

import { appendFileSync, existsSync, readFileSync } from "node:fs";
import type { FrameSize } from "../../guest/traffic.js";
import type { BenchResult, CacheClass, Direction } from "../result.js";

/** What is kept of a point: enough to draw its trend. Rates in million frames per second. */
export interface HistoryPoint {
  backEnd: string;
  frame: FrameSize;
  direction: Direction;
  cacheClass: CacheClass;
  mpps: number;
  /** Over the reference of that run. */
  ratio?: number;
  reference?: string;
}

export interface HistoryEntry {
  at: string;
  commit?: string;
  ringbridge: string;
  wasmHash: string;
  cpu: string;
  node: string;
  /** Whose driver made the traffic: ours, or DPDK's virtio-user. */
  generator: string;
  points: HistoryPoint[];
}

/**
 * What a run leaves behind: its MRR points between two ports with one flow each way, which every run has. Worthless
 * points (frames changed or out of order) are not kept.
 */
export function historyEntry(result: BenchResult, generator: string): HistoryEntry {
  const { environment } = result;
  const basic = result.throughput.filter(({ method, wrong, ports }) => method === "mrr" && wrong === 0 && ports === 2);
  const fewest = Math.min(...basic.map(({ flows }) => flows));
  const points = basic
    .filter(({ flows }) => flows === fewest)
    .map((point): HistoryPoint => {
      const { backEnd, frame, direction, cacheClass, flows, ports } = point;
      const setting = { backEnd, frame, direction, cacheClass, flows, ports };
      const ratio = result.ratios.find((r) =>
        (Object.keys(setting) as (keyof typeof setting)[]).every((field) => r[field] === setting[field]),
      );
      return {
        ...{ backEnd, frame, direction, cacheClass, mpps: round(point.framesPerSecond.median / 1e6) },
        ...(ratio ? { ratio: round(ratio.ratio.median), reference: ratio.reference } : {}),
      };
    });
  return {
    at: result.startedAt,
    ...(environment.commit === undefined ? {} : { commit: environment.commit }),
    ringbridge: environment.ringbridge,
    wasmHash: environment.wasmHash,
    cpu: environment.cpu,
    node: environment.node,
    generator,
    points,
  };
}

/** Adds one line. */
export function appendHistory(path: string, entry: HistoryEntry): void {
  appendFileSync(path, `${JSON.stringify(entry)}\n`);
}

/** All entries, oldest first; none when there is no such file. Throws with the number of a line that is no entry. */
export function readHistory(path: string): HistoryEntry[] {
  if (!existsSync(path)) return [];
  return readFileSync(path, "utf8")
    .split("\n")
    .flatMap((line, i) => (line.trim() === "" ? [] : [parseEntry(line, `${path}:${i + 1}`)]));
}

function parseEntry(line: string, where: string): HistoryEntry {
  let entry: Partial<HistoryEntry> | null = null;
  try {
    entry = JSON.parse(line) as Partial<HistoryEntry> | null;
  } catch {
    // Reported below, with what is not JSON at all.
  }
  if (typeof entry?.at !== "string" || !Array.isArray(entry.points)) {
    throw new Error(`${where}: this line is no benchmark run: remove it`);
  }
  return entry as HistoryEntry;
}

function round(value: number): number {
  return Number(value.toPrecision(4));
}
