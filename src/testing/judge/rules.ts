// What the judge asks of either form of ring.

import type { Span } from "../ram.js";
import type { Chain } from "./chain.js";

/** A chain that was given back, the bytes that the device says it wrote, and where it says so. */
export interface Used {
  chain: Chain;
  written: number;
  wrote: Span;
}

/** Whether the driver wants a call for what was used. */
export type Wish = "call" | "quiet";

export interface RingRules {
  /** By head or buffer id, in the order in which the driver made them available. */
  readonly outstanding: ReadonlyMap<number, Chain>;
  /** Why the ring is none any more: its driver's fault. */
  readonly broken: string | undefined;
  /** Where the device will look for the next chain, as GET_VRING_BASE has it, when it uses chains in order. */
  readonly position: number;
  /** Reads what the driver has made available since the last look. */
  look(): void;
  /** What the device has given back since the last time. Throws when it had no right to. */
  judge(): Used[];
  /** What it may write at any time: index and notification fields; and all that is its own. */
  readonly deviceFields: Span[];
  readonly deviceArea: Span[];
  /** Does the device ask for a kick with the next chain? */
  asksForKicks(): boolean;
  /** What the driver wishes after so many chains, of so many ring entries, were used. */
  wish(count: number, slots: number): Wish;
}
