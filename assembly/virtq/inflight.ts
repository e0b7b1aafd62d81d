// Where a packed ring stands, in a file that the front-end keeps while we are gone: nothing in the ring itself tells.
// vhost-user, "Inflight I/O tracking": `used` is written before the driver is told and `old` after, so that whoever finds
// them different looks at the descriptor at `old`, which tells whether the driver was told (src/core/inflight.ts).
//
// The later buffers of a merged frame are used before the first one is. Between the two notes they stand in the entries
// for descriptors in flight, by their place in the ring, so that they can be made available again.

import { POSITION } from "./packed";

const USED: usize = 16;
const OLD_USED: usize = 18;
const USED_WRAP: usize = 20;
const OLD_USED_WRAP: usize = 21;
/** Entries: behind the header, of so many bytes; u8 inflight is their first. */
const HEADER: usize = 32;
const ENTRY_SHIFT: u32 = 5;
/** Length, buffer id and flags of the descriptor, as it has them. */
const ENTRY_DESCRIPTOR: usize = 16;

/**
 * The driver is about to be told of the chain before `cursor`; `header` is that of the queue's part of the file.
 * @inline
 */
export function noteIntent(header: usize, cursor: u32): void {
  store<u16>(header, <u16>(cursor & POSITION), USED);
  store<u8>(header, <u8>(cursor >> 15), USED_WRAP);
}

/**
 * The driver has been told.
 * @inline
 */
export function noteDone(header: usize, cursor: u32): void {
  store<u16>(header, <u16>(cursor & POSITION), OLD_USED);
  store<u8>(header, <u8>(cursor >> 15), OLD_USED_WRAP);
}

/** Keeps the second half of the descriptor at a cursor, which is about to be used before those in front of it. */
export function keepChain(header: usize, cursor: u32, descriptor: u64): void {
  const entry = entryAt(header, cursor);
  store<u64>(entry, descriptor, ENTRY_DESCRIPTOR);
  store<u8>(entry, 1);
}

/** It is of no use any more. */
export function forgetChain(header: usize, cursor: u32): void {
  store<u8>(entryAt(header, cursor), 0);
}

/** @inline */
function entryAt(header: usize, cursor: u32): usize {
  return header + HEADER + ((cursor & POSITION) << ENTRY_SHIFT);
}
