// `ringbridge bench`: measures back-ends with the load driver, shows how far it is, and writes what it found.

import { writeFileSync } from "node:fs";
import { parseBackEnd } from "../bench/back-end.js";
import { estimateSeconds, runBench } from "../bench/bench.js";
import {
  type BenchOptions,
  checkOptions,
  DIRECTIONS,
  describeSetting,
  FLOWS_MAX,
  FRAME_SIZE_MAX,
  FRAME_SIZE_MIN,
  METHODS,
  PORTS_MAX,
  RING_FORMS,
  type RingForm,
} from "../bench/options.js";
import { reportHtml } from "../bench/report/html.js";
import { reportText } from "../bench/report/table.js";
import type { BenchResult, Direction } from "../bench/result.js";
import type { FrameSize } from "../guest/traffic.js";
import { allowedCpus } from "../sys/affinity.js";
import { type Io, UsageError } from "./io.js";

/** As written on the command line; absent ones were not. */
export interface BenchFlags {
  backend?: string[];
  sizes?: string;
  directions?: string;
  flows?: string;
  ports?: string;
  methods?: string;
  duration?: number;
  windows?: number;
  stall?: number;
  reference?: string;
  cpus?: string;
  nice?: number;
  queues?: number;
  queueSize?: number;
  ring?: string;
  payload?: boolean;
  hugePages?: boolean;
  workers?: number;
  poll?: boolean;
  selfTest?: boolean;
  json?: string;
  html?: string;
}

const DEFAULT_SIZES = "64,256,512,1024,1518";
const DEFAULT_WINDOW_SECONDS = 0.15;
const DEFAULT_WINDOWS = 9;
const DEFAULT_QUEUE_SIZE = 256;
/** Less than the least time slice for which Linux gives a core to somebody else. */
const DEFAULT_STALL_MS = 3;
const NULL_BACK_END = "null";

/**
 * Runs a benchmark.
 * @returns exit code 0; 1 when frames arrived changed, twice or out of order, or the run was interrupted
 */
export async function benchCommand(flags: BenchFlags, io: Io): Promise<number> {
  const options = benchOptions(flags);
  const interrupt = untilInterrupt(io);
  const progress = new Progress(io, estimateSeconds(options));
  try {
    const result = await runBench(options, commandLine(flags), {
      progress: (text) => progress.show(text),
      interrupted: () => interrupt.over,
    });
    progress.end();
    if (flags.json !== undefined) writeFileSync(flags.json, `${JSON.stringify(result, null, 2)}\n`);
    if (flags.html !== undefined) writeFileSync(flags.html, reportHtml(result));
    io.stdout.write(`${reportText(result)}\n`);
    if (options.backEnds.some(({ kind }) => kind === "null")) io.stdout.write(`\n${selfTestText(result)}\n`);
    return interrupt.over || (result.wrong ?? 0) > 0 ? 1 : 0;
  } finally {
    progress.end();
    interrupt.forget();
  }
}

/** The flags with all defaults, checked. Throws a UsageError with a sentence. */
export function benchOptions(flags: BenchFlags): BenchOptions {
  try {
    const backEnds = (flags.backend ?? ["ringbridge"]).map(parseBackEnd);
    if (flags.selfTest && !backEnds.some(({ kind }) => kind === "null")) backEnds.push(parseBackEnd(NULL_BACK_END));
    const others = backEnds.filter(({ kind }) => kind === "sockets");
    const ring = word(flags.ring ?? "split", RING_FORMS);
    const options: BenchOptions = {
      backEnds,
      sizes: list("--sizes", flags.sizes ?? DEFAULT_SIZES, frameSize),
      directions: list("--directions", flags.directions ?? "one-way", (text) => word(text, DIRECTIONS)) as Direction[],
      flows: list("--flows", flags.flows ?? "1", (text) => whole(text, 1, FLOWS_MAX)),
      ports: list("--ports", flags.ports ?? "2", evenPorts),
      methods: list("--methods", flags.methods ?? "mrr", (text) => word(text, METHODS)),
      duration: flags.duration ?? DEFAULT_WINDOW_SECONDS,
      windows: flags.windows ?? DEFAULT_WINDOWS,
      stallMs: flags.stall ?? DEFAULT_STALL_MS,
      reference: flags.reference ?? (backEnds.length > 1 ? others[0]?.name : undefined),
      cpus: cpuPair(flags.cpus),
      nice: flags.nice,
      queues: flags.queues ?? 1,
      queueSize: ringSize(flags.queueSize ?? DEFAULT_QUEUE_SIZE, ring),
      ring,
      payload: flags.payload ?? false,
      hugePages: flags.hugePages ?? false,
      workers: flags.workers ?? 1,
      poll: flags.poll ?? false,
    };
    checkOptions(options);
    return options;
  } catch (error) {
    throw new UsageError((error as Error).message);
  }
}

/** The values of a comma-separated flag, each once. */
function list<T>(flag: string, text: string, parse: (word: string) => T): T[] {
  try {
    return [...new Set(text.split(",").map((each) => parse(each.trim())))];
  } catch (error) {
    throw new Error(`${flag} ${text}: ${(error as Error).message}`);
  }
}

function word<T extends string>(text: string, words: readonly T[]): T {
  const found = words.find((each) => each === text);
  if (found === undefined) throw new Error(`"${text}" is none of ${words.join(", ")}`);
  return found;
}

function whole(text: string, least: number, most: number): number {
  const value = Number(text);
  if (!/^\d+$/.test(text) || value < least || value > most) {
    throw new Error(`"${text}" is no whole number from ${least} to ${most}`);
  }
  return value;
}

function frameSize(text: string): FrameSize {
  return text === "imix" || text === "tso" ? text : whole(text, FRAME_SIZE_MIN, FRAME_SIZE_MAX);
}

function evenPorts(text: string): number {
  const ports = whole(text, 2, PORTS_MAX);
  if (ports % 2 !== 0) throw new Error(`"${text}" is odd, and ports work in pairs`);
  return ports;
}

function ringSize(size: number, ring: RingForm): number {
  if (size < 16 || size > 32_768) throw new Error(`--queue-size ${size}: a ring has 16 to 32768 entries`);
  if (ring === "split" && (size & (size - 1)) !== 0) {
    throw new Error(`--queue-size ${size}: a split ring has a power of two of entries; --ring packed takes any number`);
  }
  return size;
}

/** Generator's and back-end's CPU; the first two that this process may use when not given. */
function cpuPair(text: string | undefined): [number, number] {
  const allowed = allowedCpus();
  const cpus = text === undefined ? allowed.slice(0, 2) : list("--cpus", text, (each) => whole(each, 0, 1023));
  const [generator, backEnd] = cpus;
  if (generator === undefined || backEnd === undefined || cpus.length > 2) {
    throw new Error(
      `--cpus ${text ?? ""}: two different CPUs are needed, one for the generator, one for the back-ends`,
    );
  }
  const wrong = cpus.find((cpu) => !allowed.includes(cpu));
  if (wrong !== undefined) throw new Error(`--cpus ${text}: CPU ${wrong} is not among ${allowed.join(", ")}`);
  return [generator, backEnd];
}

/** What a reader can type to measure the same again; output files are left out. */
function commandLine(flags: BenchFlags): string {
  const words = Object.entries(flags).flatMap(([name, value]) => {
    const flag = `--${name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`;
    if (name === "json" || name === "html" || value === undefined) return [];
    if (value === true) return [flag];
    return [value].flat().map((each) => `${flag} ${each}`);
  });
  return ["ringbridge bench", ...words].join(" ");
}

/** What the generator reaches when nothing holds it back, beside the fastest back-end of the same setting. */
export function selfTestText({ throughput }: BenchResult): string {
  const rows = throughput.flatMap((own) => {
    if (own.backEnd !== NULL_BACK_END || own.method !== "mrr") return [];
    const same = ["frame", "direction", "flows", "ports", "cacheClass", "method"] as const;
    const others = throughput.filter(
      (point) => point.backEnd !== NULL_BACK_END && same.every((field) => point[field] === own[field]),
    );
    const [fastest] = others.sort((a, b) => b.framesPerSecond.median - a.framesPerSecond.median);
    const rate = own.framesPerSecond.median;
    const { direction, flows, ports, cacheClass } = own;
    const where = `${describeSetting({ frame: own.frame, direction, flows, ports })}, ${cacheClass}`;
    const text = `${where}: ${(rate / 1e6).toFixed(2)} Mpps`;
    if (!fastest) return [text];
    const factor = (rate / fastest.framesPerSecond.median).toFixed(2);
    return [`${text}, ${factor} × ${fastest.backEnd}`];
  });
  return `The generator against a null back-end:\n  ${rows.join("\n  ")}`;
}

/** One line on standard error that says how far the run is: redrawn on a terminal, else every few seconds. */
class Progress {
  private readonly begun = performance.now();
  private shownAt = Number.NEGATIVE_INFINITY;
  private drawn = false;

  constructor(
    private readonly io: Io,
    private readonly estimate: number,
  ) {
    io.stderr.write(`This takes about ${Math.ceil(estimate)} s. Ctrl-C ends it with what it has.\n`);
  }

  show(text: string): void {
    const now = performance.now();
    const terminal = this.io.stderr.isTTY === true;
    if (now - this.shownAt < (terminal ? 100 : 5000)) return;
    this.shownAt = now;
    const line = `[${Math.round((now - this.begun) / 1000)} of ${Math.ceil(this.estimate)} s] ${text}`;
    this.io.stderr.write(terminal ? `\r\x1b[K${line.slice(0, 110)}` : `${line}\n`);
    this.drawn = terminal;
  }

  end(): void {
    if (this.drawn) this.io.stderr.write("\r\x1b[K");
    this.drawn = false;
  }
}

/** The first Ctrl-C or SIGTERM ends the run with what it has, the second at once (its children follow it). */
function untilInterrupt(io: Io): { readonly over: boolean; forget(): void } {
  let signals = 0;
  const onSignal = () => {
    if (++signals > 1) io.exit(1);
  };
  io.signals.on("SIGINT", onSignal);
  io.signals.on("SIGTERM", onSignal);
  return {
    get over() {
      return signals > 0;
    },
    forget: () => {
      io.signals.off("SIGINT", onSignal);
      io.signals.off("SIGTERM", onSignal);
    },
  };
}
