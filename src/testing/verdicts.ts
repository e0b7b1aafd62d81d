// What a test asks of a lab, as plain functions that say yes or no and why. `assertThat` makes an error of a no; the
// matchers of vitest.ts are made of the same functions.

import { describeFrame } from "./frames/describe.js";
import type { LabGuest } from "./guest.js";
import type { Lab } from "./lab.js";

/** A yes or a no, with the reason. */
export interface Verdict {
  pass: boolean;
  /** Why, in words that fit both answers. */
  message: string;
}

/** Throws an Error with the verdict's message unless it is a yes. */
export function assertThat({ pass, message }: Verdict): void {
  if (!pass) throw new Error(message);
}

/** The guest has received these frames and no others, in any order. */
export function receivedExactly(guest: LabGuest, frames: readonly Uint8Array[]): Verdict {
  const missing = [...frames];
  const more: Uint8Array[] = [];
  for (const { frame } of guest.received) {
    const at = missing.findIndex((each) => same(each, frame));
    if (at < 0) more.push(frame);
    else missing.splice(at, 1);
  }
  const pass = missing.length === 0 && more.length === 0;
  const problems = [...list("not received", missing), ...list("received besides", more)];
  return verdict(
    guest.lab,
    pass,
    `${guest.name} received ${guest.received.length} frames, expected ${frames.length}`,
    problems,
  );
}

/** The guest has received these frames in this order; others may lie between them. */
export function receivedInOrder(guest: LabGuest, frames: readonly Uint8Array[]): Verdict {
  let next = 0;
  for (const { frame } of guest.received) if (next < frames.length && same(frames[next]!, frame)) next++;
  const pass = next === frames.length;
  const problems = pass ? [] : list(`number ${next} did not come after the ${next} before it`, [frames[next]!]);
  return verdict(guest.lab, pass, `${guest.name} received ${next} of ${frames.length} frames in order`, problems);
}

/** Frames of the guest, or of all, were dropped for this cause (src/core/causes.ts); `count`: so many of them. */
export function droppedFor(of: Lab | LabGuest, cause: string, count?: number): Verdict {
  const drops = of.drops();
  const actual = drops[cause] ?? 0;
  const pass = count === undefined ? actual > 0 : actual === count;
  const wanted = count === undefined ? "some" : `${count}`;
  return verdict(labOf(of), pass, `${actual} drops for ${cause}, expected ${wanted}; all: ${JSON.stringify(drops)}`);
}

/** The switch knows the address, and has it behind this guest. */
export function learned(lab: Lab, mac: string, guest: LabGuest): Verdict {
  const entry = lab.addresses().find((each) => each.mac === mac.toLowerCase());
  const place = entry ? `behind ${entry.guest}` : "unknown";
  return verdict(lab, entry?.guest === guest.name, `${mac} is ${place}, expected behind ${guest.name}`);
}

/** The share `quantile` (0 to 1) of the latencies that were measured is at most this many milliseconds. */
export function latencyAtMost(
  of: { latencies: readonly number[]; lab: Lab },
  quantile: number,
  limit: number,
): Verdict {
  const value = percentile(of.latencies, quantile);
  const words = value === undefined ? "no frame was received" : `${value.toFixed(6)} ms`;
  const pass = value !== undefined && value <= limit;
  return verdict(of.lab, pass, `latency at quantile ${quantile}: ${words}, expected at most ${limit} ms`);
}

/** Each flow has received within `tolerance` (0 to 1) of an equal share of what all have. */
export function fairShare(flows: readonly { received: number; lab: Lab }[], tolerance: number): Verdict {
  if (flows.length === 0) throw new Error("a fair share is of one flow at least");
  const total = flows.reduce((sum, { received }) => sum + received, 0);
  const fair = total / flows.length;
  const pass = total > 0 && flows.every(({ received }) => Math.abs(received - fair) <= fair * tolerance);
  const counts = flows.map(({ received }) => received).join(", ");
  return verdict(flows[0]!.lab, pass, `received ${counts}: each within ${tolerance * 100} % of ${fair} was expected`);
}

/** The smallest of the values that the share `quantile` of them does not exceed; undefined of none. */
export function percentile(values: readonly number[], quantile: number): number | undefined {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.max(0, Math.ceil(quantile * sorted.length) - 1)];
}

/** A verdict with what else there is to say, and how to come to it again. */
export function verdict(lab: Lab, pass: boolean, text: string, problems: readonly string[] = []): Verdict {
  const lines = problems.map((problem) => `  ${problem}`);
  return { pass, message: [text, ...lines, `  at ${lab.now} ms; to see it again: ${lab.replay}`].join("\n") };
}

function labOf(of: Lab | LabGuest): Lab {
  return "lab" in of ? of.lab : of;
}

const LISTED = 5;

function list(what: string, frames: readonly Uint8Array[]): string[] {
  const lines = frames.slice(0, LISTED).map((frame) => `${what}: ${describeFrame(frame)}`);
  return frames.length > LISTED ? [...lines, `${what}: ${frames.length - LISTED} more`] : lines;
}

function same(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, i) => byte === b[i]);
}
