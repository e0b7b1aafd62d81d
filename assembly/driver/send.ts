// Filling a transmitq: take sent buffers back, write a burst of frames into them, publish once.

import { DriverQueue, FAULT_USED_ID, Flow, FLOW_BYTES, FRAME_MIN, FRAME_SLACK, SEGMENTED_HEADERS } from "./abi";
import { writeFrame } from "./frame";
import { writeSegmented } from "./segmented";
import { advance, isUsed, slotOf, usedDescriptor } from "./packed";
import { advanceUsed, fail, offer, outstanding, publish, takeBack, usedAt, usedCount } from "./ring";

/** Takes back the buffers of frames that the device is done with. Returns how many it still has. */
export function reclaim(queue: DriverQueue): u32 {
  return queue.packed ? reclaimBuffers(queue, true) : reclaimBuffers(queue, false);
}

/**
 * Makes up to `count` frames available, fewer when there are not as many free buffers. Returns twice the number sent,
 * plus 1 when the device wants a kick.
 */
export function send(queue: DriverQueue, count: u32, stamp: u32): u32 {
  return queue.packed ? sendPacked(queue, count, stamp) : sendSplit(queue, count, stamp);
}

function sendSplit(queue: DriverQueue, count: u32, stamp: u32): u32 {
  return sendFrames(queue, count, stamp, false);
}

function sendPacked(queue: DriverQueue, count: u32, stamp: u32): u32 {
  return sendFrames(queue, count, stamp, true);
}

/** @inline */
function reclaimBuffers(queue: DriverQueue, packed: bool): u32 {
  if (queue.fault != 0) return 0;
  if (packed && queue.inOrder) return reclaimBatches(queue);
  const size = queue.size;
  const count = usedCount(queue, size, packed);
  if (count == 0) return outstanding(queue, packed);
  if (!queue.inOrder) {
    const free = queue.free;
    let given = queue.freeGiven;
    for (let i: u32 = 0; i < count; ++i) {
      const number = <u32>usedAt(queue, i, packed);
      if (!takeBack(queue, number)) return 0;
      store<u16>(free + (given << 1), <u16>number);
      if (++given == size) given = 0;
    }
    queue.freeGiven = given;
  }
  // In order, the entries of `free` that come next are the very buffers that went out first.
  advanceUsed(queue, count, packed);
  return outstanding(queue, packed);
}

/**
 * The same for a packed ring used in order: one used descriptor may stand for all buffers up to its own (2.8.8). A
 * buffer's number is then its position in the ring.
 */
function reclaimBatches(queue: DriverQueue): u32 {
  const size = queue.size;
  const desc = queue.desc;
  let left = outstanding(queue, true);
  let cursor = queue.nextUsed;
  while (left != 0 && isUsed(queue, cursor)) {
    const number = <u32>usedDescriptor(desc, cursor);
    const position = <u32>(slotOf(queue, cursor) - desc) >>> 4;
    const batch = (number >= position ? number - position : number + size - position) + 1;
    if (number >= size || batch > left) {
      fail(queue, FAULT_USED_ID, number);
      return 0;
    }
    cursor = advance(cursor, batch, size);
    left -= batch;
  }
  queue.nextUsed = cursor;
  return left;
}

/** @inline */
function sendFrames(queue: DriverQueue, count: u32, stamp: u32, packed: bool): u32 {
  const pending = reclaimBuffers(queue, packed);
  if (queue.fault != 0) return 0;
  const size = queue.size;
  count = min(count, size - pending);
  if (count == 0) return 0;

  const desc = queue.desc;
  const free = queue.free;
  const header = queue.headerSize;
  const stride = queue.bufferBytes;
  const buffers = queue.buffers;
  const longest = stride - header - FRAME_SLACK;
  const flows = queue.flows;
  const flowCount = queue.flowCount;
  const sizes = queue.sizes;
  const sizeCount = queue.sizeCount;
  const payload = queue.payload;
  const segmentSize = queue.segmentSize;
  // Up to here a frame is sent as it is.
  const unsegmented: u32 = segmentSize == 0 ? u32.MAX_VALUE : SEGMENTED_HEADERS + segmentSize;
  const stampStep = <u64>queue.stampStep;
  let taken = queue.freeTaken;
  let flowIndex = queue.flow;
  let sizeIndex = queue.sizeIndex;
  let bytes: u64 = 0;

  for (let i: u32 = 0; i < count; ++i) {
    const number = <u32>load<u16>(free + (taken << 1));
    if (++taken == size) taken = 0;
    const flow = changetype<Flow>(flows + flowIndex * FLOW_BYTES);
    if (++flowIndex == flowCount) flowIndex = 0;
    const length = max(min(load<u32>(sizes + (sizeIndex << 2)), longest), FRAME_MIN);
    if (++sizeIndex == sizeCount) sizeIndex = 0;
    const sequence = flow.nextSend;
    flow.nextSend = sequence + 1;
    const due = stamp + <u32>((stampStep * i) >> 8);
    const at: usize = buffers + number * stride;
    if (length > unsegmented) {
      writeSegmented(at, at + header, flow, sequence, length, due, payload, segmentSize);
    } else {
      // The virtio_net header in front was zeroed at the start; only frames to be segmented write to it.
      if (segmentSize != 0) memory.fill(at, 0, header);
      writeFrame(at + header, flow, sequence, length, due, payload);
    }
    if (!packed) {
      const entry: usize = desc + (number << 4) + 8;
      if (load<u32>(entry) != length + header) store<u32>(entry, length + header);
    }
    offer(queue, i, number, length + header, packed);
    bytes += length;
  }
  queue.freeTaken = taken;
  queue.flow = flowIndex;
  queue.sizeIndex = sizeIndex;
  queue.frames += count;
  queue.bytes += bytes;
  return (count << 1) | publish(queue, count, packed);
}
