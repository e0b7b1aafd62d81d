// The three parts of a virtqueue, split (virtio 1.3, 2.7) or packed (2.8), under the names that vhost-user has for them.

import { PACKED_RING_ALIGN, packedRingBytes } from "./packed-ring.js";
import { SPLIT_RING_ALIGN, splitRingBytes } from "./split-ring.js";

/** One part: its bytes, and the alignment of its address. */
export interface RingPart {
  key: "desc" | "avail" | "used";
  name: string;
  bytes: number;
  align: number;
}

const KEYS = ["desc", "avail", "used"] as const;
const SPLIT_NAMES = { desc: "descriptor table", avail: "avail ring", used: "used ring" };
const PACKED_NAMES = { desc: "descriptor ring", avail: "driver event area", used: "device event area" };

/** What a ring of `size` entries consists of; a split ring's event index fields are counted. */
export function ringParts(size: number, packed: boolean): RingPart[] {
  const [names, bytes, align] = packed
    ? [PACKED_NAMES, packedRingBytes(size), PACKED_RING_ALIGN]
    : [SPLIT_NAMES, splitRingBytes(size), SPLIT_RING_ALIGN];
  return KEYS.map((key) => ({ key, name: names[key], bytes: bytes[key], align: align[key] }));
}
