// Frames that are too long for the wire, for a device or driver that cuts them (segmentation offload, virtio 1.3,
// 5.1.6.2): TCP over IPv4 with the header that says so, in place of the first 16 bytes of an ordinary frame.
//
//   0  destination, source, EtherType IPv4
//  14  IPv4: no options, complete checksum, addresses 10.1.f.f and 10.2.f.f with the number of the flow
//  34  TCP: no options, in its checksum field the sum of the pseudo header, as whoever completes it expects
//  54  sequence number, length, stamp, check word and payload as in frame.ts, which counts from BODY on

import { VIRTIO_NET_HDR_F_NEEDS_CSUM, VIRTIO_NET_HDR_GSO_TCPV4 } from "../spec/virtio";
import { DriverQueue, Flow, FLOW_BYTES, FRAME_MIN, SEGMENTED_HEADERS } from "./abi";
import { isWhole, writeBody } from "./frame";

/** Where the frame inside begins: its first 16 bytes are the last ones of the TCP header. */
export const BODY: u32 = SEGMENTED_HEADERS - 16;
/** No shorter frame is one of these. */
export const SEGMENTED_MIN: u32 = BODY + FRAME_MIN;

const IPV4_HEADER: u32 = 14;
const TCP_HEADER: u32 = 34;
const TCP_CHECKSUM: u32 = 16;

/** Writes a frame of `length` bytes, more than the headers and a segment, and its virtio_net header at `header`. */
export function writeSegmented(
  header: usize,
  at: usize,
  flow: Flow,
  sequence: u32,
  length: u32,
  stamp: u32,
  payload: u32,
  segmentSize: u32,
): void {
  store<u64>(header, virtioHeader(segmentSize));
  store<u16>(header, <u16>TCP_CHECKSUM, 8);
  store<u64>(at, flow.header);
  store<u32>(at, <u32>flow.header1, 8);
  store<u16>(at, 0x0008, 12);
  for (let word: u32 = 0; word < 5; ++word) {
    store<u64>(at + IPV4_HEADER + (word << 3), headerWord(word, flow.number, sequence, length));
  }
  writeBody(at + BODY, flow, sequence, length - BODY, stamp, payload);
}

/**
 * The flow of such a frame of SEGMENTED_MIN bytes or more; 0 when it is none, or the receiver does not know the number.
 * @inline
 */
export function segmentedFlowOf(queue: DriverQueue, at: usize): usize {
  if (load<u16>(at, 12) != 0x0008) return 0;
  const number = <u32>bswap<u16>(load<u16>(at, 32));
  if (number >= queue.flowCount) return 0;
  return queue.flows + number * FLOW_BYTES;
}

/** True when frame and virtio_net header are as they were sent; see isWhole in frame.ts. */
export function isSegmentedWhole(
  header: usize,
  at: usize,
  flow: Flow,
  length: u32,
  payload: bool,
  segmentSize: u32,
): bool {
  if (load<u64>(header) != virtioHeader(segmentSize) || load<u16>(header, 8) != TCP_CHECKSUM) return false;
  if (load<u64>(at) != flow.header || load<u32>(at, 8) != <u32>flow.header1) return false;
  const sequence = load<u32>(at + BODY, 16);
  for (let word: u32 = 0; word < 5; ++word) {
    if (load<u64>(at + IPV4_HEADER + (word << 3)) != headerWord(word, flow.number, sequence, length)) return false;
  }
  return isWhole(at + BODY, flow, length - BODY, payload);
}

/** flags, gso_type, hdr_len, gso_size, csum_start. */
function virtioHeader(segmentSize: u32): u64 {
  const kind: u64 = VIRTIO_NET_HDR_F_NEEDS_CSUM | (VIRTIO_NET_HDR_GSO_TCPV4 << 8);
  return kind | ((<u64>SEGMENTED_HEADERS) << 16) | ((<u64>segmentSize) << 32) | ((<u64>TCP_HEADER) << 48);
}

/** One of the five words of the IPv4 and TCP headers, as a little-endian load finds it. */
function headerWord(word: u32, flow: u32, sequence: u32, length: u32): u64 {
  const total = length - IPV4_HEADER;
  const id = sequence & 0xffff;
  // The addresses' sum is in both checksums.
  const addresses: u32 = 0x0a01 + 0x0a02 + flow + flow;
  switch (word) {
    case 0: // version and length, total length, id, do not fragment
      return big16(0x4500, 0) | big16(total, 16) | big16(id, 32) | big16(0x4000, 48);
    case 1: // time to live and protocol, checksum, source address
      return (
        big16(0x4006, 0) |
        big16(~fold(0x4500 + total + id + 0x4000 + 0x4006 + addresses), 16) |
        big16(0x0a01, 32) |
        big16(flow, 48)
      );
    case 2: // destination address, ports
      return big16(0x0a02, 0) | big16(flow, 16) | big16(5001, 32) | big16(5001, 48);
    case 3: // sequence number, acknowledgement number
      return <u64>bswap<u32>(sequence * (length - SEGMENTED_HEADERS));
    default: // offset and flags (ACK), window, checksum, urgent pointer
      return big16(0x5010, 0) | big16(0xffff, 16) | big16(fold(addresses + 6 + total - 20), 32);
  }
}

/**
 * A 16-bit number in network order, `shift` bits up.
 * @inline
 */
function big16(value: u32, shift: u64): u64 {
  return (<u64>bswap<u16>(<u16>value)) << shift;
}

/**
 * The ones' complement sum of what was added up.
 * @inline
 */
function fold(sum: u32): u32 {
  sum = (sum & 0xffff) + (sum >>> 16);
  return (sum & 0xffff) + (sum >>> 16);
}
