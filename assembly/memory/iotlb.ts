// Buffers at I/O virtual addresses (VIRTIO_F_ACCESS_PLATFORM): the port's region lists hold the translations that are known,
// and an address that is not among them is no fault, but has to be asked for.
//
// A transmitq stands still before the chain that has such an address until the list is another; a frame for a receive
// buffer waits in the receiveq's backlog (virtq/backlog.ts). Either way the worker leaves the pages in Queue.misses, and those of
// the buffers behind too, so that a queue does not pay one round trip for each. The host asks the front-end.

import { FRAME_MAX, MISSES, Port, Queue, Worker } from "../abi";
import { DROP_CAUSES } from "../spec/status";
import { VIRTQ_DESC_F_INDIRECT, VIRTQ_DESC_F_WRITE } from "../spec/virtio";
import { descriptorAt, isAvailable, POSITION } from "../virtq/packed";
import { flagsOf } from "../virtq/ring";
import { headAt } from "../virtq/split";
import { generationOf, locate } from "./regions";

const PAGE_MASK: u64 = ~0xfff;
const MISSES_AT: usize = (offsetof<Queue>("drops") + DROP_CAUSES * 8 + 63) & ~63;
const READ: u32 = 1;
const WRITE: u32 = 2;

/**
 * Are the buffers of this queue at I/O virtual addresses?
 * @inline
 */
export function isTranslated(queue: Queue): bool {
  return changetype<Port>(queue.port).translated != 0;
}

/**
 * Does a transmitq stand still until there is another region list? Lists of pieces that move have no generation, and no
 * translations.
 * @inline
 */
export function awaitsTranslation(queue: Queue, regions: usize): bool {
  return queue.missGeneration == generationOf(regions) && isTranslated(queue);
}

/** Remembers for what address a chain walk stopped. */
export function noteMiss(worker: Worker, address: u64, writable: bool): void {
  worker.missAddress = address;
  worker.missAccess = writable ? WRITE : READ;
}

/** A transmitq cannot go on at `cursor`: see `awaitsTranslation`. */
export function awaitTranslation(worker: Worker, queue: Queue, regions: usize, cursor: u32, end: u32): void {
  // What could not be asked for is missed again at once.
  if (askAhead(worker, queue, cursor, end, MISSES)) queue.missGeneration = generationOf(regions);
}

/**
 * Asks for what the last walk missed, and for what `most` buffers from `cursor` on will need; `end` is behind the last of
 * them, a packed ring says of each whether it is there. A receiveq asks so whenever it was served. False: the host has
 * not taken the last questions yet, so these were not asked.
 */
export function askAhead(worker: Worker, queue: Queue, cursor: u32, end: u32, most: u32): bool {
  const access = worker.missAccess;
  worker.missAccess = 0;
  if (atomic.load<u32>(changetype<usize>(queue), offsetof<Queue>("missCount")) != 0) return false;
  let count: u32 = access == 0 ? 0 : post(queue, 0, worker.missAddress, access);
  const readable: usize = atomic.load<u32>(queue.port, offsetof<Port>("regions"));
  const writable: usize = atomic.load<u32>(queue.port, offsetof<Port>("writable"));
  const size = queue.size;
  const packed = queue.packed != 0;
  for (let left: u32 = min(most, size); left > 0 && count < MISSES; --left) {
    let entry: usize = queue.desc;
    if (packed) {
      entry += (cursor & POSITION) << 4;
      if (!isAvailable(descriptorAt(queue.desc, cursor), cursor)) break;
      cursor = (cursor & POSITION) + 1 == size ? ~cursor & 0x8000 : cursor + 1;
    } else {
      if (((cursor ^ end) & 0xffff) == 0) break;
      const head = headAt(queue.avail, size - 1, cursor);
      if (head >= size) break;
      entry += head << 4;
      cursor += 1;
    }
    const address = load<u64>(entry);
    const rest = load<u64>(entry, 8);
    const flags = flagsOf(rest, packed);
    const write = (flags & (VIRTQ_DESC_F_INDIRECT | VIRTQ_DESC_F_WRITE)) == VIRTQ_DESC_F_WRITE;
    const list = write ? writable : readable;
    count = noteMissing(worker, queue, list, address, <u32>rest, write ? WRITE : READ, count);
  }
  if (count == 0) return true;
  atomic.store<u32>(changetype<usize>(queue), count, offsetof<Queue>("missCount"));
  worker.missed = 1;
  return true;
}

/** Notes the pages of one buffer that have no translation. */
function noteMissing(
  worker: Worker,
  queue: Queue,
  regions: usize,
  address: u64,
  length: u32,
  access: u32,
  count: u32,
): u32 {
  // However long it says it is: no frame takes more of it.
  const end = address + min(length, FRAME_MAX);
  while (address < end && count < MISSES) {
    if (locate(worker, regions, address)) {
      address = worker.spanStart + worker.spanLength;
      if (address == 0) break;
    } else {
      count = post(queue, count, address, access);
      address = (address & PAGE_MASK) + 0x1000;
      if (address == 0) break;
    }
  }
  return count;
}

/** Writes one page behind `count` others, unless it is the last of them. */
function post(queue: Queue, count: u32, address: u64, access: u32): u32 {
  const page = (address & PAGE_MASK) | access;
  const at = changetype<usize>(queue) + MISSES_AT + (count << 3);
  if (count > 0 && load<u64>(at - 8) == page) return count;
  store<u64>(at, page);
  return count + 1;
}
