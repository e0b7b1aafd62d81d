// What is cut down: an expectation, and the network it is about, or the two variants of a network that it compares. What the
// two have in common is cut in both, so that they stay variants of one network.

import type { ExpectSpec, Scenario } from "./schema.js";

export interface Cut {
  /** The failing expectation; none when it is that frames are conserved. */
  expect: readonly ExpectSpec[];
  /** With every guest, flow and fault by itself, and without expectations. */
  networks: readonly Scenario[];
  /** What the two are called; of one alone nothing. */
  variants: readonly string[];
}

/** The same change in each network that it does something to. Undefined when it does nothing to any. */
export function changed(cut: Cut, change: (network: Scenario) => Scenario | undefined): Cut | undefined {
  const changes = cut.networks.map(change);
  if (changes.every((each) => each === undefined)) return undefined;
  return { ...cut, networks: cut.networks.map((network, i) => changes[i] ?? network) };
}

/** Names of a part of all networks, each once. */
export function namesIn({ networks }: Cut, part: "guests" | "traffic" | "links"): string[] {
  return [...new Set(networks.flatMap((network) => Object.keys(network[part] ?? {})))];
}

/** The scenario that it is; two networks are variants of the first one. */
export function scenarioOf({ expect, networks, variants }: Cut): Scenario {
  const [first, ...others] = networks;
  const { about, ...rest } = first!;
  const changes = others.map((other) => changeTo(first, other) ?? {});
  const all = variants.map((name, i) => [name, i === 0 ? {} : changes[i - 1]]);
  return plain({
    ...{ about, ...rest, expect: [...expect] },
    ...(all.length > 0 && { variants: Object.fromEntries(all) }),
  }) as Scenario;
}

/** What makes one value of another, as a variant says it (`merge` in check.ts). Undefined when they are the same. */
function changeTo(from: unknown, to: unknown): unknown {
  if (!isMap(from) || !isMap(to)) return JSON.stringify(from) === JSON.stringify(to) ? undefined : to;
  const change: Record<string, unknown> = {};
  for (const key of new Set([...Object.keys(from), ...Object.keys(to)])) {
    const part = to[key] === undefined ? null : changeTo(from[key], to[key]);
    if (part !== undefined && !(part === null && from[key] === undefined)) change[key] = part;
  }
  return Object.keys(change).length > 0 ? change : undefined;
}

function isMap(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** Without the keys that have no value, at any depth. */
export function plain<T>(value: T): T {
  if (Array.isArray(value)) return value.map(plain) as T;
  if (typeof value !== "object" || value === null) return value;
  const entries = Object.entries(value).filter(([, each]) => each !== undefined);
  return Object.fromEntries(entries.map(([key, each]) => [key, plain(each)])) as T;
}
