// Taking frames from a transmitq: avail ring -> chains -> frames of checked segments, headers stripped.

import { BURST, CHAIN_SEGMENTS, FRAME_MAX, Frame, Port, Queue, Region, SEGMENTS, Segment, Worker } from "../abi";
import { countDrop } from "../bridge/stats";
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

  const regions = atomic.load<u32>(queue.port, offsetof<Port>("regions"));
  const size = queue.size;
  const desc = queue.desc;
  const header = queue.headerSize;
  const frames: usize = worker.frameTable;
  const segments: usize = worker.txSegmentTable;
  // The region that holds the buffer before is tried first: guests take their buffers from one place.
  let start: u64 = 0;
  let length: u64 = 0;
  let window: u32 = 0;
  let bytes: u64 = 0;
  let used: u32 = 0; // segments
  let taken: u32 = 0;

  for (; taken < count; ++taken) {
    if (used + CHAIN_SEGMENTS > SEGMENTS) break;
    const head = headAt(queue, taken);
    if (head >= size) {
      fail(queue, QUEUE_BAD_HEAD, head);
      break;
    }
    const frame = changetype<Frame>(frames + taken * offsetof<Frame>());
    const segment = changetype<Segment>(segments + used * offsetof<Segment>());
    frame.segment = used;

    // By far the most common chain is one descriptor with header and frame, in the same region as the one before.
    const entry: usize = desc + (head << 4);
    const at = load<u64>(entry) - start;
    const rest = load<u64>(entry, 8);
    const total = <u32>rest;
    const flags = <u32>(rest >> 32) & (VIRTQ_DESC_F_NEXT | VIRTQ_DESC_F_WRITE | VIRTQ_DESC_F_INDIRECT);
    if (
      flags == 0 &&
      at < length &&
      total <= length - at &&
      total - header - ETHERNET_HEADER <= FRAME_MAX - ETHERNET_HEADER
    ) {
      segment.offset = window + <u32>at + header;
      segment.length = total - header;
      frame.segments = 1;
      frame.length = total - header;
      used += 1;
    } else {
      worker.txSegments = used;
      const fault = readableChain(worker, queue, regions, head, header);
      if (fault != 0 && fault < FAULT_DROP) {
        fail(queue, fault, worker.chainDescriptor);
        break;
      }
      frame.length = 0;
      if (fault != 0) {
        countDrop(queue, fault - FAULT_DROP, 1);
        trace(worker, TRACE_FAULT, changetype<usize>(queue), fault, worker.chainDescriptor);
      } else if (worker.chainBytes < ETHERNET_HEADER) {
        countDrop(queue, DROP_TX_RUNT, 1);
      } else {
        frame.segments = worker.txSegments - used;
        frame.length = worker.chainBytes;
        used = worker.txSegments;
        const region = regionHolding(regions, segment.offset);
        start = region.guestAddress;
        length = region.size;
        window = region.window;
      }
    }
    bytes += frame.length;
    writeUsed(queue, taken, head, 0);
    trace(worker, TRACE_DEQUEUE, changetype<usize>(queue), head, frame.length);
  }
  queue.frames += taken;
  queue.bytes += bytes;
  return taken;
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
  for (let i: u32 = 0; i < count; ++i) writeUsed(queue, i, headAt(queue, i), 0);
  if (count == 0) return 0;
  queue.frames += count;
  countDrop(queue, DROP_DISABLED, count);
  complete(worker, queue, count);
  return count;
}

/**
 * The region that a checked offset lies in.
 * @inline
 */
function regionHolding(regions: usize, offset: u32): Region {
  let entry = regions + 8;
  while (<u64>(offset - changetype<Region>(entry).window) >= changetype<Region>(entry).size) {
    entry += offsetof<Region>();
  }
  return changetype<Region>(entry);
}
