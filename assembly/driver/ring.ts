// What the load driver does with a virtqueue, whichever of the two forms it has. `packed` is a constant in the loops
// that use these, so that each form gets a loop of its own, without a branch between them.

import { DriverQueue, FAULT_USED_ID, FAULT_USED_INDEX } from "./abi";
import {
  advance,
  armPacked,
  disarmPacked,
  distance,
  isUsed,
  publishPacked,
  resetPacked,
  usedDescriptor,
  usedInRow,
  writeDescriptor,
} from "./packed";
import { armSplit, disarmSplit, publishSplit, resetSplit, usedElement, usedSince, writeAvail } from "./split";

/** A queue before its device sees it: an empty ring, all buffers free. `flags` are those of every descriptor. */
export function reset(queue: DriverQueue, flags: u32): void {
  const size = queue.size;
  queue.descFlags = flags;
  for (let i: u32 = 0; i < size; ++i) {
    store<u16>(queue.free + (i << 1), <u16>i);
    store<u8>(queue.held + i, 0);
  }
  queue.freeTaken = 0;
  queue.freeGiven = 0;
  queue.fault = 0;
  if (queue.packed) resetPacked(queue);
  else resetSplit(queue);
  disarm(queue);
}

/**
 * Buffers that the device has.
 * @inline
 */
export function outstanding(queue: DriverQueue, packed: bool): u32 {
  if (packed) return <u32>distance(queue.nextUsed, queue.nextAvail, queue.size);
  return (queue.nextAvail - queue.nextUsed) & 0xffff;
}

/**
 * Buffers that the device has given back and we have not taken; packed: no more than `most` are looked for. More than
 * it had breaks the queue.
 * @inline
 */
export function usedCount(queue: DriverQueue, most: u32, packed: bool): u32 {
  if (packed) return usedInRow(queue, min(most, outstanding(queue, true)));
  const count = usedSince(queue);
  if (count > outstanding(queue, false)) {
    fail(queue, FAULT_USED_INDEX, (queue.nextUsed + count) & 0xffff);
    return 0;
  }
  return count;
}

/**
 * The cursor `ahead` entries further on, at most one round.
 * @inline
 */
export function cursorAt(cursor: u32, ahead: u32, size: u32, packed: bool): u32 {
  return packed ? advance(cursor, ahead, size) : cursor + ahead;
}

/**
 * The array that `elementAt` reads.
 * @inline
 */
export function usedRing(queue: DriverQueue, packed: bool): usize {
  return packed ? queue.desc : queue.used + 4;
}

/**
 * What the device says of a buffer it gave back: number in bits 0-31, bytes written in 32-63. `mask` is size - 1.
 * @inline
 */
export function elementAt(ring: usize, cursor: u32, mask: u32, packed: bool): u64 {
  return packed ? usedDescriptor(ring, cursor) : usedElement(ring, cursor, mask);
}

/**
 * The same for the buffer `ahead` after the next one.
 * @inline
 */
export function usedAt(queue: DriverQueue, ahead: u32, packed: bool): u64 {
  const size = queue.size;
  return elementAt(usedRing(queue, packed), cursorAt(queue.nextUsed, ahead, size, packed), size - 1, packed);
}

/**
 * Marks a buffer that came back as ours again. False, and a broken queue, when the device did not have it.
 * @inline
 */
export function takeBack(queue: DriverQueue, number: u32): bool {
  if (number >= queue.size || load<u8>(queue.held + number) == 0) {
    fail(queue, FAULT_USED_ID, number);
    return false;
  }
  store<u8>(queue.held + number, 0);
  return true;
}

/**
 * Goes on behind `count` buffers that were taken back.
 * @inline
 */
export function advanceUsed(queue: DriverQueue, count: u32, packed: bool): void {
  queue.nextUsed = packed ? advance(queue.nextUsed, count, queue.size) : (queue.nextUsed + count) & 0xffff;
}

/**
 * Offers a buffer as the one `ahead` after the last published; of a packed ring's the device may use `length` bytes, in
 * a split one that stands in the descriptor already.
 * @inline
 */
export function offer(queue: DriverQueue, ahead: u32, number: u32, length: u32, packed: bool): void {
  const size = queue.size;
  const cursor = cursorAt(queue.nextAvail, ahead, size, packed);
  if (packed) {
    const address = queue.buffersAddress + <u64>number * queue.bufferBytes;
    writeDescriptor(queue.desc, cursor, ahead == 0, address, number, length, queue.descFlags);
  } else {
    writeAvail(queue.avail + 4, cursor, size - 1, number);
  }
  store<u8>(queue.held + number, 1);
}

/**
 * Publishes `count` offered buffers. Returns 1 when the device wants a kick for them.
 * @inline
 */
export function publish(queue: DriverQueue, count: u32, packed: bool): u32 {
  return packed ? publishPacked(queue, count) : publishSplit(queue, count);
}

/** Asks for a call with the next used buffer. Returns 1 when there is one already: then do not sleep. */
export function arm(queue: DriverQueue): u32 {
  if (queue.packed) {
    armPacked(queue);
    return <u32>(outstanding(queue, true) != 0 && isUsed(queue, queue.nextUsed));
  }
  armSplit(queue);
  return <u32>(usedSince(queue) != 0);
}

/** Spares the device its calls. */
export function disarm(queue: DriverQueue): void {
  if (queue.packed) disarmPacked(queue);
  else disarmSplit(queue);
}

export function fail(queue: DriverQueue, fault: u32, at: u32): void {
  queue.fault = fault;
  queue.faultAt = at;
}
