// Latencies of frames: to the nanosecond where each one is timed, and as the driver's histograms have them.

import { latencyQuantile } from "../guest/driver.js";
import type { LatencyPoint } from "./result.js";

/** Up to here every nanosecond is counted by itself. */
const FINE = 1 << 16;

/** Times of single frames. Recording allocates nothing, but for the rare long ones. */
export class ExactLatencies {
  private readonly fine = new Uint32Array(FINE);
  private readonly long: number[] = [];
  count = 0;

  /** Those of several windows. */
  static merged(parts: readonly ExactLatencies[]): ExactLatencies {
    const all = new ExactLatencies();
    for (const { fine, long, count } of parts) {
      for (let ns = 0; ns < FINE; ns++) all.fine[ns]! += fine[ns]!;
      all.long.push(...long);
      all.count += count;
    }
    return all;
  }

  record(ns: number): void {
    const whole = ns > 0 ? Math.round(ns) : 0;
    if (whole < FINE) this.fine[whole]! += 1;
    else this.long.push(whole);
    this.count++;
  }

  /** The time that the share `quantile` of the frames did not exceed; 0 for 0 frames. */
  quantile(quantile: number): number {
    const rank = Math.max(1, Math.ceil(quantile * this.count));
    let seen = 0;
    for (let ns = 0; ns < FINE; ns++) {
      seen += this.fine[ns]!;
      if (seen >= rank) return ns;
    }
    return this.long.sort((a, b) => a - b)[rank - seen - 1] ?? 0;
  }
}

/** The percentiles of a point, in microseconds. */
export function percentiles(quantileNs: (quantile: number) => number) {
  const at = (quantile: number) => quantileNs(quantile) / 1000;
  const point: Pick<LatencyPoint, "p50" | "p90" | "p99" | "p999" | "max"> = {
    p50: at(0.5),
    p90: at(0.9),
    p99: at(0.99),
    p999: at(0.999),
    max: at(1),
  };
  return point;
}

/** Several of the driver's histograms as one. */
export function mergedHistogram(histograms: readonly (readonly number[])[]): number[] {
  const length = Math.max(0, ...histograms.map((histogram) => histogram.length));
  return Array.from({ length }, (_, i) => histograms.reduce((sum, histogram) => sum + (histogram[i] ?? 0), 0));
}

/** Quantiles of a driver's histogram; 0 when it is empty. */
export function histogramQuantile(histogram: readonly number[]): (quantile: number) => number {
  return (quantile) => latencyQuantile(histogram, quantile) ?? 0;
}
