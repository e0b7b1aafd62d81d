// The sizes that a ring may have, and the number that SET_VRING_BASE and GET_VRING_BASE have for where it stands.
//
// Split: the next avail index, 16 bits. Packed: two halves, the low one for the descriptor that is taken next, the high
// one for that which is given back next; each a position in bits 0-14 and a wrap counter in bit 15. DPDK's virtio-user
// leaves the high half 0, which here means: the same as the low one.

import { VIRTQ_SIZE_MAX } from "../../assembly/spec/virtio.js";

const INDEX_MASK = 0xffff;
const POSITION_MASK = 0x7fff;

/** Why a ring can not have this many entries, or undefined when it can (M43). */
export function sizeProblem(size: number, packed: boolean): string | undefined {
  if (size < 1 || size > VIRTQ_SIZE_MAX) return `a ring can not have ${size} entries, only 1 to ${VIRTQ_SIZE_MAX}`;
  if (packed || (size & (size - 1)) === 0) return undefined;
  return `a split ring can not have ${size} entries, only a power of two up to ${VIRTQ_SIZE_MAX}`;
}

/** Why a ring of `size` entries (0: not known yet) can not stand there, or undefined when it can. */
export function baseProblem(base: number, size: number, packed: boolean): string | undefined {
  if (!packed) return base > INDEX_MASK ? `${base} is no index of a split ring, which has 16 bits` : undefined;
  if (size === 0) return undefined;
  const outside = [base & INDEX_MASK, base >>> 16].find((half) => (half & POSITION_MASK) >= size);
  if (outside === undefined) return undefined;
  return `its base 0x${base.toString(16)} names descriptor ${outside & POSITION_MASK}, the ring has ${size}`;
}

/**
 * RingSetup.nextAvail for a base. What a back-end before us took from a packed ring and did not give back is taken
 * again: its descriptors lie from the high half's position on.
 */
export function whereToGoOn(base: number, packed: boolean): number {
  return packed && base >>> 16 !== 0 ? base >>> 16 : base & INDEX_MASK;
}

/** The base of a ring that has stopped at `nextAvail`: all that was taken has been given back. */
export function baseOf(nextAvail: number, packed: boolean): number {
  return packed ? ((nextAvail << 16) | nextAvail) >>> 0 : nextAvail;
}
