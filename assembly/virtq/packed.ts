// The packed ring (virtio 1.3, 2.8): one ring of descriptors that driver and device overwrite in turn.
//
// A cursor is a position in bits 0-14 and the wrap counter in bit 15, as vhost-user and the event areas have it. We use
// chains in the order in which they came, so the used descriptor of a chain goes where its first descriptor was.
// Nothing is written to the ring before a burst is given back, and then one descriptor after the other, each with one
// store: should we be killed between two of them, all before is used and all behind is untouched. Only the buffers of a
// merged frame are written last to first, so that a driver who sees one sees all; the inflight area then has what they
// were.

import { Queue, Reserved, Worker } from "../abi";
import {
  VIRTQ_DESC_F_AVAIL,
  VIRTQ_DESC_F_INDIRECT,
  VIRTQ_DESC_F_NEXT,
  VIRTQ_DESC_F_USED,
  VIRTQ_DESC_F_WRITE,
} from "../spec/virtio";
import { forgetChain, keepChain, noteDone, noteIntent } from "./inflight";

/** Bits of a cursor. */
export const POSITION: u32 = 0x7fff;
export const WRAP: u32 = 0x8000;

/** @inline */
export function slotAt(desc: usize, cursor: u32): usize {
  return desc + ((cursor & POSITION) << 4);
}

/**
 * The second half of the descriptor at a cursor: length in bits 0-31, buffer id in 32-47, flags in 48-63. This is the
 * acquire load after which the rest of its chain may be read (2.8.2).
 * @inline
 */
export function descriptorAt(desc: usize, cursor: u32): u64 {
  return atomic.load<u64>(slotAt(desc, cursor), 8);
}

/**
 * Did the driver make that descriptor available in this round of the ring (2.8.1)?
 * @inline
 */
export function isAvailable(descriptor: u64, cursor: u32): bool {
  const flags = <u32>(descriptor >> 48) & (VIRTQ_DESC_F_AVAIL | VIRTQ_DESC_F_USED);
  return flags == (cursor & WRAP ? <u32>VIRTQ_DESC_F_AVAIL : <u32>VIRTQ_DESC_F_USED);
}

/**
 * The cursor `span` descriptors further on, at most one round.
 * @inline
 */
export function advance(cursor: u32, span: u32, size: u32): u32 {
  const position = (cursor & POSITION) + span;
  return position >= size ? (position - size) | (~cursor & WRAP) : position | (cursor & WRAP);
}

/**
 * Notes that the chain at a cursor came back: buffer `id` with `length` bytes written. The driver sees it at
 * `publishNoted`. A transmitq's notes wait while those of receiveqs come and go.
 * @inline
 */
export function noteUsed(worker: Worker, cursor: u32, id: u32, length: u32, writable: bool): void {
  const number = writable ? worker.rxNotes : worker.txNotes;
  const table: usize = writable ? worker.rxNoteTable : worker.txNoteTable;
  const note = changetype<Reserved>(table + number * offsetof<Reserved>());
  note.cursor = cursor;
  note.id = id;
  note.length = length;
  if (writable) worker.rxNotes = number + 1;
  else worker.txNotes = number + 1;
}

/** The next `chains` receive buffers to be noted hold one frame. */
export function noteTogether(worker: Worker, chains: u32): void {
  changetype<Reserved>(worker.rxNoteTable + worker.rxNotes * offsetof<Reserved>()).chains = chains;
}

/** Gives the noted chains, at least one and all before `cursor`, to the driver, in their order (2.8.1, 2.8.2). */
export function publishNoted(worker: Worker, queue: Queue, cursor: u32, writable: bool): void {
  const inflight: usize = queue.inflight;
  const desc: usize = queue.desc;
  let at: usize = writable ? worker.rxNoteTable : worker.txNoteTable;
  for (let left = writable ? worker.rxNotes : worker.txNotes; left > 0; --left, at += offsetof<Reserved>()) {
    const note = changetype<Reserved>(at);
    const place = note.cursor;
    const chains = note.chains;
    if (chains != 0) {
      note.chains = 0;
      left -= chains - 1;
      at += (chains - 1) * offsetof<Reserved>();
    }
    const next = left > 1 ? changetype<Reserved>(at + offsetof<Reserved>()).cursor : cursor;
    if (inflight != 0) {
      if (chains != 0) keepRest(desc, inflight, at, chains);
      noteIntent(inflight, next);
    }
    // The driver looks at none of these before it has the first.
    if (chains != 0) giveRest(desc, at, chains);
    const used = usedDescriptor(note, writable);
    // The last one is also ordered before the look at whether the driver wants a call.
    if (left > 1 && chains == 0) store<u64>(slotAt(desc, place), used, 8);
    else atomic.store<u64>(slotAt(desc, place), used, 8);
    if (inflight != 0) {
      noteDone(inflight, next);
      if (chains != 0) forgetRest(inflight, at, chains);
    }
  }
  if (writable) worker.rxNotes = 0;
  else worker.txNotes = 0;
  queue.nextAvail = cursor;
  queue.nextUsed = cursor;
}

/** Keeps all chains of a merged frame but the first as the driver has made them available; the last is noted at `at`. */
function keepRest(desc: usize, inflight: usize, at: usize, chains: u32): void {
  for (let left = chains; left > 1; --left, at -= offsetof<Reserved>()) {
    const place = changetype<Reserved>(at).cursor;
    keepChain(inflight, place, load<u64>(slotAt(desc, place), 8));
  }
}

/** Gives them to the driver, last to first (5.1.6.4). */
function giveRest(desc: usize, at: usize, chains: u32): void {
  for (let left = chains; left > 1; --left, at -= offsetof<Reserved>()) {
    const note = changetype<Reserved>(at);
    store<u64>(slotAt(desc, note.cursor), usedDescriptor(note, true), 8);
  }
}

/** The driver has all chains of the frame. */
function forgetRest(inflight: usize, at: usize, chains: u32): void {
  for (let left = chains; left > 1; --left, at -= offsetof<Reserved>()) {
    forgetChain(inflight, changetype<Reserved>(at).cursor);
  }
}

/**
 * The second half of the used descriptor of a noted chain (2.8.4).
 * @inline
 */
function usedDescriptor(note: Reserved, writable: bool): u64 {
  return <u64>note.length | ((<u64>note.id) << 32) | ((<u64>usedFlags(note.cursor, writable)) << 48);
}

/**
 * The ring's round (2.8.1), and whether anything was written (2.8.3).
 * @inline
 */
function usedFlags(cursor: u32, writable: bool): u32 {
  const round: u32 = cursor & WRAP ? <u32>(VIRTQ_DESC_F_AVAIL | VIRTQ_DESC_F_USED) : 0;
  return writable ? round | VIRTQ_DESC_F_WRITE : round;
}

/**
 * Finds the end of the chain that begins at a cursor: its length in the ring and its buffer id, which stands in the last
 * descriptor (2.8.6). False when it never ends.
 */
export function endOfChain(worker: Worker, queue: Queue, cursor: u32): bool {
  const size = queue.size;
  for (let span: u32 = 1; span <= size; ++span) {
    const descriptor = descriptorAt(queue.desc, cursor);
    const flags = <u32>(descriptor >> 48);
    if (!(flags & VIRTQ_DESC_F_NEXT) || flags & VIRTQ_DESC_F_INDIRECT) {
      worker.chainSpan = span;
      worker.chainId = <u32>(descriptor >> 32) & 0xffff;
      return true;
    }
    cursor = advance(cursor, 1, size);
  }
  return false;
}
