// Sizes of a split ring's parts (virtio 1.3, 2.7).

import { VIRTQ_AVAIL_ALIGN, VIRTQ_DESC_ALIGN, VIRTQ_DESC_SIZE, VIRTQ_USED_ALIGN } from "../../assembly/spec/virtio.js";

/** Bytes of the three parts of a split ring of `size` entries, event fields included. */
export function splitRingBytes(size: number): { desc: number; avail: number; used: number } {
  return { desc: size * VIRTQ_DESC_SIZE, avail: 6 + size * 2, used: 6 + size * 8 };
}

/** Alignment of the three parts in bytes. */
export const SPLIT_RING_ALIGN = { desc: VIRTQ_DESC_ALIGN, avail: VIRTQ_AVAIL_ALIGN, used: VIRTQ_USED_ALIGN } as const;
