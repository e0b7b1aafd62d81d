// One window: a stretch of traffic through one back-end, with what happened to every frame, between two probes of how
// near the cores are. A window that the machine disturbed is not a measurement and is left out.

import { readFileSync } from "node:fs";
import type { BackEnd } from "./back-end.js";
import { classOf, classOfWindow } from "./cache-class.js";
import type { CoreProbe } from "./core-probe.js";
import { mergedHistogram } from "./latency.js";
import type { CacheClass, Direction } from "./result.js";
import type { RigGuest } from "./rig.js";
import { drain, type Lane, type Lanes, type LoopTimes } from "./traffic-loops.js";
import type { DriverExports } from "../guest/driver.js";

/** Share of a core that the hypervisor may give to others. */
const STEAL_MAX = 0.05;
/** The kernel's unit in /proc/stat, USER_HZ. */
const TICK_SECONDS = 0.01;

/** A back-end with its guests. */
export interface Subject {
  backEnd: BackEnd;
  guests: readonly RigGuest[];
  driver: DriverExports;
}

export interface WindowResult {
  cacheClass: CacheClass;
  roundTripNs: number;
  /** Seconds in which frames were offered, frames and bytes received in them. */
  seconds: number;
  received: number;
  bytes: number;
  /**
   * To the last straggler: sent, and of them never received; not sent for want of room in the ring. With the warm-up
   * when nothing was drained behind it.
   */
  sent: number;
  lost: number;
  unsent: number;
  /** Changed, twice or out of order; and of other guests, or nobody's: flooded. */
  wrong: number;
  foreign: number;
  /** Longest time that the generator stood still. */
  gapNs: number;
  cpuSeconds?: number;
  /** The driver's histogram of latencies, where it was asked for. */
  latencies?: number[];
}

/** What runs in a window. */
export interface WindowPlan {
  /** Runs before the counting starts; with `drained`, all of it has arrived before the loop begins. */
  warmUp: (lanes: Lanes) => void;
  drained?: boolean;
  loop: (lanes: Lanes) => LoopTimes;
  latencies?: boolean;
}

export interface WindowOptions {
  probe: CoreProbe;
  cpus: readonly number[];
  /** A window in which generator or back-end stood still for longer is left out. */
  stallMs: number;
  direction: Direction;
  /** What to run when the cores are of this class; undefined: nothing. */
  plan: (cacheClass: CacheClass) => WindowPlan | undefined;
}

/** The window's result, or why there is none. */
export function takeWindow(subject: Subject, options: WindowOptions): WindowResult | "moved" | "stall" | "skipped" {
  const { backEnd, guests } = subject;
  const { probe, cpus } = options;
  const lanes = lanesOf(subject, options.direction);
  const roundTripNs = probe.roundTripNs();
  const plan = options.plan(classOf(roundTripNs));
  if (!plan) return "skipped";
  backEnd.resume();
  let first = count(guests);
  plan.warmUp(lanes);
  if (plan.drained) {
    drain(lanes);
    first = count(guests);
  }
  const before = plan.latencies ? histogramOf(lanes) : [];
  const steal = stolenSeconds(cpus);
  const start = count(guests);
  const cpu = backEnd.cpuSeconds();
  const times = plan.loop(lanes);
  const cpuAfter = backEnd.cpuSeconds();
  const end = count(guests);
  const stolen = stolenSeconds(cpus) - steal;
  drain(lanes);
  const last = count(guests);
  backEnd.hold();
  const cacheClass = classOfWindow(roundTripNs, probe.roundTripNs());
  const seconds = times.ns / 1e9;
  // A back-end that forwards nothing at all is a finding, one that pauses is a disturbance.
  const stallNs = options.stallMs * 1e6;
  const silent = times.received > 0 && times.silenceNs > stallNs;
  if (times.gapNs > stallNs || silent || stolen > Math.max(STEAL_MAX * seconds, TICK_SECONDS)) return "stall";
  if (cacheClass === undefined) return "moved";
  const result: WindowResult = {
    cacheClass,
    roundTripNs,
    seconds,
    received: times.received,
    bytes: end.bytes - start.bytes,
    sent: last.sent - first.sent,
    lost: last.sent - first.sent - (last.good - first.good),
    unsent: times.unsent,
    wrong: last.wrong - first.wrong,
    foreign: last.foreign - first.foreign,
    gapNs: times.gapNs,
  };
  if (plan.latencies) result.latencies = histogramOf(lanes).map((frames, i) => frames - before[i]!);
  if (cpu !== undefined && cpuAfter !== undefined) result.cpuSeconds = cpuAfter - cpu;
  return result;
}

/** The queues that send, and all where something may arrive. */
export function lanesOf({ guests, driver }: Subject, direction: Direction): Lanes {
  const lane = (guest: RigGuest, pair: number, queue: "transmitqs" | "receiveqs"): Lane => ({
    queue: guest[queue][pair]!,
    pointer: guest[queue][pair]!.pointer,
    kick: () => guest.frontEnd.kick(2 * pair + (queue === "transmitqs" ? 1 : 0)),
  });
  const of = (queue: "transmitqs" | "receiveqs", which: (guest: number) => boolean) =>
    guests.flatMap((guest, i) => (which(i) ? guest[queue].map((_, pair) => lane(guest, pair, queue)) : []));
  return {
    driver,
    tx: of("transmitqs", (guest) => direction === "both-ways" || guest % 2 === 0),
    rx: of("receiveqs", (guest) => direction === "both-ways" || guest % 2 === 1),
  };
}

function histogramOf({ rx }: Lanes): number[] {
  return mergedHistogram(rx.map(({ queue }) => queue.latencies()));
}

/** Totals of all guests since they were attached. */
function count(guests: readonly RigGuest[]) {
  const totals = { sent: 0, good: 0, bytes: 0, wrong: 0, foreign: 0 };
  for (const { transmitqs, receiveqs } of guests) {
    for (const queue of transmitqs) totals.sent += queue.counters().frames;
    for (const queue of receiveqs) {
      const { frames, bytes, corrupt, foreign, duplicates, reordered, stale } = queue.counters();
      totals.good += frames - corrupt - foreign - duplicates - stale;
      totals.bytes += bytes;
      totals.wrong += corrupt + duplicates + reordered + stale;
      totals.foreign += foreign;
    }
  }
  return totals;
}

/** Seconds that the hypervisor has taken from these CPUs. */
function stolenSeconds(cpus: readonly number[]): number {
  const lines = readFileSync("/proc/stat", "utf8").split("\n");
  const ticks = cpus.map((cpu) => Number(lines.find((line) => line.startsWith(`cpu${cpu} `))?.split(" ")[8] ?? 0));
  return ticks.reduce((sum, each) => sum + each, 0) * TICK_SECONDS;
}
