// Putting frames into a receiveq: reserve receive buffers for all frames of the group, copy, publish once.
//
// Nothing is written to a buffer before a frame has all the room it needs, so a frame is delivered whole or dropped
// and counted; what was reserved for a dropped frame stays with the ring.

import { CHAIN_SEGMENTS, Frame, Group, Placement, Port, Queue, Segment, SEGMENTS, Worker } from "../abi";
import { countDrop } from "../bridge/stats";
import { copy, copySegments } from "../memory/copy";
import { translate } from "../memory/regions";
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
  const regions = atomic.load<u32>(queue.port, offsetof<Port>("regions"));
  const frames: usize = worker.frameTable;
  const placements: usize = worker.placements;
  const segments: usize = worker.rxSegmentTable;
  const size = queue.size;
  const header = queue.headerSize;
  const available = pending(queue);

  let taken: u32 = 0; // chains, since the last publish
  let placed: u32 = 0; // frames, since the last copy
  let frames_: u32 = 0;
  let bytes: u64 = 0;
  worker.rxSegments = 0;

  let number = group.first;
  for (let left = group.count; left > 0; --left) {
    const frame = changetype<Frame>(frames + number * offsetof<Frame>());
    const need = frame.length + header;
    if (worker.rxSegments + CHAIN_SEGMENTS > SEGMENTS) {
      copyPlaced(worker, queue, placed);
      placed = 0;
      worker.rxSegments = 0;
    }
    const placement = changetype<Placement>(placements + placed * offsetof<Placement>());
    const firstSegment = worker.rxSegments;
    const firstTaken = taken;
    let room: u32 = 0;
    let cause: i32 = -1;

    while (room < need) {
      if (taken >= available) {
        // None to be had, or none to be believed: `pending` has just found the avail index bad.
        cause = queue.status == QUEUE_OK ? DROP_NO_RX_BUFFER : DROP_RX_CHAIN_BAD;
        break;
      }
      const head = headAt(queue, taken);
      if (head >= size) {
        fail(queue, QUEUE_BAD_HEAD, head);
        cause = DROP_RX_CHAIN_BAD;
        break;
      }
      const fault = receiveChain(worker, queue, regions, head, need - room);
      if (fault != 0) {
        cause = DROP_RX_CHAIN_BAD;
        if (fault < FAULT_DROP) {
          fail(queue, fault, worker.chainDescriptor);
          break;
        }
        // Given back unused, with the buffers that came before it for this frame: order is kept, the ring goes on.
        for (let ahead = firstTaken; ahead < taken; ++ahead)
          writeUsed(queue, ahead, headAt(queue, ahead) & (size - 1), 0);
        writeUsed(queue, taken, head, 0);
        ++taken;
        break;
      }
      const filled = min(worker.chainBytes, need - room);
      writeUsed(queue, taken, head, filled);
      ++taken;
      room += filled;
      if (room < need && !queue.mergeable) {
        cause = DROP_RX_BUFFER_TOO_SMALL;
        break;
      }
      if (room < need && worker.rxSegments - firstSegment >= CHAIN_SEGMENTS) {
        cause = DROP_RX_BUFFER_TOO_SMALL;
        break;
      }
    }

    if (cause < 0) {
      placement.frame = number;
      placement.segment = firstSegment;
      placement.segments = worker.rxSegments - firstSegment;
      placement.buffers = taken - firstTaken;
      ++placed;
      ++frames_;
      bytes += frame.length;
      trace(worker, TRACE_ENQUEUE, changetype<usize>(queue), number, taken - firstTaken);
    } else {
      worker.rxSegments = firstSegment;
      if (cause != DROP_RX_CHAIN_BAD) taken = firstTaken;
      countDrop(queue, cause, 1);
      if (queue.status != QUEUE_OK) {
        // The ring broke: what was reserved before stands, the rest of the group cannot be delivered.
        taken = firstTaken;
        if (left > 1) countDrop(queue, DROP_RX_CHAIN_BAD, left - 1);
        break;
      }
    }
    number = frame.next;
  }

  copyPlaced(worker, queue, placed);
  if (taken > 0) {
    publish(queue, taken);
    requestCall(worker, queue);
  }
  queue.frames += frames_;
  queue.bytes += bytes;
}

/**
 * One receive buffer, as far as `need` bytes. The chain of one descriptor in the first region has a short way.
 * @inline
 */
function receiveChain(worker: Worker, queue: Queue, regions: usize, head: u32, need: u32): u32 {
  const entry: usize = queue.desc + (head << 4);
  const address = load<u64>(entry);
  const rest = load<u64>(entry, 8);
  const length = <u32>rest;
  const flags = <u32>(rest >> 32) & (VIRTQ_DESC_F_NEXT | VIRTQ_DESC_F_WRITE | VIRTQ_DESC_F_INDIRECT);
  if (flags == VIRTQ_DESC_F_WRITE && length >= need) {
    const offset = translate(regions, address, length);
    if (offset != 0) {
      const count = worker.rxSegments;
      const segment = changetype<Segment>(worker.rxSegmentTable + count * offsetof<Segment>());
      segment.offset = offset;
      segment.length = length;
      worker.rxSegments = count + 1;
      worker.chainBytes = length;
      return 0;
    }
  }
  return writableChain(worker, queue, regions, head, need);
}

/** The copies of all placed frames, in one pass, so that their cache misses overlap. */
function copyPlaced(worker: Worker, queue: Queue, count: u32): void {
  const header = queue.headerSize;
  for (let i: u32 = 0; i < count; ++i) {
    const placement = changetype<Placement>(worker.placements + i * offsetof<Placement>());
    const frame = changetype<Frame>(worker.frameTable + placement.frame * offsetof<Frame>());
    const from = worker.txSegmentTable + frame.segment * offsetof<Segment>();
    const to = worker.rxSegmentTable + placement.segment * offsetof<Segment>();
    const length = frame.length;
    if (placement.segments == 1) {
      const target = changetype<Segment>(to).offset;
      writeHeader(target, header, placement.buffers);
      if (frame.segments == 1) {
        copy(target + header, changetype<Segment>(from).offset, length);
        continue;
      }
    } else {
      writeHeaderSegments(worker, to, header, placement.buffers);
    }
    copySegments(to, header, from, length);
  }
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
