// Names in a scenario of which parts are taken away: groups and entries that have become several are named one by one, and
// what names something that is gone goes too.

import type { Expanded } from "./expand.js";
import { ALL } from "./names.js";
import type { ExpectSpec, Scenario, SubjectSpec } from "./schema.js";

/** An expanded scenario with one expectation alone, or none but that frames are conserved. */
export function explicit({ scenario, groups, flows }: Expanded, expectation: ExpectSpec | undefined): Scenario {
  const guestNames = (name: string) => {
    const own = [...groups].filter(([guest, group]) => name !== ALL && (group === name || guest === name));
    return own.length > 0 ? own.map(([guest]) => guest) : [name];
  };
  const each = <T extends SubjectSpec>(subject: T): T => ({
    ...subject,
    ...(subject.flow && { flow: single([subject.flow].flat().flatMap((name) => flows.get(name) ?? [name])) }),
    ...(subject.guest && { guest: single([subject.guest].flat().flatMap(guestNames)) }),
    variant: undefined,
  });
  const expect = expectation && { ...each(expectation), ...(expectation.times && { times: each(expectation.times) }) };
  const { about: _, ...rest } = scenario;
  return plain({ about: scenario.about, ...rest, expect: expect ? [expect] : [] });
}

function single(names: string[]): string | string[] {
  return names.length === 1 ? names[0]! : names;
}

/** Without a guest, and all that needs it. Undefined when what is expected needs it. */
export function withoutGuest(scenario: Scenario, name: string): Scenario | undefined {
  const { [name]: _, ...guests } = scenario.guests;
  const expect = lessNames(scenario.expect, "guest", name);
  if (Object.keys(guests).length === 0 || expect === undefined) return undefined;
  const faults = (scenario.faults ?? []).filter(({ guest }) => guest !== name);
  const gone = Object.entries(scenario.traffic ?? {}).filter(([, { from, to }]) => from === name || to === name);
  let rest: Scenario | undefined = { ...scenario, guests, faults, expect };
  for (const [flow] of gone) rest = rest && withoutFlow(rest, flow);
  return rest;
}

/** Without a flow. Undefined when what is expected needs it. */
export function withoutFlow(scenario: Scenario, name: string): Scenario | undefined {
  const { [name]: _, ...traffic } = scenario.traffic ?? {};
  const expect = lessNames(scenario.expect, "flow", name);
  return expect && { ...scenario, traffic, expect };
}

function lessNames(expect: Scenario["expect"] = [], key: "flow" | "guest", name: string): ExpectSpec[] | undefined {
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

/** Without the keys that have no value, at any depth. */
export function plain<T>(value: T): T {
  if (Array.isArray(value)) return value.map(plain) as T;
  if (typeof value !== "object" || value === null) return value;
  const entries = Object.entries(value).filter(([, each]) => each !== undefined);
  return Object.fromEntries(entries.map(([key, each]) => [key, plain(each)])) as T;
}
