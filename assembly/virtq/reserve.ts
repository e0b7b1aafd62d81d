// Room for a frame in a receiveq: chains of any shape, several of them where buffers may be merged (virtio 1.3, 5.1.6.3
// and 5.1.6.4).

import { CHAIN_SEGMENTS, Placement, Queue, Reserved, Segment, Worker } from "../abi";
import {
  DROP_NO_RX_BUFFER,
  DROP_RX_BUFFER_TOO_SMALL,
  DROP_RX_CHAIN_BAD,
  DROP_TRANSLATION,
  DROP_WINDOW,
  QUEUE_BAD_HEAD,
  QUEUE_OK,
} from "../spec/status";
import { FAULT_DROP, writableChain } from "./chain";
import { descriptorAt, isAvailable, noteTogether } from "./packed";
import { cursorAfter, leadOf, writeUsed } from "./ring";
import { headAt } from "./split";
import { fail } from "./status";

/**
 * Room of `need` bytes from the chains at worker.rxCursor, of any shape, several of them where buffers may be merged.
 * Returns -1, or the DROP_* cause for which the frame gets none; rxCursor is then behind the chains that are used up.
 */
export function reserve(worker: Worker, queue: Queue, regions: usize, placement: Placement, end: u32, need: u32): i32 {
  return queue.packed
    ? gatherRoom(worker, queue, regions, placement, end, need, true)
    : gatherRoom(worker, queue, regions, placement, end, need, false);
}

/** @inline */
function gatherRoom(
  worker: Worker,
  queue: Queue,
  regions: usize,
  placement: Placement,
  end: u32,
  need: u32,
  packed: bool,
): i32 {
  const size = queue.size;
  const first = worker.rxSegments;
  const table: usize = worker.reservedTable;
  let cursor = worker.rxCursor;
  let buffers: u32 = 0;
  let room: u32 = 0;
  while (room < need) {
    let id: u32 = 0;
    let there = false;
    if (packed) {
      there = isAvailable(descriptorAt(queue.desc, cursor), cursor);
    } else if (cursor != end) {
      there = true;
      id = headAt(queue.avail, size - 1, cursor);
      if (id >= size) {
        fail(queue, QUEUE_BAD_HEAD, id);
        return DROP_RX_CHAIN_BAD;
      }
    }
    if (!there) {
      worker.rxSegments = first;
      // None to be had, or none to be believed: `pending` has found the avail index bad.
      return queue.status == QUEUE_OK ? DROP_NO_RX_BUFFER : DROP_RX_CHAIN_BAD;
    }
    const fault = writableChain(worker, queue, regions, packed ? cursor : id, need - room);
    if (fault != 0 && fault < FAULT_DROP) {
      fail(queue, fault, worker.chainDescriptor);
      return DROP_RX_CHAIN_BAD;
    }
    if (fault == FAULT_DROP + DROP_WINDOW || fault == FAULT_DROP + DROP_TRANSLATION) {
      // Nothing is wrong with the buffers: they stay with the ring.
      worker.rxSegments = first;
      return fault - FAULT_DROP;
    }
    const filled = fault == 0 ? min(worker.chainBytes, need - room) : 0;
    const reserved = changetype<Reserved>(table + buffers * offsetof<Reserved>());
    reserved.cursor = cursor;
    reserved.id = packed ? worker.chainId : id;
    reserved.length = filled;
    ++buffers;
    room += filled;
    cursor = cursorAfter(cursor, packed ? worker.chainSpan : 1, size, packed);
    if (fault != 0) {
      // Given back unused, with the buffers that came before it for this frame: order is kept, the ring goes on.
      worker.rxSegments = first;
      for (let i: u32 = 0; i < buffers; ++i) {
        changetype<Reserved>(table + i * offsetof<Reserved>()).length = 0;
      }
      giveReserved(worker, queue, buffers, packed, false);
      worker.rxCursor = cursor;
      return DROP_RX_CHAIN_BAD;
    }
    const full = worker.rxSegments - first >= CHAIN_SEGMENTS || buffers == CHAIN_SEGMENTS;
    if (room < need && (!queue.mergeable || full)) {
      worker.rxSegments = first;
      return DROP_RX_BUFFER_TOO_SMALL;
    }
  }
  giveReserved(worker, queue, buffers, packed, true);
  worker.rxCursor = cursor;
  placement.buffers = buffers;
  placement.segments = worker.rxSegments - first;
  const segments: usize = worker.rxSegmentTable + first * offsetof<Segment>();
  placement.at = placement.segments == 1 ? changetype<Segment>(segments).offset : <u32>segments;
  return -1;
}

/**
 * Writes the used elements of the buffers that were reserved for one frame; `filled`: they hold it together.
 * @inline
 */
function giveReserved(worker: Worker, queue: Queue, buffers: u32, packed: bool, filled: bool): void {
  const used: usize = queue.used;
  const mask = queue.size - 1;
  const lead = leadOf(queue, packed);
  if (packed && filled && buffers > 1) noteTogether(worker, buffers);
  let at: usize = worker.reservedTable;
  for (let i: u32 = 0; i < buffers; ++i, at += offsetof<Reserved>()) {
    const buffer = changetype<Reserved>(at);
    writeUsed(worker, used, mask, buffer.cursor, lead, buffer.id, buffer.length, true, packed);
  }
}
