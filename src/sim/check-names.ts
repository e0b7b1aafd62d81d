// The rules of a scenario that join several keys: what is named must be there, and what belongs to one kind of a thing
// must not stand at another.

import { didYouMean, type Problem } from "../config/problems.js";
import { shapeOptions } from "./guest-options.js";
import { featuresOf } from "../testing/shape.js";
import { isName } from "./keys.js";
import { subjectsOf } from "./metric-names.js";
import { BROADCAST, guestsOf, NEXT, RESERVED, resolve, switchesOf } from "./names.js";
import type { ExpectSpec, FaultSpec, Scenario, SubjectSpec, TrafficSpec } from "./schema.js";

/** Guests of one switch: their number is one octet of their addresses. */
const GUESTS_MAX = 250;

type Report = (path: (string | number)[], text: string, at?: Problem["at"]) => void;

/**
 * Every problem of a scenario that fits the schema. `variant`: it is that variant of the file; of a file with variants
 * what stands outside of them is not run by itself.
 */
export function checkNames(scenario: Scenario, variant?: string): Problem[] {
  const problems: Problem[] = [];
  const report: Report = (path, text, at = "value") => problems.push({ path: path.map(String), at, text });
  for (const section of ["guests", "traffic", "links"] as const) {
    for (const name of Object.keys(scenario[section] ?? {})) {
      if (!isName(name))
        report([section, name], "a name is a letter, then letters, digits, dots, dashes or underscores", "key");
      else if (RESERVED.includes(name))
        report([section, name], `"${name}" has a meaning of its own: use another name`, "key");
    }
  }
  checkGuests(scenario, report);
  const joins = joiner();
  for (const [name, { between }] of Object.entries(scenario.links ?? {})) {
    for (const [i, end] of between.entries())
      known(end, switchesOf(scenario), "switch", ["links", name, "between", i], report);
    if (between[0] === between[1]) report(["links", name, "between"], "a link joins two different switches");
    else if (!joins(between)) {
      report(["links", name, "between"], "makes a loop with the links above, in which a broadcast goes round for ever");
    }
  }
  for (const [name, spec] of Object.entries(scenario.traffic ?? {})) checkTraffic(scenario, name, spec, report);
  for (const [i, spec] of (scenario.faults ?? []).entries()) checkFault(scenario, ["faults", i], spec, report);
  for (const [i, spec] of (scenario.expect ?? []).entries())
    checkExpectation(scenario, variant, ["expect", i], spec, report);
  return problems;
}

/** Tells for one link after the other whether it joins what the links before have not joined yet. */
function joiner(): (ends: readonly [string, string]) => boolean {
  const root = new Map<string, string>();
  const rootOf = (name: string): string => (root.has(name) ? rootOf(root.get(name)!) : name);
  return ([a, b]) => {
    const [one, two] = [rootOf(a), rootOf(b)];
    if (one === two) return false;
    root.set(one, two);
    return true;
  };
}

function checkGuests(scenario: Scenario, report: Report): void {
  const all = guestsOf(scenario);
  if (all.length === 0) report(["guests"], "needs one guest at least");
  const switches = switchesOf(scenario);
  for (const name of switches) {
    const count = all.filter(({ spec }) => (spec.switch ?? switches[0]) === name).length;
    if (count > GUESTS_MAX) report(["guests"], `${count} guests are too many for one switch, which has ${GUESTS_MAX}`);
  }
  const seen = new Map<string, string>();
  for (const { name, group } of all) {
    const before = seen.get(name);
    if (before !== undefined) report(["guests", group], `its guest "${name}" is there already, of "${before}"`, "key");
    seen.set(name, group);
  }
  for (const [name, spec] of Object.entries(scenario.guests)) {
    if (spec.switch !== undefined) known(spec.switch, switches, "switch", ["guests", name, "switch"], report);
    try {
      featuresOf(shapeOptions(spec));
    } catch (error) {
      report(["guests", name, spec.size === undefined ? "ring" : "size"], (error as Error).message);
    }
  }
}

const OF_KINDS: Record<string, readonly TrafficSpec["kind"][]> = {
  ...{ answer: ["requests"], think: ["requests"], timeout: ["requests"], file: ["replay"], speed: ["replay"] },
  ...{ rate: ["constant", "poisson"], burst: ["constant", "poisson"], sizes: ["constant", "poisson", "requests"] },
  ...{ count: ["constant", "poisson", "requests"], offload: ["constant", "poisson"] },
};

function checkTraffic(scenario: Scenario, name: string, spec: TrafficSpec, report: Report): void {
  const at = ["traffic", name];
  const { kind = "constant", to } = spec;
  const senders = knownGuests(scenario, spec.from, [...at, "from"], report);
  if (kind === "replay") {
    if (spec.file === undefined) report(at, 'a replay needs "file", a pcap or pcapng file');
    if (to !== undefined) report([...at, "to"], "the frames of a capture have their own addresses: remove it", "key");
  } else if (to === undefined) report(at, 'needs "to": whom the frames are for');
  for (const [key, kinds] of Object.entries(OF_KINDS)) {
    if (spec[key as keyof TrafficSpec] === undefined || kinds.includes(kind)) continue;
    report([...at, key], `belongs to traffic of kind ${kinds.join(" or ")}, and this is ${kind}`, "key");
  }
  const special = to === BROADCAST || to === NEXT;
  if (to !== undefined && !special) {
    const receivers = knownGuests(scenario, to, [...at, "to"], report);
    const both = new Set([...(senders ?? []), ...(receivers ?? [])]);
    if (senders && receivers && both.size < 2) report([...at, "to"], "no guest sends to itself: name another one");
  }
  if (to === NEXT && senders?.length === 1) report([...at, "to"], "there is no next one: name two senders at least");
  if (kind === "requests" && to === BROADCAST) report([...at, "to"], "requests are for guests that answer");
  if (kind === "requests" && Array.isArray(spec.sizes)) report([...at, "sizes"], "a request has one length");
  if (kind === "requests" && spec.sizes === "imix") report([...at, "sizes"], "a request has one length");
  for (const guest of guestsOf(scenario).filter((each) => senders?.includes(each.name))) {
    if ((spec.pair ?? 0) >= (guest.spec.pairs ?? 1)) report([...at, "pair"], `${guest.name} has no pair ${spec.pair}`);
    if (spec.offload !== undefined && !["send", "both"].includes(guest.spec.offloads ?? "none")) {
      report([...at, "offload"], `${guest.name} has not agreed to it: give it "offloads: send" or "both"`);
    }
  }
}

const FAULT_NEEDS: Record<string, readonly FaultSpec["kind"][]> = {
  ...{ rate: ["slow"], by: ["late-kicks", "late-calls"], seconds: ["clock-jump"] },
};
const NOT_LASTING: readonly FaultSpec["kind"][] = ["reset", "clock-jump"];
const HOSTILE: readonly FaultSpec["kind"][] = ["torn-descriptor", "bad-address", "freed-memory", "loop", "index-jump"];

function checkFault(scenario: Scenario, at: (string | number)[], spec: FaultSpec, report: Report): void {
  const { kind, draw, ...rest } = spec;
  if (draw !== undefined) {
    if (kind !== undefined) report([...at, "kind"], 'a fault has either a "kind" or "draw"', "key");
    for (const key of Object.keys(rest)) report([...at, key], 'has no place beside "draw"', "key");
    if (draw.guest !== undefined) knownGuests(scenario, draw.guest, [...at, "draw", "guest"], report);
    return;
  }
  if (kind === undefined) {
    report(at, 'needs a "kind" of fault, or "draw"');
    return;
  }
  for (const [key, kinds] of Object.entries(FAULT_NEEDS)) {
    const there = spec[key as "rate" | "by" | "seconds"] !== undefined;
    if (kinds.includes(kind) && !there) report(at, `${kind} needs "${key}"`);
    if (!kinds.includes(kind) && there) report([...at, key], `belongs to ${kinds.join(" or ")}`, "key");
  }
  if (spec.queue !== undefined && !HOSTILE.includes(kind))
    report([...at, "queue"], `belongs to ${HOSTILE.join(", ")}`, "key");
  if (spec.for !== undefined && NOT_LASTING.includes(kind)) report([...at, "for"], `${kind} lasts no time`, "key");
  if (kind === "clock-jump") {
    if (spec.guest !== undefined) report([...at, "guest"], "a clock-jump befalls every switch: remove it", "key");
  } else if (spec.guest === undefined) report(at, 'needs a "guest" whom it befalls');
  else knownGuests(scenario, spec.guest, [...at, "guest"], report);
}

function checkExpectation(
  scenario: Scenario,
  variant: string | undefined,
  at: (string | number)[],
  spec: ExpectSpec,
  report: Report,
): void {
  if (spec.is === undefined && spec["at-least"] === undefined && spec["at-most"] === undefined) {
    report(at, 'expects nothing: add "is", "at-least" or "at-most"');
  }
  const values = [{ at, value: spec as Valued }];
  if (spec.times) values.push({ at: [...at, "times"], value: subjectOfTimes(spec, spec.times) });
  const runs = variant !== undefined || Object.keys(scenario.variants ?? {}).length === 0;
  for (const each of values) {
    checkSubject(scenario, each.at, each.value, report);
    // Guests, flows and links must be there where the value is measured, and nowhere else.
    const measured = each.value.variant === undefined || each.value.variant === variant;
    if (runs && measured) checkSubjectNames(scenario, each.at, each.value, report);
  }
}

/** The other value of a comparison: the expectation's own subject, but for what differs. */
export function subjectOfTimes(spec: ExpectSpec, times: SubjectSpec): SubjectSpec & { that: ExpectSpec["that"] } {
  const { that, flow, guest, link, variant, cause, quantile } = spec;
  // Another kind of subject takes the place of the first.
  const own = times.flow || times.guest || times.link ? {} : { flow, guest, link };
  return { ...{ that, variant, cause, quantile }, ...own, ...times, that: times.that ?? that };
}

/** Values that only requests have, and those that only single frames have. */
const OF_REQUESTS: readonly string[] = ["answered", "timed-out", "round-trip"];
const OF_FRAMES: readonly string[] = ["latency", "reordered"];

const PLACES = ["flow", "guest", "link"] as const;

type Valued = SubjectSpec & { that: ExpectSpec["that"] };

function checkSubject(scenario: Scenario, at: (string | number)[], spec: Valued, report: Report): void {
  const given = PLACES.filter((place) => spec[place] !== undefined);
  const possible = subjectsOf(spec.that);
  const kind: string = given[0] ?? "network";
  if (given.length > 1) report([...at, given[1]!], `is of a ${given[0]} already: one of flow, guest and link`, "key");
  else if (!possible.includes(kind)) {
    const others = possible.map((each) => (each === "network" ? "none" : each)).join(", ");
    report(
      [...at, given[0] ?? "that"],
      `${spec.that} is not of ${kind === "network" ? "the whole network" : `a ${kind}`}: give one of ${others}`,
    );
  }
  if (spec.cause !== undefined && spec.that !== "dropped") report([...at, "cause"], 'belongs to "dropped"', "key");
  if (spec.quantile !== undefined && spec.that !== "latency" && spec.that !== "round-trip")
    report([...at, "quantile"], 'belongs to "latency" and "round-trip"', "key");
  if (spec.variant !== undefined)
    known(spec.variant, Object.keys(scenario.variants ?? {}), "variant", [...at, "variant"], report);
}

function checkSubjectNames(scenario: Scenario, at: (string | number)[], spec: Valued, report: Report): void {
  if (spec.guest !== undefined) knownGuests(scenario, spec.guest, [...at, "guest"], report);
  const wrong = [spec.flow ?? []].flat().find((flow) => {
    const traffic = scenario.traffic?.[flow];
    return traffic && (traffic.kind === "requests" ? OF_FRAMES : OF_REQUESTS).includes(spec.that);
  });
  if (wrong !== undefined) {
    const kind = OF_FRAMES.includes(spec.that) ? "has requests: ask for round-trip" : "has no requests";
    report([...at, "flow"], `there is no ${spec.that} of "${wrong}", which ${kind}`);
  }
  for (const flow of [spec.flow ?? []].flat())
    known(flow, Object.keys(scenario.traffic ?? {}), "flow", [...at, "flow"], report);
  for (const link of [spec.link ?? []].flat())
    known(link, Object.keys(scenario.links ?? {}), "link", [...at, "link"], report);
}

function known(name: string, names: readonly string[], what: string, at: (string | number)[], report: Report): void {
  if (names.includes(name)) return;
  const there = names.length === 0 ? `the file has none` : `there are ${names.slice(0, 12).join(", ")}`;
  report(at, `there is no ${what} "${name}"${didYouMean(name, names) || `; ${there}`}`);
}

function knownGuests(scenario: Scenario, names: string | string[], at: (string | number)[], report: Report) {
  const every = [...new Set(guestsOf(scenario).flatMap(({ name, group }) => [group, name]))];
  for (const [i, name] of [names].flat().entries()) {
    if (resolve(scenario, name) === undefined)
      known(name, every, "guest", Array.isArray(names) ? [...at, i] : at, report);
  }
  return resolve(scenario, names);
}
