// The device's half of two rings, and nothing else: takes the frames of a transmitq, puts the 32 bytes that tell them
// apart into a receiveq, and checks nothing. Against it the driver itself can be measured. Only for rings that the
// driver has laid out in this memory.

import { VIRTQ_DESC_F_AVAIL, VIRTQ_DESC_F_USED, VIRTQ_DESC_F_WRITE } from "../spec/virtio";
import { DriverQueue, RECEIVE_BURST } from "./abi";
import { slotOf } from "./packed";
import { cursorAt } from "./ring";

/** Passes up to a burst of frames on; those that find no receive buffer are dropped. Returns how many were taken. */
export function passOn(transmitq: DriverQueue, receiveq: DriverQueue): u32 {
  return transmitq.packed ? pass(transmitq, receiveq, true) : pass(transmitq, receiveq, false);
}

/** @inline */
function pass(transmitq: DriverQueue, receiveq: DriverQueue, packed: bool): u32 {
  const sent = position(transmitq, packed);
  const received = position(receiveq, packed);
  const count = available(transmitq, sent, RECEIVE_BURST, packed);
  if (count == 0) return 0;
  const room = available(receiveq, received, count, packed);
  const header = transmitq.headerSize;
  let tx = sent;
  let rx = received;
  for (let i: u32 = 0; i < count; ++i) {
    const from = numberAt(transmitq, tx, packed);
    if (i < room) {
      const to = numberAt(receiveq, rx, packed);
      const source = transmitq.buffers + from * transmitq.bufferBytes;
      const target = receiveq.buffers + to * receiveq.bufferBytes;
      store<u64>(target, 0);
      if (header == 12) store<u32>(target, 0x0001_0000, 8); // num_buffers
      v128.store(target + header, v128.load(source + header));
      v128.store(target + header, v128.load(source + header, 16), 16);
      const length = load<u32>(packed ? slotOf(transmitq, tx) : transmitq.desc + (from << 4), 8);
      giveBack(receiveq, rx, i, to, length, packed);
      rx = cursorAt(rx, 1, receiveq.size, packed);
    }
    giveBack(transmitq, tx, i, from, 0, packed);
    tx = cursorAt(tx, 1, transmitq.size, packed);
  }
  if (room != 0) publishUsed(receiveq, received, rx, VIRTQ_DESC_F_WRITE, packed);
  publishUsed(transmitq, sent, tx, 0, packed);
  return count;
}

/**
 * Where the device stands: all is used in order, so in a split ring the used index says it. In a packed one we keep it
 * in our event area, in the field that means nothing while kicks are not asked for by descriptor.
 * @inline
 */
function position(queue: DriverQueue, packed: bool): u32 {
  return packed ? <u32>load<u16>(queue.used) : <u32>load<u16>(queue.used, 2);
}

/**
 * How many buffers the driver has made available from a cursor on, up to `most`.
 * @inline
 */
function available(queue: DriverQueue, cursor: u32, most: u32, packed: bool): u32 {
  if (!packed) return min((<u32>atomic.load<u16>(queue.avail, 2) - cursor) & 0xffff, most);
  let count: u32 = 0;
  while (count < most) {
    const flags = <u32>atomic.load<u16>(slotOf(queue, cursor), 14) & (VIRTQ_DESC_F_AVAIL | VIRTQ_DESC_F_USED);
    if (flags != (cursor & 0x8000 ? <u32>VIRTQ_DESC_F_AVAIL : <u32>VIRTQ_DESC_F_USED)) break;
    cursor = cursorAt(cursor, 1, queue.size, true);
    ++count;
  }
  return count;
}

/** @inline */
function numberAt(queue: DriverQueue, cursor: u32, packed: bool): u32 {
  if (packed) return load<u16>(slotOf(queue, cursor), 12);
  return load<u16>(queue.avail + 4 + ((cursor & (queue.size - 1)) << 1));
}

/**
 * Notes that a buffer came back; the driver sees that of the burst's first one, and so of all, at `publishUsed`.
 * @inline
 */
function giveBack(queue: DriverQueue, cursor: u32, ahead: u32, number: u32, length: u32, packed: bool): void {
  if (!packed) {
    const element = queue.used + 4 + ((cursor & (queue.size - 1)) << 3);
    store<u64>(element, ((<u64>length) << 32) | number);
    return;
  }
  const slot = slotOf(queue, cursor);
  if (ahead == 0) {
    store<u32>(slot, length, 8);
    store<u16>(slot, <u16>number, 12);
  } else {
    const flags = usedFlags(cursor, length != 0 ? VIRTQ_DESC_F_WRITE : 0);
    store<u64>(slot, ((<u64>flags) << 48) | ((<u64>number) << 32) | length, 8);
  }
}

/** @inline */
function publishUsed(queue: DriverQueue, first: u32, cursor: u32, flags: u32, packed: bool): void {
  if (packed) {
    store<u16>(queue.used, <u16>cursor);
    atomic.store<u16>(slotOf(queue, first), usedFlags(first, flags), 14);
  } else {
    atomic.store<u16>(queue.used, <u16>cursor, 2);
  }
}

/** @inline */
function usedFlags(cursor: u32, flags: u32): u16 {
  return <u16>(flags | (cursor & 0x8000 ? <u32>(VIRTQ_DESC_F_AVAIL | VIRTQ_DESC_F_USED) : 0));
}
