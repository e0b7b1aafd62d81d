// Faults as values: plain objects that say what goes wrong, when, and for how long, so that they can be written down,
// drawn from a seed, and replayed.

import { MILLISECOND } from "./clock.js";
import type { LabGuest } from "./guest.js";
import { breakRing, HOSTILE_KINDS, type HostileKind } from "./hostile.js";
import type { Lab } from "./lab.js";
import type { Random } from "./random.js";

/** All times in milliseconds. `at`: of the lab's clock, default now. */
interface When {
  at?: number;
}

/** A state that lasts; without `for` it never ends. */
interface Lasting extends When {
  guest: string;
  for?: number;
}

/** What goes wrong, with whom, when and for how long: a plain object. */
export type Fault =
  /** The guest takes nothing, neither frames nor sent buffers. */
  | (Lasting & { kind: "stall" })
  /** It takes at most `rate` frames in a millisecond. */
  | (Lasting & { kind: "slow"; rate: number })
  /** Its kicks, or its calls, are lost; or late by `by`. */
  | (Lasting & { kind: "lose-kicks" | "lose-calls" })
  | (Lasting & { kind: "late-kicks" | "late-calls"; by: number })
  /** It gives no receive buffers and takes no sent ones back: both rings fill up. */
  | (Lasting & { kind: "full-ring" })
  /** Its connection breaks; rings go on where they stood when it is back. */
  | (Lasting & { kind: "disconnect" })
  /** Its last region, which holds no ring and no receive buffer, is taken from the switch's memory map. */
  | (Lasting & { kind: "unplug" })
  /** Its driver breaks a ring (hostile.ts); `for`: until it resets its rings. Queue: which one, default "transmit". */
  | (Lasting & { kind: HostileKind; queue?: "transmit" | "receive" })
  /** Its driver resets its rings: what was in them is gone. */
  | (When & { guest: string; kind: "reset" })
  /** The switch's clock, by which addresses age, jumps by that many seconds. */
  | (When & { kind: "clock-jump"; seconds: number });

/** The name of a kind of fault. */
export type FaultKind = Fault["kind"];

const NOTIFICATIONS = ["lose-kicks", "lose-calls", "late-kicks", "late-calls"] as const;

/** Every kind of fault. */
export const FAULT_KINDS: readonly FaultKind[] = [
  ...(["stall", "slow", "full-ring", "disconnect", "unplug", "reset", "clock-jump"] as const),
  ...NOTIFICATIONS,
  ...HOSTILE_KINDS,
];

/** What `drawFaults` may draw. */
export interface DrawOptions {
  /** Names of the guests that they may befall. */
  guests: readonly string[];
  /** They begin before this many milliseconds of the lab's clock, and end at most a quarter of that later. */
  until: number;
  count: number;
  /** Default all. */
  kinds?: readonly FaultKind[];
}

/** Faults as the seed has them, each of which ends. */
export function drawFaults(random: Random, { guests, until, count, kinds = FAULT_KINDS }: DrawOptions): Fault[] {
  return Array.from({ length: count }, (): Fault => {
    const kind = random.pick(kinds);
    const at = random.integer(0, Math.round(until * 1000)) / 1000;
    const lasting = { at, guest: random.pick(guests), for: random.integer(1, Math.round(until * 250)) / 1000 };
    switch (kind) {
      case "clock-jump":
        return { at, kind, seconds: random.integer(-400, 400) };
      case "reset":
        return { at, kind, guest: lasting.guest };
      case "slow":
        return { ...lasting, kind, rate: random.integer(1, 50) };
      case "late-kicks":
      case "late-calls":
        return { ...lasting, kind, by: random.integer(1, 2000) / 1000 };
      case "stall":
      case "lose-kicks":
      case "lose-calls":
      case "full-ring":
      case "disconnect":
      case "unplug":
        return { ...lasting, kind };
      default:
        return { ...lasting, kind, queue: random.pick(["transmit", "receive"] as const) };
    }
  });
}

/** Makes a fault happen now, and ends it in time. The lab does it (`Lab.inject`). */
export async function applyFault(lab: Lab, fault: Fault): Promise<void> {
  if (fault.kind === "clock-jump") {
    lab.clockOffset += fault.seconds;
    return;
  }
  const guest = lab.named(fault.guest);
  if (fault.kind === "reset") return guest.reset();
  const end = await begin(guest, fault);
  if (fault.for !== undefined) lab.clock.after(fault.for * MILLISECOND, end, "background");
}

/** Returns what ends it. */
async function begin(
  guest: LabGuest,
  fault: Exclude<Fault, { kind: "clock-jump" | "reset" }>,
): Promise<() => void | Promise<void>> {
  const { trouble } = guest;
  // Of two faults of one kind that overlap the first to end ends both.
  const during = (change: () => void, undo: () => void) => {
    change();
    return () => {
      undo();
      guest.recover();
    };
  };
  switch (fault.kind) {
    case "stall":
      return during(
        () => {
          trouble.stalled = true;
        },
        () => {
          trouble.stalled = false;
        },
      );
    case "slow":
      return during(
        () => {
          trouble.rate = fault.rate;
        },
        () => {
          trouble.rate = guest.options.rate;
        },
      );
    case "full-ring":
      return during(
        () => {
          trouble.withholding = true;
        },
        () => {
          trouble.withholding = false;
        },
      );
    case "lose-kicks":
      return during(
        () => {
          trouble.losesKicks = true;
        },
        () => {
          trouble.losesKicks = false;
        },
      );
    case "lose-calls":
      return during(
        () => {
          trouble.losesCalls = true;
        },
        () => {
          trouble.losesCalls = false;
        },
      );
    case "late-kicks":
      return during(
        () => {
          trouble.kicksLate = fault.by;
        },
        () => {
          trouble.kicksLate = 0;
        },
      );
    case "late-calls":
      return during(
        () => {
          trouble.callsLate = fault.by;
        },
        () => {
          trouble.callsLate = 0;
        },
      );
    case "disconnect":
      await guest.disconnect();
      return () => guest.reconnect();
    case "unplug":
      await guest.unplug();
      return () => guest.plug();
    default:
      await breakRing(guest, fault.kind, fault.queue ?? "transmit");
      return () => guest.reset();
  }
}
