// Ethernet frames for tests.

export { concat } from "../../../src/testing/bytes.js";

/** An Ethernet frame: addresses by short number (02:00:00:00:NN:NN) or as 6 octets, payload derived from `seed`. */
export function frame(to: number | number[], from: number | number[], length: number, seed = 1): Uint8Array {
  const bytes = new Uint8Array(length);
  for (let i = 14; i < length; i++) bytes[i] = (i * 31 + seed * 17) & 0xff;
  bytes.set(mac(to).slice(0, length), 0);
  if (length > 6) bytes.set(mac(from).slice(0, length - 6), 6);
  if (length >= 14) bytes.set([0x88, 0xb5], 12);
  return bytes;
}

export const BROADCAST = [255, 255, 255, 255, 255, 255];

/** A frame of 18 bytes or more that carries a number behind its header; `numberOf` finds it again. */
export function numbered(to: number | number[], from: number | number[], length: number, number: number): Uint8Array {
  const bytes = frame(to, from, length, number);
  new DataView(bytes.buffer).setUint32(14, number);
  return bytes;
}

export function numberOf(bytes: Uint8Array): number {
  return new DataView(bytes.buffer, bytes.byteOffset).getUint32(14);
}

function mac(address: number | number[]): number[] {
  return typeof address === "number" ? [2, 0, 0, 0, address >> 8, address & 0xff] : address;
}
