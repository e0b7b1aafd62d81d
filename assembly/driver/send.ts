// Filling a transmitq: take sent buffers back, write a burst of frames into them, publish once.

import { DriverQueue, Flow, FLOW_BYTES, FRAME_MIN, FRAME_SLACK } from "./abi";
import { writeFrame } from "./frame";
import { offer, outstanding, publish, takeUsed, usedCount } from "./ring";

/** Takes back the buffers of frames that the device is done with. Returns how many it still has. */
export function reclaim(queue: DriverQueue): u32 {
  if (queue.fault != 0) return 0;
  const count = usedCount(queue);
  if (count == 0) return outstanding(queue);
  const given = queue.freeGiven;
  if (!queue.inOrder) {
    const mask = queue.size - 1;
    const free = queue.free;
    for (let i: u32 = 0; i < count; ++i) {
      const number = takeUsed(queue, i);
      if (queue.fault != 0) return 0;
      store<u16>(free + (((given + i) & mask) << 1), <u16>number);
    }
  }
  // In order, the entries of `free` from freeGiven on are the very buffers that went out first.
  queue.freeGiven = given + count;
  queue.nextUsed = (queue.nextUsed + count) & 0xffff;
  return outstanding(queue);
}

/**
 * Makes up to `count` frames available, fewer when there are not as many free buffers. Returns twice the number sent,
 * plus 1 when the device wants a kick.
 */
export function send(queue: DriverQueue, count: u32, stamp: u32): u32 {
  reclaim(queue);
  if (queue.fault != 0) return 0;
  const taken = queue.freeTaken;
  count = min(count, queue.freeGiven - taken);
  if (count == 0) return 0;

  const desc = queue.desc;
  const mask = queue.size - 1;
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
  const stampStep = <u64>queue.stampStep;
  let flowIndex = queue.flow;
  let sizeIndex = queue.sizeIndex;
  let bytes: u64 = 0;

  for (let i: u32 = 0; i < count; ++i) {
    const number = <u32>load<u16>(free + (((taken + i) & mask) << 1));
    const flow = changetype<Flow>(flows + flowIndex * FLOW_BYTES);
    if (++flowIndex == flowCount) flowIndex = 0;
    const length = max(min(load<u32>(sizes + (sizeIndex << 2)), longest), FRAME_MIN);
    if (++sizeIndex == sizeCount) sizeIndex = 0;
    const sequence = flow.nextSend;
    flow.nextSend = sequence + 1;
    // The virtio_net header in front was zeroed at the start and nobody has written to it since.
    const due = stamp + <u32>((stampStep * i) >> 8);
    writeFrame(buffers + number * stride + header, flow, sequence, length, due, payload);
    const entry: usize = desc + (number << 4) + 8;
    if (load<u32>(entry) != length + header) store<u32>(entry, length + header);
    offer(queue, i, number);
    bytes += length;
  }
  queue.freeTaken = taken + count;
  queue.flow = flowIndex;
  queue.sizeIndex = sizeIndex;
  queue.frames += count;
  queue.bytes += bytes;
  return (count << 1) | publish(queue, count);
}
