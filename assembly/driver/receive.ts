// Emptying a receiveq: take used buffers, check the frames in them, give the buffers back, publish once.

import { copy } from "../memory/copy";
import {
  DriverQueue,
  FAULT_USED_INDEX,
  Flow,
  FLOW_BYTES,
  FRAME_MIN,
  FRAME_SLACK,
  RECEIVE_BURST,
  VERIFY_NOTHING,
  VERIFY_PAYLOAD,
  VERIFY_SEQUENCE,
} from "./abi";
import { flowOf, isWhole } from "./frame";
import { writeDescriptor } from "./packed";
import { advanceUsed, cursorAt, elementAt, fail, offer, publish, takeBack, usedAt, usedCount, usedRing } from "./ring";
import { BODY, isSegmentedWhole, SEGMENTED_MIN, segmentedFlowOf } from "./segmented";
import { arrived } from "./sequence";
import { writeAvail } from "./split";

/**
 * Takes up to `budget` used buffers, a frame that spans several always whole. Returns twice the number of frames,
 * plus 1 when the device wants a kick for the buffers it was given back.
 */
export function receive(queue: DriverQueue, budget: u32, verify: u32, now: u32): u32 {
  return queue.packed ? receivePacked(queue, budget, verify, now) : receiveSplit(queue, budget, verify, now);
}

function receiveSplit(queue: DriverQueue, budget: u32, verify: u32, now: u32): u32 {
  return receiveFrames(queue, budget, verify, now, false);
}

function receivePacked(queue: DriverQueue, budget: u32, verify: u32, now: u32): u32 {
  return receiveFrames(queue, budget, verify, now, true);
}

/** @inline */
function receiveFrames(queue: DriverQueue, budget: u32, verify: u32, now: u32, packed: bool): u32 {
  if (queue.fault != 0) return 0;
  const count = usedCount(queue, budget, packed);
  let frames: u32 = 0;
  let taken: u32 = 0;
  let ready: u32 = 0; // up to here the headers have been touched
  while (taken < count && taken < budget) {
    if (taken >= ready && verify != VERIFY_NOTHING) {
      ready = min(taken + RECEIVE_BURST, count);
      touch(queue, taken, ready, packed);
    }
    if (verify == VERIFY_SEQUENCE) {
      const expected = takeExpected(queue, taken, min(ready, budget), now, packed);
      if (expected != 0) {
        taken += expected;
        frames += expected;
        continue;
      }
    }
    taken += takeFrame(queue, taken, count - taken, verify, now, packed);
    if (queue.fault != 0) return 0;
    ++frames;
  }
  if (taken == 0) return 0;
  advanceUsed(queue, taken, packed);
  queue.frames += frames;
  return (frames << 1) | publish(queue, taken, packed);
}

/**
 * Loads the first bytes of many frames, so that the waits for them overlap.
 * @inline
 */
function touch(queue: DriverQueue, from: u32, to: u32, packed: bool): void {
  const last = queue.size - 1;
  let sum: u32 = 0;
  for (let i = from; i < to; ++i) {
    const number = min(<u32>usedAt(queue, i, packed), last);
    sum += load<u32>(queue.buffers + number * queue.bufferBytes + 24);
  }
  queue.touched = sum;
}

/**
 * Frames in the used elements from `ahead` to `end`, up to the first that is not the usual case: one buffer, one of
 * ours, in sequence. Returns their number. It does what takeFrame does for those, with everything in locals, because
 * the generator shall be faster than any switch.
 * @inline
 */
function takeExpected(queue: DriverQueue, ahead: u32, end: u32, now: u32, packed: bool): u32 {
  const size = queue.size;
  const mask = size - 1;
  const used = usedRing(queue, packed);
  const offered: usize = packed ? queue.desc : queue.avail + 4;
  const descFlags = queue.descFlags;
  const buffersAddress = queue.buffersAddress;
  const held = queue.held;
  const buffers = queue.buffers;
  const stride = queue.bufferBytes;
  const header = queue.headerSize;
  const longest = stride - header - FRAME_MIN;
  const mergeable = queue.mergeable;
  const flows = queue.flows;
  const flowCount = queue.flowCount;
  const latency: usize = queue.latency;
  let bytes: u64 = 0;
  let nextUsed = cursorAt(queue.nextUsed, ahead, size, packed);
  let nextAvail = cursorAt(queue.nextAvail, ahead, size, packed);
  let at = ahead;
  for (; at < end; ++at) {
    const element = elementAt(used, nextUsed, mask, packed);
    const number = <u32>element;
    const length = <u32>(element >> 32) - header;
    // Unsigned: one comparison refuses what is too short as well as what is too long.
    if (number >= size || length - FRAME_MIN > longest || load<u8>(held + number) == 0) break;
    const buffer: usize = buffers + number * stride;
    if (mergeable && load<u16>(buffer, 10) != 1) break;
    const frame = buffer + header;
    const words = load<u32>(frame, 12);
    const flowNumber = <u32>bswap<u16>(<u16>(words >>> 16));
    if (flowNumber >= flowCount) break;
    const flow = changetype<Flow>(flows + flowNumber * FLOW_BYTES);
    const sequence = load<u32>(frame, 16);
    if (flow.nextReceive != sequence || flow.dirty || !flow.expected) break;
    if (v128.any_true(v128.xor(v128.load(frame), v128.load(changetype<usize>(flow))))) break;
    if (!isWhole(frame, flow, length, false)) break;
    // The buffer is taken and given back: `held` stays as it is.
    if (packed) {
      const address = buffersAddress + <u64>number * stride;
      writeDescriptor(offered, nextAvail, at == 0, address, number, stride, descFlags);
    } else {
      writeAvail(offered, nextAvail, mask, number);
    }
    nextUsed = cursorAt(nextUsed, 1, size, packed);
    nextAvail = cursorAt(nextAvail, 1, size, packed);
    flow.nextReceive = sequence + 1;
    flow.frames += 1;
    bytes += length;
    if (latency != 0) {
      const entry = latency + (bucket(now - load<u32>(frame, 24)) << 3);
      store<u64>(entry, load<u64>(entry) + 1);
    }
  }
  queue.bytes += bytes;
  return at - ahead;
}

/** The frame in the used elements from `ahead` on, of which `most` are known. Returns how many buffers it took. */
function takeFrame(queue: DriverQueue, ahead: u32, most: u32, verify: u32, now: u32, packed: bool): u32 {
  const header = queue.headerSize;
  const element = usedAt(queue, ahead, packed);
  const length = <u32>(element >> 32);
  const number = <u32>element;
  if (!takeBack(queue, number)) return 0;
  const at: usize = queue.buffers + number * queue.bufferBytes;
  const buffers: u32 = queue.mergeable ? load<u16>(at, 10) : 1;
  if (buffers > most && packed) most = usedCount(queue, ahead + buffers, true) - ahead;
  offer(queue, ahead, number, queue.bufferBytes, packed);
  if (buffers == 1) {
    // A length of more than the buffer, or less than the header, is the device's mistake: no byte of it is looked at.
    if (length < header || length > queue.bufferBytes) queue.corrupt += 1;
    else check(queue, at + header, length - header, verify, now);
    return 1;
  }
  // All buffers of a frame are published together (virtio 1.3, 5.1.6.4).
  if (buffers == 0 || buffers > most) {
    fail(queue, FAULT_USED_INDEX, buffers);
    return 0;
  }
  merge(queue, ahead, buffers, at, length, verify, now, packed);
  return buffers;
}

/**
 * A frame in several buffers, the first at `first` with `length` bytes: put together in the scratch space, unless all
 * that will be looked at stands in the first.
 */
function merge(
  queue: DriverQueue,
  ahead: u32,
  buffers: u32,
  first: usize,
  length: u32,
  verify: u32,
  now: u32,
  packed: bool,
): void {
  const room = queue.scratchBytes - FRAME_SLACK;
  const apart = verify != VERIFY_PAYLOAD && length >= queue.headerSize + SEGMENTED_MIN;
  const scratch: usize = apart ? first : queue.scratch;
  let good = length >= queue.headerSize && length <= queue.bufferBytes && length <= room;
  let total = good ? length : 0;
  if (!apart) copy(scratch, first, total);
  for (let i: u32 = 1; i < buffers; ++i) {
    const element = usedAt(queue, ahead + i, packed);
    const piece = <u32>(element >> 32);
    const number = <u32>element;
    if (!takeBack(queue, number)) return;
    good = good && piece <= queue.bufferBytes && piece <= room - total;
    if (good) {
      if (!apart) copy(scratch + total, queue.buffers + number * queue.bufferBytes, piece);
      total += piece;
    }
    offer(queue, ahead + i, number, queue.bufferBytes, packed);
  }
  if (good) check(queue, scratch + queue.headerSize, total - queue.headerSize, verify, now);
  else queue.corrupt += 1;
}

/**
 * Judges one frame, which lies in one piece.
 * @inline
 */
function check(queue: DriverQueue, at: usize, length: u32, verify: u32, now: u32): void {
  queue.bytes += length;
  if (verify == VERIFY_NOTHING) return;
  let pointer = length >= FRAME_MIN ? flowOf(queue, at) : 0;
  const segmentSize = queue.segmentSize;
  const segmented = pointer == 0 && segmentSize != 0 && length >= SEGMENTED_MIN;
  if (segmented) pointer = segmentedFlowOf(queue, at);
  if (pointer == 0) {
    queue.foreign += 1;
    return;
  }
  const flow = changetype<Flow>(pointer);
  if (!flow.expected) {
    queue.foreign += 1;
    return;
  }
  const payload = verify == VERIFY_PAYLOAD;
  let whole = false;
  if (segmented) whole = isSegmentedWhole(at - queue.headerSize, at, flow, length, payload, segmentSize);
  else if (!v128.any_true(v128.xor(v128.load(at), v128.load(pointer)))) whole = isWhole(at, flow, length, payload);
  if (!whole) {
    queue.corrupt += 1;
    return;
  }
  if (segmented) at += BODY;
  arrived(queue, flow, load<u32>(at, 16));
  const latency: usize = queue.latency;
  if (latency != 0) {
    const slot = latency + (bucket(now - load<u32>(at, 24)) << 3);
    store<u64>(slot, load<u64>(slot) + 1);
  }
}

/**
 * The histogram's entry for a value: 32 to each power of two, the first 32 for 0 to 31.
 * @inline
 */
function bucket(value: u32): u32 {
  if (value < 32) return value;
  const exponent = 31 - clz(value);
  return ((exponent - 4) << 5) | ((value >>> (exponent - 5)) & 31);
}
