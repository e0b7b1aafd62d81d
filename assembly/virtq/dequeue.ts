// Taking frames from a transmitq: avail ring -> chains -> frames of checked segments, headers stripped.

import { BURST, CHAIN_SEGMENTS, FRAME_MAX, Frame, Port, Queue, SEGMENTS, Segment, Worker } from "../abi";
import { countDrop } from "../bridge/stats";
import { regionAround } from "../memory/regions";
import { ETHERNET_HEADER } from "../net/ethernet";
import { DROP_DISABLED, DROP_TX_RUNT, QUEUE_BAD_HEAD, QUEUE_OK } from "../spec/status";
import { VIRTQ_DESC_F_INDIRECT, VIRTQ_DESC_F_NEXT, VIRTQ_DESC_F_WRITE } from "../spec/virtio";
import { trace, TRACE_DEQUEUE, TRACE_FAULT } from "../trace";
import { FAULT_DROP, readableChain } from "./chain";
import { requestCall } from "./notify";
import { fail, headAt, pending, publish, writeUsed } from "./split";

/**
 * Takes up to BURST chains into worker.frameTable and returns how many; a frame that was refused has length 0 and is
 * counted. The chains stay the device's until `complete`, so their bytes may be copied till then.
 */
export function dequeue(worker: Worker, queue: Queue): u32 {
  if (queue.status != QUEUE_OK) return 0;
  const count = min(pending(queue), BURST);
  if (count == 0) return 0;

  const regions: usize = atomic.load<u32>(queue.port, offsetof<Port>("regions"));
  const size = queue.size;
  const mask = size - 1;
  const desc: usize = queue.desc;
  const avail: usize = queue.avail;
  const usedRing: usize = queue.used;
  const nextAvail = queue.nextAvail;
  const nextUsed = queue.nextUsed;
  const header = queue.headerSize;
  const least = header + ETHERNET_HEADER;
  // The region that held the buffer before is tried first: guests take their buffers from one place.
  let start: u64 = 0;
  let length: u64 = 0;
  let window: u32 = 0;
  let bytes: u64 = 0;
  let at: usize = worker.frameTable;
  let taken: u32 = 0;
  worker.txSegments = 0;

  for (; taken < count; ++taken, at += offsetof<Frame>()) {
    const head = headAt(avail, mask, nextAvail + taken);
    if (head >= size) {
      fail(queue, QUEUE_BAD_HEAD, head);
      break;
    }
    const frame = changetype<Frame>(at);
    // By far the most common chain is one descriptor with header and frame, in the same region as the one before.
    const entry: usize = desc + (head << 4);
    const inRegion = load<u64>(entry) - start;
    const rest = load<u64>(entry, 8);
    const total = <u32>rest;
    const flags = <u32>(rest >> 32) & (VIRTQ_DESC_F_NEXT | VIRTQ_DESC_F_WRITE | VIRTQ_DESC_F_INDIRECT);
    if (flags == 0 && inRegion < length && total <= length - inRegion && total - least <= FRAME_MAX - ETHERNET_HEADER) {
      frame.at = window + <u32>inRegion + header;
      frame.segments = 1;
      frame.length = total - header;
    } else {
      const first = worker.txSegments;
      if (first + CHAIN_SEGMENTS > SEGMENTS) break;
      const fault = readableChain(worker, queue, regions, head, header);
      if (fault != 0 && fault < FAULT_DROP) {
        fail(queue, fault, worker.chainDescriptor);
        break;
      }
      takeChain(worker, queue, frame, first, fault);
      if (frame.length != 0) {
        const region = regionAround(regions, changetype<Segment>(worker.txSegmentTable + first * offsetof<Segment>()));
        start = region.guestAddress;
        length = region.size;
        window = region.window;
      }
    }
    bytes += frame.length;
    writeUsed(usedRing, mask, nextUsed + taken, head, 0);
    trace(worker, TRACE_DEQUEUE, changetype<usize>(queue), head, frame.length);
  }
  queue.frames += taken;
  queue.bytes += bytes;
  return taken;
}

/** Makes a frame of the chain whose segments were just found from `first` on, or counts why it is none. */
function takeChain(worker: Worker, queue: Queue, frame: Frame, first: u32, fault: u32): void {
  frame.length = 0;
  if (fault != 0) {
    countDrop(queue, fault - FAULT_DROP, 1);
    trace(worker, TRACE_FAULT, changetype<usize>(queue), fault, worker.chainDescriptor);
    return;
  }
  if (worker.chainBytes < ETHERNET_HEADER) {
    countDrop(queue, DROP_TX_RUNT, 1);
    worker.txSegments = first;
    return;
  }
  frame.segments = worker.txSegments - first;
  frame.length = worker.chainBytes;
  const segments: usize = worker.txSegmentTable + first * offsetof<Segment>();
  frame.at = frame.segments == 1 ? changetype<Segment>(segments).offset : <u32>segments;
}

/**
 * Gives the `count` chains that `dequeue` took back to the driver.
 * @inline
 */
export function complete(worker: Worker, queue: Queue, count: u32): void {
  publish(queue, count);
  requestCall(worker, queue);
}

/** Takes what a disabled transmitq holds and gives it back unsent, counted (virtio-user and QEMU disable before a stop). */
export function discard(worker: Worker, queue: Queue): u32 {
  if (queue.status != QUEUE_OK) return 0;
  const count = min(pending(queue), BURST);
  if (count == 0) return 0;
  const mask = queue.size - 1;
  for (let i: u32 = 0; i < count; ++i) {
    writeUsed(queue.used, mask, queue.nextUsed + i, headAt(queue.avail, mask, queue.nextAvail + i), 0);
  }
  queue.frames += count;
  countDrop(queue, DROP_DISABLED, count);
  complete(worker, queue, count);
  return count;
}
