// Descriptor chains (virtio 1.3, 2.7.5 and 2.7.5.3): from a head to a list of checked segments.
//
// The guest may change a descriptor while we look at it, so each is read once, as two 64-bit words, and only the
// copies are checked and used. Every walk is bounded: by the ring's size, or by the size of the indirect table.

import { CHAIN_SEGMENTS, FRAME_MAX, Queue, Region, SEGMENTS, Segment, Worker } from "../abi";
import { regionOf, translate } from "../memory/regions";
import {
  DROP_RX_CHAIN_BAD,
  DROP_TX_ADDRESS,
  DROP_TX_DIRECTION,
  DROP_TX_INDIRECT,
  DROP_TX_OVERSIZE,
  QUEUE_BAD_NEXT,
  QUEUE_CHAIN_LOOP,
} from "../spec/status";
import { VIRTQ_DESC_F_INDIRECT, VIRTQ_DESC_F_NEXT, VIRTQ_DESC_F_WRITE, VIRTQ_SIZE_MAX } from "../spec/virtio";

// What a walk returns: 0 for a good chain; below FAULT_DROP a QUEUE_* status, the ring is broken;
// from FAULT_DROP on FAULT_DROP + DROP_*, this chain is to be returned unused and its frame counted.
export const FAULT_DROP: u32 = 64;

/** Segments of a whole device-readable chain behind its first `skip` bytes (the virtio_net header). */
export function readableChain(worker: Worker, queue: Queue, regions: usize, head: u32, skip: u32): u32 {
  return walk(worker, queue, regions, head, false, skip, u32.MAX_VALUE);
}

/** Segments of a device-writable chain, as far as `need` bytes; worker.chainBytes tells how many there were. */
export function writableChain(worker: Worker, queue: Queue, regions: usize, head: u32, need: u32): u32 {
  return walk(worker, queue, regions, head, true, 0, need);
}

/** @inline */
function walk(worker: Worker, queue: Queue, regions: usize, head: u32, writable: bool, skip: u32, need: u32): u32 {
  const segments: usize = writable ? worker.rxSegmentTable : worker.txSegmentTable;
  const first = writable ? worker.rxSegments : worker.txSegments;
  const limit = min(first + CHAIN_SEGMENTS, SEGMENTS);
  let count = first;
  let bytes: u64 = 0;

  let table: usize = queue.desc;
  let tableSize = queue.size;
  let budget = tableSize;
  let inside = false; // in an indirect table
  let index = head;

  while (true) {
    worker.chainDescriptor = index;
    if (index >= tableSize) return inside ? fault(writable, DROP_TX_INDIRECT) : QUEUE_BAD_NEXT;
    if (budget == 0) return inside ? fault(writable, DROP_TX_INDIRECT) : QUEUE_CHAIN_LOOP;
    --budget;
    const entry = table + (index << 4);
    let address = load<u64>(entry);
    const rest = load<u64>(entry, 8);
    let length = <u32>rest;
    const flags = <u32>(rest >> 32) & 0xffff;
    const next = <u32>(rest >> 48);

    if (flags & VIRTQ_DESC_F_INDIRECT) {
      // One level only, alone in the chain's last place, a whole number of descriptors, in one piece.
      if (inside || !queue.indirect || flags & VIRTQ_DESC_F_NEXT) return fault(writable, DROP_TX_INDIRECT);
      if (length == 0 || length & 15 || length >> 4 > <u32>VIRTQ_SIZE_MAX) return fault(writable, DROP_TX_INDIRECT);
      table = translate(regions, address, length);
      if (table == 0) return fault(writable, DROP_TX_INDIRECT);
      tableSize = length >> 4;
      budget = tableSize;
      inside = true;
      index = 0;
      continue;
    }
    if (((flags & VIRTQ_DESC_F_WRITE) != 0) != writable) return fault(writable, DROP_TX_DIRECTION);

    if (skip >= length) {
      skip -= length;
    } else {
      address += skip;
      length -= skip;
      skip = 0;
      bytes += length;
      if (!writable && bytes > FRAME_MAX) return fault(writable, DROP_TX_OVERSIZE);
      // One segment for each region that the buffer touches: regions side by side in the guest are not so here.
      do {
        const found = regionOf(regions, address);
        if (found == 0) return fault(writable, DROP_TX_ADDRESS);
        if (count == limit) return fault(writable, DROP_TX_OVERSIZE);
        const region = changetype<Region>(found);
        const start = address - region.guestAddress;
        const piece = <u32>min<u64>(length, region.size - start);
        const segment = changetype<Segment>(segments + count * offsetof<Segment>());
        segment.offset = region.window + <u32>start;
        segment.length = piece;
        ++count;
        address += piece;
        length -= piece;
      } while (length > 0);
    }
    if (!(flags & VIRTQ_DESC_F_NEXT) || bytes >= need) break;
    index = next;
  }

  if (writable) worker.rxSegments = count;
  else worker.txSegments = count;
  worker.chainBytes = <u32>min<u64>(bytes, u32.MAX_VALUE);
  return 0;
}

/**
 * Faults of a receive buffer all count alike: what the guest did wrong matters less than that it did.
 * @inline
 */
function fault(writable: bool, cause: u32): u32 {
  return FAULT_DROP + (writable ? DROP_RX_CHAIN_BAD : cause);
}
