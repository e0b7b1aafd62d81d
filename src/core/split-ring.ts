// Sizes of a split ring's parts (virtio 1.3, 2.7).

import { VIRTQ_DESC_SIZE } from "../../assembly/spec/virtio.js";

/** Bytes of the three parts of a split ring of `size` entries, event fields included. */
export function splitRingBytes(size: number): { desc: number; avail: number; used: number } {
  return { desc: size * VIRTQ_DESC_SIZE, avail: 6 + size * 2, used: 6 + size * 8 };
}
