// The driver's half of a packed ring (virtio 1.3, 2.8). A frame takes one descriptor, whose id is its buffer's number.
//
// A cursor is a position in bits 0-14 and the wrap counter in bit 15. Descriptors of a burst are written at once but
// for the flags of the first, whose store gives the device all of them.

import {
  RING_EVENT_FLAGS_DESC,
  RING_EVENT_FLAGS_DISABLE,
  RING_EVENT_FLAGS_ENABLE,
  VIRTQ_DESC_F_AVAIL,
  VIRTQ_DESC_F_USED,
  VIRTQ_DESC_F_WRITE,
} from "../spec/virtio";
import { DriverQueue } from "./abi";

const POSITION: u32 = 0x7fff;
const WRAP: u32 = 0x8000;

/** An empty ring: position 0 of the first round. */
export function resetPacked(queue: DriverQueue): void {
  memory.fill(queue.desc, 0, queue.size << 4);
  // RING_EVENT_FLAGS_ENABLE; the descriptor beside it then means nothing to a driver (see null-device.ts).
  atomic.store<u32>(queue.used, WRAP);
  queue.nextAvail = WRAP;
  queue.nextUsed = WRAP;
}

/**
 * The cursor `count` descriptors further on, at most one round.
 * @inline
 */
export function advance(cursor: u32, count: u32, size: u32): u32 {
  const position = (cursor & POSITION) + count;
  return position >= size ? (position - size) | (~cursor & WRAP) : position | (cursor & WRAP);
}

/**
 * Descriptors from one cursor to another that is at most one round further.
 * @inline
 */
export function distance(from: u32, to: u32, size: u32): i32 {
  return <i32>((to & POSITION) - (from & POSITION)) + ((from ^ to) & WRAP ? <i32>size : 0);
}

/** @inline */
export function slotOf(queue: DriverQueue, cursor: u32): usize {
  return queue.desc + ((cursor & POSITION) << 4);
}

/**
 * Whether the device has written the descriptor at a cursor since we did.
 * @inline
 */
export function isUsed(queue: DriverQueue, cursor: u32): bool {
  const flags = <u32>atomic.load<u16>(slotOf(queue, cursor), 14) & (VIRTQ_DESC_F_AVAIL | VIRTQ_DESC_F_USED);
  return flags == (cursor & WRAP ? <u32>(VIRTQ_DESC_F_AVAIL | VIRTQ_DESC_F_USED) : 0);
}

/**
 * How many used descriptors stand one after the other from nextUsed on, up to `most`.
 * @inline
 */
export function usedInRow(queue: DriverQueue, most: u32): u32 {
  const size = queue.size;
  let cursor = queue.nextUsed;
  let count: u32 = 0;
  while (count < most && isUsed(queue, cursor)) {
    cursor = advance(cursor, 1, size);
    ++count;
  }
  return count;
}

/**
 * The used descriptor at a cursor as a split ring's element: buffer number in bits 0-31, length in 32-63. Without WRITE
 * nothing was written, and the length says nothing (2.8.4).
 * @inline
 */
export function usedDescriptor(desc: usize, cursor: u32): u64 {
  const word = load<u64>(desc + ((cursor & POSITION) << 4), 8);
  const length: u64 = (word >> 48) & VIRTQ_DESC_F_WRITE ? word << 32 : 0;
  return (length & 0xffff_ffff_0000_0000) | ((word >> 32) & 0xffff);
}

/**
 * Writes the descriptor at a cursor, which with `first` becomes available only when it is published. The address is
 * left alone where it is right already.
 * @inline
 */
export function writeDescriptor(
  desc: usize,
  cursor: u32,
  first: bool,
  address: u64,
  number: u32,
  length: u32,
  flags: u32,
): void {
  const slot = desc + ((cursor & POSITION) << 4);
  if (load<u64>(slot) != address) store<u64>(slot, address);
  if (first) {
    store<u32>(slot, length, 8);
    store<u16>(slot, <u16>number, 12);
  } else {
    store<u64>(slot, ((<u64>availFlags(flags, cursor)) << 48) | ((<u64>number) << 32) | length, 8);
  }
}

/**
 * Publishes `count` descriptors, at least one. Returns 1 when the device wants a kick for them.
 * @inline
 */
export function publishPacked(queue: DriverQueue, count: u32): u32 {
  const first = queue.nextAvail;
  const size = queue.size;
  const now = advance(first, count, size);
  queue.nextAvail = now;
  // Store, then load, both sequentially consistent: the device does the reverse before it sleeps.
  atomic.store<u16>(slotOf(queue, first), <u16>availFlags(queue.descFlags, first), 14);
  const event = atomic.load<u32>(queue.used);
  const flags = (event >>> 16) & 3;
  if (flags != RING_EVENT_FLAGS_DESC) return <u32>(flags == RING_EVENT_FLAGS_ENABLE);
  const passed = distance(event & 0xffff, now, size);
  return <u32>(passed >= 1 && passed <= <i32>count);
}

/** Asks for a call with the next used buffer. */
export function armPacked(queue: DriverQueue): void {
  const flags: u32 = queue.eventIdx ? RING_EVENT_FLAGS_DESC : RING_EVENT_FLAGS_ENABLE;
  atomic.store<u32>(queue.avail, (flags << 16) | queue.nextUsed);
}

/** Spares the device its calls. */
export function disarmPacked(queue: DriverQueue): void {
  store<u32>(queue.avail, (RING_EVENT_FLAGS_DISABLE << 16) | queue.nextUsed);
}

/** @inline */
function availFlags(flags: u32, cursor: u32): u32 {
  return flags | (cursor & WRAP ? <u32>VIRTQ_DESC_F_AVAIL : <u32>VIRTQ_DESC_F_USED);
}
