// struct virtio_net_hdr (virtio 1.3, 5.1.6): what its first bytes ask for goes on to the receiver, num_buffers is ours.

import { Segment, Worker } from "../abi";
import { scatter } from "../memory/copy";
import { VIRTIO_NET_HDR_SIZE } from "../spec/virtio";

/**
 * Writes a header of 10 or 12 bytes (5.1.6.4); `fields` are its first eight. The 12-byte one says how many buffers the frame was
 * spread over.
 * @inline
 */
export function writeHeader(at: usize, size: u32, buffers: u32, fields: u64, checksumOffset: u32): void {
  store<u64>(at, fields);
  if (size == VIRTIO_NET_HDR_SIZE) store<u32>(at, (buffers << 16) | checksumOffset, 8);
  else store<u16>(at, <u16>checksumOffset, 8);
}

/** The same where the header itself may be spread over segments; they hold at least `size` bytes. */
export function writeHeaderSegments(
  worker: Worker,
  segments: usize,
  size: u32,
  buffers: u32,
  fields: u64,
  checksumOffset: u32,
): void {
  if (changetype<Segment>(segments).length >= size) {
    writeHeader(changetype<Segment>(segments).offset, size, buffers, fields, checksumOffset);
  } else {
    writeHeader(worker.headerScratch, size, buffers, fields, checksumOffset);
    scatter(segments, worker.headerScratch, size);
  }
}
