// What a network card makes of a packet that was left to it: checksums and segments by the book, written without a look at
// assembly/net: byte by byte, big-endian, every pseudo header from its addresses.

import { concat } from "./frames.js";
import {
  fold,
  get16,
  get32,
  type Layers,
  type NetHeader,
  parse,
  pseudoSum,
  put16,
  put32,
  sum16,
  TCP,
} from "./packets.js";

const FRAGMENT = 44;

/** What a driver asks with a frame made by `packet`: its checksum, and segments of `gsoSize` bytes when that is given. */
export function ask(frame: Uint8Array, gsoType = 0, gsoSize = 0): NetHeader {
  const { transport, checksum, payload } = parse(frame);
  return {
    flags: 1,
    gsoType,
    gsoSize,
    headerLength: gsoType ? payload : 0,
    checksumStart: transport,
    checksumOffset: checksum - transport,
  };
}

/** The frame with the checksum finished that its header asks for. */
export function finished(frame: Uint8Array, header: NetHeader): Uint8Array {
  const bytes = frame.slice();
  if (!(header.flags & 1)) return bytes;
  const value = ~fold(sum16(bytes.subarray(header.checksumStart))) & 0xffff;
  put16(bytes, header.checksumStart + header.checksumOffset, value || 0xffff);
  return bytes;
}

/**
 * The frames that go over a wire for one with such a header. Identifications of IPv6 fragments, which the segmenter
 * chooses, are 0.
 */
export function segments(frame: Uint8Array, header: NetHeader): Uint8Array[] {
  const type = header.gsoType & 0x7f;
  const layers = parse(frame);
  const from = type === 3 ? layers.repeated : layers.payload;
  if (type === 0 || frame.length - from <= header.gsoSize) return [finished(frame, header)];
  return type === 3
    ? fragments(finished(frame, header), layers, header.gsoSize & ~7)
    : cut(frame, layers, header.gsoSize);
}

function cut(frame: Uint8Array, layers: Layers, size: number): Uint8Array[] {
  const { network, transport, payload, protocol, version, checksum } = layers;
  const made: Uint8Array[] = [];
  for (let at = payload; at < frame.length; at += size) {
    const last = at + size >= frame.length;
    const bytes = concat([frame.subarray(0, payload), frame.subarray(at, at + size)]);
    if (version === 4) {
      put16(bytes, network + 4, get16(frame, network + 4) + made.length);
      setIpv4Length(bytes, network, transport);
    } else {
      put16(bytes, network + 4, bytes.length - network - 40);
    }
    if (protocol === TCP) {
      put32(bytes, transport + 4, get32(frame, transport + 4) + at - payload);
      if (!last) bytes[transport + 13]! &= ~0x09; // PSH, FIN
      if (at !== payload) bytes[transport + 13]! &= ~0x80; // CWR
    } else {
      put16(bytes, transport + 4, bytes.length - transport);
    }
    put16(bytes, checksum, 0);
    const value = ~fold(pseudoSum(bytes, layers, bytes.length - transport) + sum16(bytes.subarray(transport))) & 0xffff;
    put16(bytes, checksum, value || 0xffff);
    made.push(bytes);
  }
  return made;
}

function fragments(frame: Uint8Array, layers: Layers, size: number): Uint8Array[] {
  const { network, transport, version, repeated, nextHeader } = layers;
  const made: Uint8Array[] = [];
  for (let at = repeated; at < frame.length; at += size) {
    const more = at + size < frame.length ? 1 : 0;
    const data = frame.subarray(at, at + size);
    const head = frame.slice(0, repeated);
    if (version === 4) {
      const bytes = concat([head, data]);
      put16(bytes, network + 6, ((at - repeated) / 8) | (more << 13));
      setIpv4Length(bytes, network, transport);
      made.push(bytes);
      continue;
    }
    const extension = new Uint8Array(8);
    extension[0] = head[nextHeader]!;
    put16(extension, 2, (at - repeated) | more);
    head[nextHeader] = FRAGMENT;
    put16(head, network + 4, repeated - network - 40 + 8 + data.length);
    made.push(concat([head, extension, data]));
  }
  return made;
}

function setIpv4Length(bytes: Uint8Array, network: number, transport: number): void {
  put16(bytes, network + 2, bytes.length - network);
  put16(bytes, network + 10, 0);
  put16(bytes, network + 10, ~fold(sum16(bytes.subarray(network, transport))));
}
