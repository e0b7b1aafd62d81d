// TCP and UDP packets for tests, and struct virtio_net_hdr. What a network card makes of them is in wire.ts.

import { get16, put16, put32 } from "../../../src/testing/bytes.js";
import { concat } from "./frames.js";

export { get16, get32, put16, put32 } from "../../../src/testing/bytes.js";

export const TCP = 6;
export const UDP = 17;
const HOP_BY_HOP = 0;
const ROUTING = 43;
const DESTINATION = 60;

/** Fields of struct virtio_net_hdr (virtio 1.3, 5.1.6) but num_buffers. */
export interface NetHeader {
  flags: number;
  gsoType: number;
  headerLength: number;
  gsoSize: number;
  checksumStart: number;
  checksumOffset: number;
}

export const NO_OFFLOAD: NetHeader = {
  flags: 0,
  gsoType: 0,
  headerLength: 0,
  gsoSize: 0,
  checksumStart: 0,
  checksumOffset: 0,
};

/** The header's first 10 bytes. */
export function encodeHeader(header: Partial<NetHeader>): Uint8Array {
  const all = { ...NO_OFFLOAD, ...header };
  const bytes = new Uint8Array(10);
  const view = new DataView(bytes.buffer);
  bytes[0] = all.flags;
  bytes[1] = all.gsoType;
  const words = [all.headerLength, all.gsoSize, all.checksumStart, all.checksumOffset];
  for (const [i, word] of words.entries()) view.setUint16(2 + i * 2, word, true);
  return bytes;
}

export function decodeHeader(bytes: Uint8Array): NetHeader {
  const word = (at: number) => bytes[at]! | (bytes[at + 1]! << 8);
  return {
    flags: bytes[0]!,
    gsoType: bytes[1]!,
    headerLength: word(2),
    gsoSize: word(4),
    checksumStart: word(6),
    checksumOffset: word(8),
  };
}

export interface PacketShape {
  to: number;
  from: number;
  /** TPIDs of VLAN tags, outermost first. */
  tags?: number[];
  version: 4 | 6;
  protocol: typeof TCP | typeof UDP;
  /** Bytes of IPv4 options, or types of IPv6 extension headers with their lengths in bytes (multiples of 8). */
  options?: number;
  extensions?: [type: number, length: number][];
  /** Bytes of TCP options. */
  tcpOptions?: number;
  tcpFlags?: number;
  sequence?: number;
  identification?: number;
  payload: number;
  seed?: number;
}

/** A frame whose checksum is only begun, as a driver with CSUM sends it; IPv4's own is complete. */
export function packet(shape: PacketShape): Uint8Array {
  const { tags = [], version } = shape;
  const ethernet = new Uint8Array(12 + tags.length * 4 + 2);
  ethernet.set([2, 0, 0, 0, shape.to >> 8, shape.to & 255, 2, 0, 0, 0, shape.from >> 8, shape.from & 255]);
  tags.forEach((tag, i) => {
    ethernet.set([tag >> 8, tag & 255, 0x20, 100 + i], 12 + i * 4);
  });
  ethernet.set(version === 4 ? [0x08, 0x00] : [0x86, 0xdd], ethernet.length - 2);
  const transport = transportBytes(shape);
  const frame = concat([
    ethernet,
    version === 4 ? ipv4(shape, transport.length) : ipv6(shape, transport.length),
    transport,
  ]);
  const layers = parse(frame);
  put16(frame, layers.checksum, fold(pseudoSum(frame, layers, transport.length)));
  return frame;
}

function transportBytes(shape: PacketShape): Uint8Array {
  const { protocol, payload, seed = 1 } = shape;
  const header = new Uint8Array(protocol === TCP ? 20 + (shape.tcpOptions ?? 0) : 8);
  const data = Uint8Array.from({ length: payload }, (_, i) => (i * 37 + (i >> 8) * 11 + seed * 101) & 255);
  put16(header, 0, 40_000 + (seed % 1000));
  put16(header, 2, 9999);
  if (protocol === UDP) {
    put16(header, 4, 8 + payload);
  } else {
    put32(header, 4, shape.sequence ?? 0xffff_f000);
    put32(header, 8, 12_345);
    header[12] = (header.length / 4) << 4;
    header[13] = shape.tcpFlags ?? 0x18;
    put16(header, 14, 0x1000);
    header.fill(1, 20); // no-operation options
  }
  return concat([header, data]);
}

function ipv4(shape: PacketShape, behind: number): Uint8Array {
  const header = new Uint8Array(20 + (shape.options ?? 0));
  header[0] = 0x40 | (header.length / 4);
  put16(header, 2, (header.length + behind) & 0xffff);
  put16(header, 4, shape.identification ?? 0xfffe);
  if (shape.protocol === TCP) header[6] = 0x40; // don't fragment
  header[8] = 64;
  header[9] = shape.protocol;
  header.set([10, 0, 0, shape.from & 255, 10, 0, 0, shape.to & 255], 12);
  header.fill(1, 20);
  put16(header, 10, ~fold(sum16(header)));
  return header;
}

function ipv6(shape: PacketShape, behind: number): Uint8Array {
  const chain = shape.extensions ?? [];
  const header = new Uint8Array(40);
  const types = [...chain.map(([type]) => type), shape.protocol];
  const extensions = chain.map(([type, length], i) => {
    const bytes = new Uint8Array(length);
    bytes[0] = types[i + 1]!;
    bytes[1] = length / 8 - 1;
    // Options of type PadN; a routing header of type 253 (for experiments) with nothing left to visit.
    if (type === ROUTING) bytes[2] = 253;
    else for (let at = 2; at < length; at += bytes[at + 1]! + 2) bytes.set([1, Math.min(length - at - 2, 255)], at);
    return bytes;
  });
  const extensionBytes = extensions.reduce((sum, bytes) => sum + bytes.length, 0);
  header[0] = 0x60;
  put16(header, 4, (extensionBytes + behind) & 0xffff);
  header[6] = types[0]!;
  header[7] = 64;
  header.set([0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, shape.from & 255], 8);
  header.set([0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, shape.to & 255], 24);
  return concat([header, ...extensions]);
}

export interface Layers {
  version: number;
  network: number;
  transport: number;
  payload: number;
  protocol: number;
  /** Offset of the TCP or UDP checksum. */
  checksum: number;
  /** IPv6: end of what each fragment repeats, and offset of the byte that names what follows. */
  repeated: number;
  nextHeader: number;
}

/** Where the layers of a good packet begin, as offsets in its frame. */
export function parse(frame: Uint8Array): Layers {
  let network = 14;
  for (let type = get16(frame, 12); type === 0x8100 || type === 0x88a8; network += 4) type = get16(frame, network + 2);
  const version = frame[network]! >> 4;
  let transport = network + (version === 4 ? (frame[network]! & 15) * 4 : 40);
  let nextHeader = network + (version === 4 ? 9 : 6);
  let repeated = transport;
  let repeatedNext = nextHeader;
  while (version === 6 && [HOP_BY_HOP, ROUTING, DESTINATION].includes(frame[nextHeader]!)) {
    const routers = frame[nextHeader] !== DESTINATION;
    nextHeader = transport;
    transport += (frame[transport + 1]! + 1) * 8;
    if (routers) [repeated, repeatedNext] = [transport, nextHeader];
  }
  const protocol = frame[nextHeader]!;
  const payload = transport + (protocol === TCP ? (frame[transport + 12]! >> 4) * 4 : 8);
  const checksum = transport + (protocol === TCP ? 16 : 6);
  return { version, network, transport, payload, protocol, checksum, repeated, nextHeader: repeatedNext };
}

/** Sum of the pseudo header (RFC 9293 3.1, RFC 8200 8.1) for `length` bytes of TCP or UDP. */
export function pseudoSum(frame: Uint8Array, { version, network, protocol }: Layers, length: number): number {
  const addresses =
    version === 4 ? frame.subarray(network + 12, network + 20) : frame.subarray(network + 8, network + 40);
  return sum16(addresses) + protocol + (length >>> 16) + (length & 0xffff);
}

export function sum16(bytes: Uint8Array): number {
  let sum = 0;
  for (let i = 0; i < bytes.length; i++) sum += i % 2 ? bytes[i]! : bytes[i]! << 8;
  return sum;
}

export function fold(sum: number): number {
  let folded = sum;
  while (folded > 0xffff) folded = (folded % 0x10000) + Math.floor(folded / 0x10000);
  return folded;
}
