// Names in a scenario of which parts are taken away: groups and entries that have become several are named one by one, and
// what names something that is gone goes too.

import type { Expanded } from "./expand.js";
import { ALL } from "./names.js";
import type { ExpectSpec, SubjectSpec } from "./schema.js";
import { changed, type Cut, plain } from "./shrink-cut.js";

/**
 * An expectation, or none but that frames are conserved, and the network that it failed in. One that compares has the
 * network that it is compared with in `other`, the variants' names in `variants`.
 */
export function explicit(
  expanded: Expanded,
  expectation: ExpectSpec | undefined,
  other?: Expanded,
  variants: readonly string[] = [],
): Cut {
  const networks = [expanded, ...(other ? [other] : [])].map(({ scenario: { expect: _, ...rest } }) => plain(rest));
  if (!expectation) return { expect: [], networks, variants };
  const { times, ...own } = expectation;
  const spec: ExpectSpec = { ...named(own, expanded), variant: variants[0] };
  if (times) {
    // What it does not say of itself it has of the expectation; in another network that may be other guests and flows.
    const inherited = times.flow || times.guest || times.link ? {} : { flow: own.flow, guest: own.guest };
    spec.times = { ...(other && named(inherited, other)), ...named(times, other ?? expanded), variant: variants[1] };
  }
  return { expect: [plain(spec)], networks, variants };
}

/** A subject that names each guest and flow of an expanded scenario by itself. */
function named<T extends SubjectSpec>(subject: T, { groups, flows }: Expanded): T {
  const guestNames = (name: string) => {
    const own = [...groups].filter(([guest, group]) => name !== ALL && (group === name || guest === name));
    return own.length > 0 ? own.map(([guest]) => guest) : [name];
  };
  return {
    ...subject,
    ...(subject.flow && { flow: single([subject.flow].flat().flatMap((name) => flows.get(name) ?? [name])) }),
    ...(subject.guest && { guest: single([subject.guest].flat().flatMap(guestNames)) }),
  };
}

function single(names: string[]): string | string[] {
  return names.length === 1 ? names[0]! : names;
}

/** Without a guest, and all that needs it. Undefined when what is expected needs it, or a network is left without any. */
export function withoutGuest(cut: Cut, name: string): Cut | undefined {
  const expect = lessNames(cut.expect, "guest", name);
  if (expect === undefined) return undefined;
  const gone = new Set<string>();
  const less = changed({ ...cut, expect }, (network) => {
    const { [name]: _, ...guests } = network.guests;
    for (const [flow, { from, to }] of Object.entries(network.traffic ?? {}))
      if (from === name || to === name) gone.add(flow);
    return { ...network, guests, faults: (network.faults ?? []).filter(({ guest }) => guest !== name) };
  });
  if (less?.networks.some(({ guests }) => Object.keys(guests).length === 0)) return undefined;
  let rest = less;
  for (const flow of gone) rest = rest && withoutFlow(rest, flow);
  return rest;
}

/** Without a flow. Undefined when what is expected needs it. */
export function withoutFlow(cut: Cut, name: string): Cut | undefined {
  const expect = lessNames(cut.expect, "flow", name);
  if (expect === undefined) return undefined;
  return changed({ ...cut, expect }, (network) => {
    const { [name]: _, ...traffic } = network.traffic ?? {};
    return { ...network, traffic };
  });
}

function lessNames(expect: readonly ExpectSpec[], key: "flow" | "guest", name: string): ExpectSpec[] | undefined {
  const less = <T extends SubjectSpec>(subject: T): T | undefined => {
    if (subject[key] === undefined) return subject;
    const left = [subject[key]].flat().filter((each) => each !== name);
    return left.length === 0 ? undefined : { ...subject, [key]: single(left) };
  };
  const all: ExpectSpec[] = [];
  for (const spec of expect) {
    const own = less(spec);
    const times = spec.times && less(spec.times);
    if (own === undefined || (spec.times && times === undefined)) return undefined;
    all.push(times ? { ...own, times } : own);
  }
  return all;
}
