// The driver's half of a split ring (virtio 1.3, 2.7.13 and 2.7.14): make available, take back, notify.

import { VIRTQ_AVAIL_F_NO_INTERRUPT, VIRTQ_USED_F_NO_NOTIFY } from "../spec/virtio";
import { DriverQueue, FAULT_USED_ID, FAULT_USED_INDEX } from "./abi";

/** A queue before its device sees it: empty rings, descriptor i describes buffer i, all buffers free. */
export function reset(queue: DriverQueue, flags: u32): void {
  const size = queue.size;
  for (let i: u32 = 0; i < size; ++i) {
    const entry = queue.desc + (i << 4);
    store<u64>(entry, queue.buffersAddress + <u64>i * queue.bufferBytes);
    store<u64>(entry, ((<u64>flags) << 32) | queue.bufferBytes, 8);
    store<u16>(queue.free + (i << 1), <u16>i);
    store<u8>(queue.held + i, 0);
    store<u16>(queue.avail + 4 + (i << 1), <u16>i);
  }
  queue.nextAvail = 0;
  queue.nextUsed = 0;
  queue.freeTaken = 0;
  queue.freeGiven = size;
  queue.fault = 0;
  store<u16>(queue.used, 0);
  atomic.store<u16>(queue.used, 0, 2);
  atomic.store<u16>(queue.avail, 0, 2);
  disarm(queue);
}

/**
 * Buffers that the device has given back and we have not taken. More than it had breaks the queue.
 * @inline
 */
export function usedCount(queue: DriverQueue): u32 {
  const index = <u32>atomic.load<u16>(queue.used, 2);
  const count = (index - queue.nextUsed) & 0xffff;
  if (count > outstanding(queue)) {
    fail(queue, FAULT_USED_INDEX, index);
    return 0;
  }
  return count;
}

/**
 * Buffers that the device has.
 * @inline
 */
export function outstanding(queue: DriverQueue): u32 {
  return (queue.nextAvail - queue.nextUsed) & 0xffff;
}

/**
 * Number of the buffer in the used element `ahead` entries after the next one; marks it as ours again.
 * 0xffffffff, and a broken queue, when the device did not have such a buffer.
 * @inline
 */
export function takeUsed(queue: DriverQueue, ahead: u32): u32 {
  const number = load<u32>(queue.used + 4 + (((queue.nextUsed + ahead) & (queue.size - 1)) << 3));
  if (number >= queue.size || load<u8>(queue.held + number) == 0) {
    fail(queue, FAULT_USED_ID, number);
    return u32.MAX_VALUE;
  }
  store<u8>(queue.held + number, 0);
  return number;
}

/**
 * Writes the avail entry `ahead` entries after the last published one. An entry that is right already is left alone:
 * the device then keeps its copy of the cache line.
 * @inline
 */
export function offer(queue: DriverQueue, ahead: u32, number: u32): void {
  const slot = queue.avail + 4 + (((queue.nextAvail + ahead) & (queue.size - 1)) << 1);
  if (<u32>load<u16>(slot) != number) store<u16>(slot, <u16>number);
  store<u8>(queue.held + number, 1);
}

/**
 * Publishes `count` entries. Returns 1 when the device wants a kick for them.
 * @inline
 */
export function publish(queue: DriverQueue, count: u32): u32 {
  const before = queue.nextAvail;
  const now = (before + count) & 0xffff;
  queue.nextAvail = now;
  // Store, then load, both sequentially consistent: the device does the reverse before it sleeps.
  atomic.store<u16>(queue.avail, <u16>now, 2);
  if (!queue.eventIdx) return <u32>((atomic.load<u16>(queue.used) & VIRTQ_USED_F_NO_NOTIFY) == 0);
  const event = <u32>atomic.load<u16>(queue.used + 4 + (queue.size << 3));
  return <u32>(((now - event - 1) & 0xffff) < count);
}

/** Asks for a call with the next used buffer. Returns 1 when there is one already: then do not sleep. */
export function arm(queue: DriverQueue): u32 {
  if (queue.eventIdx) atomic.store<u16>(usedEvent(queue), <u16>queue.nextUsed);
  else atomic.store<u16>(queue.avail, 0);
  return <u32>(<u32>atomic.load<u16>(queue.used, 2) != queue.nextUsed);
}

/** Spares the device its calls. With event idx: until half of all index values have passed. */
export function disarm(queue: DriverQueue): void {
  if (queue.eventIdx) store<u16>(usedEvent(queue), <u16>(queue.nextUsed + 0x8000));
  else store<u16>(queue.avail, VIRTQ_AVAIL_F_NO_INTERRUPT);
}

/**
 * The field behind the avail ring in which we say at which used index we want a call.
 * @inline
 */
function usedEvent(queue: DriverQueue): usize {
  return queue.avail + 4 + (queue.size << 1);
}

function fail(queue: DriverQueue, fault: u32, at: u32): void {
  queue.fault = fault;
  queue.faultAt = at;
}
