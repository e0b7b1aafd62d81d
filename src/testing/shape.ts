// What a lab's guest has negotiated, in words; and shapes drawn from a seed.

import * as virtio from "../../assembly/spec/virtio.js";
import { bits } from "../core/feature-bits.js";
import type { Random } from "./random.js";

/** A guest's rings and features. Everything is off, the ring split and of 256 entries, unless it is said. */
export interface GuestShape {
  ring?: "split" | "packed";
  /** Entries of each ring: 1 to 32768, for a split one a power of two. */
  size?: number;
  /** A driver from before virtio 1.0, with a header of 10 bytes. Split rings only. */
  legacy?: boolean;
  /** VIRTIO_NET_F_MRG_RXBUF: a frame may fill several receive buffers. */
  mergeable?: boolean;
  /** VIRTIO_F_INDIRECT_DESC: sent frames of more than one piece are listed in indirect tables. */
  indirect?: boolean;
  /** VIRTIO_F_EVENT_IDX, VIRTIO_F_IN_ORDER. */
  eventIdx?: boolean;
  inOrder?: boolean;
  /** Checksum and segmentation: what it leaves to the switch when it sends, what it takes unfinished, or both. */
  offloads?: "none" | "send" | "receive" | "both";
}

const SEND = bits(
  virtio.VIRTIO_NET_F_CSUM,
  virtio.VIRTIO_NET_F_HOST_TSO4,
  virtio.VIRTIO_NET_F_HOST_TSO6,
  virtio.VIRTIO_NET_F_HOST_ECN,
  virtio.VIRTIO_NET_F_HOST_UFO,
  virtio.VIRTIO_NET_F_HOST_USO,
);
const RECEIVE = bits(
  virtio.VIRTIO_NET_F_GUEST_CSUM,
  virtio.VIRTIO_NET_F_GUEST_TSO4,
  virtio.VIRTIO_NET_F_GUEST_TSO6,
  virtio.VIRTIO_NET_F_GUEST_ECN,
  virtio.VIRTIO_NET_F_GUEST_UFO,
  virtio.VIRTIO_NET_F_GUEST_USO4,
  virtio.VIRTIO_NET_F_GUEST_USO6,
);

/** The feature bits of a shape (virtio 1.3, 5.1.3 and 6). Throws for a shape that no driver can have. */
export function featuresOf(shape: GuestShape): bigint {
  const { ring = "split", size = 256, legacy, mergeable, indirect, eventIdx, inOrder, offloads = "none" } = shape;
  if (!Number.isInteger(size) || size < 1 || size > virtio.VIRTQ_SIZE_MAX)
    throw new Error(`no ring has ${size} entries`);
  if (ring === "split" && (size & (size - 1)) !== 0)
    throw new Error(`a split ring's size is a power of two, not ${size}`);
  if (ring === "packed" && legacy) throw new Error("a legacy driver knows no packed rings");
  let features = legacy ? 0n : bits(virtio.VIRTIO_F_VERSION_1);
  if (ring === "packed") features |= bits(virtio.VIRTIO_F_RING_PACKED);
  if (mergeable) features |= bits(virtio.VIRTIO_NET_F_MRG_RXBUF);
  if (indirect) features |= bits(virtio.VIRTIO_F_INDIRECT_DESC);
  if (eventIdx) features |= bits(virtio.VIRTIO_F_EVENT_IDX);
  if (inOrder) features |= bits(virtio.VIRTIO_F_IN_ORDER);
  if (offloads === "send" || offloads === "both") features |= SEND;
  if (offloads === "receive" || offloads === "both") features |= RECEIVE;
  return features;
}

/** A shape of any kind, as the seed has it: without offloads, so that frames arrive byte for byte. */
export function drawShape(random: Random): GuestShape {
  const packed = random.chance(0.5);
  return {
    ring: packed ? "packed" : "split",
    size: packed ? random.integer(8, 256) : 2 ** random.integer(3, 8),
    legacy: !packed && random.chance(0.2),
    mergeable: random.chance(0.5),
    indirect: random.chance(0.5),
    eventIdx: random.chance(0.5),
    inOrder: random.chance(0.3),
  };
}
