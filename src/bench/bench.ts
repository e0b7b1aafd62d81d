// A benchmark run: starts what is ours, attaches the generator to every back-end, and takes their windows in turn.

import { setImmediate } from "node:timers/promises";
import { frameSizes } from "../guest/traffic.js";
import { pinThread, setSessionPriority, setThreadPriority } from "../sys/affinity.js";
import { BackEnd } from "./back-end.js";
import { isSamePlace } from "./cache-class.js";
import { CoreProbe } from "./core-probe.js";
import { describeEnvironment } from "./environment.js";
import { type BenchOptions, bufferFrame, checkOptions, describeSetting, type Setting, settingsOf } from "./options.js";
import type { BenchResult, ThroughputPoint } from "./result.js";
import { flowsOfGuest, Rig } from "./rig.js";
import { groupBy, scaled, spreadOf } from "./statistics.js";
import { announce, flatOut } from "./traffic-loops.js";
import { type Bench, lanesOf, takeWindow, type WindowOptions, type WindowResult } from "./window.js";

/** Windows that are left out are taken again, but not for ever. */
const TRIES_PER_WINDOW = 2;
/** Share of a window that goes before it uncounted. */
const WARM_UP = 0.1;
/** What a window takes beside its traffic: probes, starting and holding processes. Seconds. */
const WINDOW_OVERHEAD = 0.02;

export interface BenchHooks {
  /** A line about what is going on. */
  progress(text: string): void;
  /** True once the run shall end early, with what it has. */
  interrupted(): boolean;
}

/** Seconds that a run takes if no window has to be taken again. */
export function estimateSeconds(options: BenchOptions): number {
  const window = options.duration * (1 + WARM_UP) + WINDOW_OVERHEAD;
  return settingsOf(options).length * options.backEnds.length * options.windows * window;
}

/** Runs it all. Rejects with a sentence when a back-end cannot be started, attached to, or is lost on the way. */
export async function runBench(options: BenchOptions, command: string, hooks: BenchHooks): Promise<BenchResult> {
  checkOptions(options);
  const run = new BenchRun(options, command, hooks);
  try {
    await run.start();
    await run.measure();
    return run.finish();
  } finally {
    await run.close();
  }
}

/** One window of each back-end, taken one after the other; undefined where it was left out. */
type Round = (WindowResult | undefined)[];

class BenchRun {
  private readonly startedAt = new Date();
  private readonly begun = performance.now();
  private readonly result: BenchResult;
  private readonly backEnds: BackEnd[] = [];
  /** Of this process's session, before it was changed. */
  private sessionNice: number | undefined;
  private probe: CoreProbe | undefined;
  private rig: Rig | undefined;
  private shape = "";
  private benches: Bench[] = [];

  constructor(
    private readonly options: BenchOptions,
    command: string,
    private readonly hooks: BenchHooks,
  ) {
    this.result = {
      schema: 1,
      startedAt: this.startedAt.toISOString(),
      seconds: 0,
      command,
      environment: describeEnvironment(options.hugePages),
      backEnds: [],
      throughput: [],
      loss: [],
      latency: [],
      ratios: [],
      discarded: { stalls: 0, moved: 0 },
      notes: [],
    };
  }

  async start(): Promise<void> {
    const { backEnds, ports, queues, flows, workers, poll, cpus, nice } = this.options;
    const most = Math.max(...ports);
    const addresses = Math.max(...flows);
    // Before any other of the same session, so that this value is the old one, and is put back last.
    if (nice !== undefined) this.sessionNice = setSessionPriority(process.pid, nice);
    for (const spec of backEnds) {
      const backEnd = await BackEnd.start(spec, { ports: most, pairs: queues, addresses, workers, poll });
      this.backEnds.push(backEnd);
      backEnd.place(cpus[1], nice);
      this.result.backEnds.push(backEnd.info);
      if (spec.kind === "sockets" && spec.pid === undefined && backEnds.length > 1) {
        this.result.notes.push(`${spec.name} was not held while others were measured: its process is not known`);
      }
    }
    pinThread([cpus[0]]);
    if (nice !== undefined) setThreadPriority(nice);
    this.probe = await CoreProbe.start({ cpu: cpus[1], nice });
  }

  async measure(): Promise<void> {
    for (const setting of settingsOf(this.options)) {
      if (this.hooks.interrupted()) break;
      await this.attach(setting);
      await this.measureRate(setting);
    }
    if (this.hooks.interrupted()) this.result.notes.push("ended early: not everything that was asked for was measured");
  }

  finish(): BenchResult {
    this.result.seconds = (performance.now() - this.begun) / 1000;
    return this.result;
  }

  async close(): Promise<void> {
    for (const backEnd of this.backEnds) {
      if (backEnd.fault === undefined) backEnd.resume();
    }
    await this.rig?.close();
    await Promise.all(this.backEnds.map((backEnd) => backEnd.close()));
    await this.probe?.close();
    if (this.sessionNice !== undefined) setSessionPriority(process.pid, this.sessionNice);
  }

  /** Guests whose queues fit the setting; those of the setting before when they do. */
  private async attach({ frame, flows, ports }: Setting): Promise<void> {
    const { queues, queueSize, hugePages } = this.options;
    const shape = { ports, pairs: queues, queueSize, frameBytes: bufferFrame(frame), flows, hugePages };
    if (JSON.stringify(shape) === this.shape) return;
    for (const backEnd of this.backEnds) backEnd.resume();
    const old = this.rig;
    this.rig = undefined;
    await old?.close();
    const rig = await Rig.attach(
      this.backEnds.map((backEnd) => backEnd.target(ports)),
      shape,
    );
    this.rig = rig;
    this.shape = JSON.stringify(shape);
    this.benches = this.backEnds.map((backEnd, i) => ({ backEnd, guests: rig.guests[i]!, driver: rig.driver }));
    for (const backEnd of this.backEnds) backEnd.hold();
  }

  /** MRR: frames offered flat out, those that arrive counted. */
  private async measureRate(setting: Setting): Promise<void> {
    const { options } = this;
    const ns = options.duration * 1e9;
    this.prepare(setting);
    const rounds: Round[] = [];
    const taken = this.benches.map(() => 0);
    for (let i = 0; i < options.windows * TRIES_PER_WINDOW && taken.some((count) => count < options.windows); i++) {
      const round = await this.round(i, setting, () => ({
        warmUp: (lanes) => flatOut(lanes, ns * WARM_UP),
        loop: (lanes) => flatOut(lanes, ns),
      }));
      if (!round) return;
      rounds.push(round);
      for (const [b, window] of round.entries()) if (window) taken[b]!++;
    }
    for (const [b, { backEnd }] of this.benches.entries()) {
      const windows = rounds.flatMap((round) => round[b] ?? []);
      if (windows.length === 0) this.note(`${backEnd.name}, ${describeSetting(setting)}: no window was undisturbed`);
      for (const group of groupBy(windows, ({ cacheClass }) => cacheClass).values()) {
        this.result.throughput.push(throughput(backEnd.name, setting, "mrr", group));
      }
    }
    this.compare(setting, rounds);
  }

  /** Sets the frames and lets every address be learned. */
  private prepare(setting: Setting): void {
    for (const bench of this.benches) {
      const { backEnd, guests } = bench;
      backEnd.resume();
      for (const queue of guests.flatMap(({ transmitqs }) => transmitqs)) {
        queue.setTraffic(frameSizes(setting.frame), false);
      }
      const shape = { ports: setting.ports, pairs: this.options.queues, flows: setting.flows };
      announce(lanesOf(bench, "both-ways"), flowsOfGuest(shape));
      backEnd.hold();
    }
  }

  /** One window of each back-end, in turns forwards and backwards; undefined when the run was interrupted. */
  private async round(
    index: number,
    { direction, ...setting }: Setting,
    loops: (bench: number) => Pick<WindowOptions, "warmUp" | "loop">,
  ): Promise<Round | undefined> {
    const order = [...this.benches.keys()];
    if (index % 2 === 1) order.reverse();
    const round: Round = order.map(() => undefined);
    for (const b of order) {
      // The event loop hears of signals and of processes that have ended.
      await setImmediate();
      if (this.hooks.interrupted()) return undefined;
      this.checkAlive();
      const { probe, options } = this;
      const window = takeWindow(this.benches[b]!, { probe: probe!, cpus: options.cpus, direction, ...loops(b) });
      if (window === "stall") this.result.discarded.stalls++;
      else if (window === "moved") this.result.discarded.moved++;
      else round[b] = window;
      const rate = round[b] ? `${(round[b].received / round[b].seconds / 1e6).toFixed(2)} Mpps` : String(window);
      this.hooks.progress(`${describeSetting({ direction, ...setting })}: ${this.benches[b]!.backEnd.name} ${rate}`);
    }
    return round;
  }

  private checkAlive(): void {
    for (const { backEnd, guests } of this.benches) {
      const fault =
        backEnd.fault ?? guests.flatMap((g) => [...g.receiveqs, ...g.transmitqs]).find((q) => q.fault)?.fault;
      if (fault !== undefined) throw new Error(fault === backEnd.fault ? fault : `${backEnd.name}: ${fault}`);
    }
    if (this.rig?.lost) throw this.rig.lost;
  }

  /** Ratios to the reference, round by round, where both ran on cores equally near. */
  private compare(setting: Setting, rounds: readonly Round[]): void {
    const names = this.backEnds.map(({ name }) => name);
    const reference = names.indexOf(this.options.reference ?? "");
    if (reference < 0) return;
    for (const [b, backEnd] of names.entries()) {
      if (b === reference) continue;
      const pairs = rounds.flatMap((round) => {
        const [mine, other] = [round[b], round[reference]];
        if (!mine || !other || !isSamePlace(mine.roundTripNs, other.roundTripNs)) return [];
        const ratio = mine.received / mine.seconds / (other.received / other.seconds);
        return Number.isFinite(ratio) ? [{ cacheClass: mine.cacheClass, ratio }] : [];
      });
      for (const [cacheClass, group] of groupBy(pairs, (pair) => pair.cacheClass)) {
        const ratio = spreadOf(group.map((pair) => pair.ratio));
        this.result.ratios.push({ backEnd, reference: names[reference]!, ...setting, cacheClass, ratio });
      }
    }
  }

  private note(text: string): void {
    if (!this.result.notes.includes(text)) this.result.notes.push(text);
  }
}

/** The point that windows of one class amount to. */
function throughput(
  backEnd: string,
  setting: Setting,
  method: ThroughputPoint["method"],
  windows: readonly WindowResult[],
): ThroughputPoint {
  const sum = (value: (window: WindowResult) => number) => windows.reduce((total, window) => total + value(window), 0);
  const sent = sum((window) => window.sent);
  const point: ThroughputPoint = {
    backEnd,
    ...setting,
    cacheClass: windows[0]!.cacheClass,
    method,
    framesPerSecond: spreadOf(windows.map(({ received, seconds }) => received / seconds)),
    bitsPerSecond: scaled(spreadOf(windows.map(({ bytes, seconds }) => bytes / seconds)), 8),
    lossRatio: sent > 0 ? sum((window) => window.lost) / sent : 0,
    wrong: sum((window) => window.wrong),
  };
  const cpu = windows.flatMap(({ cpuSeconds, received }) =>
    cpuSeconds === undefined ? [] : [{ cpuSeconds, received }],
  );
  const received = cpu.reduce((total, window) => total + window.received, 0);
  if (received > 0) {
    point.cpuSecondsPerMillion = cpu.reduce((total, window) => total + window.cpuSeconds, 0) / (received / 1e6);
  }
  return point;
}
