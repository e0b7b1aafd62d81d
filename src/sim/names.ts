// Which guests a name in a scenario stands for: a guest, a group of alike ones, or all.

import type { GuestSpec, Scenario } from "./schema.js";

/** A word that stands for every guest. */
export const ALL = "all";
/** Words that a flow may go to beside guests. */
export const BROADCAST = "broadcast";
export const NEXT = "next";
export const RESERVED: readonly string[] = [ALL, BROADCAST, NEXT];

export const DEFAULT_SWITCH = "switch";

/** The guests of one entry of the file: itself, or so many with a number behind the name. */
export function members(name: string, { count }: GuestSpec): string[] {
  return count === undefined ? [name] : Array.from({ length: count }, (_, i) => `${name}${i + 1}`);
}

/** Every guest of a scenario with its entry's name, in the order of the file. */
export function guestsOf({ guests }: Scenario): { name: string; group: string; spec: GuestSpec }[] {
  return Object.entries(guests).flatMap(([group, spec]) => members(group, spec).map((name) => ({ name, group, spec })));
}

/** The guests that names stand for, each once; undefined for a name that stands for none. */
export function resolve(scenario: Scenario, names: string | readonly string[]): string[] | undefined {
  const all = guestsOf(scenario);
  const found = new Set<string>();
  for (const name of [names].flat()) {
    const own = name === ALL ? all : all.filter((guest) => guest.group === name || guest.name === name);
    if (own.length === 0) return undefined;
    for (const guest of own) found.add(guest.name);
  }
  return [...found];
}

export function switchesOf({ switches }: Scenario): string[] {
  return switches === undefined ? [DEFAULT_SWITCH] : [switches].flat();
}
