// A guest's rings, split or packed as its features say: their places, their state at the start, their drivers.

import {
  VIRTIO_F_EVENT_IDX,
  VIRTIO_F_IN_ORDER,
  VIRTIO_F_RING_PACKED,
  VIRTQ_DESC_F_AVAIL,
  VIRTQ_DESC_F_USED,
  VIRTQ_DESC_SIZE,
} from "../../assembly/spec/virtio.js";
import { hasBit } from "../core/feature-bits.js";
import { PACKED_RING_ALIGN, PACKED_START, PACKED_WRAP, packedRingBytes } from "../core/packed-ring.js";
import { SPLIT_RING_ALIGN, splitRingBytes } from "../core/split-ring.js";
import { PackedDriver } from "../guest/packed-driver.js";
import type { GuestMemory, RingAddresses, RingDriver } from "../guest/ring-driver.js";
import { SplitDriver } from "../guest/split-driver.js";

const PARTS = ["desc", "avail", "used"] as const;

/** How the rings of a guest with these features look; `memory` is where they lie. */
export class GuestRings {
  readonly packed: boolean;
  /** Bytes of the parts of one ring. */
  readonly bytes: Record<keyof RingAddresses, number>;
  /** Parts that the device writes. */
  readonly deviceParts: readonly (keyof RingAddresses)[];
  /** Where a fresh ring starts, as SET_VRING_BASE has it. */
  readonly fresh: number;

  constructor(
    readonly memory: GuestMemory,
    readonly features: bigint,
    readonly size: number,
  ) {
    this.packed = hasBit(features, VIRTIO_F_RING_PACKED);
    this.bytes = this.packed ? packedRingBytes(size) : splitRingBytes(size);
    this.deviceParts = this.packed ? ["desc", "used"] : ["used"];
    this.fresh = this.packed ? PACKED_START : 0;
  }

  allocate(allocate: (bytes: number, align: number) => bigint): RingAddresses {
    const align = this.packed ? PACKED_RING_ALIGN : SPLIT_RING_ALIGN;
    const [desc, avail, used] = PARTS.map((part) => allocate(this.bytes[part], align[part]));
    return { desc: desc!, avail: avail!, used: used! };
  }

  /** Empties a ring in memory, both of its sides at `first`, and makes its driver. */
  driver(ring: RingAddresses, first: number): RingDriver<never> {
    const { data } = this.memory;
    for (const part of PARTS) {
      new Uint8Array(data.buffer, this.memory.at(ring[part]), this.bytes[part]).fill(0);
    }
    const eventIdx = hasBit(this.features, VIRTIO_F_EVENT_IDX);
    if (this.packed) {
      this.usedUpTo(ring, first);
      const inOrder = hasBit(this.features, VIRTIO_F_IN_ORDER);
      return new PackedDriver<never>(this.memory, ring, this.size, { eventIdx, inOrder, first });
    }
    data.setUint16(this.memory.at(ring.avail) + 2, first, true);
    data.setUint16(this.memory.at(ring.used) + 2, first, true);
    return new SplitDriver<never>(this.memory, ring, this.size, eventIdx, first);
  }

  /** Marks all descriptors of a packed ring as used: those before `first` in this round, the others in the one before. */
  private usedUpTo(ring: RingAddresses, first: number): void {
    const position = first & ~PACKED_WRAP;
    for (let slot = 0; slot < this.size; slot++) {
      const round = (slot < position ? first : ~first) & PACKED_WRAP;
      const flags = round ? VIRTQ_DESC_F_AVAIL | VIRTQ_DESC_F_USED : 0;
      this.memory.data.setUint16(this.memory.at(ring.desc) + slot * VIRTQ_DESC_SIZE + 14, flags, true);
    }
  }
}
