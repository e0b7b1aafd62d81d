// The search for a rate, against back-ends whose capacity is known.

import fc from "fast-check";
import { expect, test } from "vitest";
import { RateSearch } from "../../src/bench/search.js";

/** Lets a search find the capacity of a back-end that loses everything beyond it; returns it with the windows taken. */
function find(capacity: number, lossMax: number, ceiling = capacity) {
  const search = new RateSearch({ ceiling, lossMax });
  let windows = 0;
  for (let rate = search.next; rate !== undefined; rate = search.next) {
    if (++windows > 200) throw new Error("the search does not end");
    search.add(rate, Math.max(0, rate - capacity));
  }
  return { ...search.found, taken: windows };
}

test("finds the rate up to which nothing is lost, to 1.5 %, in few windows", () => {
  fc.assert(
    fc.property(fc.double({ min: 0.05, max: 1, noNaN: true }), (share) => {
      const capacity = 10e6 * share;
      const { passed, failed, lossRatio, windows, taken } = find(capacity, 0, 10e6);
      expect(passed).toBeLessThanOrEqual(capacity);
      expect(failed).toBeGreaterThan(capacity);
      expect(failed! - passed).toBeLessThanOrEqual(0.0151 * Math.max(failed!, 10e6 / 64));
      expect(lossRatio).toBe(0);
      expect(windows).toBe(taken);
      expect(taken).toBeLessThanOrEqual(24);
    }),
  );
});

test("with a share of loss allowed, finds a rate a little higher, and says how much is lost there", () => {
  const { passed, failed, lossRatio } = find(8e6, 0.005, 10e6);
  const highest = 8e6 / (1 - 0.005);
  expect(passed).toBeLessThanOrEqual(highest);
  expect(failed).toBeGreaterThan(highest);
  expect(lossRatio).toBeCloseTo(Math.max(0, 1 - 8e6 / passed), 10);
});

test("ends at once when all that is possible passes, with nothing found when nothing does", () => {
  expect(find(20e6, 0, 10e6)).toMatchObject({ passed: 10.2e6, failed: undefined, taken: 2 });
  expect(find(0, 0, 10e6)).toMatchObject({ passed: 0, lossRatio: 0 });
});

test("one odd window decides nothing: two must agree", () => {
  const search = new RateSearch({ ceiling: 100, lossMax: 0 });
  search.add(100, 1);
  expect(search.next).toBe(102);
  search.add(100, 0);
  expect(search.next).toBe(102);
  search.add(100, 0);
  expect(search.next).toBeUndefined();
  expect(search.found).toMatchObject({ passed: 102, windows: 3 });
});

test("a disturbed window that lost frames is taken again, but not for ever", () => {
  const search = new RateSearch({ ceiling: 100, lossMax: 0 });
  for (let i = 0; i < 4; i++) search.add(100, 1, true);
  search.add(100, 1, true);
  expect(search.next).toBe(102);
  search.add(100, 1, true);
  expect(search.next).toBe(51);
  // One that lost nothing counts, whatever happened in it.
  search.add(100, 0, true);
  search.add(100, 0, true);
  expect(search.next).toBe(76.5);
});

test("windows in which nothing was due say nothing", () => {
  const search = new RateSearch({ ceiling: 100, lossMax: 0 });
  for (let i = 0; i < 5; i++) search.add(0, 0);
  expect(search.next).toBe(102);
  expect(() => new RateSearch({ ceiling: 0, lossMax: 0 })).toThrow("ceiling above 0");
});
