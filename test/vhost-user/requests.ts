// Payloads and a small guest for the session's tests.

import type { Effect, Fd, MemoryRegion } from "../../src/vhost-user/effects.js";
import type { FrontEndDevice, FrontEndRing } from "../../src/vhost-user/front-end-session.js";
import type { MessageName } from "../../src/vhost-user/message.js";
import { decodePayload, type Payload } from "../../src/vhost-user/payload.js";
import { FakeSwitch, REPLY_ACK_ON } from "./fake-switch.js";

export const MIB = 1n << 20n;
/** Where the guest's memory begins in the front-end. */
export const UVA = 0x7f00_0000_0000n;

export function u64(value: bigint): Payload {
  return { kind: "u64", value };
}

export function vring(index: number, num: number): Payload {
  return { kind: "vringState", index, num };
}

export function vringFd(index: number, noFd = false): Payload {
  return { kind: "vringFd", index, noFd, reserved: 0n };
}

export function region(guestAddress: bigint, size: bigint, more: Partial<MemoryRegion> = {}): MemoryRegion {
  return { guestAddress, size, userAddress: UVA + guestAddress, mmapOffset: guestAddress, ...more };
}

export function memTable(...regions: MemoryRegion[]): Payload {
  return { kind: "memTable", regions };
}

/** Ring number `index` has 64 KiB of guest memory of its own, at guest address 1 MiB + index * 64 KiB. */
export function ringAddresses(index: number): { desc: bigint; avail: bigint; used: bigint } {
  const desc = UVA + MIB + BigInt(index) * 0x10000n;
  return { desc, avail: desc + 0x8000n, used: desc + 0xa000n };
}

export function vringAddr(index: number, change: { desc?: bigint; avail?: bigint; used?: bigint } = {}): Payload {
  return { kind: "vringAddr", index, flags: 0, log: 0n, ...ringAddresses(index), ...change };
}

export function ringOf(index: number, kick: Fd | null = 1, call: Fd | null = 2): FrontEndRing {
  return { index, size: 256, nextAvail: 0, kick, call, ...ringAddresses(index) };
}

/** A device with 32 MiB of memory in one region. */
export function device(pairs: number, features: bigint, protocolFeatures: bigint): FrontEndDevice {
  const rings = Array.from({ length: 2 * pairs }, (_, index) => ringOf(index));
  return { features, protocolFeatures, regions: [region(0n, 32n * MIB)], memoryFds: [9], rings };
}

/** REPLY_ACK on, so that every answer can be seen. */
export function negotiate(sw: FakeSwitch): void {
  sw.send("SET_PROTOCOL_FEATURES", u64(REPLY_ACK_ON));
  sw.send("SET_FEATURES", u64((1n << 30n) | (1n << 32n)));
}

/** 32 MiB of memory, one region. */
export function giveMemory(sw: FakeSwitch): void {
  sw.send("SET_MEM_TABLE", memTable(region(0n, 32n * MIB)), sw.fds(1));
}

/** All that a ring needs, KICK last. The ring's size is 256. */
export function startRing(sw: FakeSwitch, index: number, nextAvail = 0): void {
  sw.send("SET_VRING_NUM", vring(index, 256));
  sw.send("SET_VRING_BASE", vring(index, nextAvail));
  sw.send("SET_VRING_ADDR", vringAddr(index));
  sw.send("SET_VRING_CALL", vringFd(index), sw.fds(1));
  sw.send("SET_VRING_KICK", vringFd(index), sw.fds(1));
}

/** The kinds of the effects, in order. */
export function kinds(effects: readonly Effect[]): string[] {
  return effects.map((e) => e.kind);
}

/** The number that a question is answered with. */
export function ask(sw: FakeSwitch, name: MessageName): bigint {
  const payload = decodePayload("u64", sw.send(name).reply!);
  if (payload.kind !== "u64") throw new Error(`${name} was not answered with a number`);
  return payload.value;
}

/** GET_VRING_BASE: the payload of its reply. */
export function stopRing(sw: FakeSwitch, index: number): Payload {
  return decodePayload("vringState", sw.send("GET_VRING_BASE", vring(index, 0)).reply!) as Payload;
}

/** A session with REPLY_ACK and 32 MiB of memory. */
export function ready(): FakeSwitch {
  const sw = new FakeSwitch();
  negotiate(sw);
  giveMemory(sw);
  return sw;
}
