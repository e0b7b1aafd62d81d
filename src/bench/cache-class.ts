// How near two cores are, by the round trip of one cache line between them (core-probe.ts).

import type { CacheClass } from "./result.js";

/** Nanoseconds. Seen on Xeons in virtual machines: hyperthreads of one core about 55. */
const SAME_CORE_BELOW = 80;
/** Neighbours 100, cores of one die 210 to 300; other dies and sockets from 420 on. */
const SHARED_CACHE_BELOW = 340;
/** Two round trips that differ by more than this factor are not of the same pair of cores. */
const SAME_PLACE = 1.5;

/** The class that a round trip of so many nanoseconds belongs to. */
export function classOf(roundTripNs: number): CacheClass {
  if (roundTripNs < SAME_CORE_BELOW) return "same-core";
  return roundTripNs < SHARED_CACHE_BELOW ? "shared-cache" : "far";
}

/** The class of a window from the probes before and after it; undefined when the cores moved in between. */
export function classOfWindow(beforeNs: number, afterNs: number): CacheClass | undefined {
  return isSamePlace(beforeNs, afterNs) ? classOf(beforeNs) : undefined;
}

/** Whether two round trips can be of cores that are equally near. */
export function isSamePlace(aNs: number, bNs: number): boolean {
  return classOf(aNs) === classOf(bNs) && Math.max(aNs, bNs) <= SAME_PLACE * Math.min(aNs, bNs);
}
