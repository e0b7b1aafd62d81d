// How much of the long tests is run: all of it in `npm test`; in `npm run check`, which sets RINGBRIDGE_SAMPLE, so much that
// it takes about a minute.

const SAMPLED = process.env.RINGBRIDGE_SAMPLE === "1";

/** Runs of a property: all, or in a sample an eighth of them. */
export function runs(all: number): number {
  return SAMPLED ? Math.ceil(all / 8) : all;
}

/** Cases of a list: all, or in a sample the first, the last and every fourth between them. */
export function cases<T>(all: readonly T[]): T[] {
  return all.filter((_, i) => !SAMPLED || i % 4 === 0 || i === all.length - 1);
}

/** Builds of the core that a test is done with, right ones or broken: all, or in a sample the last. */
export function builds<T>(all: readonly T[]): readonly T[] {
  return SAMPLED ? all.slice(-1) : all;
}
