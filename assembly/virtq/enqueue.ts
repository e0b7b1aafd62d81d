// Putting frames into a receiveq: reserve receive buffers for all frames of the group, copy (virtq/place.ts),
// publish once (virtio 1.3, 5.1.6.4).
//
// Nothing is written to a buffer before a frame has all the room it needs, so a frame is delivered whole or dropped
// and counted; what was reserved for a dropped frame stays with the ring. A frame that the receiver's driver cannot take
// whole becomes several (virtq/cut.ts), or has its checksum finished behind the copy (virtq/place.ts).

import { CHAIN_SEGMENTS, Frame, MISSES, Placement, Port, Queue, SEGMENTS, Worker } from "../abi";
import { countDrop } from "../bridge/stats";
import { askAhead, isTranslated } from "../memory/iotlb";
import { generationOf, keepSpan } from "../memory/regions";
import { holdForDelivery } from "../memory/windows";
import { exceedsMtu } from "../net/mtu";
import { OFFLOAD_GSO } from "../spec/offload";
import { DROP_MTU, DROP_PORT_DOWN, DROP_RX_CHAIN_BAD, DROP_TRANSLATION, DROP_WINDOW, QUEUE_OK } from "../spec/status";
import { VIRTQ_DESC_F_INDIRECT, VIRTQ_DESC_F_NEXT, VIRTQ_DESC_F_WRITE } from "../spec/virtio";
import { trace, TRACE_ENQUEUE } from "../trace";
import { deliverCut } from "./cut";
import { backlogOf, hold, holdAll, mustWait } from "./backlog";
import { requestCall } from "./notify";
import { descriptorAt, isAvailable, POSITION, slotAt } from "./packed";
import { copyPlaced, offloadOf } from "./place";
import { reserve } from "./reserve";
import { cursorAfter, flagsOf, leadOf, mayNote, publish, writeUsed } from "./ring";
import { headAt, pending } from "./split";

/** Delivers a group of `count` frames, taken from `source`, the first of them number `first`, to one receiveq. */
export function enqueue(worker: Worker, source: Queue, queue: Queue, first: u32, count: u32): void {
  // Read once: the host may clear it while we hold the lock, and then it would stay locked.
  const shared = queue.shared;
  if (shared) acquire(queue);
  if (queue.status == QUEUE_OK) {
    const mtu = changetype<Port>(queue.port).mtu;
    if (mtu) deliverWithin(worker, source, queue, first, count, mtu);
    else deliverRun(worker, source, queue, first, count);
  } else {
    countDrop(source, DROP_PORT_DOWN, count);
  }
  if (shared) release(queue);
}

/** The same without the frames that are longer than the MTU: those between them go, run by run. */
function deliverWithin(worker: Worker, source: Queue, queue: Queue, first: u32, count: u32, mtu: u32): void {
  let run: u32 = 0;
  let number = first;
  for (let left = count; left > 0; --left) {
    const next = changetype<Frame>(worker.frameTable + number * offsetof<Frame>()).next;
    if (exceedsMtu(worker, number, mtu)) {
      if (run > 0) deliverRun(worker, source, queue, first, run);
      countDrop(queue, DROP_MTU, 1);
      first = next;
      run = 0;
    } else {
      ++run;
    }
    number = next;
  }
  if (run > 0) deliverRun(worker, source, queue, first, run);
}

function deliverRun(worker: Worker, source: Queue, queue: Queue, first: u32, count: u32): void {
  if (queue.backlog && mustWait(queue)) holdAll(worker, queue, first, count);
  else deliverNow(worker, source, queue, first, count);
}

/** Delivers the only frame of the burst, which comes from the receiveq's backlog; worker.stuck: not yet. */
export function deliverHeld(worker: Worker, queue: Queue): void {
  deliverNow(worker, queue, queue, 0, 1);
}

/** @inline */
function deliverNow(worker: Worker, source: Queue, queue: Queue, first: u32, count: u32): void {
  if (queue.packed) deliverPacked(worker, source, queue, first, count);
  else deliverSplit(worker, source, queue, first, count);
}

// Functions apart, though of one source: V8 compiles the loop of either better when the other is not beside it.
function deliverSplit(worker: Worker, source: Queue, queue: Queue, first: u32, count: u32): void {
  deliver(worker, source, queue, first, count, false);
}

function deliverPacked(worker: Worker, source: Queue, queue: Queue, first: u32, count: u32): void {
  deliver(worker, source, queue, first, count, true);
}

/** @inline */
function deliver(worker: Worker, source: Queue, queue: Queue, first: u32, count: u32, packed: bool): void {
  const regions: usize = atomic.load<u32>(queue.port, offsetof<Port>("writable"));
  const frames: usize = worker.frameTable;
  const size = queue.size;
  const mask = size - 1;
  const desc: usize = queue.desc;
  const avail: usize = queue.avail;
  const used: usize = queue.used;
  const begin = queue.nextAvail;
  const lead = leadOf(queue, packed);
  const header = queue.headerSize;
  // Frames longer than the receiver's driver takes: with such in the burst each frame is looked at by itself.
  const uncut = worker.offloaded & ~queue.offloads & OFFLOAD_GSO;
  // Behind the last chain that the driver has given; a packed ring says of each whether it has.
  const end = packed ? 0 : begin + pending(queue);
  // The piece of memory that held the buffer before is tried first: guests take their buffers from one place.
  const kept = queue.spanGeneration == generationOf(regions);
  let start: u64 = kept ? queue.spanStart : 0;
  let length: u64 = kept ? queue.spanLength : 0;
  let window: u32 = kept ? queue.spanWindow : 0;

  let cursor = begin;
  let next: usize = worker.placements; // where the next frame is placed; those before it wait for the copy
  let delivered: u32 = 0;
  let bytes: u64 = 0;
  worker.rxSegments = 0;
  holdForDelivery(worker);

  let number = first;
  let left = count;
  while (left > 0) {
    // No function is called in this loop: then what it needs stays in registers.
    for (; left > 0 && !uncut; --left) {
      if (!packed && cursor == end) break;
      const head: u32 = packed ? 0 : headAt(avail, mask, cursor);
      if (!packed && head >= size) break;
      const frame = changetype<Frame>(frames + number * offsetof<Frame>());
      const need = frame.length + header;
      // By far the most common buffer is one descriptor with room for all, in the same piece as the one before.
      const entry = packed ? slotAt(desc, cursor) : desc + (head << 4);
      const rest = packed ? descriptorAt(desc, cursor) : load<u64>(entry, 8);
      const inside = load<u64>(entry) - start;
      const room = <u32>rest;
      const flags = flagsOf(rest, packed) & (VIRTQ_DESC_F_NEXT | VIRTQ_DESC_F_WRITE | VIRTQ_DESC_F_INDIRECT);
      if (flags != VIRTQ_DESC_F_WRITE || room < need || inside >= length || room > length - inside) break;
      if (packed && (!isAvailable(rest, cursor) || !mayNote(worker, packed))) break;
      const placement = changetype<Placement>(next);
      placement.at = window + <u32>inside;
      placement.segments = 1;
      placement.buffers = 1;
      placement.frame = number;
      writeUsed(worker, used, mask, cursor, lead, packed ? <u32>(rest >> 32) & 0xffff : head, need, true, packed);
      cursor = cursorAfter(cursor, 1, size, packed);
      next += offsetof<Placement>();
      ++delivered;
      bytes += frame.length;
      trace(worker, TRACE_ENQUEUE, changetype<usize>(queue), number, 1);
      number = frame.next;
    }
    if (left == 0) break;
    worker.rxCursor = cursor;
    worker.rxPlaced = <u32>next;
    const going = placeAnyShape(worker, source, queue, regions, number, end, uncut);
    cursor = worker.rxCursor;
    next = worker.rxPlaced;
    start = worker.spanStart;
    length = worker.spanLength;
    window = worker.spanWindow;
    --left;
    if (!going) {
      // The ring broke: what was reserved before stands, the rest of the group cannot be delivered.
      if (left > 0) countDrop(queue, DROP_RX_CHAIN_BAD, left);
      break;
    }
    number = changetype<Frame>(frames + number * offsetof<Frame>()).next;
  }

  copyPlaced(worker, queue, next);
  if (cursor != queue.nextAvail) publish(worker, queue, cursor, true, packed);
  if (cursor != begin) requestCall(worker, queue);
  if (isTranslated(queue)) askForBuffers(worker, queue, regions, cursor, end);
  queue.frames += delivered;
  queue.bytes += bytes;
}

/**
 * Finds room for one frame in buffers of any shape, behind worker.rxPlaced and .rxCursor and moving both on; or cuts it,
 * or drops it and counts why. worker.span* is then where the next buffer may lie. False: the ring is broken.
 */
function placeAnyShape(
  worker: Worker,
  source: Queue,
  queue: Queue,
  regions: usize,
  number: u32,
  end: u32,
  uncut: u32,
): bool {
  const frame = changetype<Frame>(worker.frameTable + number * offsetof<Frame>());
  const packed = queue.packed != 0;
  // Behind what waits already, however well it would fit.
  if (queue.backlog && !worker.draining && backlogOf(queue).frames > 0) {
    holdAt(worker, queue, regions, number);
    return true;
  }
  if (uncut && offloadOf(worker, number).needs & uncut) {
    copyAllPlaced(worker, queue);
    if (!deliverCut(worker, source, queue, regions, number, end)) holdAt(worker, queue, regions, number);
    worker.spanLength = 0; // its window may have gone to another chunk
    return queue.status == QUEUE_OK;
  }
  if (worker.rxSegments + CHAIN_SEGMENTS > SEGMENTS || !mayNote(worker, packed)) {
    copyAllPlaced(worker, queue);
    if (!mayNote(worker, packed)) publish(worker, queue, worker.rxCursor, true, true);
  }
  const need = frame.length + queue.headerSize;
  let cause = reserve(worker, queue, regions, changetype<Placement>(worker.rxPlaced), end, need);
  if (cause == DROP_WINDOW) {
    // The frames placed before it hold the windows: they go first. Those of a frame that asks too much go too.
    const alone = worker.rxPlaced == worker.placements;
    copyAllPlaced(worker, queue);
    holdForDelivery(worker);
    if (!alone) cause = reserve(worker, queue, regions, changetype<Placement>(worker.rxPlaced), end, need);
  }
  if (cause >= 0) {
    // Bad chains have been given back with nothing in them; buffers that were only too few stay with the ring.
    if (cause == DROP_TRANSLATION && queue.backlog) holdAt(worker, queue, regions, number);
    else countDrop(queue, cause, 1);
    worker.spanLength = 0;
    return queue.status == QUEUE_OK;
  }
  keepSpan(worker, queue, regions);
  const placement = changetype<Placement>(worker.rxPlaced);
  placement.frame = number;
  worker.rxPlaced += offsetof<Placement>();
  queue.frames += 1;
  queue.bytes += frame.length;
  trace(worker, TRACE_ENQUEUE, changetype<usize>(queue), number, placement.buffers);
  return true;
}

/** Nobody has said yet where the buffers lie that frame `number` needs: it waits, or goes on waiting. */
function holdAt(worker: Worker, queue: Queue, regions: usize, number: u32): void {
  worker.spanLength = 0;
  if (worker.draining || backlogOf(queue).frames == 0) worker.stuck = 1;
  if (!worker.draining) hold(worker, queue, number, generationOf(regions));
}

/** A receiveq behind an IOMMU asks for its next buffers; for the more of them, the faster it uses them up. */
function askForBuffers(worker: Worker, queue: Queue, regions: usize, cursor: u32, end: u32): void {
  const used = (cursor - queue.askedFrom) & POSITION;
  queue.askedFrom = cursor;
  queue.ahead = min(MISSES, queue.ahead + 2 * used);
  const posted = askAhead(worker, queue, cursor, end, queue.ahead);
  if (!worker.stuck) return;
  // What could not be asked for has to be missed again.
  backlogOf(queue).generation = posted ? generationOf(regions) : 0;
  if (!worker.draining) worker.stuck = 0;
}

/** Lets the frames placed so far go, and their segments and places be used again. */
function copyAllPlaced(worker: Worker, queue: Queue): void {
  copyPlaced(worker, queue, worker.rxPlaced);
  worker.rxPlaced = worker.placements;
  worker.rxSegments = 0;
}

/** Only where several workers may reach one receiveq; whoever holds it is within one burst of letting go. */
export function acquire(queue: Queue): void {
  const lock = changetype<usize>(queue) + offsetof<Queue>("lock");
  while (atomic.cmpxchg<u32>(lock, 0, 1) != 0) {
    while (atomic.load<u32>(lock) != 0) {}
  }
}

export function release(queue: Queue): void {
  atomic.store<u32>(changetype<usize>(queue), 0, offsetof<Queue>("lock"));
}
