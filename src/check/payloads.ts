// Payloads of requests, as short as cases want to write them.

import type { MemoryRegion } from "../vhost-user/effects.js";
import type { Payload } from "../vhost-user/message.js";

export const NONE: Payload = { kind: "none" };

export function u64(value: bigint): Payload {
  return { kind: "u64", value };
}

/** A vring state: a ring's index and a number. */
export function vring(index: number, num: number): Payload {
  return { kind: "vringState", index, num };
}

/** Of SET_VRING_KICK, CALL and ERR; `noFd` is bit 8. */
export function vringFd(index: number, noFd = false): Payload {
  return { kind: "vringFd", index, noFd, reserved: 0n };
}

export function memTable(...regions: MemoryRegion[]): Payload {
  return { kind: "memTable", regions };
}

export function memRegion(region: MemoryRegion): Payload {
  return { kind: "memRegion", region };
}
