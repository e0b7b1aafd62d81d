// A scenario in which nothing is left to chance and nothing stands for several: groups become guests, flows for several
// pairs become flows, and what the seed chooses is chosen. The result is a scenario again, so it can be written down.

import type { Fault } from "../testing/faults.js";
import { drawFaults } from "../testing/faults.js";
import { Random } from "../testing/random.js";
import { drawShape, featuresOf } from "../testing/shape.js";
import { shapeOptions, shapeSpec } from "./guest-options.js";
import type { Range } from "./keys.js";
import { ALL, BROADCAST, guestsOf, NEXT, resolve } from "./names.js";
import type { FaultSpec, GuestSpec, Scenario, TrafficSpec } from "./schema.js";

export interface Expanded {
  /** Each guest, flow and fault by itself. Expectations are as they were. */
  scenario: Scenario;
  /** The entry of the file that each guest is of. */
  groups: ReadonlyMap<string, string>;
  /** The flows that each entry of the file has become. */
  flows: ReadonlyMap<string, readonly string[]>;
}

/** Lengths of frames that a seed chooses. */
const DRAWN_SIZES = [60, 1514] as const;

/** Draws and spreads out a checked scenario. The same seed gives the same. */
export function expand(scenario: Scenario, seed: number): Expanded {
  const random = new Random(seed);
  const guests: Record<string, GuestSpec> = {};
  const groups = new Map<string, string>();
  for (const { name, group, spec } of guestsOf(scenario)) {
    guests[name] = drawGuest(spec, random.fork(`guest ${name}`));
    groups.set(name, group);
  }
  const traffic: Record<string, TrafficSpec> = {};
  const flows = new Map<string, readonly string[]>();
  for (const [name, spec] of Object.entries(scenario.traffic ?? {})) {
    const own = spread(scenario, spec, random.fork(`traffic ${name}`));
    const names = own.map((_, i) => (own.length === 1 ? name : `${name}.${i + 1}`));
    for (const [i, flow] of own.entries()) traffic[names[i]!] = flow;
    flows.set(name, names);
  }
  const faults = (scenario.faults ?? []).flatMap((spec, i) => drawFault(scenario, spec, random.fork(`faults ${i}`)));
  const { variants: _, ...rest } = scenario;
  return { scenario: { ...rest, seed, guests, traffic, faults }, groups, flows };
}

function drawGuest({ count: _, shape, ...spec }: GuestSpec, random: Random): GuestSpec {
  if (shape !== "drawn") return spec;
  for (;;) {
    const drawn = { ...shapeSpec(drawShape(random)), ...spec };
    try {
      featuresOf(shapeOptions(drawn));
      return drawn;
    } catch {
      // What was drawn does not go with what the file says: a split ring of 100 entries. The next may.
    }
  }
}

/** The flows that one entry stands for. */
function spread(scenario: Scenario, spec: TrafficSpec, random: Random): TrafficSpec[] {
  const senders = resolve(scenario, spec.from)!;
  const receiversOf = (from: string): (string | undefined)[] => {
    if (spec.to === undefined) return [undefined];
    if (spec.to === BROADCAST) return [BROADCAST];
    if (spec.to === NEXT) return [senders[(senders.indexOf(from) + 1) % senders.length]];
    return resolve(scenario, spec.to)!.filter((to) => to !== from);
  };
  const { flows, ...rest } = spec;
  const draw = (from: string, to: string | undefined): TrafficSpec => ({
    ...rest,
    from,
    ...(to !== undefined && { to }),
    ...(spec.rate !== undefined && { rate: choose(spec.rate, random) }),
    ...(spec.burst !== undefined && { burst: choose(spec.burst, random) }),
    ...(spec.count !== undefined && { count: choose(spec.count, random) }),
    ...(spec.sizes === "drawn" && { sizes: random.integer(...DRAWN_SIZES) }),
  });
  if (flows === undefined) return senders.flatMap((from) => receiversOf(from).map((to) => draw(from, to)));
  const able = senders.filter((from) => receiversOf(from).length > 0);
  return Array.from({ length: choose(flows, random) }, () => {
    const from = random.pick(able);
    return draw(from, random.pick(receiversOf(from)));
  });
}

function drawFault(scenario: Scenario, spec: FaultSpec, random: Random): FaultSpec[] {
  if (spec.draw) {
    const { count, guest = ALL, kinds, until = durationOf(scenario) * 0.8 } = spec.draw;
    const guests = resolve(scenario, guest)!;
    return drawFaults(random, {
      ...{ guests, until, count: choose(count, random) },
      kinds: kinds === undefined ? undefined : [kinds].flat(),
    });
  }
  const { apart = 0, guest, at = 0, ...rest } = spec;
  if (guest === undefined) return [{ ...rest, at }];
  return resolve(scenario, guest)!.map((each, i) => ({ ...rest, guest: each, at: at + i * apart }));
}

function choose(value: Range, random: Random): number {
  if (typeof value === "number") return value;
  const [least, most] = value;
  if (Number.isInteger(least) && Number.isInteger(most)) return random.integer(least, most);
  return least + random.fraction() * (most - least);
}

export function durationOf({ duration = 100 }: Scenario): number {
  return duration;
}

/** The faults of an expanded scenario as the lab takes them. */
export function labFaults(scenario: Scenario): Fault[] {
  return (scenario.faults ?? []) as Fault[];
}
