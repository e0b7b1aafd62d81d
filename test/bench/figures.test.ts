// Pure parts of the benchmark: when frames are due, classes of cores, statistics, latencies.

import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { classOf, classOfWindow, isSamePlace } from "../../src/bench/cache-class.js";
import { ExactLatencies, histogramQuantile, mergedHistogram, percentiles } from "../../src/bench/latency.js";
import { ratioOf } from "../../src/bench/method-rate.js";
import { Pace } from "../../src/bench/pace.js";
import { groupBy, quantileOf, scaled, spreadOf } from "../../src/bench/statistics.js";
import type { WindowResult } from "../../src/bench/window.js";

describe("pace", () => {
  test("frames of all queues are due in turn, at the rate", () => {
    const paces = [0, 1].map((queue) => new Pace(1e6, 10_000, queue, 2));
    expect(paces.map(({ total }) => total)).toEqual([5, 5]);
    expect(paces.map((pace) => pace.due(0))).toEqual([1, 0]);
    expect(paces.map((pace) => pace.due(999))).toEqual([1, 0]);
    expect(paces.map((pace) => pace.due(1000))).toEqual([1, 1]);
    expect(paces.map((pace) => pace.due(2000))).toEqual([2, 1]);
    expect(paces.map(({ nextNs }) => nextNs)).toEqual([0, 1000]);
  });

  test("what was not sent stays due, with the time it was due at", () => {
    const pace = new Pace(1e6, 1e6);
    expect(pace.due(500_000)).toBe(501);
    pace.sent += 100;
    expect(pace.due(500_000)).toBe(401);
    expect(pace.nextNs).toBe(100_000);
  });

  test("never more than the rate times the window, whatever the clock says", () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 50e6 }), fc.integer({ min: 1, max: 1e9 }), fc.nat(7), (rate, ns, more) => {
        const queues = more + 1;
        const paces = Array.from({ length: queues }, (_, queue) => new Pace(rate, ns, queue, queues));
        const total = paces.reduce((sum, pace) => sum + pace.total, 0);
        expect(Math.abs(total - (rate * ns) / 1e9)).toBeLessThanOrEqual(1);
        for (const pace of paces) expect(pace.due(10 * ns)).toBe(pace.total);
      }),
    );
  });
});

test("a class of cores is known by the round trip, and does not change within a window", () => {
  expect([55, 100, 260, 450].map(classOf)).toEqual(["same-core", "shared-cache", "shared-cache", "far"]);
  expect(classOfWindow(250, 265)).toBe("shared-cache");
  expect(classOfWindow(250, 430)).toBeUndefined();
  expect(classOfWindow(55, 250)).toBeUndefined();
  // Both share a cache, but these are not the same two cores.
  expect(isSamePlace(100, 260)).toBe(false);
  expect(isSamePlace(420, 480)).toBe(true);
});

describe("statistics", () => {
  test("median and quartiles", () => {
    expect(spreadOf([5, 1, 4, 2, 3])).toEqual({ median: 3, low: 2, high: 4, windows: 5 });
    expect(spreadOf([7])).toEqual({ median: 7, low: 7, high: 7, windows: 1 });
    expect(quantileOf([1, 2], 0.5)).toBe(1.5);
    expect(() => spreadOf([])).toThrow(RangeError);
    expect(scaled(spreadOf([1, 2, 3]), 8)).toEqual({ median: 16, low: 12, high: 20, windows: 3 });
  });

  test("groups keep the order in which they came", () => {
    expect([...groupBy([3, 1, 4, 1, 5], (value) => value % 2)]).toEqual([
      [1, [3, 1, 1, 5]],
      [0, [4]],
    ]);
  });

  test("a ratio is of two windows on cores equally near", () => {
    const window = (received: number, roundTripNs: number) =>
      ({ received, roundTripNs, seconds: 2, cacheClass: classOf(roundTripNs) }) as WindowResult;
    expect(ratioOf(window(300, 250), window(200, 260))).toEqual([{ cacheClass: "shared-cache", ratio: 1.5 }]);
    expect(ratioOf(window(300, 250), window(200, 450))).toEqual([]);
    expect(ratioOf(window(300, 250), window(0, 250))).toEqual([]);
    expect(ratioOf(undefined, window(200, 250))).toEqual([]);
  });
});

describe("latency", () => {
  test("single frames are known to the nanosecond, the longest ones too", () => {
    const latencies = new ExactLatencies();
    for (let ns = 1; ns <= 99; ns++) latencies.record(ns);
    latencies.record(5_000_000.4);
    expect([0.5, 0.9, 0.99, 1].map((quantile) => latencies.quantile(quantile))).toEqual([50, 90, 99, 5_000_000]);
    const both = ExactLatencies.merged([latencies, latencies]);
    expect([both.count, both.quantile(0.5), both.quantile(1)]).toEqual([200, 50, 5_000_000]);
    expect(new ExactLatencies().quantile(0.5)).toBe(0);
  });

  test("percentiles are in microseconds", () => {
    const histogram = mergedHistogram([[0, 5], [0, 4, 0, 1], []]);
    expect(histogram).toEqual([0, 9, 0, 1]);
    expect(percentiles(histogramQuantile(histogram))).toEqual({
      ...{ p50: 0.001, p90: 0.001, p99: 0.003, p999: 0.003, max: 0.003 },
    });
    expect(histogramQuantile([])(0.5)).toBe(0);
  });
});
