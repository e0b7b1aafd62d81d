// Figures from many short windows. Pure functions.

import type { Spread } from "./result.js";

/** The value that the share `quantile` (0 to 1) of the values lies below, between neighbours in proportion. */
export function quantileOf(values: readonly number[], quantile: number): number {
  if (values.length === 0) throw new RangeError("no values have no quantile");
  const sorted = [...values].sort((a, b) => a - b);
  const at = quantile * (sorted.length - 1);
  const below = Math.floor(at);
  const value = sorted[below]!;
  return value + (at - below) * ((sorted[below + 1] ?? value) - value);
}

/** Median and quartiles. Throws for no values. */
export function spreadOf(values: readonly number[]): Spread {
  return {
    median: quantileOf(values, 0.5),
    low: quantileOf(values, 0.25),
    high: quantileOf(values, 0.75),
    windows: values.length,
  };
}

/** The same spread in another unit. */
export function scaled({ median, low, high, windows }: Spread, factor: number): Spread {
  return { median: median * factor, low: low * factor, high: high * factor, windows };
}

/** Values by key, in the order in which the keys came. */
export function groupBy<T, K>(values: Iterable<T>, key: (value: T) => K): Map<K, T[]> {
  const groups = new Map<K, T[]>();
  for (const value of values) {
    const name = key(value);
    const group = groups.get(name);
    if (group) group.push(value);
    else groups.set(name, [value]);
  }
  return groups;
}
