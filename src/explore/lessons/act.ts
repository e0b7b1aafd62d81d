// What a lesson has its machine do, as plain data: the page plays it step by step, tests perform it at once.

import type { DeviceGrain, DriverGrain, Event, Fault, Machine, Operation } from "../machine/index.js";

export type Act =
  /** A guest's driver is told to do something, and does all of it; `start` only tells it. */
  | { guest: number; does: Operation; start?: true }
  /** A driver goes on: so many accesses, or to the end of its operation. */
  | { driver: number; grain?: DriverGrain; times?: number }
  /** The switch goes on. `until` stops after the first step whose text has it, `phase` when the worker has come to that. */
  | { device: DeviceGrain; times?: number; until?: string; phase?: string }
  | { fault: Fault };

/** Steps that a lesson may make while it waits for something: then it does not come. */
const LIMIT = 20_000;

/** Performs acts, one after the other. Throws when an `until` does not come. */
export function perform(machine: Machine, acts: readonly Act[]): void {
  for (const act of acts) performOne(machine, act);
}

function performOne(machine: Machine, act: Act): void {
  if ("does" in act) {
    machine.operate(act.guest, act.does);
    if (!act.start) machine.stepDriver(act.guest, "operation");
  } else if ("driver" in act) {
    for (let i = 0; i < (act.times ?? 1); i++) machine.stepDriver(act.driver, act.grain ?? "operation");
  } else if ("fault" in act) {
    machine.fault(act.fault);
  } else if (act.until !== undefined) {
    stepUntil(machine, act.device, act.until);
  } else if (act.phase !== undefined) {
    for (let i = 0; i < LIMIT && machine.view().device.phase !== act.phase; i++) machine.stepDevice(act.device);
  } else {
    for (let i = 0; i < (act.times ?? 1); i++) machine.stepDevice(act.device);
  }
}

function stepUntil(machine: Machine, grain: DeviceGrain, text: string): void {
  for (let i = 0; i < LIMIT; i++) {
    const events: Event[] = machine.stepDevice(grain);
    if (events.some((event) => event.text.includes(text))) return;
    if (events.length === 0) break;
  }
  throw new Error(`the switch does not come to "${text}"`);
}

export const send = (guest: number, to: number | "broadcast" | "unknown", payload: number, more: object = {}): Act => ({
  guest,
  does: { do: "send", to, payload, ...more },
});
export const post = (guest: number, buffers: number): Act => ({ guest, does: { do: "post", buffers } });
export const receive = (guest: number, again?: boolean): Act => ({
  guest,
  does: again ? { do: "receive", again } : { do: "receive" },
});
export const reclaim = (guest: number): Act => ({ guest, does: { do: "reclaim" } });
export const burst: Act = { device: "burst" };
