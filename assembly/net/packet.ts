// The headers of a frame that is to be segmented: Ethernet, up to two tags, IPv4 or IPv6 with extension headers, TCP or UDP.
//
// They lie in the guest's memory and may change at any time: they are copied to the worker's scratch once, and only the
// copy is parsed, checked and believed.

import { Frame, HEADERS_MAX, Packet, Worker } from "../abi";
import { copy, gather } from "../memory/copy";
import { ETHERNET_HEADER } from "./ethernet";

// EtherTypes as a little-endian load sees them.
const ETHERTYPE_IPV4: u32 = 0x0008;
const ETHERTYPE_IPV6: u32 = 0xdd86;
/** IEEE 802.1Q customer and service tag. */
const ETHERTYPE_CTAG: u32 = 0x0081;
const ETHERTYPE_STAG: u32 = 0xa888;
const TAG: u32 = 4;
const TAGS_MAX: u32 = 2;
const LINK_HEADER_MAX: u32 = ETHERNET_HEADER + TAGS_MAX * TAG;

export const IPPROTO_TCP: u32 = 6;
export const IPPROTO_UDP: u32 = 17;
export const IPPROTO_FRAGMENT: u32 = 44;
const IPPROTO_HOPOPTS: u32 = 0;
const IPPROTO_ROUTING: u32 = 43;
const IPPROTO_DSTOPTS: u32 = 60;

export const IPV4_HEADER: u32 = 20;
export const IPV6_HEADER: u32 = 40;
const TCP_HEADER: u32 = 20;
const UDP_HEADER: u32 = 8;
/** Bytes in which fragment offsets count (RFC 791, 3.1). */
export const FRAGMENT_UNIT: u32 = 8;
export const IPV6_FRAGMENT_HEADER: u32 = 8;
/** MF and the fragment offset in bytes 6 and 7 of an IPv4 header, as a little-endian load sees them. */
const IPV4_FRAGMENT: u32 = 0xff3f;
/** Longest that an IP header can say. */
const IP_LENGTH_MAX: u32 = 65535;

/**
 * Copies the frame's headers to worker.packetHeaders and fills in worker.packet. False: it is no TCP or UDP packet in
 * one piece whose headers lie in the first HEADERS_MAX bytes.
 */
export function readPacket(worker: Worker, frame: Frame): bool {
  const packet = changetype<Packet>(worker.packet);
  const headers: usize = worker.packetHeaders;
  const have = min(frame.length, HEADERS_MAX);
  copyHeaders(headers, frame, have);
  const network = behindTags(headers, have);
  const type = <u32>load<u16>(headers + network - 2);
  packet.network = network;
  const room = frame.length - network;
  if (type == ETHERTYPE_IPV4) {
    if (room > IP_LENGTH_MAX || !readIpv4(packet, headers, have)) return false;
  } else if (type == ETHERTYPE_IPV6) {
    if (room > IP_LENGTH_MAX + IPV6_HEADER || !readIpv6(packet, headers, have)) return false;
  } else {
    return false;
  }
  return readTransport(packet, headers, have);
}

/** Bytes of a frame's Ethernet header with up to two tags; what of them lies in the frame. worker.packetHeaders is used. */
export function linkHeader(worker: Worker, frame: Frame): u32 {
  const have = min(frame.length, LINK_HEADER_MAX);
  copyHeaders(worker.packetHeaders, frame, have);
  return behindTags(worker.packetHeaders, have);
}

function copyHeaders(to: usize, frame: Frame, length: u32): void {
  if (frame.segments == 1) copy(to, frame.at, length);
  else gather(to, frame.at, length);
}

/** Where what the EtherType in front of it names begins, among `have` bytes of headers. */
function behindTags(headers: usize, have: u32): u32 {
  let network = ETHERNET_HEADER;
  for (let tags: u32 = 0; tags < TAGS_MAX && network + TAG <= have; ++tags) {
    const type = <u32>load<u16>(headers + network - 2);
    if (type != ETHERTYPE_CTAG && type != ETHERTYPE_STAG) break;
    network += TAG;
  }
  return network;
}

function readIpv4(packet: Packet, headers: usize, have: u32): bool {
  const network = packet.network;
  if (network + IPV4_HEADER > have) return false;
  const first = <u32>load<u8>(headers + network);
  const length = (first & 15) << 2;
  if (first >> 4 != 4 || length < IPV4_HEADER || network + length > have) return false;
  if (load<u16>(headers + network, 6) & IPV4_FRAGMENT) return false;
  packet.version = 4;
  packet.protocol = load<u8>(headers + network, 9);
  packet.transport = network + length;
  packet.unfragmentable = packet.transport;
  return true;
}

/** Walks the extension headers (RFC 8200, 4.1) that may stand in front of TCP or UDP; a fragment is not in one piece. */
function readIpv6(packet: Packet, headers: usize, have: u32): bool {
  const network = packet.network;
  let at = network + IPV6_HEADER;
  if (at > have || load<u8>(headers + network) >> 4 != 6) return false;
  let nextHeader = network + 6;
  let protocol = <u32>load<u8>(headers + nextHeader);
  packet.version = 6;
  packet.unfragmentable = at;
  packet.nextHeader = nextHeader;
  while (protocol == IPPROTO_HOPOPTS || protocol == IPPROTO_ROUTING || protocol == IPPROTO_DSTOPTS) {
    if (at + 8 > have) return false;
    nextHeader = at;
    const next = <u32>load<u8>(headers + at);
    at += (<u32>load<u8>(headers + at, 1) + 1) << 3;
    if (at > have) return false;
    // What routers look at is repeated in every fragment (RFC 8200, 4.5).
    if (protocol != IPPROTO_DSTOPTS) {
      packet.unfragmentable = at;
      packet.nextHeader = nextHeader;
    }
    protocol = next;
  }
  packet.protocol = protocol;
  packet.transport = at;
  return true;
}

function readTransport(packet: Packet, headers: usize, have: u32): bool {
  const transport = packet.transport;
  if (packet.protocol == IPPROTO_TCP) {
    if (transport + TCP_HEADER > have) return false;
    const length = (<u32>(load<u8>(headers + transport, 12) >> 4)) << 2;
    if (length < TCP_HEADER) return false;
    packet.checksumOffset = 16;
    packet.payload = transport + length;
  } else if (packet.protocol == IPPROTO_UDP) {
    packet.checksumOffset = 6;
    packet.payload = transport + UDP_HEADER;
  } else {
    return false;
  }
  return packet.payload <= have;
}
