// The three parts of a virtqueue, split (virtio 1.3, 2.7) or packed (2.8), under the names that vhost-user has for them.

import * as virtio from "../../assembly/spec/virtio.js";
import { splitRingBytes } from "./split-ring.js";

/** One part: its bytes, and the alignment of its address. */
export interface RingPart {
  key: "desc" | "avail" | "used";
  name: string;
  bytes: number;
  align: number;
}

/** What a ring of `size` entries consists of; a split ring's event index fields are counted. */
export function ringParts(size: number, packed: boolean): RingPart[] {
  if (packed) {
    const area = { bytes: virtio.VIRTQ_EVENT_AREA_SIZE, align: virtio.VIRTQ_EVENT_AREA_ALIGN };
    return [
      { key: "desc", name: "descriptor ring", bytes: virtio.VIRTQ_DESC_SIZE * size, align: virtio.VIRTQ_DESC_ALIGN },
      { key: "avail", name: "driver event area", ...area },
      { key: "used", name: "device event area", ...area },
    ];
  }
  const bytes = splitRingBytes(size);
  return [
    { key: "desc", name: "descriptor table", bytes: bytes.desc, align: virtio.VIRTQ_DESC_ALIGN },
    { key: "avail", name: "avail ring", bytes: bytes.avail, align: virtio.VIRTQ_AVAIL_ALIGN },
    { key: "used", name: "used ring", bytes: bytes.used, align: virtio.VIRTQ_USED_ALIGN },
  ];
}
