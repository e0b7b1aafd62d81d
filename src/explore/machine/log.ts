// What a machine remembers: one entry for each step that was made, with what it takes to unmake it. The logic beside memory (what
// the worker is at, what the drivers are at, which eventfds are written) is plain data that is replaced and never changed, so
// a step refers to all of it.

import type { QueueKey } from "./driver/access.js";
import type { DriverState, Operation } from "./driver/net.js";
import type { SeenFrame } from "./seen-frames.js";
import type { AccessKind } from "./sites.js";

/** The switch's worker, or the number of a guest whose driver it was. */
export type Actor = "device" | number;

/** What the worker calls in the core, and what it does between: it writes call eventfds, it sleeps. */
export type CoreCall = "poll" | "arm" | "disarm";

/** A call that has begun: number of the step that was its first, and the second in which it began. */
export interface CallRecord {
  kind: CoreCall;
  first: number;
  now: number;
}

export interface DeviceLogic {
  phase: CoreCall | "calls" | "asleep";
  /** The call under way, and accesses that it has made; none: the phase's call begins with the next step. */
  call?: CallRecord;
  accesses: number;
  /** Queue pointers whose eventfds are still to be written. */
  calls: readonly number[];
}

/** An operation that a driver has begun, and what its loads have given so far (more of them after a step back). */
export interface Running {
  operation: Operation;
  inputs: (number | Uint8Array)[];
}

export interface DriverLogic {
  /** As it was when the operation under way began. Never changed. */
  state: DriverState;
  running?: Running;
  accesses: number;
  /** Operations that wait for their turn. */
  queue: readonly Operation[];
}

/** A store that its driver has made and nobody else sees yet. */
export interface HeldStore {
  guest: number;
  at: number;
  data: Uint8Array;
  /** Accesses that the worker makes before it sees it. */
  left: number;
}

/** What a hand puts wrong. Plain data: it stands in the URL. */
export type Fault =
  /** The next store of a guest's driver becomes visible after so many accesses of the worker; 0 takes that back. */
  | { fault: "hold-store"; guest: number; accesses: number }
  /** All stores of a guest that are held become visible now. */
  | { fault: "let-go"; guest: number }
  /** The next kick of a guest does not arrive, the next call to it does not. */
  | { fault: "lose-kick"; guest: number }
  | { fault: "lose-call"; guest: number }
  /** After it has asked for kicks the worker does not look at the rings once more, or does so again. */
  | { fault: "skip-recheck"; skip: boolean };

export interface FaultLogic {
  /** By guest: accesses for which the next store is held, 0 for none; the next kick or call is lost. */
  hold: readonly number[];
  loseKick: readonly boolean[];
  loseCall: readonly boolean[];
  skipRecheck: boolean;
}

export interface Logic {
  device: DeviceLogic;
  drivers: readonly DriverLogic[];
  /** By guest: its kick eventfd is written and the worker has not slept since; call eventfds that its driver has not heeded. */
  kicks: readonly boolean[];
  calls: readonly Readonly<Record<QueueKey, boolean>>[];
  held: readonly HeldStore[];
  faults: FaultLogic;
  /** The clock of `poll`, in seconds. It stands still but for `passTime`. */
  now: number;
}

/** Bytes of memory that a step has changed. */
export interface Change {
  at: number;
  before: Uint8Array;
  after: Uint8Array;
}

/** What a user did, in its smallest part; steps without one follow from the step before. */
export type Unit =
  | { do: "device" }
  | { do: "driver"; guest: number }
  | { do: "operation"; guest: number; operation: Operation }
  | { do: "fault"; fault: Fault }
  | { do: "time"; seconds: number };

export interface Step {
  actor: Actor;
  what: "access" | "kick" | "call" | "wake" | "visible" | "operation" | "nothing" | "fault" | "time" | "aged";
  unit?: Unit;
  /** An access: of which kind, where, how many bytes; a copy also from where. */
  kind?: AccessKind;
  address: number;
  length: number;
  from?: number;
  /** Number in the table of the core's sites; name in the driver's sources. */
  site?: number;
  name?: string;
  /** Bytes that were read, at most 16. */
  read?: Uint8Array;
  change?: Change;
  /** The call of the core that it belongs to. */
  call?: CallRecord;
  /** The operation of the driver that it belongs to. */
  operation?: Operation;
  queue?: QueueKey;
  /** The last step of a call: what it returned; of an operation: its result, as words. */
  returned?: number;
  result?: string;
  /** The kick or call was lost. */
  lost?: boolean;
  /** What a store would write that is held. */
  held?: Uint8Array;
  /** In a poll that has found nothing yet, from its second look at the rings on. */
  idle?: boolean;
  /** Frames at the switch's ports that it has brought to light. */
  frames?: readonly SeenFrame[];
  logic: Logic;
}
