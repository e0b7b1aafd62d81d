// The driver's half of a split ring (virtio 1.3, 2.7.13 and 2.7.14): make available, take back, notify.

import { VIRTQ_AVAIL_F_NO_INTERRUPT, VIRTQ_USED_F_NO_NOTIFY } from "../spec/virtio";
import { DriverQueue } from "./abi";

/** An empty ring in which descriptor i describes buffer i, for good. */
export function resetSplit(queue: DriverQueue): void {
  const size = queue.size;
  for (let i: u32 = 0; i < size; ++i) {
    const entry = queue.desc + (i << 4);
    store<u64>(entry, queue.buffersAddress + <u64>i * queue.bufferBytes);
    store<u64>(entry, ((<u64>queue.descFlags) << 32) | queue.bufferBytes, 8);
    store<u16>(queue.avail + 4 + (i << 1), <u16>i);
  }
  queue.nextAvail = 0;
  queue.nextUsed = 0;
  store<u16>(queue.used, 0);
  atomic.store<u16>(queue.used, 0, 2);
  atomic.store<u16>(queue.avail, 0, 2);
}

/**
 * Buffers that the device says it has given back since nextUsed.
 * @inline
 */
export function usedSince(queue: DriverQueue): u32 {
  return (<u32>atomic.load<u16>(queue.used, 2) - queue.nextUsed) & 0xffff;
}

/**
 * A used element: buffer number in bits 0-31, length in 32-63.
 * @inline
 */
export function usedElement(elements: usize, cursor: u32, mask: u32): u64 {
  return load<u64>(elements + ((cursor & mask) << 3));
}

/**
 * Writes an avail entry. One that is right already is left alone: the device then keeps its copy of the cache line.
 * @inline
 */
export function writeAvail(entries: usize, cursor: u32, mask: u32, number: u32): void {
  const slot = entries + ((cursor & mask) << 1);
  if (<u32>load<u16>(slot) != number) store<u16>(slot, <u16>number);
}

/**
 * Publishes `count` entries. Returns 1 when the device wants a kick for them.
 * @inline
 */
export function publishSplit(queue: DriverQueue, count: u32): u32 {
  const now = (queue.nextAvail + count) & 0xffff;
  queue.nextAvail = now;
  // Store, then load, both sequentially consistent: the device does the reverse before it sleeps.
  atomic.store<u16>(queue.avail, <u16>now, 2);
  if (!queue.eventIdx) return <u32>((atomic.load<u16>(queue.used) & VIRTQ_USED_F_NO_NOTIFY) == 0);
  const event = <u32>atomic.load<u16>(queue.used + 4 + (queue.size << 3));
  return <u32>(((now - event - 1) & 0xffff) < count);
}

/** Asks for a call with the next used buffer. */
export function armSplit(queue: DriverQueue): void {
  if (queue.eventIdx) atomic.store<u16>(usedEvent(queue), <u16>queue.nextUsed);
  else atomic.store<u16>(queue.avail, 0);
}

/** Spares the device its calls. With event idx: until half of all index values have passed. */
export function disarmSplit(queue: DriverQueue): void {
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
