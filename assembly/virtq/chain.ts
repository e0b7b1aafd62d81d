// Descriptor chains (virtio 1.3, 2.7.5 and 2.8.5, indirect ones 2.7.5.3 and 2.8.7): from where a chain begins to a list
// of checked segments.
//
// The guest may change a descriptor while we look at it, so each is read once, as two 64-bit words, and only the
// copies are checked and used. Every walk is bounded: by the ring's size, or by the size of the indirect table.

import { CHAIN_SEGMENTS, FRAME_MAX, Port, Queue, SEGMENTS, Segment, Worker } from "../abi";
import { isTranslated, noteMiss } from "../memory/iotlb";
import { isInOneRegion, isMemory, locate } from "../memory/regions";
import {
  DROP_RX_CHAIN_BAD,
  DROP_TRANSLATION,
  DROP_TX_ADDRESS,
  DROP_TX_DIRECTION,
  DROP_TX_INDIRECT,
  DROP_TX_OVERSIZE,
  DROP_WINDOW,
  QUEUE_BAD_NEXT,
  QUEUE_CHAIN_LOOP,
} from "../spec/status";
import {
  VIRTIO_NET_HDR_SIZE,
  VIRTQ_DESC_F_INDIRECT,
  VIRTQ_DESC_F_NEXT,
  VIRTQ_DESC_F_WRITE,
  VIRTQ_DESC_SIZE,
  VIRTQ_SIZE_MAX,
} from "../spec/virtio";
import { advance, endOfChain, POSITION } from "./packed";
import { flagsOf } from "./ring";

// What a walk returns: 0 for a good chain; below FAULT_DROP a QUEUE_* status, the ring is broken;
// from FAULT_DROP on FAULT_DROP + DROP_*, this chain is to be returned unused and its frame counted.
export const FAULT_DROP: u32 = 64;

/**
 * Segments of a whole device-readable chain, its virtio_net header included. `first` is its head's index, in a packed
 * ring its cursor; there worker.chainId and .chainSpan tell how to give it back.
 */
export function readableChain(worker: Worker, queue: Queue, regions: usize, first: u32): u32 {
  return queue.packed
    ? walk(worker, queue, regions, first, false, u32.MAX_VALUE, true)
    : walk(worker, queue, regions, first, false, u32.MAX_VALUE, false);
}

/** Segments of a device-writable chain, as far as `need` bytes; worker.chainBytes tells how many there were. */
export function writableChain(worker: Worker, queue: Queue, regions: usize, first: u32, need: u32): u32 {
  return queue.packed
    ? walk(worker, queue, regions, first, true, need, true)
    : walk(worker, queue, regions, first, true, need, false);
}

/** @inline */
function walk(worker: Worker, queue: Queue, regions: usize, first: u32, writable: bool, need: u32, packed: bool): u32 {
  const outcome = follow(worker, queue, regions, first, writable, need, packed);
  // Good or bad, a packed chain is given back as a whole: where does it end?
  if (packed && (outcome == 0 || outcome >= FAULT_DROP) && !endOfChain(worker, queue, first)) return QUEUE_CHAIN_LOOP;
  return outcome;
}

/** @inline */
function follow(
  worker: Worker,
  queue: Queue,
  regions: usize,
  first: u32,
  writable: bool,
  need: u32,
  packed: bool,
): u32 {
  const segments: usize = writable ? worker.rxSegmentTable : worker.txSegmentTable;
  const begin = writable ? worker.rxSegments : worker.txSegments;
  const limit = min(begin + CHAIN_SEGMENTS, SEGMENTS);
  let count = begin;
  let bytes: u64 = 0;
  // The piece of guest memory in which the last buffer lay: the next one often lies there too.
  let spanStart: u64 = 0;
  let spanLength: u64 = 0;
  let spanWindow: u32 = 0;

  // A table is read, also one of receive buffers.
  let tables: usize = 0;
  let table: u64 = 0; // guest address of the indirect table that we are in
  let tableStart: u64 = 0;
  let tableLength: u64 = 0;
  let tableWindow: u32 = 0;
  let inside = false;
  const size = queue.size;
  let tableSize = size;
  let budget = size;
  let index = first;

  while (true) {
    worker.chainDescriptor = packed && !inside ? index & POSITION : index;
    let entry: usize = queue.desc + ((packed && !inside ? index & POSITION : index) << 4);
    if (inside) {
      if (index >= tableSize) return fault(writable, DROP_TX_INDIRECT);
      // A table's region may be mapped in several pieces; a descriptor lies in one of them.
      const address = table + (index << 4);
      if (address - tableStart >= tableLength) {
        if (!locate(worker, tables, address)) return missing(worker, queue, address, writable, false, DROP_TX_INDIRECT);
        tableStart = worker.spanStart;
        tableLength = worker.spanLength;
        tableWindow = worker.spanWindow;
      }
      const start = address - tableStart;
      const left = tableLength - start;
      entry = tableWindow + <u32>start;
      if (left < <u64>VIRTQ_DESC_SIZE) {
        // Its end lies in the next piece: it is put together.
        const whole: usize = worker.headerScratch;
        memory.copy(whole, entry, <u32>left);
        if (!locate(worker, tables, address + left)) {
          return missing(worker, queue, address + left, writable, false, DROP_TX_INDIRECT);
        }
        tableStart = worker.spanStart;
        tableLength = worker.spanLength;
        tableWindow = worker.spanWindow;
        memory.copy(whole + <u32>left, tableWindow, VIRTQ_DESC_SIZE - <u32>left);
        entry = whole;
      }
    } else if (!packed && index >= size) {
      return QUEUE_BAD_NEXT;
    }
    if (budget == 0) return inside ? fault(writable, DROP_TX_INDIRECT) : QUEUE_CHAIN_LOOP;
    --budget;
    let address = load<u64>(entry);
    const rest = load<u64>(entry, 8);
    let length = <u32>rest;
    const flags = flagsOf(rest, packed) & 0xffff;

    if (flags & VIRTQ_DESC_F_INDIRECT) {
      // One level only, alone in the chain's last place, a whole number of descriptors.
      if (inside || !queue.indirect || flags & VIRTQ_DESC_F_NEXT) return fault(writable, DROP_TX_INDIRECT);
      if (length == 0 || length & 15 || length >> 4 > <u32>VIRTQ_SIZE_MAX) return fault(writable, DROP_TX_INDIRECT);
      // Of I/O virtual addresses only those that are looked at need be known.
      if (!isTranslated(queue) && !isInOneRegion(regions, address, length)) return fault(writable, DROP_TX_INDIRECT);
      tables = writable ? <usize>atomic.load<u32>(queue.port, offsetof<Port>("regions")) : regions;
      table = address;
      tableSize = length >> 4;
      budget = tableSize;
      inside = true;
      index = 0;
      continue;
    }
    // DPDK's driver leaves WRITE set on the header in the tables of its packed transmitqs; to read there harms nobody.
    const lenient = packed && inside && !writable;
    if (!lenient && ((flags & VIRTQ_DESC_F_WRITE) != 0) != writable) return fault(writable, DROP_TX_DIRECTION);

    if (length > 0) {
      bytes += length;
      if (!writable && bytes > FRAME_MAX + VIRTIO_NET_HDR_SIZE) return fault(writable, DROP_TX_OVERSIZE);
      // One segment for each piece of memory that the buffer touches: what is side by side in the guest is not so here.
      do {
        if (address - spanStart >= spanLength) {
          if (writable && bytes - length >= need) {
            // Nothing will be written there: it need not be seen, but it must be the guest's.
            if (!isTranslated(queue) && !isMemory(regions, address, length)) return fault(writable, DROP_TX_ADDRESS);
            break;
          }
          if (!locate(worker, regions, address)) {
            return missing(worker, queue, address, writable, writable, DROP_TX_ADDRESS);
          }
          spanStart = worker.spanStart;
          spanLength = worker.spanLength;
          spanWindow = worker.spanWindow;
        }
        if (count == limit) return fault(writable, DROP_TX_OVERSIZE);
        const start = address - spanStart;
        const piece = <u32>min<u64>(length, spanLength - start);
        const segment = changetype<Segment>(segments + count * offsetof<Segment>());
        segment.offset = spanWindow + <u32>start;
        segment.length = piece;
        ++count;
        address += piece;
        length -= piece;
      } while (length > 0);
    }
    if (packed) {
      // An indirect table is used as a whole (2.8.7), a chain in the ring goes on in the next descriptor (2.8.5).
      if (inside ? index + 1 >= tableSize : !(flags & VIRTQ_DESC_F_NEXT)) break;
      index = inside ? index + 1 : advance(index, 1, size);
    } else {
      if (!(flags & VIRTQ_DESC_F_NEXT)) break;
      index = <u32>(rest >> 48);
    }
    if (bytes >= need) break;
  }

  worker.spanStart = spanStart;
  worker.spanLength = spanLength;
  worker.spanWindow = spanWindow;
  if (writable) worker.rxSegments = count;
  else worker.txSegments = count;
  worker.chainBytes = <u32>min<u64>(bytes, u32.MAX_VALUE);
  return 0;
}

/**
 * Why `locate` found nothing: the guest has no such memory, which is a fault, or it cannot be seen now, or nobody has said
 * yet what lies there, which is none. `write`: it was to be written to.
 */
function missing(worker: Worker, queue: Queue, address: u64, writable: bool, write: bool, cause: u32): u32 {
  if (isTranslated(queue)) {
    noteMiss(worker, address, write);
    return FAULT_DROP + DROP_TRANSLATION;
  }
  return worker.windowMissing ? FAULT_DROP + DROP_WINDOW : fault(writable, cause);
}

/**
 * Faults of a receive buffer all count alike: what the guest did wrong matters less than that it did.
 * @inline
 */
function fault(writable: bool, cause: u32): u32 {
  return FAULT_DROP + (writable ? DROP_RX_CHAIN_BAD : cause);
}
