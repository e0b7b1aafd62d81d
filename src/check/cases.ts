// All cases, and how some of them are chosen.

import type { CheckCase } from "./case.js";
import { ATTACHMENT_CASES } from "./cases/attachments.js";
import { BAD_MEMORY_CASES } from "./cases/bad-memory.js";
import { BAD_RING_CASES } from "./cases/bad-rings.js";
import { DESCRIPTOR_CASES } from "./cases/descriptors.js";
import { LEAK_CASES } from "./cases/leaks.js";
import { LIFECYCLE_CASES } from "./cases/lifecycle.js";
import { MEMORY_CASES } from "./cases/memory.js";
import { MESSAGE_CASES } from "./cases/messages.js";
import { NEGOTIATION_CASES } from "./cases/negotiation.js";
import { NEIGHBOUR_CASES } from "./cases/neighbours.js";
import { RACE_CASES } from "./cases/races.js";
import { REQUEST_CASES } from "./cases/requests.js";
import { RING_CASES } from "./cases/rings.js";
import { TRAFFIC_CASES } from "./cases/traffic.js";

/** In the order in which they are run: what everything else needs comes first, what may kill the back-end last. */
export const CASES: readonly CheckCase[] = [
  ...NEGOTIATION_CASES,
  ...REQUEST_CASES,
  ...RING_CASES,
  ...TRAFFIC_CASES,
  ...NEIGHBOUR_CASES,
  ...MEMORY_CASES,
  ...LEAK_CASES,
  ...LIFECYCLE_CASES,
  ...MESSAGE_CASES,
  ...ATTACHMENT_CASES,
  ...BAD_RING_CASES,
  ...BAD_MEMORY_CASES,
  ...DESCRIPTOR_CASES,
  ...RACE_CASES,
];

/**
 * The cases that one of the patterns means, less those that `except` means: an id, a room, either with * for any characters; "M21" also means M21a to M21z.
 * Throws an Error with a sentence for a pattern that means none.
 */
export function chooseCases(
  patterns: readonly string[] | undefined,
  except: readonly string[] = [],
  cases = CASES,
): CheckCase[] {
  const left = meant(except, cases);
  const chosen = patterns === undefined ? new Set(cases) : meant(patterns, cases);
  return cases.filter((it) => chosen.has(it) && !left.has(it));
}

function meant(patterns: readonly string[], cases: readonly CheckCase[]): Set<CheckCase> {
  const chosen = new Set<CheckCase>();
  for (const pattern of patterns) {
    const quoted = pattern.replace(/[.+?^${}()|[\]\\]/g, "\\$&").replaceAll("*", ".*");
    const means = new RegExp(`^(${quoted}|${quoted}[a-z])$`, "i");
    const found = cases.filter(({ id, room }) => means.test(id) || means.test(room));
    if (found.length === 0) throw new Error(`there is no case "${pattern}": ringbridge check --list names them`);
    for (const it of found) chosen.add(it);
  }
  return chosen;
}
