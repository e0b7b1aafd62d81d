// The methods that offer a given load: loss over load, and latency, open-loop at shares of the PDR and with one frame
// in flight.

import { ExactLatencies, histogramQuantile, mergedHistogram, percentiles } from "./latency.js";
import { pacedPlan, type Rates, WARM_UP } from "./method-rate.js";
import type { Setting } from "./options.js";
import type { CacheClass, LatencyPoint } from "./result.js";
import type { Round, Stage } from "./stage.js";
import { groupBy, quantileOf } from "./statistics.js";
import { oneInFlight } from "./traffic-loops.js";
import type { WindowResult } from "./window.js";

/** Of what arrives when as much as possible is offered. */
const LOADS = [0.25, 0.5, 0.75, 0.9, 1, 1.1, 1.25, 1.5, 2];
const LATENCY_LOADS = [0.1, 0.5, 0.9] as const;
/** Of the windows of a latency the half in which the generator stood still least is used, but so many at least. */
const LATENCY_WINDOWS_MIN = 3;

/** Loss over load, up to twice what the back-end forwards. */
export async function measureLoss(stage: Stage, setting: Setting, ceilings: Rates): Promise<void> {
  const { duration, windows } = stage.options;
  const { direction, flows, ports, frame } = setting;
  const count = Math.max(1, Math.ceil(windows / 3));
  for (const load of LOADS) {
    const before = await drops(stage);
    const plan = (b: number, cacheClass: CacheClass) => {
      const rate = ceilings.get(b, cacheClass);
      return rate === undefined ? undefined : pacedPlan(duration * 1e9, rate * load);
    };
    const rounds = await stage.rounds(setting, 2 * count, `loss at ${load} of MRR`, plan, enough(stage, count));
    const after = await drops(stage);
    for (const [b, backEnd] of stage.names.entries()) {
      for (const [cacheClass, group] of byClass(rounds, b)) {
        const median = (value: (window: WindowResult) => number) => quantileOf(group.map(value), 0.5);
        const offered = ceilings.get(b, cacheClass)! * load;
        stage.result.loss.push({
          ...{ backEnd, frame, cacheClass, direction, flows, ports, offered },
          received: offered * median(({ sent, lost, unsent }) => (sent - lost) / (sent + unsent)),
          unsent: offered * median(({ sent, unsent }) => unsent / (sent + unsent)),
          ...(before[b] && after[b] ? { drops: difference(before[b], after[b]) } : {}),
        });
      }
    }
  }
}

/** Latency at shares of the PDR, and with one frame in flight. */
export async function measureLatency(stage: Stage, setting: Setting, pdr: Rates): Promise<void> {
  const { duration, windows } = stage.options;
  await measureOneInFlight(stage, setting);
  for (const load of LATENCY_LOADS) {
    const plan = (b: number, cacheClass: CacheClass) => {
      const rate = pdr.get(b, cacheClass);
      return rate === undefined || rate === 0
        ? undefined
        : { ...pacedPlan(duration * 1e9, rate * load), latencies: true };
    };
    const what = `latency at ${load} of PDR`;
    const rounds = await stage.rounds(setting, 2 * windows, what, plan, enough(stage, windows));
    for (const b of stage.subjects.keys()) {
      for (const [cacheClass, group] of byClass(rounds, b)) {
        const histogram = mergedHistogram(calmest(group).map(({ latencies }) => latencies!));
        const frames = histogram.reduce((sum, count) => sum + count, 0);
        if (frames > 0) add(stage, setting, b, cacheClass, load, frames, histogramQuantile(histogram));
      }
    }
  }
  const note =
    "latency under load: of each point's windows the half with the shortest pauses of the generator itself is used";
  stage.note(note);
}

async function measureOneInFlight(stage: Stage, setting: Setting): Promise<void> {
  const { duration, windows } = stage.options;
  const ns = duration * 1e9;
  const found = stage.subjects.map(() => [] as { latencies: ExactLatencies; window?: WindowResult }[]);
  const plan = (b: number) => {
    const latencies = new ExactLatencies();
    found[b]!.push({ latencies });
    return {
      warmUp: (lanes: Parameters<typeof oneInFlight>[0]) => void oneInFlight(lanes, ns * WARM_UP, new ExactLatencies()),
      drained: true,
      loop: (lanes: Parameters<typeof oneInFlight>[0]) => oneInFlight(lanes, ns, latencies),
    };
  };
  const rounds = await stage.rounds(setting, 2 * windows, "one in flight", plan, enough(stage, windows));
  for (const b of stage.subjects.keys()) {
    const taken = rounds.flatMap((round, i) => (round[b] ? [{ ...round[b], exact: found[b]![i]!.latencies }] : []));
    for (const [cacheClass, group] of groupBy(taken, (window) => window.cacheClass)) {
      const all = ExactLatencies.merged(group.map(({ exact }) => exact));
      if (all.count > 0) add(stage, setting, b, cacheClass, "in-flight-1", all.count, (q) => all.quantile(q));
    }
  }
}

function add(
  stage: Stage,
  { frame, direction, flows, ports }: Setting,
  b: number,
  cacheClass: CacheClass,
  load: LatencyPoint["load"],
  frames: number,
  quantileNs: (quantile: number) => number,
): void {
  const backEnd = stage.names[b]!;
  const point = { backEnd, frame, cacheClass, load, ...percentiles(quantileNs), frames, direction, flows, ports };
  stage.result.latency.push(point);
}

/** The half of the windows in which the generator stood still least. */
function calmest(windows: readonly WindowResult[]): WindowResult[] {
  const count = Math.max(LATENCY_WINDOWS_MIN, Math.ceil(windows.length / 2));
  return [...windows].sort((a, b) => a.gapNs - b.gapNs).slice(0, count);
}

function byClass(rounds: readonly Round[], b: number): Map<CacheClass, WindowResult[]> {
  return groupBy(
    rounds.flatMap((round) => round[b] ?? []),
    (window) => window.cacheClass,
  );
}

function enough(stage: Stage, windows: number) {
  return (rounds: readonly Round[]) =>
    stage.subjects.every((_, b) => rounds.filter((round) => round[b]).length >= windows);
}

async function drops(stage: Stage): Promise<(Record<string, number> | undefined)[]> {
  const all: (Record<string, number> | undefined)[] = [];
  for (const { backEnd } of stage.subjects) {
    backEnd.resume();
    all.push(await backEnd.drops());
    backEnd.hold();
  }
  return all;
}

function difference(before: Record<string, number>, after: Record<string, number>): Record<string, number> {
  const changes = Object.entries(after).map(([cause, count]) => [cause, count - (before[cause] ?? 0)] as const);
  return Object.fromEntries(changes.filter(([, count]) => count > 0));
}
