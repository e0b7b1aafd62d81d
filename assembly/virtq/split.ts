// The split ring (virtio 1.3, 2.7): avail ring read, used ring written, the index of each published once per burst.
// A cursor is a free-running avail index; the used index runs `lead` ahead of it.

import { Queue } from "../abi";
import { QUEUE_BAD_AVAIL_INDEX } from "../spec/status";
import { fail } from "./status";

/**
 * Entries that the driver has made available (2.7.6) and we have not taken. A jump past the ring's size breaks the queue.
 * @inline
 */
export function pending(queue: Queue): u32 {
  // The acquire load after which the entries and descriptors up to this index may be read (2.7.13.3).
  const index = <u32>atomic.load<u16>(queue.avail, 2);
  const count = (index - queue.nextAvail) & 0xffff;
  if (count > queue.size) {
    fail(queue, QUEUE_BAD_AVAIL_INDEX, index);
    return 0;
  }
  return count;
}

/**
 * Head of the chain at a free-running avail index (2.7.6); the guest wrote it, so it may be out of range.
 * The hot loops keep the ring's place and mask in locals: a field of the queue would be read again for every frame.
 * @inline
 */
export function headAt(avail: usize, mask: u32, index: u32): u32 {
  return load<u16>(avail + ((index & mask) << 1), 4);
}

/**
 * Writes the used element at a free-running used index (2.7.8): chain `head` came back with `length` bytes written.
 * @inline
 */
export function writeUsedElement(used: usize, mask: u32, index: u32, head: u32, length: u32): void {
  store<u64>(used + ((index & mask) << 3), ((<u64>length) << 32) | head, 4);
}

/**
 * Gives the elements written before `cursor` to the driver: one release store for all of them (2.7.8).
 * @inline
 */
export function publishUsedIndex(queue: Queue, cursor: u32): void {
  const used = (queue.nextUsed + cursor - queue.nextAvail) & 0xffff;
  queue.nextAvail = cursor & 0xffff;
  queue.nextUsed = used;
  atomic.store<u16>(queue.used, <u16>used, 2);
}
