// The Internet checksum (RFC 1071) and the pseudo headers that TCP, UDP and ICMPv6 put under it (RFC 9293 3.1, RFC 8200 8.1).

import { concat } from "../bytes.js";

/** Sum of big-endian 16-bit words, an odd last byte as if a zero followed; not folded. */
export function sum16(bytes: Uint8Array): number {
  let sum = 0;
  for (let i = 0; i < bytes.length; i++) sum += i % 2 ? bytes[i]! : bytes[i]! << 8;
  return sum;
}

/** Folds the carries of a sum into 16 bits. */
export function fold(sum: number): number {
  let folded = sum;
  while (folded > 0xffff) folded = (folded % 0x10000) + Math.floor(folded / 0x10000);
  return folded;
}

/** The checksum of bytes in which its own field is zero. */
export function checksum(...parts: Uint8Array[]): number {
  return ~fold(sum16(concat(parts))) & 0xffff;
}

/** Folded sum of the pseudo header for `length` bytes of a protocol: addresses of 4 bytes, or of 16. */
export function pseudoHeaderSum(source: Uint8Array, destination: Uint8Array, protocol: number, length: number): number {
  return fold(sum16(source) + sum16(destination) + protocol + (length >>> 16) + (length & 0xffff));
}

/** The checksum of a TCP, UDP or ICMPv6 message in which its own field is zero. */
export function transportChecksum(
  source: Uint8Array,
  destination: Uint8Array,
  protocol: number,
  message: Uint8Array,
): number {
  return ~fold(pseudoHeaderSum(source, destination, protocol, message.length) + sum16(message)) & 0xffff;
}
