// Putting frames into a receiveq: reserve receive buffers for all frames of the group, copy, publish once.
//
// Nothing is written to a buffer before a frame has all the room it needs, so a frame is delivered whole or dropped
// and counted; what was reserved for a dropped frame stays with the ring.

import { CHAIN_SEGMENTS, Frame, Group, Placement, Port, Queue, SEGMENTS, Segment, Worker } from "../abi";
import { countDrop } from "../bridge/stats";
import { copy, copySegments } from "../memory/copy";
import { regionAround } from "../memory/regions";
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
import { fail, headAt, pending, publish, writeUsed } from "./split";

/** Delivers a group of frames, taken from `source`, to one receiveq. */
export function enqueue(worker: Worker, source: Queue, queue: Queue, group: Group): void {
  // Read once: the host may clear it while we hold the lock, and then it would stay locked.
  const shared = queue.shared;
  if (shared) acquire(queue);
  if (queue.status == QUEUE_OK) {
    deliver(worker, queue, group);
  } else {
    countDrop(source, DROP_PORT_DOWN, group.count);
  }
  if (shared) release(queue);
}

function deliver(worker: Worker, queue: Queue, group: Group): void {
  const regions: usize = atomic.load<u32>(queue.port, offsetof<Port>("regions"));
  const frames: usize = worker.frameTable;
  const placements: usize = worker.placements;
  const size = queue.size;
  const mask = size - 1;
  const desc: usize = queue.desc;
  const avail: usize = queue.avail;
  const usedRing: usize = queue.used;
  const nextAvail = queue.nextAvail;
  const nextUsed = queue.nextUsed;
  const header = queue.headerSize;
  const available = pending(queue);
  // The region that held the buffer before is tried first: guests take their buffers from one place.
  let start: u64 = 0;
  let length: u64 = 0;
  let window: u32 = 0;

  let taken: u32 = 0; // chains
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
    if (taken < available) {
      const head = headAt(avail, mask, nextAvail + taken);
      if (head < size) {
        // By far the most common buffer is one descriptor with room for all, in the same region as the one before.
        const entry: usize = desc + (head << 4);
        const inRegion = load<u64>(entry) - start;
        const rest = load<u64>(entry, 8);
        const room = <u32>rest;
        const flags = <u32>(rest >> 32) & (VIRTQ_DESC_F_NEXT | VIRTQ_DESC_F_WRITE | VIRTQ_DESC_F_INDIRECT);
        if (flags == VIRTQ_DESC_F_WRITE && room >= need && inRegion < length && room <= length - inRegion) {
          placement.at = window + <u32>inRegion;
          placement.segments = 1;
          placement.buffers = 1;
          writeUsed(usedRing, mask, nextUsed + taken, head, need);
          ++taken;
          placed = true;
        }
      }
    }
    if (!placed) {
      if (worker.rxSegments + CHAIN_SEGMENTS > SEGMENTS) {
        copyPlaced(worker, queue, next);
        next = placements;
        placement = changetype<Placement>(next);
        worker.rxSegments = 0;
      }
      const first = worker.rxSegments;
      const cause = reserve(worker, queue, regions, placement, taken, available, need);
      // Bad chains are given back with nothing in them; buffers that were only too few stay with the ring.
      taken += placement.buffers;
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
      const region = regionAround(regions, changetype<Segment>(worker.rxSegmentTable + first * offsetof<Segment>()));
      start = region.guestAddress;
      length = region.size;
      window = region.window;
    }
    placement.frame = number;
    next += offsetof<Placement>();
    ++delivered;
    bytes += frame.length;
    trace(worker, TRACE_ENQUEUE, changetype<usize>(queue), number, taken);
    number = frame.next;
  }

  copyPlaced(worker, queue, next);
  if (taken > 0) {
    publish(queue, taken);
    requestCall(worker, queue);
  }
  queue.frames += delivered;
  queue.bytes += bytes;
}

/**
 * Room of `need` bytes from the chains behind the `taken` ones, of any shape, several of them where buffers may be
 * merged. Returns -1, or the DROP_* cause for which the frame gets none; `placement.buffers` chains are used up.
 */
function reserve(
  worker: Worker,
  queue: Queue,
  regions: usize,
  placement: Placement,
  taken: u32,
  available: u32,
  need: u32,
): i32 {
  const mask = queue.size - 1;
  const first = worker.rxSegments;
  let buffers: u32 = 0;
  let room: u32 = 0;
  placement.buffers = 0;
  while (room < need) {
    if (taken + buffers >= available) {
      worker.rxSegments = first;
      // None to be had, or none to be believed: `pending` has just found the avail index bad.
      return queue.status == QUEUE_OK ? DROP_NO_RX_BUFFER : DROP_RX_CHAIN_BAD;
    }
    const head = headAt(queue.avail, mask, queue.nextAvail + taken + buffers);
    if (head > mask) {
      fail(queue, QUEUE_BAD_HEAD, head);
      return DROP_RX_CHAIN_BAD;
    }
    const fault = writableChain(worker, queue, regions, head, need - room);
    if (fault != 0) {
      worker.rxSegments = first;
      if (fault < FAULT_DROP) {
        fail(queue, fault, worker.chainDescriptor);
        return DROP_RX_CHAIN_BAD;
      }
      // Given back unused, with the buffers that came before it for this frame: order is kept, the ring goes on.
      writeUsed(queue.used, mask, queue.nextUsed + taken + buffers, head, 0);
      for (let i: u32 = 0; i < buffers; ++i) {
        const slot = queue.used + (((queue.nextUsed + taken + i) & mask) << 3);
        store<u32>(slot, 0, 8);
      }
      placement.buffers = buffers + 1;
      return DROP_RX_CHAIN_BAD;
    }
    const filled = min(worker.chainBytes, need - room);
    writeUsed(queue.used, mask, queue.nextUsed + taken + buffers, head, filled);
    ++buffers;
    room += filled;
    if (room < need && (!queue.mergeable || worker.rxSegments - first >= CHAIN_SEGMENTS)) {
      worker.rxSegments = first;
      return DROP_RX_BUFFER_TOO_SMALL;
    }
  }
  placement.buffers = buffers;
  placement.segments = worker.rxSegments - first;
  const segments: usize = worker.rxSegmentTable + first * offsetof<Segment>();
  placement.at = placement.segments == 1 ? changetype<Segment>(segments).offset : <u32>segments;
  return -1;
}

/** The copies of all frames placed before `end`, in one pass, so that their cache misses overlap. */
function copyPlaced(worker: Worker, queue: Queue, end: usize): void {
  const header = queue.headerSize;
  const frames: usize = worker.frameTable;
  for (let at: usize = worker.placements; at < end; at += offsetof<Placement>()) {
    const placement = changetype<Placement>(at);
    const frame = changetype<Frame>(frames + placement.frame * offsetof<Frame>());
    if (placement.segments == 1 && frame.segments == 1) {
      const to: usize = placement.at;
      writeHeader(to, header, placement.buffers);
      copy(to + header, frame.at, frame.length);
    } else {
      copyInPieces(worker, frame, placement, header);
    }
  }
}

/** The same where one side is in several pieces: both are made lists of segments. */
function copyInPieces(worker: Worker, frame: Frame, placement: Placement, header: u32): void {
  const from: usize = frame.segments == 1 ? onePiece(worker.headerScratch + 32, frame.at, frame.length) : frame.at;
  const to: usize =
    placement.segments == 1 ? onePiece(worker.headerScratch + 40, placement.at, header + frame.length) : placement.at;
  writeHeaderSegments(worker, to, header, placement.buffers);
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
