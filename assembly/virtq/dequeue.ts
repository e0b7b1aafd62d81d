// Taking frames from a transmitq: ring -> chains -> frames of checked segments, headers stripped.

import {
  BURST,
  CHAIN_SEGMENTS,
  FRAME_MAX,
  Frame,
  HEADER_COPY,
  HOLD_SECONDS,
  HOLD_UNSEEN,
  Offload,
  Port,
  Queue,
  SEGMENTS,
  Segment,
  Worker,
} from "../abi";
import { countDrop } from "../bridge/stats";
import { gather } from "../memory/copy";
import { awaitsTranslation, awaitTranslation } from "../memory/iotlb";
import { generationOf, keepSpan } from "../memory/regions";
import { holdForBurst } from "../memory/windows";
import { ETHERNET_HEADER } from "../net/ethernet";
import {
  DROP_ADMIN_DOWN,
  DROP_DISABLED,
  DROP_TRANSLATION,
  DROP_TX_OVERSIZE,
  DROP_TX_RUNT,
  DROP_WINDOW,
  QUEUE_BAD_HEAD,
  QUEUE_CHAIN_LOOP,
  QUEUE_OK,
} from "../spec/status";
import { VIRTQ_DESC_F_INDIRECT, VIRTQ_DESC_F_NEXT, VIRTQ_DESC_F_WRITE } from "../spec/virtio";
import { trace, TRACE_DEQUEUE, TRACE_FAULT } from "../trace";
import { FAULT_DROP, readableChain } from "./chain";
import { requestCall } from "./notify";
import { descriptorAt, endOfChain, isAvailable, POSITION, slotAt } from "./packed";
import { cursorAfter, flagsOf, leadOf, publish, writeUsed } from "./ring";
import { headAt, pending } from "./split";
import { fail } from "./status";

/**
 * Takes up to BURST chains into worker.frameTable and returns how many; a frame that was refused has length 0 and is
 * counted. The chains stay the device's until `complete`, so their bytes may be copied till then.
 */
export function dequeue(worker: Worker, queue: Queue): u32 {
  if (queue.status != QUEUE_OK) return 0;
  return queue.packed ? takePacked(worker, queue) : takeSplit(worker, queue);
}

function takeSplit(worker: Worker, queue: Queue): u32 {
  return take(worker, queue, false);
}

function takePacked(worker: Worker, queue: Queue): u32 {
  return take(worker, queue, true);
}

/**
 * The driver's packets, as it placed them (5.1.6.2).
 * @inline
 */
function take(worker: Worker, queue: Queue, packed: bool): u32 {
  // Of a packed ring nobody can say how many chains it holds: each is asked in its turn.
  const most = packed ? BURST : min(pending(queue), BURST);
  if (most == 0) return 0;

  const regions: usize = atomic.load<u32>(queue.port, offsetof<Port>("regions"));
  if (awaitsTranslation(queue, regions)) return 0;
  const size = queue.size;
  const mask = size - 1;
  const desc: usize = queue.desc;
  const avail: usize = queue.avail;
  const used: usize = queue.used;
  const lead = leadOf(queue, packed);
  const header = queue.headerSize;
  const least = header + ETHERNET_HEADER;
  // The piece of memory that held the buffer before is tried first: guests take their buffers from one place.
  const kept = queue.spanGeneration == generationOf(regions);
  let start: u64 = kept ? queue.spanStart : 0;
  let length: u64 = kept ? queue.spanLength : 0;
  let window: u32 = kept ? queue.spanWindow : 0;
  let bytes: u64 = 0;
  let at: usize = worker.frameTable;
  let cursor = queue.nextAvail;
  let taken: u32 = 0;
  worker.txSegments = 0;
  worker.headersApart = 0;
  holdForBurst(worker);

  while (true) {
    // No function is called in this loop: then what it needs stays in registers.
    for (; taken < most; ++taken, at += offsetof<Frame>()) {
      const head: u32 = packed ? 0 : headAt(avail, mask, cursor);
      if (!packed && head >= size) break;
      // By far the most common chain is one descriptor with header and frame, in the same piece as the one before.
      const entry = packed ? slotAt(desc, cursor) : desc + (head << 4);
      // Address, length and flags: 2.7.5, packed 2.8.4.
      const rest = packed ? descriptorAt(desc, cursor) : load<u64>(entry, 8);
      if (packed && !isAvailable(rest, cursor)) break;
      const inside = load<u64>(entry) - start;
      const total = <u32>rest;
      const flags = flagsOf(rest, packed) & (VIRTQ_DESC_F_NEXT | VIRTQ_DESC_F_WRITE | VIRTQ_DESC_F_INDIRECT);
      if (flags != 0 || inside >= length || total > length - inside) break;
      if (total - least > FRAME_MAX - ETHERNET_HEADER) break;
      const frame = changetype<Frame>(at);
      frame.at = window + <u32>inside + header;
      frame.segments = 1;
      frame.length = total - header;
      bytes += total - header;
      const id = packed ? <u32>(rest >> 32) & 0xffff : head;
      writeUsed(worker, used, mask, cursor, lead, id, 0, false, packed);
      cursor = cursorAfter(cursor, 1, size, packed);
      trace(worker, TRACE_DEQUEUE, changetype<usize>(queue), id, total - header);
    }
    if (taken == most || !takeAnyShape(worker, queue, regions, taken, cursor, packed)) break;
    bytes += changetype<Frame>(at).length;
    start = worker.spanStart;
    length = worker.spanLength;
    window = worker.spanWindow;
    writeUsed(worker, used, mask, cursor, lead, worker.chainId, 0, false, packed);
    cursor = cursorAfter(cursor, packed ? worker.chainSpan : 1, size, packed);
    ++taken;
    at += offsetof<Frame>();
  }
  worker.txCursor = cursor;
  queue.frames += taken;
  queue.bytes += bytes;
  return taken;
}

/**
 * Makes frame `number` of the chain at a cursor, whatever its shape; worker.chainId and .chainSpan then tell how to give
 * it back, and worker.span* where the next one may lie. False: there is none, or the burst ends before it.
 */
function takeAnyShape(worker: Worker, queue: Queue, regions: usize, number: u32, cursor: u32, packed: bool): bool {
  const first = worker.txSegments;
  if (first + CHAIN_SEGMENTS > SEGMENTS) return false;
  let begin = cursor;
  if (packed) {
    if (!isAvailable(descriptorAt(queue.desc, cursor), cursor)) return false;
  } else {
    begin = headAt(queue.avail, queue.size - 1, cursor);
    if (begin >= queue.size) {
      fail(queue, QUEUE_BAD_HEAD, begin);
      return false;
    }
    worker.chainId = begin;
  }
  const fault = readableChain(worker, queue, regions, begin);
  if (fault != 0 && fault < FAULT_DROP) {
    fail(queue, fault, worker.chainDescriptor);
    return false;
  }
  // The frames before it hold all windows there are for a burst: it begins the next one.
  if (fault == FAULT_DROP + DROP_WINDOW && number > 0) return false;
  if (fault == FAULT_DROP + DROP_TRANSLATION) {
    awaitTranslation(worker, queue, regions, cursor, packed ? 0 : queue.nextAvail + pending(queue));
    return false;
  }
  const frame = changetype<Frame>(worker.frameTable + number * offsetof<Frame>());
  takeChain(worker, queue, frame, number, first, fault);
  if (fault == 0) keepSpan(worker, queue, regions);
  else worker.spanLength = 0;
  trace(worker, TRACE_DEQUEUE, changetype<usize>(queue), worker.chainId, frame.length);
  return true;
}

/** Makes a frame of the chain whose segments were just found from `first` on, or counts why it is none. */
function takeChain(worker: Worker, queue: Queue, frame: Frame, number: u32, first: u32, fault: u32): void {
  const header = queue.headerSize;
  frame.length = 0;
  if (fault != 0) {
    countDrop(queue, fault - FAULT_DROP, 1);
    trace(worker, TRACE_FAULT, changetype<usize>(queue), fault, worker.chainDescriptor);
    return;
  }
  const length = worker.chainBytes - header;
  if (worker.chainBytes < header + ETHERNET_HEADER || length > FRAME_MAX) {
    countDrop(queue, length > FRAME_MAX && worker.chainBytes > header ? DROP_TX_OVERSIZE : DROP_TX_RUNT, 1);
    worker.txSegments = first;
    return;
  }
  let segments: usize = worker.txSegmentTable + first * offsetof<Segment>();
  let count = worker.txSegments - first;
  let place: usize = changetype<Segment>(segments).offset;
  if (changetype<Segment>(segments).length < header) {
    // In pieces: it is put together, so that whoever reads it finds it whole.
    place = worker.headerCopies + number * HEADER_COPY;
    gather(place, segments, header);
  }
  // The frame begins behind it, wherever that is.
  let skip = header;
  while (skip >= changetype<Segment>(segments).length) {
    skip -= changetype<Segment>(segments).length;
    segments += offsetof<Segment>();
    --count;
  }
  const segment = changetype<Segment>(segments);
  segment.offset += skip;
  segment.length -= skip;
  frame.segments = count;
  frame.length = length;
  frame.at = count == 1 ? segment.offset : <u32>segments;
  if (count != 1 || place + header != frame.at) {
    worker.headersApart |= (<u64>1) << number;
    changetype<Offload>(worker.offloadTable + number * offsetof<Offload>()).place = <u32>place;
  }
}

/**
 * Gives the chains that `dequeue` took, at least one, back to the driver.
 * @inline
 */
export function complete(worker: Worker, queue: Queue): void {
  if (queue.packed) publish(worker, queue, worker.txCursor, false, true);
  else publish(worker, queue, worker.txCursor, false, false);
  requestCall(worker, queue);
}

/**
 * Takes what a disabled transmitq holds and gives it back unsent, counted (virtio-user and QEMU disable before a stop).
 * One that may still be enabled is left alone for a while, unless the operator has put the port out of use.
 */
export function discard(worker: Worker, queue: Queue, now: u32): u32 {
  if (queue.status != QUEUE_OK) return 0;
  const down = atomic.load<u32>(queue.port, offsetof<Port>("adminDown"));
  if (!down && now < queue.drainFrom) {
    if (queue.drainFrom == HOLD_UNSEEN) queue.drainFrom = now + HOLD_SECONDS;
    return 0;
  }
  const count = queue.packed ? passBack(worker, queue, true) : passBack(worker, queue, false);
  if (count == 0) return 0;
  queue.frames += count;
  countDrop(queue, down ? DROP_ADMIN_DOWN : DROP_DISABLED, count);
  complete(worker, queue);
  return count;
}

/** @inline */
function passBack(worker: Worker, queue: Queue, packed: bool): u32 {
  const most = packed ? BURST : min(pending(queue), BURST);
  const size = queue.size;
  const mask = size - 1;
  const used: usize = queue.used;
  const lead = leadOf(queue, packed);
  let cursor = queue.nextAvail;
  let count: u32 = 0;
  for (; count < most; ++count) {
    let id: u32 = 0;
    if (packed) {
      if (!isAvailable(descriptorAt(queue.desc, cursor), cursor)) break;
      if (!endOfChain(worker, queue, cursor)) {
        fail(queue, QUEUE_CHAIN_LOOP, cursor & POSITION);
        break;
      }
      id = worker.chainId;
    } else {
      id = headAt(queue.avail, mask, cursor);
    }
    writeUsed(worker, used, mask, cursor, lead, id, 0, false, packed);
    cursor = cursorAfter(cursor, packed ? worker.chainSpan : 1, size, packed);
  }
  worker.txCursor = cursor;
  return count;
}
