// What the page's rates are shown in.

import { formatRate } from "../../cli/table.js";
import type { PortRates } from "./history.js";

export type Unit = "frames" | "bits";

/** The rates from and to the guest in a unit. */
export function inUnit(rates: PortRates, unit: Unit): { rx: number | null; tx: number | null } {
  return unit === "frames" ? { rx: rates.rxFrames, tx: rates.txFrames } : { rx: rates.rxBits, tx: rates.txBits };
}

/** "1.23 Mpps", "500 Mbit/s", or a dash. */
export function rateText(rate: number | null | undefined, unit: Unit): string {
  return rate === null || rate === undefined ? "–" : formatRate(rate, unit === "frames" ? "pps" : "bit/s");
}

/** A figure on an axis, whose heading names the unit: "1.5 M". */
export function axisText(value: number): string {
  const text = formatRate(value, "").trim();
  return text.includes(".") ? text.replace(/\.?0+(?=\s|$)/, "") : text;
}
