// What a benchmark run found: the JSON that `ringbridge bench --json` writes, that reports are made of and that
// `ringbridge bench compare` reads. Plain data. Rates are frames per second, sizes bytes of an Ethernet frame without
// its check sequence, times microseconds, unless the name says otherwise.

import type { FrameSize } from "../guest/traffic.js";

/** Cores that the generator and the back-end ran on during a window, by the cache-line round trip between them. */
export type CacheClass = "same-core" | "shared-cache" | "far";

export interface Environment {
  cpu: string;
  cores: number;
  kernel: string;
  node: string;
  v8: string;
  /** Version and commit of ringbridge, and the first 16 hex digits of its core module's SHA-256. */
  ringbridge: string;
  commit?: string;
  wasmHash: string;
  hugePages: boolean;
}

export interface BackEndInfo {
  name: string;
  /** What it is, with its version: "ringbridge 0.1.0", "dpdk-testpmd 22.11.11 net_vhost io". */
  description: string;
  /** Command line, where the benchmark started it. */
  command?: string;
}

/** A figure from many short windows: median, and the quartiles as its spread. */
export interface Spread {
  median: number;
  low: number;
  high: number;
  windows: number;
}

export type Direction = "one-way" | "both-ways";

/** How much a back-end forwards. */
export interface ThroughputPoint {
  backEnd: string;
  /** Frame size in bytes, or a mix. */
  frame: FrameSize;
  direction: Direction;
  /** Streams in each direction, each between two MAC addresses of its own; ports of the back-end in use. */
  flows: number;
  ports: number;
  cacheClass: CacheClass;
  /** mrr: offered flat out, frames received; ndr, pdr: highest offered rate with loss of 0 and at most 0.5 %. */
  method: "mrr" | "ndr" | "pdr";
  framesPerSecond: Spread;
  bitsPerSecond: Spread;
  /** Share of the offered frames that did not arrive, at this rate. */
  lossRatio: number;
  /** CPU seconds that the back-end used for a million frames, where it could be read. */
  cpuSecondsPerMillion?: number;
  /** Frames that arrived changed, twice or out of order, in all windows: anything but 0 makes the point worthless. */
  wrong: number;
}

/** Loss at an offered rate. */
export interface LossPoint {
  backEnd: string;
  frame: FrameSize;
  cacheClass: CacheClass;
  direction?: Direction;
  flows?: number;
  ports?: number;
  offered: number;
  received: number;
  /** Of the offered ones, those that were never sent, because the transmitq was full when they were due. */
  unsent?: number;
  /** Drops that the back-end counted, by cause, where it says so. */
  drops?: Record<string, number>;
}

export interface LatencyPoint {
  backEnd: string;
  frame: FrameSize;
  cacheClass: CacheClass;
  /** "in-flight-1": one frame at a time; else the share of the PDR that was offered, open-loop. */
  load: "in-flight-1" | 0.1 | 0.5 | 0.9;
  p50: number;
  p90: number;
  p99: number;
  p999: number;
  max: number;
  frames: number;
  direction?: Direction;
  flows?: number;
  ports?: number;
}

/** Side by side in one run: back-end over reference, from neighbouring windows of the same class. */
export interface RatioPoint {
  backEnd: string;
  reference: string;
  frame: FrameSize;
  direction: Direction;
  flows: number;
  ports: number;
  cacheClass: CacheClass;
  ratio: Spread;
}

export interface BenchResult {
  schema: 1;
  startedAt: string;
  seconds: number;
  command: string;
  environment: Environment;
  backEnds: BackEndInfo[];
  throughput: ThroughputPoint[];
  loss: LossPoint[];
  latency: LatencyPoint[];
  ratios: RatioPoint[];
  /** Windows left out: a stall of the machine, or the cores moved between the probes before and after. */
  discarded: { stalls: number; moved: number };
  /** Frames that arrived changed, twice or out of order, in all windows of the run, those of loss and latency too. */
  wrong?: number;
  notes: string[];
}

/** A result in which nothing was measured yet; it begins now. */
export function emptyResult(command: string, environment: Environment): BenchResult {
  return {
    schema: 1,
    startedAt: new Date().toISOString(),
    seconds: 0,
    command,
    environment,
    backEnds: [],
    throughput: [],
    loss: [],
    latency: [],
    ratios: [],
    discarded: { stalls: 0, moved: 0 },
    notes: [],
  };
}
