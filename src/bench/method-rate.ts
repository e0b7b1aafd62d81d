// The methods that find a rate: MRR (offered flat out, what arrives is counted), NDR and PDR (the highest offered rate
// with no loss, or at most 0.5 %), and the ratios of back-ends to the reference.

import { bitsPerFrame, describeSetting, type Setting } from "./options.js";
import { isSamePlace } from "./cache-class.js";
import type { CacheClass, ThroughputPoint } from "./result.js";
import { RateSearch } from "./search.js";
import type { Round, Stage } from "./stage.js";
import { groupBy, scaled, spreadOf } from "./statistics.js";
import { flatOut, paced } from "./traffic-loops.js";
import type { WindowPlan, WindowResult } from "./window.js";

/** Windows that are left out are taken again, but not for ever. */
const TRIES_PER_WINDOW = 4;
/** Share of a window that goes before it uncounted. */
export const WARM_UP = 0.1;
/** Most windows of one search. Usually there are about 16. */
const SEARCH_WINDOWS = 60;
const PDR_LOSS = 0.005;

/** Frames per second of a back-end on cores of a class, found before. */
export class Rates {
  private readonly rates = new Map<string, number>();

  set(backEnd: number, cacheClass: CacheClass, rate: number): void {
    this.rates.set(`${backEnd} ${cacheClass}`, rate);
  }

  get(backEnd: number, cacheClass: CacheClass): number | undefined {
    return this.rates.get(`${backEnd} ${cacheClass}`);
  }

  /** That of the class, else the highest of any. */
  nearest(backEnd: number, cacheClass: CacheClass): number | undefined {
    const all = [...this.rates].flatMap(([key, rate]) => (key.startsWith(`${backEnd} `) ? [rate] : []));
    return this.get(backEnd, cacheClass) ?? (all.length > 0 ? Math.max(...all) : undefined);
  }
}

/** MRR. With `report` false only the rates are wanted, for the methods that start from them. */
export async function measureMrr(stage: Stage, setting: Setting, report: boolean): Promise<Rates> {
  const { duration } = stage.options;
  const windows = report ? stage.options.windows : Math.min(3, stage.options.windows);
  const ns = duration * 1e9;
  const plan: WindowPlan = {
    warmUp: (lanes) => void flatOut(lanes, ns * WARM_UP),
    loop: (lanes) => flatOut(lanes, ns),
  };
  const enough = (rounds: readonly Round[]) =>
    stage.subjects.every((_, b) => rounds.filter((round) => round[b]).length >= windows);
  const rounds = await stage.rounds(setting, windows * TRIES_PER_WINDOW, "MRR", () => plan, enough);
  const rates = new Rates();
  for (const [b, name] of stage.names.entries()) {
    const taken = rounds.flatMap((round) => round[b] ?? []);
    if (taken.length === 0) {
      const advice = "the machine is busy: give the benchmark more of it (--nice -20), or allow for it (--stall)";
      stage.note(`${name}, ${describeSetting(setting)}: every window was disturbed; ${advice}`);
    }
    for (const [cacheClass, group] of groupBy(taken, (window) => window.cacheClass)) {
      const point = mrrPoint(name, setting, group);
      rates.set(b, cacheClass, point.framesPerSecond.median);
      if (report) stage.result.throughput.push(point);
    }
  }
  if (report) compare(stage, setting, rounds);
  return rates;
}

/** NDR or PDR. */
export async function measureRate(
  stage: Stage,
  setting: Setting,
  method: "ndr" | "pdr",
  ceilings: Rates,
  report: boolean,
): Promise<Rates> {
  const { duration, queueSize } = stage.options;
  const ns = duration * 1e9;
  const lossMax = method === "pdr" ? PDR_LOSS : 0;
  const searches = stage.names.map(() => new Map<CacheClass, Search>());
  let latest: (Search | undefined)[] = [];
  const plan = (b: number, cacheClass: CacheClass): WindowPlan | undefined => {
    const ceiling = ceilings.nearest(b, cacheClass);
    if (ceiling === undefined || ceiling === 0) return undefined;
    const search = searches[b]!.get(cacheClass) ?? { rates: new RateSearch({ ceiling, lossMax }), windows: [] };
    searches[b]!.set(cacheClass, search);
    latest[b] = search;
    const rate = search.rates.next;
    return rate === undefined ? undefined : pacedPlan(ns, rate);
  };
  // A search has ended when the one of the class that the cores are in now has.
  const enough = (rounds: readonly Round[]) => {
    for (const [b, window] of rounds.at(-1)?.entries() ?? []) {
      const search = latest[b];
      const rate = search?.rates.next;
      if (!window || !search || rate === undefined) continue;
      // A pause of the generator for which no ring has room may have lost frames by itself.
      const disturbed = window.gapNs > (queueSize / rate) * 1e9;
      search.rates.add(window.sent + window.unsent, window.lost + window.unsent, disturbed);
      search.windows.push(window);
    }
    const done = rounds.length > 0 && stage.subjects.every((_, b) => !latest[b] || latest[b].rates.next === undefined);
    latest = [];
    return done;
  };
  await stage.rounds(setting, SEARCH_WINDOWS, method.toUpperCase(), plan, enough);
  const found = new Rates();
  for (const [b, name] of stage.names.entries()) {
    for (const [cacheClass, search] of searches[b]!) {
      const { passed, failed } = search.rates.found;
      if (search.rates.next !== undefined) {
        stage.note(`${name}, ${describeSetting(setting)}, ${method.toUpperCase()}: the search was not finished`);
        if (passed === 0) continue;
      }
      found.set(b, cacheClass, passed);
      if (!report) continue;
      const { lossRatio, windows } = search.rates.found;
      const framesPerSecond = { median: passed, low: passed, high: failed ?? passed, windows };
      stage.result.throughput.push({
        ...{ backEnd: name, ...setting, cacheClass, method, framesPerSecond, lossRatio },
        bitsPerSecond: scaled(framesPerSecond, bitsPerFrame(setting.frame)),
        wrong: sum(search.windows, (window) => window.wrong),
      });
    }
  }
  return found;
}

interface Search {
  rates: RateSearch;
  windows: WindowResult[];
}

/** A window at a rate, behind a short one at the same rate that has arrived completely. */
export function pacedPlan(ns: number, framesPerSecond: number): WindowPlan {
  return {
    warmUp: (lanes) => void paced(lanes, ns * WARM_UP, framesPerSecond),
    drained: true,
    loop: (lanes) => paced(lanes, ns, framesPerSecond),
  };
}

/** The point that windows of one class amount to. */
function mrrPoint(backEnd: string, setting: Setting, windows: readonly WindowResult[]): ThroughputPoint {
  const sent = sum(windows, (window) => window.sent);
  const point: ThroughputPoint = {
    backEnd,
    ...setting,
    cacheClass: windows[0]!.cacheClass,
    method: "mrr",
    framesPerSecond: spreadOf(windows.map(({ received, seconds }) => received / seconds)),
    bitsPerSecond: scaled(spreadOf(windows.map(({ bytes, seconds }) => bytes / seconds)), 8),
    // What was under way when a window began can make it a little less than nothing.
    lossRatio:
      sent > 0
        ? Math.max(
            0,
            sum(windows, (window) => window.lost),
          ) / sent
        : 0,
    wrong: sum(windows, (window) => window.wrong),
  };
  const timed = windows.filter(({ cpuSeconds }) => cpuSeconds !== undefined);
  const received = sum(timed, (window) => window.received);
  if (received > 0) point.cpuSecondsPerMillion = sum(timed, ({ cpuSeconds }) => cpuSeconds!) / (received / 1e6);
  return point;
}

/** Ratios to the reference, round by round, where both ran on cores equally near. */
function compare({ names, options, result }: Stage, setting: Setting, rounds: readonly Round[]): void {
  const reference = names.indexOf(options.reference ?? "");
  if (reference < 0) return;
  for (const [b, backEnd] of names.entries()) {
    if (b === reference) continue;
    const pairs = rounds.flatMap((round) => ratioOf(round[b], round[reference]));
    for (const [cacheClass, group] of groupBy(pairs, (pair) => pair.cacheClass)) {
      const ratio = spreadOf(group.map((pair) => pair.ratio));
      result.ratios.push({ backEnd, reference: names[reference]!, ...setting, cacheClass, ratio });
    }
  }
}

/** The ratio of two neighbouring windows, if they can be compared. */
export function ratioOf(mine: WindowResult | undefined, other: WindowResult | undefined) {
  if (!mine || !other || !isSamePlace(mine.roundTripNs, other.roundTripNs) || other.received === 0) return [];
  const ratio = mine.received / mine.seconds / (other.received / other.seconds);
  return [{ cacheClass: mine.cacheClass, ratio }];
}

function sum(windows: readonly WindowResult[], value: (window: WindowResult) => number): number {
  return windows.reduce((total, window) => total + value(window), 0);
}
