// How a run went over time: counters of each group of guests, looked at in equal steps.

import { MILLISECOND } from "../testing/clock.js";
import type { LabGuest } from "../testing/guest.js";
import type { Expanded } from "./expand.js";
import { durationOf } from "./expand.js";
import type { Network } from "./network.js";

export const STEPS = 50;

/** Counters so far, and frames that wait, at one time. */
export interface GroupSample {
  sent: number;
  received: number;
  /** In the receive rings of all its guests. */
  waiting: number;
}

export interface Samples {
  /** Milliseconds. */
  times: number[];
  groups: Record<string, GroupSample[]>;
  /** Drops so far of all guests, by cause. */
  drops: Record<string, number>[];
}

export class Sampler {
  readonly samples: Samples = { times: [], groups: {}, drops: [] };
  /** Most frames that waited in one guest's receive rings. */
  readonly fill = new Map<string, number>();

  constructor(
    private readonly network: Network,
    private readonly expanded: Expanded,
  ) {
    for (const group of expanded.groups.values()) this.samples.groups[group] = [];
    const step = (durationOf(expanded.scenario) * MILLISECOND) / STEPS;
    for (let i = 0; i <= STEPS; i++) network.clock.after(i * step, () => this.look(), "background");
  }

  private look(): void {
    const { network, samples } = this;
    const now: Record<string, GroupSample> = {};
    for (const [name, guest] of network.guests) {
      const group = this.expanded.groups.get(name)!;
      now[group] ??= { sent: 0, received: 0, waiting: 0 };
      const waiting = waitingFor(guest);
      now[group].sent += guest.sent;
      now[group].received += guest.receivedCount;
      now[group].waiting += waiting;
      this.fill.set(name, Math.max(this.fill.get(name) ?? 0, waiting));
    }
    samples.times.push(network.clock.now / MILLISECOND);
    for (const [group, sample] of Object.entries(now)) samples.groups[group]!.push(sample);
    samples.drops.push(dropsOf(network));
  }
}

/** Frames in a guest's receive rings that its driver has not taken. */
function waitingFor(guest: LabGuest): number {
  return guest.counters.delivered - guest.receivedCount - guest.lostUnread;
}

/** Drops of all switches by cause. */
export function dropsOf(network: Network): Record<string, number> {
  const all: Record<string, number> = {};
  for (const lab of network.labs.values()) {
    for (const [cause, count] of Object.entries(lab.drops())) all[cause] = (all[cause] ?? 0) + count;
  }
  return all;
}
