// Numbers drawn from a seed: the same seed, the same numbers, on every engine. Integer arithmetic only, so that nothing
// depends on how an engine rounds.

/** Random numbers from a seed: the same ones on every engine. */
export class Random {
  private state: number;

  /** `seed`: any integer, of which 32 bits count. */
  constructor(readonly seed: number) {
    this.state = seed >>> 0;
  }

  /** An integer of 32 bits (mulberry32). */
  next(): number {
    this.state = (this.state + 0x6d2b79f5) >>> 0;
    let t = this.state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return (t ^ (t >>> 14)) >>> 0;
  }

  /** A number from 0 to 1, without 1. */
  fraction(): number {
    return this.next() / 2 ** 32;
  }

  /** An integer from `least` to `most`, both included. */
  integer(least: number, most: number): number {
    return least + Math.floor(this.fraction() * (most - least + 1));
  }

  /** True with this probability. */
  chance(probability: number): boolean {
    return this.fraction() < probability;
  }

  /** One of the items, all equally likely. Throws when there is none. */
  pick<T>(items: readonly T[]): T {
    if (items.length === 0) throw new Error("nothing to pick from");
    return items[this.integer(0, items.length - 1)]!;
  }

  /** A stream of its own for some part, so that what one part draws does not change what another gets. */
  fork(part: string): Random {
    let hash = (this.seed ^ 0x811c9dc5) >>> 0;
    for (let i = 0; i < part.length; i++) hash = Math.imul(hash ^ part.charCodeAt(i), 0x01000193) >>> 0;
    return new Random(new Random(hash).next());
  }
}

/**
 * -ln(1 - x) to nine digits for x from 0 to 1, without 1, by additions and multiplications alone: engines may differ in
 * the last bit of Math.log, and one bit of time changes a whole run.
 */
export function exponential(x: number): number {
  let y = 1 - x;
  let halvings = 0;
  while (y < 0.75) {
    y *= 2;
    halvings++;
  }
  // ln y = 2 artanh((y - 1) / (y + 1)), whose series falls by a factor of 25 or more with each term.
  const z = (y - 1) / (y + 1);
  let power = z;
  let sum = 0;
  for (let n = 1; n < 19; n += 2, power *= z * z) sum += power / n;
  return halvings * Math.LN2 - 2 * sum;
}
