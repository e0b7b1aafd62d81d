// The packed ring (virtio 1.3, 2.8): one ring of descriptors that driver and device overwrite in turn.
//
// A cursor is a position in bits 0-14 and the wrap counter in bit 15, as vhost-user and the event areas have it. We use
// chains in the order in which they came, so the used descriptor of a chain goes where its first descriptor was.
// A driver looks at the next used descriptor only: those of a burst are written at once but for the flags of the first,
// and that one store gives it all of them, as used.idx does in a split ring.

import { Queue, Worker } from "../abi";
import {
  VIRTQ_DESC_F_AVAIL,
  VIRTQ_DESC_F_INDIRECT,
  VIRTQ_DESC_F_NEXT,
  VIRTQ_DESC_F_USED,
  VIRTQ_DESC_F_WRITE,
} from "../spec/virtio";
import { noteDone, noteIntent } from "./inflight";

/** Bits of a cursor. */
export const POSITION: u32 = 0x7fff;
export const WRAP: u32 = 0x8000;

/** @inline */
export function slotAt(desc: usize, cursor: u32): usize {
  return desc + ((cursor & POSITION) << 4);
}

/**
 * The second half of the descriptor at a cursor: length in bits 0-31, buffer id in 32-47, flags in 48-63. This is the
 * acquire load after which the rest of its chain may be read.
 * @inline
 */
export function descriptorAt(desc: usize, cursor: u32): u64 {
  return atomic.load<u64>(slotAt(desc, cursor), 8);
}

/**
 * Did the driver make that descriptor available in this round of the ring (2.8.1)?
 * @inline
 */
export function isAvailable(descriptor: u64, cursor: u32): bool {
  const flags = <u32>(descriptor >> 48) & (VIRTQ_DESC_F_AVAIL | VIRTQ_DESC_F_USED);
  return flags == (cursor & WRAP ? <u32>VIRTQ_DESC_F_AVAIL : <u32>VIRTQ_DESC_F_USED);
}

/**
 * The cursor `span` descriptors further on, at most one round.
 * @inline
 */
export function advance(cursor: u32, span: u32, size: u32): u32 {
  const position = (cursor & POSITION) + span;
  return position >= size ? (position - size) | (~cursor & WRAP) : position | (cursor & WRAP);
}

/**
 * Writes the used descriptor of a chain: buffer `id` came back with `length` bytes written. The flags of the burst's
 * first one, at `start`, are left for `publishFirst`.
 * @inline
 */
export function writeUsedDescriptor(desc: usize, cursor: u32, start: u32, id: u32, length: u32, writable: bool): void {
  const slot = slotAt(desc, cursor);
  if (cursor == start) {
    store<u32>(slot, length, 8);
    store<u16>(slot, <u16>id, 12);
  } else {
    store<u64>(slot, <u64>length | ((<u64>id) << 32) | ((<u64>usedFlags(cursor, writable)) << 48), 8);
  }
}

/**
 * Gives the descriptors written before `cursor` to the driver, of which there is at least one.
 * @inline
 */
export function publishFirst(queue: Queue, cursor: u32, writable: bool): void {
  const start = queue.nextAvail;
  const inflight: usize = queue.inflight;
  queue.nextAvail = cursor;
  queue.nextUsed = cursor;
  if (inflight != 0) noteIntent(inflight, cursor);
  atomic.store<u16>(slotAt(queue.desc, start), <u16>usedFlags(start, writable), 14);
  if (inflight != 0) noteDone(inflight, cursor);
}

/** @inline */
function usedFlags(cursor: u32, writable: bool): u32 {
  const round: u32 = cursor & WRAP ? <u32>(VIRTQ_DESC_F_AVAIL | VIRTQ_DESC_F_USED) : 0;
  return writable ? round | VIRTQ_DESC_F_WRITE : round;
}

/**
 * Finds the end of a chain of which `span` descriptors, up to the one at `cursor`, are known: its length in the ring and
 * its buffer id, which stands in the last one (2.8.6). False when it never ends.
 */
export function endOfChain(worker: Worker, queue: Queue, cursor: u32, span: u32): bool {
  const size = queue.size;
  for (; span <= size; ++span) {
    const descriptor = descriptorAt(queue.desc, cursor);
    const flags = <u32>(descriptor >> 48);
    if (!(flags & VIRTQ_DESC_F_NEXT) || flags & VIRTQ_DESC_F_INDIRECT) {
      worker.chainSpan = span;
      worker.chainId = <u32>(descriptor >> 32) & 0xffff;
      return true;
    }
    cursor = advance(cursor, 1, size);
  }
  return false;
}
