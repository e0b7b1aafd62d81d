// One access of a driver: its operation stopped where it stands, the access made in memory or held.

import type { Access, Loaded } from "./driver/access.js";
import { type DriverState, operate } from "./driver/net.js";
import { replaced } from "./faults.js";
import type { Change, DriverLogic, Logic, Running, Step } from "./log.js";
import { littleEndian, perform, type World } from "./world.js";

/** Bytes of a read that are kept. */
export const READ_KEPT = 16;

/** A driver in the middle of an operation, as a generator that cannot be copied. */
export interface LiveOperation {
  running: Running;
  accesses: number;
  state: DriverState;
  generator: ReturnType<typeof operate>;
  next: IteratorResult<Access, string>;
}

/** Operations under way, made anew where a step back or another way has left them behind. */
export class LiveOperations {
  private readonly live: (LiveOperation | undefined)[] = [];

  /** The driver's operation where it stands; one that waits begins. */
  at(guest: number, { state, running, accesses, queue }: DriverLogic): LiveOperation {
    const cached = this.live[guest];
    if (running && cached?.running === running && cached.accesses === accesses) return cached;
    const now = running ?? { operation: queue[0]!, inputs: [] };
    const copy = structuredClone(state);
    const generator = operate(copy, now.operation);
    const live: LiveOperation = { running: now, accesses: 0, state: copy, generator, next: generator.next() };
    for (; live.accesses < accesses; live.accesses++) live.next = generator.next(now.inputs[live.accesses]!);
    this.live[guest] = live;
    return live;
  }

  forget(guest: number): void {
    this.live[guest] = undefined;
  }
}

/** Writes bytes and tells what stood there. */
export function storeIn({ bytes }: World, at: number, after: Uint8Array): Change {
  const before = bytes.slice(at, at + after.length);
  bytes.set(after, at);
  return { at, before, after };
}

/** Makes an access. What it was, what it has loaded, and what it has changed beside memory. */
export function driverAccess(world: World, logic: Logic, guest: number, access: Access) {
  const { name } = access;
  let { faults, held, kicks } = logic;
  const made = (step: Partial<Step> & Pick<Step, "what">, loaded: Loaded = 0) => {
    return { step: { name, ...step }, loaded, faults, held, kicks };
  };
  if (access.do === "kick") {
    const lost = faults.loseKick[guest]!;
    if (lost) faults = { ...faults, loseKick: replaced(faults.loseKick, guest, false) };
    else if (access.queue === "transmitq") kicks = replaced(kicks, guest, true);
    return made({ what: "kick", queue: access.queue, lost });
  }
  const own = world.guests[guest]!;
  const address = own.window + access.at - own.layout.base;
  if (access.do === "load" || access.do === "read") {
    const length = access.do === "load" ? access.bytes : access.length;
    const loaded = withHeld(world, logic, guest, () => perform(world, own, access));
    const bytes = typeof loaded === "number" ? littleEndian(loaded, length) : loaded;
    return made({ what: "access", kind: "read", address, length, read: bytes.slice(0, READ_KEPT) }, loaded);
  }
  const data = access.do === "write" ? access.data : littleEndian(access.value, access.bytes);
  const base = { what: "access", kind: "write", address, length: data.length } as const;
  const left = faults.hold[guest]!;
  if (left === 0) return made({ ...base, change: storeIn(world, address, data) });
  faults = { ...faults, hold: replaced(faults.hold, guest, 0) };
  held = [...held, { guest, at: address, data, left }];
  return made({ ...base, held: data });
}

/** A driver sees its own stores, whoever else does not. */
function withHeld(world: World, { held }: Logic, guest: number, look: () => Loaded): Loaded {
  const changes = held.filter((store) => store.guest === guest).map(({ at, data }) => storeIn(world, at, data));
  const seen = look();
  for (const { at, before } of changes.reverse()) world.bytes.set(before, at);
  return seen;
}
