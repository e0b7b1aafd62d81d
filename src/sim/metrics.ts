// Values of a run that is over, by the names of metric-names.ts.

import type { LabGuest } from "../testing/guest.js";
import { Exchange } from "../testing/traffic.js";
import type { Expanded } from "./expand.js";
import type { MetricName } from "./metric-names.js";
import { ALL } from "./names.js";
import type { Network, Sending } from "./network.js";
import type { Sampler } from "./samples.js";
import type { SubjectSpec } from "./schema.js";

/** A run that is over. */
export interface Finished {
  variant: string | undefined;
  expanded: Expanded;
  network: Network;
  sampler: Sampler;
  /** Why it did not come to its end: a driver or the judge found what no switch may do. */
  broke: string | undefined;
}

/** Undefined when there is nothing to measure: no frame was received, none was sent. */
export type Value = number | undefined;

/** The flows that an entry of the file has become, as far as they have begun. */
export function flowsNamed({ network, expanded }: Finished, names: string | readonly string[]): Sending[] {
  const own = [names].flat().flatMap((name) => expanded.flows.get(name) ?? [name]);
  return own.map((name) => network.flows.get(name)).filter((flow) => flow !== undefined);
}

export function guestsNamed({ network, expanded }: Finished, names: string | readonly string[]): LabGuest[] {
  const wanted = new Set([names].flat());
  const chosen = [...network.guests].filter(
    ([name]) => wanted.has(ALL) || wanted.has(name) || wanted.has(expanded.groups.get(name)!),
  );
  return chosen.map(([, guest]) => guest);
}

/** Measures one value. */
export function measure(run: Finished, { that, ...subject }: SubjectSpec & { that: MetricName }): Value {
  if (subject.link !== undefined) return ofLinks(run, that, [subject.link].flat());
  if (subject.guest !== undefined) return ofGuests(run, that, guestsNamed(run, subject.guest), subject);
  if (subject.flow !== undefined) return ofFlows(that, flowsNamed(run, subject.flow), subject);
  const flows = [...run.network.flows.values()];
  const perFlow: readonly MetricName[] = ["missing", "received-share", "reordered", "latency"];
  return perFlow.includes(that)
    ? ofFlows(that, flows, subject)
    : ofGuests(run, that, [...run.network.guests.values()], subject);
}

function ofFlows(that: MetricName, flows: readonly Sending[], { quantile = 0.5 }: SubjectSpec): Value {
  const counts = flows.map(countsOf);
  const sent = sum(counts, (each) => each.sent);
  const received = sum(counts, (each) => each.received);
  switch (that) {
    case "sent":
      return sent;
    case "received":
    case "answered":
      return received;
    case "missing":
      return sent - received;
    case "received-share":
      return sent === 0 ? undefined : received / sent;
    case "refused":
      return sum(counts, (each) => each.refused);
    case "reordered":
      return sum(counts, (each) => each.reordered);
    case "timed-out":
      return sum(counts, (each) => each.timedOut);
    case "unfairness":
      return unfairness(counts.map((each) => each.received));
    default:
      return sortedQuantile(sorted(counts.map((each) => each.times)), quantile);
  }
}

/** What flows and exchanges have in common. */
export function countsOf(flow: Sending) {
  if (flow instanceof Exchange) {
    const { asked, answered, timedOut, roundTrips } = flow;
    return { sent: asked, received: answered, refused: 0, reordered: 0, timedOut, times: roundTrips };
  }
  const { sent, received, refused, reordered, latencies } = flow;
  return { sent, received, refused, reordered, timedOut: 0, times: latencies };
}

function unfairness(counts: readonly number[]): Value {
  const fair = sum(counts, (count) => count) / counts.length;
  return fair > 0 ? Math.max(...counts.map((count) => Math.abs(count - fair))) / fair : undefined;
}

function ofGuests(run: Finished, that: MetricName, guests: readonly LabGuest[], { cause }: SubjectSpec): Value {
  const ratio = (part: Value, whole: Value) => (whole ? part! / whole : undefined);
  const own = (name: MetricName) => ofGuests(run, name, guests, {});
  switch (that) {
    case "sent":
      return sum(guests, (guest) => guest.sent);
    case "received":
      return sum(guests, (guest) => guest.receivedCount);
    case "refused":
      return sum(guests, (guest) => guest.refused);
    case "abandoned":
      return sum(guests, (guest) => guest.abandoned);
    case "dropped":
      return sum(guests, (guest) => {
        const drops = Object.entries(guest.drops());
        return sum(drops, ([name, count]) => (cause === undefined || cause === name ? count : 0));
      });
    case "kicks":
      return sum(guests, (guest) => guest.kicks);
    case "calls":
      return sum(guests, (guest) => guest.calls);
    case "kicks-per-frame":
      return ratio(own("kicks"), own("sent"));
    case "calls-per-frame":
      return ratio(own("calls"), own("received"));
    case "queue-fill":
      return Math.max(...guests.map(({ name }) => run.sampler.fill.get(name) ?? 0));
    case "stopped":
      return guests.filter(({ fault }) => fault !== undefined).length;
    default:
      return sum(guests, (guest) => guest.lab.addresses().filter(({ mac }) => mac === guest.mac).length);
  }
}

function ofLinks({ network }: Finished, that: MetricName, names: readonly string[]): Value {
  const directions = names.flatMap((name) => {
    const { forth, back } = network.links.get(name)!;
    return [forth, back];
  });
  return sum(directions, (each) => each[that as "carried" | "lost" | "overflowed" | "refused"]);
}

/** The values of all lists, ascending. */
export function sorted(lists: readonly (readonly number[])[]): Float64Array {
  const all = new Float64Array(sum(lists, ({ length }) => length));
  let at = 0;
  for (const list of lists) {
    all.set(list, at);
    at += list.length;
  }
  return all.sort();
}

/** The smallest of ascending values that the share `quantile` of them does not exceed; undefined of none. */
export function sortedQuantile(values: Float64Array, quantile: number): Value {
  return values[Math.max(0, Math.ceil(quantile * values.length) - 1)];
}

export function sum<T>(items: readonly T[], count: (item: T) => number): number {
  return items.reduce((all, item) => all + count(item), 0);
}
