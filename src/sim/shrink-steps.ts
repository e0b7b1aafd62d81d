// Ways to make a scenario smaller. Each is asked for its candidates one place after the other: a scenario to be tried, "skip"
// when there is nothing to be had at that place, undefined behind the last. A candidate that fails too takes the scenario's
// place, and the same place is asked again.

import { durationOf } from "./expand.js";
import type { FaultSpec, GuestSpec, Scenario, TrafficSpec } from "./schema.js";
import { withoutFlow, withoutGuest } from "./shrink-names.js";

export type Step = (scenario: Scenario, place: number) => Scenario | "skip" | undefined;

/** Faults in pieces: all, halves, quarters, … one by one. */
const fewerFaults: Step = (scenario, place) => {
  const faults = scenario.faults ?? [];
  const piece = pieceAt(faults.length, place);
  return piece && { ...scenario, faults: faults.filter((_, i) => i < piece.from || i >= piece.to) };
};

const fewerFlows: Step = (scenario, place) => {
  const names = Object.keys(scenario.traffic ?? {});
  const piece = pieceAt(names.length, place);
  if (!piece) return undefined;
  let less: Scenario | undefined = scenario;
  for (const name of names.slice(piece.from, piece.to)) less = less && withoutFlow(less, name);
  return less ?? "skip";
};

const fewerGuests: Step = (scenario, place) => {
  const names = Object.keys(scenario.guests);
  return place < names.length ? (withoutGuest(scenario, names[place]!) ?? "skip") : undefined;
};

const fewerLinks: Step = (scenario, place) => {
  const names = Object.keys(scenario.links ?? {});
  if (place >= names.length) return undefined;
  const { [names[place]!]: _, ...links } = scenario.links!;
  const needed = (scenario.expect ?? []).some(({ link, times }) => link !== undefined || times?.link !== undefined);
  return needed ? "skip" : { ...scenario, links };
};

const COUNT_UNKNOWN = 4096;

/** Half the frames of a flow, and when that is too few, one less. */
const fewerFrames =
  (less: (count: number) => number): Step =>
  (scenario, place) => {
    const names = Object.keys(scenario.traffic ?? {});
    if (place >= names.length) return undefined;
    const spec = scenario.traffic![names[place]!]!;
    const count = spec.count as number | undefined;
    if (spec.kind === "replay") return "skip";
    if (count === undefined) return withFlow(scenario, names[place]!, { ...spec, count: COUNT_UNKNOWN });
    const fewer = less(count);
    return fewer < count ? withFlow(scenario, names[place]!, { ...spec, count: fewer }) : "skip";
  };

const PLAIN_FLOW = [
  "burst",
  "start",
  "stop",
  "pair",
  "offload",
  "sizes",
  "kind",
  "think",
  "answer",
  "timeout",
] as const;

/** A flow without one of its settings. */
const plainerFlows: Step = (scenario, place) => {
  const names = Object.keys(scenario.traffic ?? {});
  const name = names[Math.floor(place / PLAIN_FLOW.length)];
  if (name === undefined) return undefined;
  const { [PLAIN_FLOW[place % PLAIN_FLOW.length]!]: setting, ...spec } = scenario.traffic![name]!;
  // What belongs to requests or to a replay goes with its kind, which is another experiment.
  const bound = setting === "requests" || setting === "replay";
  return setting === undefined || bound ? "skip" : withFlow(scenario, name, spec as TrafficSpec);
};

/** A guest without one of its settings. */
const plainerGuests: Step = (scenario, place) => {
  const settings = Object.entries(scenario.guests).flatMap(([name, spec]) =>
    Object.keys(spec).map((key) => ({ name, key: key as keyof GuestSpec })),
  );
  const setting = settings[place];
  if (setting === undefined) return undefined;
  const { [setting.key]: _, ...rest } = scenario.guests[setting.name]!;
  const spec: GuestSpec = rest;
  if (setting.key === "switch") return "skip";
  // A packed ring may have any size, a split one may not.
  if (setting.key === "ring") spec.size = powerOfTwo(spec.size ?? 256);
  return { ...scenario, guests: { ...scenario.guests, [setting.name]: spec } };
};

const SHORTER_FAULTS: readonly ((fault: FaultSpec) => FaultSpec)[] = [
  ({ queue: _, ...fault }) => fault as FaultSpec,
  (fault) => ({ ...fault, at: 0 }),
  (fault) => ({ ...fault, at: Math.floor((fault.at ?? 0) / 2) }),
  (fault) => ({ ...fault, at: Math.floor(fault.at ?? 0) }),
  (fault) => (fault.for === undefined ? fault : { ...fault, for: Math.ceil(fault.for) }),
];

/** Faults that come earlier, in round numbers, and without what is not needed. */
const plainerFaults: Step = (scenario, place) => {
  const faults = scenario.faults ?? [];
  const fault = faults[Math.floor(place / SHORTER_FAULTS.length)];
  if (fault === undefined) return undefined;
  const plainer = SHORTER_FAULTS[place % SHORTER_FAULTS.length]!(fault);
  const same = JSON.stringify(plainer) === JSON.stringify(fault);
  return same ? "skip" : { ...scenario, faults: faults.map((each) => (each === fault ? plainer : each)) };
};

const SHORTEST_MS = 1;

const shorter: Step = (scenario, place) => {
  if (place > 0) return undefined;
  const half = Math.ceil(durationOf(scenario) / 2);
  return half >= SHORTEST_MS && half < durationOf(scenario) ? { ...scenario, duration: half } : undefined;
};

/** Switches that have lost their links and guests. */
const fewerSwitches: Step = (scenario, place) => {
  const all = [scenario.switches ?? []].flat();
  const name = all[place];
  if (name === undefined || all.length < 2) return undefined;
  const used =
    Object.values(scenario.links ?? {}).some(({ between }) => between.includes(name)) ||
    Object.values(scenario.guests).some((guest) => (guest.switch ?? all[0]) === name);
  return used ? "skip" : { ...scenario, switches: all.filter((each) => each !== name) };
};

/** In the order in which they are worth trying: what takes away most comes first. */
export const candidates: readonly Step[] = [
  ...[fewerFaults, fewerFlows, fewerGuests, fewerLinks, fewerSwitches],
  ...[fewerFrames((count) => Math.floor(count / 2)), fewerFrames((count) => count - 1)],
  ...[plainerFlows, plainerGuests, plainerFaults, shorter],
];

/** Of so many things the piece at a place: the whole, two halves, four quarters, … each by itself. */
function pieceAt(count: number, place: number): { from: number; to: number } | undefined {
  if (count === 0) return undefined;
  for (let pieces = 1, first = 0; ; pieces = Math.min(count, pieces * 2)) {
    if (place < first + pieces) {
      const at = (i: number) => Math.floor((i * count) / pieces);
      return { from: at(place - first), to: at(place - first + 1) };
    }
    if (pieces === count) return undefined;
    first += pieces;
  }
}

function withFlow(scenario: Scenario, name: string, spec: TrafficSpec): Scenario {
  return { ...scenario, traffic: { ...scenario.traffic, [name]: spec } };
}

/** The next one that is not smaller. */
function powerOfTwo(size: number): number {
  let power = 1;
  while (power < size) power *= 2;
  return power;
}
