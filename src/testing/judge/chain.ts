// The judge's own reading of descriptor chains, written from the specification (virtio 1.3, 2.7.5, 2.8.5 to 2.8.7) and not
// from the core: what a driver has made available, and where in linear memory a device may write for it.

import {
  VIRTQ_DESC_F_INDIRECT,
  VIRTQ_DESC_F_NEXT,
  VIRTQ_DESC_F_WRITE,
  VIRTQ_DESC_SIZE,
} from "../../../assembly/spec/virtio.js";
import type { MappedRegion } from "../../core/bridge-port.js";
import type { Span } from "../ram.js";

/** A chain that the device has. */
export interface Chain {
  /** Head, or in a packed ring the buffer id. */
  id: number;
  /** Entries of the ring that it takes: avail entries of a split one, descriptors of a packed one. */
  span: number;
  /** Where the device may write, in order; of a chain with a fault only what comes before it. */
  writable: Span[];
  room: number;
}

/** What a queue's rings are read with. */
export interface RingSight {
  data: DataView;
  /** What the front-end has told the switch of the guest's memory. */
  regions(): readonly MappedRegion[];
  /** Offsets in linear memory of descriptors, avail ring and used ring, or of what a packed ring has in their place. */
  desc: number;
  avail: number;
  used: number;
  size: number;
  /** Whether the device may write to this queue's buffers: a receiveq. */
  receive: boolean;
  eventIdx: boolean;
  inOrder: boolean;
}

export interface Descriptor {
  address: bigint;
  length: number;
  /** Of either form of ring; `id` and `next` stand in one place, in the other order. */
  flags: number;
  next: number;
}

export function splitDescriptor(data: DataView, at: number): Descriptor {
  const [flags, next] = [data.getUint16(at + 12, true), data.getUint16(at + 14, true)];
  return { address: data.getBigUint64(at, true), length: data.getUint32(at + 8, true), flags, next };
}

export function packedDescriptor(data: DataView, at: number): Descriptor {
  const [next, flags] = [data.getUint16(at + 12, true), data.getUint16(at + 14, true)];
  return { address: data.getBigUint64(at, true), length: data.getUint32(at + 8, true), flags, next };
}

/** Adds up what the descriptors of one chain let the device write, until one of them is wrong. */
export class RoomReader {
  readonly writable: Span[] = [];
  room = 0;
  private wrong = false;

  constructor(private readonly sight: RingSight) {}

  /** False when nothing behind this descriptor counts any more. */
  add({ address, length, flags }: Descriptor): boolean {
    if (!this.sight.receive || this.wrong) return !this.wrong;
    const spans = flags & VIRTQ_DESC_F_WRITE ? spansOf(this.sight.regions(), address, length) : null;
    if (spans === null) {
      this.wrong = true;
      return false;
    }
    this.writable.push(...spans);
    this.room += length;
    return true;
  }

  /** The table that a descriptor names: of a split ring linked by `next`, of a packed one used as a whole. */
  addTable({ address, length, flags }: Descriptor, packed: boolean): void {
    const spans = spansOf(this.sight.regions(), address, length);
    const entries = length / VIRTQ_DESC_SIZE;
    if (spans?.length !== 1 || !Number.isInteger(entries) || entries === 0 || flags & VIRTQ_DESC_F_NEXT) {
      this.wrong = true;
      return;
    }
    const read = packed ? packedDescriptor : splitDescriptor;
    for (let index = 0, left = entries; left > 0 && index < entries; left--) {
      const descriptor = read(this.sight.data, spans[0]!.offset + index * VIRTQ_DESC_SIZE);
      if (descriptor.flags & VIRTQ_DESC_F_INDIRECT) this.wrong = true;
      if (this.wrong || !this.add(descriptor)) return;
      if (!packed && !(descriptor.flags & VIRTQ_DESC_F_NEXT)) return;
      index = packed ? index + 1 : descriptor.next;
    }
  }
}

/** Where a range of the guest's memory lies in linear memory, or null when not all of it is the guest's. */
export function spansOf(regions: readonly MappedRegion[], address: bigint, length: number): Span[] | null {
  const spans: Span[] = [];
  for (let at = address, left = length; left > 0; ) {
    const region = regions.find(({ guestAddress, size }) => at >= guestAddress && at < guestAddress + size);
    if (!region || region.chunks) return null;
    const inside = Number(at - region.guestAddress);
    const piece = Math.min(left, Number(region.size) - inside);
    spans.push({ offset: region.window + inside, length: piece });
    at += BigInt(piece);
    left -= piece;
  }
  return spans;
}
