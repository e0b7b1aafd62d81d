// What the data path does with a virtqueue, whichever of the two forms it has. `packed` is a constant wherever these are
// used, so that what is compiled is a loop for either form and no branch between them.
//
// A cursor says where in the ring a chain stands: split.ts and packed.ts tell how. `cursorAfter` moves it on.

import { CHAIN_SEGMENTS, DirtyLog, Queue, RX_NOTES, Worker } from "../abi";
import { logOf, markDescriptors, markUsedRing, tellOfMarks } from "../memory/log";
import { advance, noteUsed, publishNoted } from "./packed";
import { publishUsedIndex, writeUsedElement } from "./split";

/**
 * Flags of the second half of a descriptor, and some above them: mask what is asked for.
 * @inline
 */
export function flagsOf(descriptor: u64, packed: bool): u32 {
  return packed ? <u32>(descriptor >> 48) : <u32>(descriptor >> 32);
}

/**
 * The cursor behind a chain that takes `span` descriptors of a packed ring; in a split one each takes one avail entry.
 * @inline
 */
export function cursorAfter(cursor: u32, span: u32, size: u32, packed: bool): u32 {
  return packed ? advance(cursor, span, size) : cursor + 1;
}

/**
 * Notes that a chain came back with `length` bytes written; the driver sees it at `publish`. `used` and `mask` are the
 * split ring's, see leadOf.
 * @inline
 */
export function writeUsed(
  worker: Worker,
  used: usize,
  mask: u32,
  cursor: u32,
  lead: u32,
  id: u32,
  length: u32,
  writable: bool,
  packed: bool,
): void {
  if (packed) noteUsed(worker, cursor, id, length, writable);
  else writeUsedElement(used, mask, cursor + lead, id, length);
}

/**
 * Gives all chains before `cursor`, at least one, back to the driver.
 * @inline
 */
export function publish(worker: Worker, queue: Queue, cursor: u32, writable: bool, packed: bool): void {
  const from = queue.nextUsed;
  if (packed) publishNoted(worker, queue, cursor, writable);
  else publishUsedIndex(queue, cursor);
  const log = logOf(queue);
  if (log != 0) {
    if (packed) markDescriptors(changetype<DirtyLog>(log), queue, from);
    else markUsedRing(changetype<DirtyLog>(log), queue, from);
    tellOfMarks(changetype<DirtyLog>(log), worker);
  }
}

/**
 * Is there room to note the receive buffers of one more frame? Else those before must be published first.
 * @inline
 */
export function mayNote(worker: Worker, packed: bool): bool {
  return !packed || worker.rxNotes + CHAIN_SEGMENTS <= RX_NOTES;
}

/**
 * By how much a split ring's used index is ahead of its avail index: they differ where a front-end started it so.
 * @inline
 */
export function leadOf(queue: Queue, packed: bool): u32 {
  return packed ? 0 : queue.nextUsed - queue.nextAvail;
}
