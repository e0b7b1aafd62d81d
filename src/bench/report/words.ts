// How figures of a benchmark are written, in every kind of report.

import { type FrameSize, TSO_FRAME } from "../../guest/traffic.js";
import type { CacheClass, Direction, LatencyPoint, Spread } from "../result.js";

/** 64 → "64 B", 65550 → "65550 B", "imix" → "IMIX", "tso" → "TSO". */
export function frameName(frame: FrameSize): string {
  return typeof frame === "string" ? frame.toUpperCase() : `${frame} B`;
}

/** Order of frame sizes in tables and on axes: small to large, mixes at the end. */
export function byFrame(a: FrameSize, b: FrameSize): number {
  return place(a) - place(b);
}

function place(frame: FrameSize): number {
  if (frame === "tso") return TSO_FRAME;
  return frame === "imix" ? Number.MAX_SAFE_INTEGER : frame;
}

export const CLASS_NAMES: Record<CacheClass, string> = {
  "same-core": "same core",
  "shared-cache": "shared cache",
  far: "no shared cache",
};

export const DIRECTION_NAMES: Record<Direction, string> = { "one-way": "one way", "both-ways": "both ways" };

export const METHOD_NAMES = { mrr: "MRR", ndr: "NDR", pdr: "PDR" } as const;

/** What the methods mean, for those who do not know the field's abbreviations. */
export const METHOD_MEANINGS = {
  mrr: "offered flat out, frames received",
  ndr: "highest rate without any loss",
  pdr: "highest rate with at most 0.5 % loss",
} as const;

/** "one in flight", or the share of the partial drop rate that was offered. */
export function loadName(load: LatencyPoint["load"]): string {
  return load === "in-flight-1" ? "one in flight" : `${Math.round(load * 100)} % of PDR`;
}

/** What was measured beside the frame size, as far as it is known: "both ways, 4 ports, 1 flow". */
export function settingName(setting: { direction?: Direction; ports?: number; flows?: number }): string {
  const { direction, ports, flows } = setting;
  return [
    ...(direction === undefined ? [] : [DIRECTION_NAMES[direction]]),
    ...(ports === undefined ? [] : [`${ports} ports`]),
    ...(flows === undefined ? [] : [flowsName(flows)]),
  ].join(", ");
}

export function flowsName(flows: number): string {
  return flows === 1 ? "1 flow" : `${flows} flows`;
}

/** Enough digits to compare, no more: 12.3, 4.56, 0.789. */
export function significant(value: number): string {
  if (!Number.isFinite(value)) return "-";
  const size = Math.abs(value);
  return value.toFixed(size >= 100 ? 0 : size >= 10 ? 1 : size >= 1 ? 2 : size === 0 ? 0 : 3);
}

/** Median and quartiles in units of `unit`: "12.3 (11.9–12.4)". */
export function spreadText(spread: Spread, unit: number): string {
  const [median, low, high] = [spread.median, spread.low, spread.high].map((value) => significant(value / unit));
  return `${median} (${low}–${high})`;
}

/** A share as a percentage, exact about zero: "0 %", "0.012 %", "3.4 %". */
export function percent(share: number): string {
  if (share === 0) return "0 %";
  const value = share * 100;
  return `${Math.abs(value) < 0.001 ? "<0.001" : Number(value.toPrecision(2))} %`;
}
