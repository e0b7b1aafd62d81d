// Segmentation in software, for a receiver that cannot take what a sender left to the device: one frame becomes many.
//
//   TCP      each segment has all headers, its own sequence number and checksum
//   UDP, USO each segment is a datagram of its own
//   UDP, UFO one datagram becomes IP fragments; its checksum is finished first
//
// The headers of a segment are made in the worker's copy of the frame's; the payload goes from the sender's buffers
// straight to the receiver's. Checksums are kept as net/checksum.ts sums: words with the low byte first.

import { Frame, Offload, Packet, SCRATCH_FROM, SCRATCH_HEADERS, Segment, Worker } from "../abi";
import { copySegments, onePiece } from "../memory/copy";
import { writeHeaderSegments } from "./header";
import { OFFLOAD_CSUM } from "../spec/offload";
import { VIRTIO_NET_HDR_F_NEEDS_CSUM, VIRTIO_NET_HDR_GSO_UDP } from "../spec/virtio";
import { finish, fold, storeChecksum, sumBytes, sumSegments } from "./checksum";
import { abilityFor } from "./offload";
import { FRAGMENT_UNIT, IPPROTO_FRAGMENT, IPPROTO_TCP, IPV6_FRAGMENT_HEADER, IPV6_HEADER, readPacket } from "./packet";

const TCP_FIN: u32 = 0x01;
const TCP_PSH: u32 = 0x08;
const TCP_CWR: u32 = 0x80;
/** More fragments, in the first byte of IPv4's fragment field. */
const IPV4_MF: u32 = 0x20;

/**
 * Begins to cut a frame that `readOffloads` let pass, for a receiver that can do `abilities`. Returns the number of
 * segments, at least 1; 0: the guest has changed the headers since, and they make no sense any more.
 */
export function beginCut(worker: Worker, frame: Frame, offload: Offload, abilities: u32): u32 {
  const gso = <u32>(offload.fields >> 8) & 0xff;
  const start = <u32>(offload.fields >> 48);
  const packet = changetype<Packet>(worker.packet);
  if (!readPacket(worker, frame) || packet.transport != start || abilityFor(packet, gso) == 0) return 0;
  const headers: usize = worker.packetHeaders;
  const transport: usize = headers + packet.transport;
  packet.source = <u32>sourceOf(worker, frame);
  packet.sourceAt = 0;
  packet.size = <u32>(offload.fields >> 32) & 0xffff;
  packet.end = frame.length;
  packet.ipv4Id = <u32>bswap<u16>(load<u16>(headers + packet.network, 4));
  packet.fragments = <u32>(gso == VIRTIO_NET_HDR_GSO_UDP);
  packet.fields = 0;
  if (packet.fragments) {
    packet.size &= ~(FRAGMENT_UNIT - 1);
    packet.first = packet.unfragmentable;
    packet.repeated = packet.unfragmentable;
    packet.partial = finish(sumSegments(packet.source, start, frame.length - start));
    if (packet.version == 6) prependFragmentHeader(worker, packet, headers);
  } else {
    packet.first = packet.payload;
    packet.repeated = packet.payload;
    packet.sequence = bswap<u32>(load<u32>(transport, 4));
    packet.tcpFlags = load<u8>(transport, 13);
    // The pseudo header's sum with the length of the whole taken out: that of each segment will be added.
    const length = bswap<u16>(<u16>(frame.length - start));
    packet.partial = fold(<u64>load<u16>(transport + packet.checksumOffset) + (~length & 0xffff));
    if (abilities & OFFLOAD_CSUM) packet.fields = VIRTIO_NET_HDR_F_NEEDS_CSUM | ((<u64>start) << 48);
  }
  packet.at = packet.first;
  packet.length = 0;
  const payload = packet.end - packet.first;
  return (payload + packet.size - 1) / packet.size;
}

/** Makes the headers of the next segment. Returns the length of its frame in bytes. */
export function cutNext(worker: Worker): u32 {
  const packet = changetype<Packet>(worker.packet);
  const headers: usize = worker.packetHeaders;
  const at = packet.at + packet.length;
  const length = min(packet.size, packet.end - at);
  packet.at = at;
  packet.length = length;
  writeIp(packet, headers, length);
  if (!packet.fragments) writeTransport(packet, headers, length);
  return packet.repeated + length;
}

/**
 * Writes the segment that `cutNext` has made, behind a virtio_net header of `skip` bytes, to a list of segments of a
 * receiver's `buffers` that has room for both.
 */
export function writeCut(worker: Worker, to: usize, skip: u32, buffers: u32): void {
  const packet = changetype<Packet>(worker.packet);
  const headers: usize = worker.packetHeaders;
  const repeated = packet.repeated;
  const at = packet.at;
  const length = packet.length;
  const checksumOffset = packet.fields == 0 ? 0 : packet.checksumOffset;
  writeHeaderSegments(worker, to, skip, buffers, packet.fields, checksumOffset);
  forwardSource(packet, at);
  copySegments(to, skip + repeated, packet.source, at - packet.sourceAt, length);
  if (packet.fragments) {
    // The checksum of the whole datagram lies in one of its fragments: they are cut at multiples of 8 bytes.
    const checksum = packet.transport + packet.checksumOffset;
    if (checksum - at < length) storeChecksum(to, skip + repeated + checksum - at, packet.partial);
  } else if (packet.fields == 0) {
    const transport = packet.transport;
    const sum = <u64>sumBytes(headers + transport, repeated - transport) + sumSegments(to, skip + repeated, length);
    store<u16>(headers + transport + packet.checksumOffset, <u16>finish(sum));
  }
  const scratch = onePiece(worker.headerScratch + SCRATCH_HEADERS, worker.packetHeaders, repeated);
  copySegments(to, skip, scratch, 0, repeated);
}

/** Lengths, and what tells segments or fragments apart, in the IP header. */
function writeIp(packet: Packet, headers: usize, length: u32): void {
  const network: usize = headers + packet.network;
  const bytes = packet.repeated - packet.network + length;
  const offset = packet.at - packet.first;
  const more = packet.at + length < packet.end;
  if (packet.version == 6) {
    store<u16>(network, bswap<u16>(<u16>(bytes - IPV6_HEADER)), 4);
    if (packet.fragments) store<u16>(headers + packet.unfragmentable, bswap<u16>(<u16>(offset | u32(more))), 2);
    return;
  }
  store<u16>(network, bswap<u16>(<u16>bytes), 2);
  if (packet.fragments) {
    const more4 = more ? IPV4_MF << 8 : 0;
    store<u16>(network, bswap<u16>(<u16>((offset >> 3) | more4)), 6);
  } else {
    store<u16>(network, bswap<u16>(<u16>packet.ipv4Id), 4);
    packet.ipv4Id += 1;
  }
  store<u16>(network, 0, 10);
  store<u16>(network, <u16>(~sumBytes(network, packet.transport - packet.network) & 0xffff), 10);
}

/** Sequence number and flags, or length; and the pseudo header's sum where the checksum goes. */
function writeTransport(packet: Packet, headers: usize, length: u32): void {
  const transport: usize = headers + packet.transport;
  const bytes = packet.repeated - packet.transport + length;
  const offset = packet.at - packet.first;
  if (packet.protocol == IPPROTO_TCP) {
    let flags = packet.tcpFlags;
    if (packet.at + length < packet.end) flags &= ~(TCP_FIN | TCP_PSH);
    if (offset != 0) flags &= ~TCP_CWR;
    store<u32>(transport, bswap<u32>(packet.sequence + offset), 4);
    store<u8>(transport, <u8>flags, 13);
  } else {
    store<u16>(transport, bswap<u16>(<u16>bytes), 4);
  }
  const partial = fold(<u64>packet.partial + <u32>bswap<u16>(<u16>bytes));
  store<u16>(transport + packet.checksumOffset, <u16>partial);
}

/** The fragment header (RFC 8200, 4.5) behind what every fragment repeats; the packet has none yet. */
function prependFragmentHeader(worker: Worker, packet: Packet, headers: usize): void {
  const at: usize = headers + packet.unfragmentable;
  const nextHeader: usize = headers + packet.nextHeader;
  store<u16>(at, load<u8>(nextHeader));
  store<u8>(nextHeader, <u8>IPPROTO_FRAGMENT);
  store<u32>(at, worker.fragmentId, 4);
  worker.fragmentId += 1;
  packet.repeated += IPV6_FRAGMENT_HEADER;
}

/** The frame as a list of segments. */
function sourceOf(worker: Worker, frame: Frame): usize {
  return frame.segments == 1 ? onePiece(worker.headerScratch + SCRATCH_FROM, frame.at, frame.length) : frame.at;
}

/** Moves the source on to the segment in which byte `at` of the frame lies: it only ever goes forward. */
function forwardSource(packet: Packet, at: u32): void {
  let source: usize = packet.source;
  let sourceAt = packet.sourceAt;
  let room = changetype<Segment>(source).length;
  while (at - sourceAt >= room) {
    sourceAt += room;
    source += offsetof<Segment>();
    room = changetype<Segment>(source).length;
  }
  packet.source = <u32>source;
  packet.sourceAt = sourceAt;
}
