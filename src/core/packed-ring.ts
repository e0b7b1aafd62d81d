// Sizes of a packed ring's parts (virtio 1.3, 2.8), and how a place in it is written down.

import { VIRTQ_DESC_F_AVAIL, VIRTQ_DESC_F_USED, VIRTQ_DESC_SIZE } from "../../assembly/spec/virtio.js";

/** Bytes of the three parts of a packed ring of `size` entries: descriptors, driver and device event areas. */
export function packedRingBytes(size: number): { desc: number; avail: number; used: number } {
  return { desc: size * VIRTQ_DESC_SIZE, avail: 4, used: 4 };
}

/** Alignment of the three parts in bytes (2.8.10). */
export const PACKED_RING_ALIGN = { desc: 16, avail: 4, used: 4 } as const;

/** Bit 15 of a place in the ring, beside the position in bits 0 to 14: the wrap counter, as in the event areas. */
export const PACKED_WRAP = 0x8000;

/** Where an empty ring starts: position 0 of the first round (2.8.1). */
export const PACKED_START = PACKED_WRAP;

const OWNER = VIRTQ_DESC_F_AVAIL | VIRTQ_DESC_F_USED;

/** Which descriptor of the ring a place is at. */
export function packedSlot(cursor: number): number {
  return cursor & ~PACKED_WRAP;
}

/** The bits that make a descriptor available in this round of the ring: AVAIL as the wrap counter, USED as its inverse (2.8.1). */
export function availableBits(cursor: number): number {
  return cursor & PACKED_WRAP ? VIRTQ_DESC_F_AVAIL : VIRTQ_DESC_F_USED;
}

/**
 * Whether these flags say used in this round: both bits as the wrap counter (2.8.1). With nothing outstanding they may be
 * of the round before.
 */
export function isUsed(flags: number, cursor: number): boolean {
  return (flags & OWNER) === (cursor & PACKED_WRAP ? OWNER : 0);
}

/** Descriptors from one place to another that is less than two rounds ahead; negative when it lies behind. */
export function packedDistance(from: number, to: number, size: number): number {
  const rounds = (from ^ to) & PACKED_WRAP ? size : 0;
  return packedSlot(to) + rounds - packedSlot(from);
}

/** The place `count` descriptors after `cursor`, at most one round. */
export function packedAfter(cursor: number, count: number, size: number): number {
  const position = (cursor & 0x7fff) + count;
  const wrap = cursor & PACKED_WRAP;
  return position < size ? position | wrap : (position - size) | (wrap ^ PACKED_WRAP);
}
