// What a run came to, as plain values: for tables, the report and programs.

import { MILLISECOND } from "../testing/clock.js";
import { countsOf, type Finished, flowsNamed, sorted, sortedQuantile, sum } from "./metrics.js";
import { dropsOf, type Samples } from "./samples.js";

export interface GuestResult {
  name: string;
  group: string;
  sent: number;
  refused: number;
  received: number;
  /** Drops that are not 0, by cause. */
  drops: Record<string, number>;
  kicks: number;
  calls: number;
  /** Why the switch has stopped a ring of it. */
  fault: string | undefined;
}

/** Of an entry of the file, all its flows together. Times in milliseconds; undefined when nothing arrived. */
export interface FlowResult {
  name: string;
  flows: number;
  sent: number;
  refused: number;
  received: number;
  reordered: number;
  latency: { p50: number; p90: number; p99: number; most: number } | undefined;
  /** Pairs of latency and the share of frames that took no longer. */
  distribution: [milliseconds: number, share: number][];
}

export interface LinkResult {
  name: string;
  carried: number;
  lost: number;
  overflowed: number;
  refused: number;
}

export interface RunResult {
  variant: string | undefined;
  /** Milliseconds of the lab's time until all was at rest. */
  milliseconds: number;
  /** Frames that left a guest's hands, answers and floods included once. */
  frames: number;
  guests: GuestResult[];
  flows: FlowResult[];
  links: LinkResult[];
  drops: Record<string, number>;
  samples: Samples;
}

/** The plain values of a run. */
export function resultOf(run: Finished): RunResult {
  const { variant, network, expanded, sampler } = run;
  const guests = [...network.guests].map(([name, guest]): GuestResult => {
    const { sent, refused, receivedCount: received, kicks, calls, fault } = guest;
    return {
      name,
      group: expanded.groups.get(name)!,
      sent,
      refused,
      received,
      drops: guest.drops(),
      kicks,
      calls,
      fault,
    };
  });
  const links = [...network.links].map(([name, { forth, back }]): LinkResult => {
    const both = (key: "carried" | "lost" | "overflowed" | "refused") => forth[key] + back[key];
    return {
      name,
      carried: both("carried"),
      lost: both("lost"),
      overflowed: both("overflowed"),
      refused: both("refused"),
    };
  });
  return {
    ...{ variant, milliseconds: network.clock.now / MILLISECOND, frames: sum(guests, ({ sent }) => sent) },
    ...{ guests, flows: [...expanded.flows.keys()].map((name) => flowResult(run, name)), links },
    ...{ drops: dropsOf(network), samples: sampler.samples },
  };
}

const SHARES = [0, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99, 0.999, 1];

function flowResult(run: Finished, name: string): FlowResult {
  const counts = flowsNamed(run, name).map(countsOf);
  const times = sorted(counts.map((each) => each.times));
  const at = (quantile: number) => sortedQuantile(times, quantile)!;
  return {
    ...{ name, flows: run.expanded.flows.get(name)!.length },
    ...{ sent: sum(counts, ({ sent }) => sent), refused: sum(counts, ({ refused }) => refused) },
    ...{ received: sum(counts, ({ received }) => received), reordered: sum(counts, ({ reordered }) => reordered) },
    latency: times.length === 0 ? undefined : { p50: at(0.5), p90: at(0.9), p99: at(0.99), most: at(1) },
    distribution: times.length === 0 ? [] : SHARES.map((share) => [at(share), share]),
  };
}
