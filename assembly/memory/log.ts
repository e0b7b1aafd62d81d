// The dirty log (vhost-user VHOST_F_LOG_ALL): while a guest is migrated, every page of its memory that we write is marked
// in a bitmap that its front-end shares with us, so that it is sent again.
//
// A page is marked after it was written: who takes the mark then finds the new bytes. That a mark stands there already
// is no reason to leave it out, for the reader may be about to take it: so there is no look before the atomic or.

import { CHUNK_SHIFT, DirtyLog, Frame, Placement, Port, Queue, Region, Segment, Worker } from "../abi";
import { addressInPool } from "./windows";
import { POSITION, WRAP } from "../virtq/packed";

/** One bit stands for 4 KiB, whatever the machine's pages are. */
const LOG_PAGE_BITS: u64 = 12;

/**
 * The log of a queue's port, 0 while nothing is logged. It stays valid until the burst is over.
 * @inline
 */
export function logOf(queue: Queue): usize {
  return atomic.load<u32>(queue.port, offsetof<Port>("log"));
}

/**
 * Has the front-end told of marks, where it wants to hear of them: once until the host has done so. `worker` 0: the host
 * itself has made them, and tells.
 */
export function tellOfMarks(log: DirtyLog, worker: Worker): void {
  if (log.watched == 0 || changetype<usize>(worker) == 0) return;
  if (atomic.xchg<u32>(changetype<usize>(log), 1, offsetof<DirtyLog>("unheard")) == 0) worker.missed = 1;
}

/** Marks the pages of `length` bytes of a ring at an offset in linear memory, at least one, which lie in one region. */
export function mark(log: DirtyLog, offset: u32, length: u32): void {
  let entry: usize = log.regions + 8;
  for (let left = load<u32>(log.regions); left > 0; --left, entry += offsetof<Region>()) {
    const region = changetype<Region>(entry);
    const inside = <u64>(offset - region.window);
    if (region.chunks == 0 && inside < region.size) {
      markPages(log, region.guestAddress + inside, length);
      return;
    }
  }
}

/** The same for a piece of a receive buffer, which may lie in a chunk that this worker has mapped for the delivery. */
function markPiece(log: DirtyLog, worker: Worker, offset: u32, length: u32): void {
  if (offset - worker.windowPool < worker.windowCount << CHUNK_SHIFT) {
    markPages(log, addressInPool(worker, offset), length);
  } else {
    mark(log, offset, length);
  }
}

/** A log that is too short for an address does not know its page: its owner has been told so (SET_LOG_BASE). */
function markPages(log: DirtyLog, address: u64, length: u32): void {
  const last = (address + length - 1) >> LOG_PAGE_BITS;
  for (let page = address >> LOG_PAGE_BITS; page <= last; ++page) {
    const byte = page >> 3;
    if (byte >= log.bytes) return;
    atomic.or<u8>(log.window + <u32>byte, 1 << (<u8>page & 7));
  }
}

/** Marks what was written to the receive buffers of the placements in [start, end): headers and frames. */
export function markPlaced(log: DirtyLog, worker: Worker, start: usize, end: usize, header: u32): void {
  for (let at = start; at < end; at += offsetof<Placement>()) {
    const placement = changetype<Placement>(at);
    const frame = changetype<Frame>(worker.frameTable + placement.frame * offsetof<Frame>());
    const length = header + frame.length;
    if (placement.segments == 1) markPiece(log, worker, placement.at, length);
    else markSegments(log, worker, placement.at, length);
  }
}

/** Marks the first `length` bytes of a list of segments. */
export function markSegments(log: DirtyLog, worker: Worker, segments: usize, length: u32): void {
  for (; length > 0; segments += offsetof<Segment>()) {
    const piece = min(changetype<Segment>(segments).length, length);
    markPiece(log, worker, changetype<Segment>(segments).offset, piece);
    length -= piece;
  }
}

/** Marks what was written to a split ring since its used index stood at `from`: the elements, and the index. */
export function markUsedRing(log: DirtyLog, queue: Queue, from: u32): void {
  const size = queue.size;
  const count = (queue.nextUsed - from) & 0xffff;
  const first = from & (size - 1);
  const before = min(count, size - first);
  mark(log, queue.used + 4 + (first << 3), before << 3);
  if (count > before) mark(log, queue.used + 4, (count - before) << 3);
  mark(log, queue.used + 2, 2);
}

/** Marks the descriptors of a packed ring from a cursor to where it stands now, at least one. */
export function markDescriptors(log: DirtyLog, queue: Queue, from: u32): void {
  const now = queue.nextAvail;
  const first = from & POSITION;
  const end = now & POSITION;
  if (((from ^ now) & WRAP) == 0) {
    mark(log, queue.desc + (first << 4), (end - first) << 4);
  } else {
    mark(log, queue.desc + (first << 4), (queue.size - first) << 4);
    if (end > 0) mark(log, queue.desc, end << 4);
  }
}
