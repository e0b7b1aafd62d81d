// Ways to make a scenario smaller. Each is asked for its candidates one place after the other: one to be tried, "skip"
// when there is nothing to be had at that place, undefined behind the last. A candidate that fails too takes the scenario's
// place, and the same place is asked again.
//
// Of two variants that are compared, what both have is taken from both; a setting in which they differ may also go from one
// alone, for then they differ in less.

import { durationOf } from "./expand.js";
import type { FaultSpec, GuestSpec, Scenario, TrafficSpec } from "./schema.js";
import { changed, type Cut, namesIn } from "./shrink-cut.js";
import { withoutFlow, withoutGuest } from "./shrink-names.js";

export type Step = (cut: Cut, place: number) => Cut | "skip" | undefined;

/** Faults in pieces: all, halves, quarters, … one by one. */
const fewerFaults: Step = (cut, place) => {
  const faults = faultsIn(cut);
  const piece = pieceAt(faults.length, place);
  if (!piece) return undefined;
  const gone = new Set(faults.slice(piece.from, piece.to));
  return changed(cut, (network) => {
    const keys = faultKeys(network);
    return { ...network, faults: (network.faults ?? []).filter((_, i) => !gone.has(keys[i]!)) };
  });
};

const fewerFlows: Step = (cut, place) => {
  const names = namesIn(cut, "traffic");
  const piece = pieceAt(names.length, place);
  if (!piece) return undefined;
  let less: Cut | undefined = cut;
  for (const name of names.slice(piece.from, piece.to)) less = less && withoutFlow(less, name);
  return less ?? "skip";
};

const fewerGuests: Step = (cut, place) => {
  const name = namesIn(cut, "guests")[place];
  return name === undefined ? undefined : (withoutGuest(cut, name) ?? "skip");
};

const fewerLinks: Step = (cut, place) => {
  const name = namesIn(cut, "links")[place];
  if (name === undefined) return undefined;
  const needed = cut.expect.some(({ link, times }) => link !== undefined || times?.link !== undefined);
  if (needed) return "skip";
  return changed(cut, (network) => {
    const { [name]: _, ...links } = network.links ?? {};
    return { ...network, links };
  });
};

const COUNT_UNKNOWN = 4096;

/** Half the frames of a flow, and when that is too few, one less. */
const fewerFrames =
  (less: (count: number) => number): Step =>
  (cut, place) => {
    const name = namesIn(cut, "traffic")[place];
    if (name === undefined) return undefined;
    const fewer = changedFlow(cut, name, (spec) => {
      if (spec.kind === "replay") return undefined;
      const count = spec.count as number | undefined;
      if (count === undefined) return { ...spec, count: COUNT_UNKNOWN };
      return less(count) < count ? { ...spec, count: less(count) } : undefined;
    });
    return fewer ?? "skip";
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
const plainerFlows: Step = (cut, place) => {
  const settings = namesIn(cut, "traffic").flatMap((name) =>
    PLAIN_FLOW.flatMap((key) => placesOf(cut, ({ traffic }) => traffic?.[name]?.[key], { name, key })),
  );
  const setting = settings[place];
  if (setting === undefined) return undefined;
  const { name, key, where } = setting;
  const plainer = changedFlow(cut, name, (spec, network) => {
    const { [key]: value, ...rest } = spec;
    // What belongs to requests or to a replay goes with its kind, which is another experiment.
    const bound = value === "requests" || value === "replay";
    return value === undefined || bound || !where.includes(network) ? undefined : (rest as TrafficSpec);
  });
  return plainer ?? "skip";
};

/** A guest without one of its settings. */
const plainerGuests: Step = (cut, place) => {
  const settings = namesIn(cut, "guests").flatMap((name) => {
    const keys = new Set(cut.networks.flatMap(({ guests }) => Object.keys(guests[name] ?? {}) as (keyof GuestSpec)[]));
    return [...keys].flatMap((key) => placesOf(cut, ({ guests }) => guests[name]?.[key], { name, key }));
  });
  const setting = settings[place];
  if (setting === undefined) return undefined;
  const { name, key, where } = setting;
  if (key === "switch") return "skip";
  const plainer = changed(cut, (network) => {
    if (network.guests[name]?.[key] === undefined || !where.includes(network)) return undefined;
    const { [key]: _, ...rest } = network.guests[name];
    const spec: GuestSpec = rest;
    // A packed ring may have any size, a split one may not.
    if (key === "ring") spec.size = powerOfTwo(spec.size ?? 256);
    return { ...network, guests: { ...network.guests, [name]: spec } };
  });
  return plainer ?? "skip";
};

const SHORTER_FAULTS: readonly ((fault: FaultSpec) => FaultSpec)[] = [
  ({ queue: _, ...fault }) => fault as FaultSpec,
  (fault) => ({ ...fault, at: 0 }),
  (fault) => ({ ...fault, at: Math.floor((fault.at ?? 0) / 2) }),
  (fault) => ({ ...fault, at: Math.floor(fault.at ?? 0) }),
  (fault) => (fault.for === undefined ? fault : { ...fault, for: Math.ceil(fault.for) }),
];

/** Faults that come earlier, in round numbers, and without what is not needed. */
const plainerFaults: Step = (cut, place) => {
  const key = faultsIn(cut)[Math.floor(place / SHORTER_FAULTS.length)];
  if (key === undefined) return undefined;
  const plainer = changed(cut, (network) => {
    const at = faultKeys(network).indexOf(key);
    const fault = network.faults?.[at];
    const shorter = fault && SHORTER_FAULTS[place % SHORTER_FAULTS.length]!(fault);
    if (JSON.stringify(shorter) === JSON.stringify(fault)) return undefined;
    return { ...network, faults: network.faults!.map((each, i) => (i === at ? shorter! : each)) };
  });
  return plainer ?? "skip";
};

const SHORTEST_MS = 1;

const shorter: Step = (cut, place) => {
  if (place > 0) return undefined;
  return changed(cut, (network) => {
    const half = Math.ceil(durationOf(network) / 2);
    return half >= SHORTEST_MS && half < durationOf(network) ? { ...network, duration: half } : undefined;
  });
};

/** Switches that have lost their links and guests. */
const fewerSwitches: Step = (cut, place) => {
  const name = [...new Set(cut.networks.flatMap(({ switches }) => switches ?? []))][place];
  if (name === undefined) return undefined;
  const less = changed(cut, (network) => {
    const all = [network.switches ?? []].flat();
    const used =
      Object.values(network.links ?? {}).some(({ between }) => between.includes(name)) ||
      Object.values(network.guests).some((guest) => (guest.switch ?? all[0]) === name);
    const free = all.length > 1 && all.includes(name) && !used;
    return free ? { ...network, switches: all.filter((each) => each !== name) } : undefined;
  });
  return less ?? "skip";
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

/** The same change of a flow in each network in which it does something. Undefined when it does nothing. */
function changedFlow(
  cut: Cut,
  name: string,
  change: (spec: TrafficSpec, network: Scenario) => TrafficSpec | undefined,
): Cut | undefined {
  return changed(cut, (network) => {
    const spec = network.traffic?.[name];
    const other = spec && change(spec, network);
    return other && { ...network, traffic: { ...network.traffic, [name]: other } };
  });
}

/** Where a setting can be taken away: in all networks, and where they differ in it also in each by itself. */
function placesOf<T>({ networks }: Cut, value: (network: Scenario) => unknown, setting: T) {
  const differ = new Set(networks.map((network) => JSON.stringify(value(network)))).size > 1;
  const places = differ ? [networks, ...networks.map((network) => [network])] : [networks];
  return places.map((where) => ({ ...setting, where }));
}

/** What the faults of a network are known by in all of them: what they say, and how many before them say the same. */
function faultKeys({ faults = [] }: Scenario): string[] {
  const texts = faults.map((fault) => JSON.stringify(fault));
  return texts.map((text, i) => `${text} ${texts.slice(0, i).filter((each) => each === text).length}`);
}

function faultsIn({ networks }: Cut): string[] {
  return [...new Set(networks.flatMap(faultKeys))];
}

/** The next one that is not smaller. */
function powerOfTwo(size: number): number {
  let power = 1;
  while (power < size) power *= 2;
  return power;
}
