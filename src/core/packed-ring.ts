// Sizes of a packed ring's parts (virtio 1.3, 2.8), and how a place in it is written down.

import { VIRTQ_DESC_SIZE } from "../../assembly/spec/virtio.js";

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

/** The place `count` descriptors after `cursor`, at most one round. */
export function packedAfter(cursor: number, count: number, size: number): number {
  const position = (cursor & 0x7fff) + count;
  const wrap = cursor & PACKED_WRAP;
  return position < size ? position | wrap : (position - size) | (wrap ^ PACKED_WRAP);
}
