// Where a packed ring stands, in a file that the front-end keeps while we are gone: nothing in the ring itself tells.
// vhost-user, "Inflight I/O tracking": `used` is written before the driver is told and `old` after, so that whoever finds
// them different looks at the descriptor at `old`, which tells whether the driver was told (src/core/inflight.ts).

import { POSITION } from "./packed";

const USED: usize = 16;
const OLD_USED: usize = 18;
const USED_WRAP: usize = 20;
const OLD_USED_WRAP: usize = 21;

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
