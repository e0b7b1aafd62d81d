// Writes pcapng (draft-ietf-opsawg-pcapng): one section, an interface for each port, a block for each frame. Nothing of the
// machine or the hour gets into it, so the same frames give the same bytes.

import { concat } from "../bytes.js";

/** What one port saw: a frame, which way it went, and when. */
export interface CapturedFrame {
  /** Index of the interface. */
  interface: number;
  /** As the port sees it: "in" from the guest, "out" to the guest. */
  direction: "in" | "out";
  /** Nanoseconds. */
  time: number;
  bytes: Uint8Array;
}

export const SECTION_HEADER = 0x0a0d0d0a;
export const INTERFACE_DESCRIPTION = 1;
export const SIMPLE_PACKET = 3;
export const ENHANCED_PACKET = 6;
export const BYTE_ORDER_MAGIC = 0x1a2b3c4d;
export const LINKTYPE_ETHERNET = 1;
export const OPTION_IF_TSRESOL = 9;
const OPTION_IF_NAME = 2;
const OPTION_EPB_FLAGS = 2;
const OPTION_USER_APPLICATION = 4;
const FLAGS_INBOUND = 1;
const FLAGS_OUTBOUND = 2;
const NANOSECONDS = 9;

/** A whole file. */
export function writePcapng(interfaces: readonly string[], frames: readonly CapturedFrame[]): Uint8Array {
  const parts = [sectionHeader(), ...interfaces.map(interfaceDescription)];
  for (const frame of frames) parts.push(enhancedPacket(frame));
  return concat(parts);
}

function sectionHeader(): Uint8Array {
  const body = new Uint8Array(16);
  const view = new DataView(body.buffer);
  view.setUint32(0, BYTE_ORDER_MAGIC, true);
  view.setUint16(4, 1, true);
  view.setBigInt64(8, -1n, true);
  return block(SECTION_HEADER, body, [[OPTION_USER_APPLICATION, new TextEncoder().encode("ringbridge")]]);
}

function interfaceDescription(name: string): Uint8Array {
  const body = new Uint8Array(8);
  new DataView(body.buffer).setUint16(0, LINKTYPE_ETHERNET, true);
  return block(INTERFACE_DESCRIPTION, body, [
    [OPTION_IF_NAME, new TextEncoder().encode(name)],
    [OPTION_IF_TSRESOL, Uint8Array.of(NANOSECONDS)],
  ]);
}

function enhancedPacket({ interface: number, direction, time, bytes }: CapturedFrame): Uint8Array {
  const body = new Uint8Array(20 + padded(bytes.length));
  const view = new DataView(body.buffer);
  const fields = [number, Math.floor(time / 2 ** 32), time % 2 ** 32, bytes.length, bytes.length];
  for (const [i, field] of fields.entries()) view.setUint32(i * 4, field, true);
  body.set(bytes, 20);
  const flags = Uint8Array.of(direction === "in" ? FLAGS_INBOUND : FLAGS_OUTBOUND, 0, 0, 0);
  return block(ENHANCED_PACKET, body, [[OPTION_EPB_FLAGS, flags]]);
}

/** A block around a body of whole words, with its length before and behind it. */
function block(type: number, body: Uint8Array, options: readonly (readonly [number, Uint8Array])[]): Uint8Array {
  const optionBytes = options.reduce((sum, [, value]) => sum + 4 + padded(value.length), 0) + 4;
  const whole = new Uint8Array(12 + body.length + optionBytes);
  const view = new DataView(whole.buffer);
  view.setUint32(0, type, true);
  view.setUint32(4, whole.length, true);
  whole.set(body, 8);
  let at = 8 + body.length;
  for (const [code, value] of options) {
    view.setUint16(at, code, true);
    view.setUint16(at + 2, value.length, true);
    whole.set(value, at + 4);
    at += 4 + padded(value.length);
  }
  view.setUint32(whole.length - 4, whole.length, true);
  return whole;
}

function padded(length: number): number {
  return (length + 3) & ~3;
}
