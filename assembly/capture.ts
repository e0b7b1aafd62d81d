// Captures: copies of the frames that pass a port, for the host to read (src/core/capture-rings.ts). A worker never waits
// for it: each has a ring of its own in each capture, and what finds no room there is counted as missed.
//
// What a copy costs is paid by the transmitq whose frame it is of, not by the other ports of the worker: for each frame that
// is recorded it does without a frame's part of its next turns. A record is one copy and forwarding a frame is one copy, so
// the others go on as if that were one more frame of the sender's burst. To a full ring nothing is copied, and nothing paid.
//
// Records become visible as the burst ends, all at once: till then a frame that the guest sent may turn out to be dropped,
// and its record is told why. The guests may change their buffers meanwhile: then the record has other bytes than the
// receiver, but no others than that piece of guest memory had.

import {
  BURST,
  CAPTURE_IN,
  CAPTURE_OUT,
  CAPTURE_SKIP,
  CaptureRecord,
  CaptureRing,
  Frame,
  Placement,
  Port,
  Queue,
  Segment,
  Tap,
  TapCounters,
  Worker,
} from "./abi";
import { copy, gather } from "./memory/copy";
import { clock } from "./memory/env";

/** A transmitq owes at most so much, in parts of BURST: eight turns. */
const OWED_MOST: u32 = 8 * BURST;

/**
 * What captures the frames of a queue's port: -> list {count, Tap pointer…}, 0 for nothing. It stays valid until the
 * burst is over.
 * @inline
 */
export function capturesOf(queue: Queue): usize {
  return atomic.load<u32>(queue.port, offsetof<Port>("captures"));
}

/**
 * Does the transmitq do without this turn? Then that is paid with it. It never owes so many turns that `poll`'s idle rounds
 * would run out over them.
 */
export function owesTurn(queue: Queue): bool {
  const owed = queue.owed;
  if (owed < BURST) return false;
  queue.owed = owed - BURST;
  return true;
}

/** Records the `count` frames that were just dequeued; those that were refused then have no bytes to show. */
export function captureBurst(worker: Worker, taps: usize, count: u32): void {
  let time: u64 = 0;
  for (let left = load<u32>(taps), item = taps + 4; left > 0; --left, item += 4) {
    const tap = changetype<Tap>(load<u32>(item));
    const ring = ringOf(worker, tap);
    const records: usize = ring.records;
    memory.fill(records, 0, BURST << 2);
    if (isFull(ring)) {
      countMissed(worker, tap, framesOf(worker, count));
      continue;
    }
    if (time == 0) time = <u64>clock();
    let at: usize = worker.frameTable;
    for (let i: u32 = 0; i < count; ++i, at += offsetof<Frame>()) {
      const frame = changetype<Frame>(at);
      if (frame.length == 0) continue;
      const record = begin(worker, tap, frame.length, CAPTURE_IN, time);
      if (record == 0) continue;
      const bytes = record + offsetof<CaptureRecord>();
      const captured = changetype<CaptureRecord>(record).captured;
      if (frame.segments == 1) copy(bytes, frame.at, captured);
      else gather(bytes, frame.at, captured);
      store<u32>(records + (i << 2), <u32>record);
    }
  }
}

/**
 * Frame `number` of the burst in hand goes nowhere, for a DROP_* cause of its transmitq.
 * @inline
 */
export function noteDrop(worker: Worker, number: u32, cause: u32): void {
  if (worker.captures) tellDropped(worker, number, 1, cause);
}

/**
 * The same of `count` frames of one group, the first of them number `first`.
 * @inline
 */
export function noteDrops(worker: Worker, first: u32, count: u32, cause: u32): void {
  if (worker.captures) tellDropped(worker, first, count, cause);
}

function tellDropped(worker: Worker, first: u32, count: u32, cause: u32): void {
  const taps: usize = worker.captures;
  for (let left = load<u32>(taps), item = taps + 4; left > 0; --left, item += 4) {
    const records: usize = ringOf(worker, changetype<Tap>(load<u32>(item))).records;
    let number = first;
    for (let i: u32 = 0; i < count; ++i) {
      const record: usize = load<u32>(records + (number << 2));
      if (record != 0) changetype<CaptureRecord>(record).dropped = cause + 1;
      number = changetype<Frame>(worker.frameTable + number * offsetof<Frame>()).next;
    }
  }
}

/** Records the frames placed before `end`, as they now lie in the receiver's buffers behind `header` bytes. */
export function capturePlaced(worker: Worker, taps: usize, end: usize, header: u32): void {
  let time: u64 = 0;
  for (let left = load<u32>(taps), item = taps + 4; left > 0; --left, item += 4) {
    const tap = changetype<Tap>(load<u32>(item));
    if (isFull(ringOf(worker, tap))) {
      countMissed(worker, tap, (<u32>end - worker.placements) / offsetof<Placement>());
      continue;
    }
    if (time == 0) time = <u64>clock();
    for (let at: usize = worker.placements; at < end; at += offsetof<Placement>()) {
      const placement = changetype<Placement>(at);
      const frame = changetype<Frame>(worker.frameTable + placement.frame * offsetof<Frame>());
      const record = begin(worker, tap, frame.length, CAPTURE_OUT, time);
      if (record == 0) continue;
      const bytes = record + offsetof<CaptureRecord>();
      const captured = changetype<CaptureRecord>(record).captured;
      if (placement.segments == 1) copy(bytes, placement.at + header, captured);
      else gatherBehind(bytes, placement.at, header, captured);
    }
  }
}

/** Records one frame of `length` bytes that lies in a list of segments behind `header` bytes. */
export function captureDelivered(worker: Worker, taps: usize, segments: usize, header: u32, length: u32): void {
  const time = <u64>clock();
  for (let left = load<u32>(taps), item = taps + 4; left > 0; --left, item += 4) {
    const record = begin(worker, changetype<Tap>(load<u32>(item)), length, CAPTURE_OUT, time);
    if (record == 0) continue;
    gatherBehind(record + offsetof<CaptureRecord>(), segments, header, changetype<CaptureRecord>(record).captured);
  }
}

/** Lets the host see what the burst of `count` frames of a transmitq has recorded, and charges the queue for it. */
export function settleCaptures(worker: Worker, queue: Queue, count: u32): void {
  queue.owed = min(queue.owed + (worker.recorded * BURST) / count, OWED_MOST);
  publishCaptures(worker);
}

/** Lets the host see what was recorded. */
export function publishCaptures(worker: Worker): void {
  let at: usize = worker.dirtyRings;
  worker.dirtyRings = 0;
  worker.recorded = 0;
  while (at != 0) {
    const ring = changetype<CaptureRing>(at);
    ring.dirty = 0;
    atomic.store<u32>(at, ring.next, offsetof<CaptureRing>("head"));
    at = ring.nextDirty;
  }
}

/** @inline */
function ringOf(worker: Worker, tap: Tap): CaptureRing {
  return changetype<CaptureRing>(tap.rings + worker.id * offsetof<CaptureRing>());
}

/**
 * Was there no room, and has the host made none since?
 * @inline
 */
function isFull(ring: CaptureRing): bool {
  return ring.full != 0 && ring.fullAt == atomic.load<u32>(changetype<usize>(ring), offsetof<CaptureRing>("tail"));
}

/** @inline */
function countersOf(worker: Worker, tap: Tap): TapCounters {
  return changetype<TapCounters>(changetype<usize>(tap) + offsetof<Tap>() + worker.id * offsetof<TapCounters>());
}

function countMissed(worker: Worker, tap: Tap, frames: u32): void {
  const counters = countersOf(worker, tap);
  counters.frames += frames;
  counters.missed += frames;
}

/** How many of the `count` frames of the burst were not refused. */
function framesOf(worker: Worker, count: u32): u32 {
  let frames: u32 = 0;
  let at: usize = worker.frameTable;
  for (let i: u32 = 0; i < count; ++i, at += offsetof<Frame>()) {
    if (changetype<Frame>(at).length != 0) ++frames;
  }
  return frames;
}

/** A record with everything but its bytes, counted; 0 when there is no room for it: then it is counted as missed too. */
function begin(worker: Worker, tap: Tap, length: u32, kind: u32, time: u64): usize {
  const counters = countersOf(worker, tap);
  counters.frames += 1;
  const ring = ringOf(worker, tap);
  if (isFull(ring)) {
    counters.missed += 1;
    return 0;
  }
  const captured = min(length, tap.snapLength);
  const bytes: u32 = (offsetof<CaptureRecord>() + captured + 7) & ~7;
  const size = ring.size;
  let next = ring.next;
  // A record lies in one piece: what is left at the end of the ring may have to be passed over.
  const rest = size - (next & (size - 1));
  const skip = rest < bytes ? rest : 0;
  const tail = atomic.load<u32>(changetype<usize>(ring), offsetof<CaptureRing>("tail"));
  ring.full = next - tail + skip + bytes > size ? 1 : 0;
  if (ring.full) {
    ring.fullAt = tail;
    counters.missed += 1;
    return 0;
  }
  if (!ring.dirty) {
    ring.dirty = 1;
    ring.nextDirty = worker.dirtyRings;
    worker.dirtyRings = <u32>changetype<usize>(ring);
  }
  if (skip != 0) {
    const record = changetype<CaptureRecord>(ring.data + (next & (size - 1)));
    record.bytes = skip;
    record.kind = CAPTURE_SKIP;
    next += skip;
  }
  const at: usize = ring.data + (next & (size - 1));
  const record = changetype<CaptureRecord>(at);
  record.bytes = bytes;
  record.kind = kind;
  record.tap = tap.number;
  record.length = length;
  record.captured = captured;
  record.dropped = 0;
  record.time = time;
  ring.next = next + bytes;
  worker.recorded += 1;
  return at;
}

/** Copies `length` bytes, at least one, from a list of segments to one place, from `skip` bytes on. */
function gatherBehind(to: usize, segments: usize, skip: u32, length: u32): void {
  while (skip >= changetype<Segment>(segments).length) {
    skip -= changetype<Segment>(segments).length;
    segments += offsetof<Segment>();
  }
  const segment = changetype<Segment>(segments);
  const piece = min(segment.length - skip, length);
  copy(to, segment.offset + skip, piece);
  if (piece < length) gather(to + piece, segments + offsetof<Segment>(), length - piece);
}
