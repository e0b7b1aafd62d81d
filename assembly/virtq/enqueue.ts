// Putting frames into a receiveq: reserve receive buffers for all frames of the group, copy, publish once.
//
// Nothing is written to a buffer before a frame has all the room it needs, so a frame is delivered whole or dropped
// and counted; what was reserved for a dropped frame stays with the ring.

import {
  CHAIN_SEGMENTS,
  Frame,
  Group,
  Offload,
  Placement,
  Port,
  Queue,
  Reserved,
  SEGMENTS,
  Segment,
  Worker,
} from "../abi";
import { countDrop } from "../bridge/stats";
import { copy, copySegments } from "../memory/copy";
import { writeHeader, writeHeaderSegments } from "../net/header";
import {
  DROP_NO_RX_BUFFER,
  DROP_PORT_DOWN,
  DROP_RX_BUFFER_TOO_SMALL,
  DROP_RX_CHAIN_BAD,
  QUEUE_BAD_HEAD,
  QUEUE_OK,
} from "../spec/status";
import { VIRTQ_DESC_F_INDIRECT, VIRTQ_DESC_F_NEXT, VIRTQ_DESC_F_WRITE } from "../spec/virtio";
import { trace, TRACE_ENQUEUE } from "../trace";
import { FAULT_DROP, writableChain } from "./chain";
import { requestCall } from "./notify";
import { descriptorAt, isAvailable, slotAt } from "./packed";
import { cursorAfter, flagsOf, leadOf, publish, usedRing, writeUsed } from "./ring";
import { headAt, pending } from "./split";
import { fail } from "./status";

/** Delivers a group of frames, taken from `source`, to one receiveq. */
export function enqueue(worker: Worker, source: Queue, queue: Queue, group: Group): void {
  // Read once: the host may clear it while we hold the lock, and then it would stay locked.
  const shared = queue.shared;
  if (shared) acquire(queue);
  if (queue.status == QUEUE_OK) {
    if (queue.packed) deliver(worker, queue, group, true);
    else deliver(worker, queue, group, false);
  } else {
    countDrop(source, DROP_PORT_DOWN, group.count);
  }
  if (shared) release(queue);
}

/** @inline */
function deliver(worker: Worker, queue: Queue, group: Group, packed: bool): void {
  const regions: usize = atomic.load<u32>(queue.port, offsetof<Port>("regions"));
  const frames: usize = worker.frameTable;
  const placements: usize = worker.placements;
  const size = queue.size;
  const mask = size - 1;
  const desc: usize = queue.desc;
  const avail: usize = queue.avail;
  const used = usedRing(queue, packed);
  const begin = queue.nextAvail;
  const lead = leadOf(queue, packed);
  const header = queue.headerSize;
  // Behind the last chain that the driver has given; a packed ring says of each whether it has.
  const end = packed ? 0 : begin + pending(queue);
  // The piece of memory that held the buffer before is tried first: guests take their buffers from one place.
  let start: u64 = 0;
  let length: u64 = 0;
  let window: u32 = 0;

  let cursor = begin;
  let next = placements; // where the next frame is placed; those before it wait for the copy
  let delivered: u32 = 0;
  let bytes: u64 = 0;
  worker.rxSegments = 0;

  let number = group.first;
  for (let left = group.count; left > 0; --left) {
    const frame = changetype<Frame>(frames + number * offsetof<Frame>());
    const need = frame.length + header;
    let placement = changetype<Placement>(next);
    let placed = false;
    let id: u32 = 0;
    let entry: usize = 0;
    let rest: u64 = 0;
    let there = false;
    if (packed) {
      entry = slotAt(desc, cursor);
      rest = descriptorAt(desc, cursor);
      id = <u32>(rest >> 32) & 0xffff;
      there = isAvailable(rest, cursor);
    } else if (cursor != end) {
      id = headAt(avail, mask, cursor);
      there = id < size;
      entry = desc + (id << 4);
      if (there) rest = load<u64>(entry, 8);
    }
    if (there) {
      // By far the most common buffer is one descriptor with room for all, in the same piece as the one before.
      const inside = load<u64>(entry) - start;
      const room = <u32>rest;
      const flags = flagsOf(rest, packed) & (VIRTQ_DESC_F_NEXT | VIRTQ_DESC_F_WRITE | VIRTQ_DESC_F_INDIRECT);
      if (flags == VIRTQ_DESC_F_WRITE && room >= need && inside < length && room <= length - inside) {
        placement.at = window + <u32>inside;
        placement.segments = 1;
        placement.buffers = 1;
        writeUsed(used, mask, cursor, begin, lead, id, need, true, packed);
        cursor = cursorAfter(cursor, 1, size, packed);
        placed = true;
      }
    }
    if (!placed) {
      if (worker.rxSegments + CHAIN_SEGMENTS > SEGMENTS) {
        copyPlaced(worker, queue, next);
        next = placements;
        placement = changetype<Placement>(next);
        worker.rxSegments = 0;
      }
      worker.rxCursor = cursor;
      const cause = reserve(worker, queue, regions, placement, end, need);
      // Bad chains are given back with nothing in them; buffers that were only too few stay with the ring.
      cursor = worker.rxCursor;
      if (cause >= 0) {
        countDrop(queue, cause, 1);
        if (queue.status != QUEUE_OK) {
          // The ring broke: what was reserved before stands, the rest of the group cannot be delivered.
          if (left > 1) countDrop(queue, DROP_RX_CHAIN_BAD, left - 1);
          break;
        }
        number = frame.next;
        continue;
      }
      start = worker.spanStart;
      length = worker.spanLength;
      window = worker.spanWindow;
    }
    placement.frame = number;
    next += offsetof<Placement>();
    ++delivered;
    bytes += frame.length;
    trace(worker, TRACE_ENQUEUE, changetype<usize>(queue), number, placement.buffers);
    number = frame.next;
  }

  copyPlaced(worker, queue, next);
  if (cursor != begin) {
    publish(queue, cursor, true, packed);
    requestCall(worker, queue);
  }
  queue.frames += delivered;
  queue.bytes += bytes;
}

/**
 * Room of `need` bytes from the chains at worker.rxCursor, of any shape, several of them where buffers may be merged.
 * Returns -1, or the DROP_* cause for which the frame gets none; rxCursor is then behind the chains that are used up.
 */
function reserve(worker: Worker, queue: Queue, regions: usize, placement: Placement, end: u32, need: u32): i32 {
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
      giveReserved(worker, queue, buffers, packed);
      worker.rxCursor = cursor;
      return DROP_RX_CHAIN_BAD;
    }
    const full = worker.rxSegments - first >= CHAIN_SEGMENTS || buffers == CHAIN_SEGMENTS;
    if (room < need && (!queue.mergeable || full)) {
      worker.rxSegments = first;
      return DROP_RX_BUFFER_TOO_SMALL;
    }
  }
  giveReserved(worker, queue, buffers, packed);
  worker.rxCursor = cursor;
  placement.buffers = buffers;
  placement.segments = worker.rxSegments - first;
  const segments: usize = worker.rxSegmentTable + first * offsetof<Segment>();
  placement.at = placement.segments == 1 ? changetype<Segment>(segments).offset : <u32>segments;
  return -1;
}

/**
 * Writes the used elements of the buffers that were reserved for one frame.
 * @inline
 */
function giveReserved(worker: Worker, queue: Queue, buffers: u32, packed: bool): void {
  const used = usedRing(queue, packed);
  const mask = queue.size - 1;
  const begin = queue.nextAvail;
  const lead = leadOf(queue, packed);
  let at: usize = worker.reservedTable;
  for (let i: u32 = 0; i < buffers; ++i, at += offsetof<Reserved>()) {
    const buffer = changetype<Reserved>(at);
    writeUsed(used, mask, buffer.cursor, begin, lead, buffer.id, buffer.length, true, packed);
  }
}

/** The copies of all frames placed before `end`, in one pass, so that their cache misses overlap. */
function copyPlaced(worker: Worker, queue: Queue, end: usize): void {
  const header = queue.headerSize;
  const frames: usize = worker.frameTable;
  const offloaded = worker.offloaded;
  for (let at: usize = worker.placements; at < end; at += offsetof<Placement>()) {
    const placement = changetype<Placement>(at);
    const frame = changetype<Frame>(frames + placement.frame * offsetof<Frame>());
    let fields: u64 = 0;
    let checksumOffset: u32 = 0;
    if (offloaded) {
      const offload = changetype<Offload>(worker.offloadTable + placement.frame * offsetof<Offload>());
      fields = offload.fields;
      checksumOffset = offload.checksumOffset;
    }
    if (placement.segments == 1 && frame.segments == 1) {
      const to: usize = placement.at;
      writeHeader(to, header, placement.buffers, fields, checksumOffset);
      copy(to + header, frame.at, frame.length);
    } else {
      copyInPieces(worker, frame, placement, header, fields, checksumOffset);
    }
  }
}

/** The same where one side is in several pieces: both are made lists of segments. */
function copyInPieces(
  worker: Worker,
  frame: Frame,
  placement: Placement,
  header: u32,
  fields: u64,
  checksumOffset: u32,
): void {
  const from: usize = frame.segments == 1 ? onePiece(worker.headerScratch + 32, frame.at, frame.length) : frame.at;
  const to: usize =
    placement.segments == 1 ? onePiece(worker.headerScratch + 40, placement.at, header + frame.length) : placement.at;
  writeHeaderSegments(worker, to, header, placement.buffers, fields, checksumOffset);
  copySegments(to, header, from, frame.length);
}

/** A list of one segment, written at `list`. */
function onePiece(list: usize, offset: u32, length: u32): usize {
  changetype<Segment>(list).offset = offset;
  changetype<Segment>(list).length = length;
  return list;
}

/** Only where several workers may reach one receiveq; whoever holds it is within one burst of letting go. */
function acquire(queue: Queue): void {
  const lock = changetype<usize>(queue) + offsetof<Queue>("lock");
  while (atomic.cmpxchg<u32>(lock, 0, 1) != 0) {
    while (atomic.load<u32>(lock) != 0) {}
  }
}

function release(queue: Queue): void {
  atomic.store<u32>(changetype<usize>(queue), 0, offsetof<Queue>("lock"));
}
