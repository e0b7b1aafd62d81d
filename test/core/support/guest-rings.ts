// A test guest's rings, split or packed as its features say: their places, their state at the start, their drivers.

import {
  VIRTIO_F_EVENT_IDX,
  VIRTIO_F_IN_ORDER,
  VIRTIO_F_RING_PACKED,
  VIRTQ_DESC_F_AVAIL,
  VIRTQ_DESC_F_USED,
  VIRTQ_DESC_SIZE,
} from "../../../assembly/spec/virtio.js";
import { bits, hasBit } from "../../../src/core/feature-bits.js";
import { PACKED_RING_ALIGN, PACKED_START, PACKED_WRAP, packedRingBytes } from "../../../src/core/packed-ring.js";
import { splitRingBytes } from "../../../src/core/split-ring.js";
import { PackedDriver } from "../../../src/guest/packed-driver.js";
import type { GuestMemory, RingAddresses, RingDriver } from "../../../src/guest/ring-driver.js";
import { SplitDriver } from "../../../src/guest/split-driver.js";
import { TARGETS } from "./test-switch.js";

/** Every build of the core with either form of ring; `ring` is the feature bit that asks for it. */
export const VARIANTS = TARGETS.flatMap((target) => [
  { target, form: "split", ring: 0n },
  { target, form: "packed", ring: bits(VIRTIO_F_RING_PACKED) },
]);

const SPLIT_RING_ALIGN = { desc: 16, avail: 2, used: 4 } as const;
const PARTS = ["desc", "avail", "used"] as const;

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
