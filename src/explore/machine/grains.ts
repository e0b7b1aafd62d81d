// How far a step goes: to the next access, or to where something has come about that a reader cares for.

import type { Engine } from "./engine.js";
import type { Step } from "./log.js";
import type { Places } from "./places.js";
import type { World } from "./world.js";

/** How far a step of the worker goes. `shared`: to the next access of memory that a guest can see. */
export type DeviceGrain = "access" | "shared" | "descriptor" | "frame" | "burst";
/** How far a step of a driver goes. */
export type DriverGrain = "access" | "operation";

export interface Moment {
  world: World;
  places: Places;
  engine: Engine;
}

/** Tells, from this moment on, whether a step of the worker was the last of its grain. */
export function endOf(grain: DeviceGrain, moment: Moment): (step: Step) => boolean {
  const { world, places } = moment;
  const isNewDescriptor = newDescriptor(moment);
  const ends = (step: Step): boolean => {
    if (grain === "access") return true;
    if (grain === "shared") return step.what !== "access" || isShared(step, world) || sleeps(step);
    if (grain === "descriptor") return step.what !== "access" || isNewDescriptor(step) || sleeps(step);
    if (grain === "frame") return isFrame(step, places) || sleeps(step);
    return isEndOfBurst(step) || sleeps(step);
  };
  return (step) => !isIdle(step) && ends(step);
}

/** A poll that finds nothing looks at the rings again and again before it returns (assembly/index.ts): that goes by at once. */
export function isIdle({ idle, returned }: Step): boolean {
  return idle === true && returned === undefined;
}

function isShared({ address, length }: Step, { guests }: World): boolean {
  return guests.some(({ window, layout }) => address + length > window && address < window + layout.bytes);
}

/** Tells of a step whether it is the first of the call, or since another descriptor, that touches this one. */
function newDescriptor({ engine, places }: Moment): (step: Step) => boolean {
  const entryOf = ({ what, address }: Step): string | undefined => {
    const { kind, part, name, field = "" } = places.at(address);
    const is = what === "access" && (kind === "table" || (kind === "ring" && part === "desc"));
    return is ? name.slice(0, -field.length - 1) : undefined;
  };
  const { call } = engine.logic.device;
  let last = engine.steps
    .slice(call?.first ?? engine.steps.length)
    .filter(({ actor }) => actor === "device")
    .map(entryOf)
    .filter((entry) => entry !== undefined)
    .at(-1);
  return (step) => {
    const entry = entryOf(step);
    const isNew = entry !== undefined && entry !== last;
    last = entry ?? last;
    return isNew;
  };
}

/** A frame is through when used elements or a drop tell of it. */
function isFrame(step: Step, places: Places): boolean {
  if (!step.change) return false;
  const { kind, part, field, queue } = places.at(step.address);
  if (kind === "core" && part === "queue") return field!.startsWith("drops.");
  const used = part === "used" ? field === "idx" : part === "desc";
  return kind === "ring" && used && queue !== undefined;
}

/** A poll that has moved frames is over, and all calls for it are made. */
function isEndOfBurst({ what, call, returned, logic: { device } }: Step): boolean {
  if (device.phase !== "poll") return false;
  return what === "call" || (call?.kind === "poll" && returned !== undefined);
}

function sleeps({ logic: { device } }: Step): boolean {
  return device.phase === "asleep";
}
