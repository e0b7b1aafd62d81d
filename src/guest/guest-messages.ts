// What a guest process and its parent say to each other over the IPC channel of child_process.fork. Plain data only.

import type { LoadCounters, LoadGuestOptions } from "./load-guest.js";
import type { FrameSizes } from "./traffic.js";

/** How a guest is attached. Virtio features as a decimal string, because JSON has no bigints. */
export interface AttachOptions extends Omit<LoadGuestOptions, "features"> {
  features?: string;
}

export interface TrafficOptions {
  sizes: FrameSizes;
  /** False: only sequence numbers can be checked, but sending is cheaper. Default true. */
  payload?: boolean;
  /** Frames per second; not given: as fast as it goes. */
  rate?: number;
  /**
   * Frames that may be sent ahead of those received from the other side, whose traffic must mirror ours. With half of
   * the ring at both ends no receive ring can overflow. Not given: no limit, and what the receiver cannot take is lost.
   */
  window?: number;
}

/** To the guest process. */
export type GuestCommand =
  | { kind: "attach"; options: AttachOptions }
  /** Send from now on; receiving never stops. */
  | { kind: "run"; traffic: TrafficOptions }
  | { kind: "pause" }
  /** Report now, besides the regular reports. */
  | { kind: "report" }
  /** Leave the switch in good order, report once more, and exit. */
  | { kind: "end" };

/** From the guest process. */
export type GuestReport =
  | { kind: "attached"; features: string }
  /** Four times a second, when asked, and last before the process ends. `atMs`: when, on a clock of its own. */
  | { kind: "counters"; atMs: number; counters: LoadCounters; latencies: number[]; sending: boolean }
  | { kind: "ended" }
  /** A sentence; the process exits with 1. */
  | { kind: "failed"; reason: string };

export const REPORT_MS = 250;
