// A benchmark's result with a bit of everything, made up: shapes are plausible, figures mean nothing.

import type { BenchResult, CacheClass, Spread } from "../../../src/bench/result.js";

export const FRAMES = [64, 128, 256, 512, 1024, 1280, 1518, 9000, "imix"] as const;
/** A name that a shell would be glad of and a browser must not. */
export const HOSTILE = `a<script>alert("&1")</script>'b`;
export const NAMES = ["ringbridge", "testpmd-io", "ovs-normal", "ovs-flow", HOSTILE];

const SPEED = [1, 0.8, 0.4, 0.55, 0.3];

function spread(median: number): Spread {
  return { median, low: median * 0.96, high: median * 1.02, windows: 9 };
}

function rate(backEnd: number, frame: number | "imix", cacheClass: CacheClass): number {
  const bytes = frame === "imix" ? 353 : frame;
  return (SPEED[backEnd]! * 1e9 * (cacheClass === "far" ? 0.5 : 1)) / (60 + bytes * (0.04 + backEnd * 0.03));
}

/** A new one each time, so that a test may change it. */
export function fixture(): BenchResult {
  const result: BenchResult = {
    schema: 1,
    startedAt: "2026-11-23T18:00:00.000Z",
    seconds: 123.4,
    command: "ringbridge bench --backend a=/a.sock,/b.sock",
    environment: {
      cpu: "Example CPU @ 3 GHz",
      cores: 2,
      kernel: "6.1.0",
      node: "20.20.0",
      v8: "11.3.244.8",
      ringbridge: "0.1.0",
      commit: "0123456789abcdef0123456789abcdef01234567",
      wasmHash: "feedfacecafebeef",
      hugePages: true,
    },
    backEnds: NAMES.map((name) => ({ name, description: `what ${name} is`, command: `run ${name}` })),
    throughput: [],
    loss: [],
    latency: [],
    ratios: [],
    discarded: { stalls: 7, moved: 3 },
    notes: ["a note with <b>tags</b>"],
  };
  for (const [i, backEnd] of NAMES.entries()) {
    for (const cacheClass of ["shared-cache", "far"] as const) {
      for (const frame of FRAMES) addThroughput(result, i, frame, cacheClass, 1, 2);
    }
    for (const ports of [4, 8, 16, 32]) addThroughput(result, i, 64, "shared-cache", 1, ports);
    for (const flows of [10, 1000, 30_000]) addThroughput(result, i, 64, "shared-cache", flows, 2);
    for (let step = 1; step <= 12; step++) {
      const capacity = rate(i, 64, "shared-cache");
      const offered = (capacity * step) / 10;
      const received = Math.min(offered, capacity * 0.98);
      result.loss.push({
        backEnd,
        frame: 64,
        cacheClass: "shared-cache",
        offered,
        received,
        drops: { "no-rx-buffer": step },
      });
    }
    for (const load of ["in-flight-1", 0.1, 0.5, 0.9] as const) {
      const p50 = (0.3 + i * 0.2) * (load === 0.9 ? 4 : 1);
      const latency = { p50, p90: p50 * 1.5, p99: p50 * 3, p999: p50 * 20, max: p50 * 400, frames: 100_000 };
      result.latency.push({ backEnd, frame: 64, cacheClass: "shared-cache", load, ...latency });
    }
  }
  return result;
}

function addThroughput(
  result: BenchResult,
  number: number,
  frame: number | "imix",
  cacheClass: CacheClass,
  flows: number,
  ports: number,
): void {
  const backEnd = NAMES[number]!;
  const bytes = frame === "imix" ? 353 : frame;
  const slower = 1 + Math.log2(ports) * 0.02 + Math.log2(flows) * 0.015;
  const framesPerSecond = rate(number, frame, cacheClass) / slower;
  const setting = { backEnd, frame, direction: "one-way" as const, flows, ports, cacheClass };
  result.throughput.push({
    ...setting,
    method: "mrr",
    framesPerSecond: spread(framesPerSecond),
    bitsPerSecond: spread(framesPerSecond * bytes * 8),
    lossRatio: 0.0123,
    cpuSecondsPerMillion: 0.1,
    wrong: 0,
  });
  if (number !== 1) {
    const ratio = rate(number, frame, cacheClass) / rate(1, frame, cacheClass) / slower;
    result.ratios.push({ ...setting, reference: "testpmd-io", ratio: spread(ratio) });
  }
}
