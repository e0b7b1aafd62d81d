// The driver's half of a packed virtqueue (virtio 1.3, 2.8), plain and in full: chains, indirect tables, event idx, use
// in order. The counterpart of split-driver.ts: written to be read and to be bent.
//
// There is one ring of descriptors. The driver writes a chain over the next free slots, the device writes one used
// descriptor over the first of them. Who wrote a slot last shows in its bits AVAIL and USED, against a wrap counter that
// each side turns at the end of every round. A buffer is known by its id, which has nothing to do with its slot.

import {
  RING_EVENT_FLAGS_DESC,
  RING_EVENT_FLAGS_DISABLE,
  RING_EVENT_FLAGS_ENABLE,
  VIRTQ_DESC_F_AVAIL,
  VIRTQ_DESC_F_INDIRECT,
  VIRTQ_DESC_F_NEXT,
  VIRTQ_DESC_F_USED,
  VIRTQ_DESC_F_WRITE,
  VIRTQ_DESC_SIZE,
} from "../../assembly/spec/virtio.js";
import { PACKED_START, PACKED_WRAP, packedAfter } from "../core/packed-ring.js";
import type { Buffer, GuestMemory, RingAddresses, RingDriver, UsedChain } from "./ring-driver.js";

const OWNER = VIRTQ_DESC_F_AVAIL | VIRTQ_DESC_F_USED;

/** A chain that the device has. */
interface Outstanding<T> {
  id: number;
  /** Slots it takes in the ring. */
  span: number;
  /** Bytes that the device may write. */
  room: number;
  token: T;
}

export interface PackedDriverOptions {
  /** VIRTIO_F_EVENT_IDX: notifications are asked for by descriptor. */
  eventIdx?: boolean;
  /** VIRTIO_F_IN_ORDER: one used descriptor may stand for all chains up to its own. */
  inOrder?: boolean;
  /** Where both sides stand in the ring, as `availIndex`. Default a fresh ring. */
  first?: number;
}

export class PackedDriver<T = unknown> implements RingDriver<T> {
  private readonly freeIds: number[] = [];
  /** By id, in the order in which they were made available. */
  private readonly outstanding = new Map<number, Outstanding<T>>();
  /** Chains that a used descriptor of a later one has given back, oldest first. */
  private readonly skipped: UsedChain<T>[] = [];
  private readonly halfWords: Uint16Array;
  private readonly eventIdx: boolean;
  private readonly inOrder: boolean;
  private nextAvail: number;
  private nextUsed: number;
  private freeSlots: number;

  /** `size`: 1 to 32768. The descriptors in memory must be zero, or as both sides left them at `first`. */
  constructor(
    private readonly memory: GuestMemory,
    readonly ring: RingAddresses,
    readonly size: number,
    { eventIdx = false, inOrder = false, first = PACKED_START }: PackedDriverOptions = {},
  ) {
    this.halfWords = new Uint16Array(memory.data.buffer);
    this.eventIdx = eventIdx;
    this.inOrder = inOrder;
    this.nextAvail = first;
    this.nextUsed = first;
    this.freeSlots = size;
    // Taken from the end, given back there: ids have nothing to do with slots, and nobody may mistake one for the other.
    for (let id = 0; id < size; id++) this.freeIds.push(id);
  }

  get freeDescriptors(): number {
    return this.freeSlots;
  }

  get availIndex(): number {
    return this.nextAvail;
  }

  /** Where the next used descriptor will be looked for, as `availIndex`. */
  get usedIndex(): number {
    return this.nextUsed;
  }

  add(buffers: Buffer[], token: T, indirectTable?: bigint): number | null {
    const span = indirectTable === undefined ? buffers.length : 1;
    if (buffers.length === 0 || this.freeSlots < span) return null;
    const id = this.freeIds.pop()!;
    if (indirectTable === undefined) {
      this.writeChain(buffers, id);
    } else {
      // The whole table is the chain: NEXT, id, AVAIL and USED mean nothing in it (2.8.7).
      buffers.forEach((buffer, i) => {
        this.writeDescriptor(indirectTable, i, buffer, buffer.writable ? VIRTQ_DESC_F_WRITE : 0, 0);
      });
      const table = { address: indirectTable, length: buffers.length * VIRTQ_DESC_SIZE };
      this.makeAvailable([{ buffer: table, flags: VIRTQ_DESC_F_INDIRECT }], id);
    }
    const room = buffers.reduce((sum, { length, writable }) => sum + (writable ? length : 0), 0);
    this.outstanding.set(id, { id, span, room, token });
    this.freeSlots -= span;
    return id;
  }

  /**
   * Writes descriptors over the next slots, with these flags and the bits that make them available; the bare step, also
   * for chains that no `add` makes. The first is made available last, when all behind it can be read.
   */
  makeAvailable(descriptors: readonly { buffer: Buffer; flags: number }[], id: number): void {
    const first = this.nextAvail;
    descriptors.forEach(({ buffer, flags }, i) => {
      const cursor = packedAfter(first, i, this.size);
      // Only the last one's id counts (2.8.6).
      const slotId = i === descriptors.length - 1 ? id : 0xffff;
      const owner = cursor & PACKED_WRAP ? VIRTQ_DESC_F_AVAIL : VIRTQ_DESC_F_USED;
      const before = i === 0 ? this.flagsAt(cursor) : flags | owner;
      this.writeDescriptor(this.ring.desc, cursor & ~PACKED_WRAP, buffer, before, slotId);
    });
    const owner = first & PACKED_WRAP ? VIRTQ_DESC_F_AVAIL : VIRTQ_DESC_F_USED;
    Atomics.store(this.halfWords, this.flagsIndex(first), descriptors[0]!.flags | owner);
    this.nextAvail = packedAfter(first, descriptors.length, this.size);
  }

  take(): UsedChain<T> | null {
    const skipped = this.skipped.shift();
    if (skipped) return skipped;
    const cursor = this.nextUsed;
    const flags = this.flagsAt(cursor);
    if ((flags & OWNER) !== (cursor & PACKED_WRAP ? OWNER : 0) || this.outstanding.size === 0) return null;
    const { data } = this.memory;
    const slot = this.memory.at(this.ring.desc) + (cursor & ~PACKED_WRAP) * VIRTQ_DESC_SIZE;
    const id = data.getUint16(slot + 12, true);
    // Without WRITE nothing was written, and the length has no meaning (2.8.4).
    const written = flags & VIRTQ_DESC_F_WRITE ? data.getUint32(slot + 8, true) : 0;
    const found = this.outstanding.get(id);
    if (!found) throw new Error(`the device gave back buffer ${id}, which it did not have`);
    for (const chain of this.inOrder ? this.outstanding.values() : [found]) {
      this.giveBack(chain);
      if (chain.id === id) break;
      // Of those before it in a batch there is no used descriptor: they were used to the end (2.8.8).
      this.skipped.push({ head: chain.id, written: chain.room, token: chain.token });
    }
    this.skipped.push({ head: id, written, token: found.token });
    return this.skipped.shift()!;
  }

  needsKick(before: number): boolean {
    const device = this.memory.at(this.ring.used);
    const flags = this.memory.data.getUint16(device + 2, true) & 3;
    if (flags === RING_EVENT_FLAGS_ENABLE) return true;
    if (flags === RING_EVENT_FLAGS_DISABLE || !this.eventIdx) return false;
    const event = this.memory.data.getUint16(device, true);
    const distance = this.distance(event, this.nextAvail);
    return distance >= 1 && distance <= this.distance(before, this.nextAvail);
  }

  wantCalls(wanted: boolean): void {
    const { data } = this.memory;
    const driver = this.memory.at(this.ring.avail);
    data.setUint16(driver, this.nextUsed, true);
    const on = this.eventIdx ? RING_EVENT_FLAGS_DESC : RING_EVENT_FLAGS_ENABLE;
    data.setUint16(driver + 2, wanted ? on : RING_EVENT_FLAGS_DISABLE, true);
  }

  writeDescriptor(table: bigint, index: number, buffer: Buffer, flags: number, id: number): void {
    const { data } = this.memory;
    const at = this.memory.at(table) + index * VIRTQ_DESC_SIZE;
    data.setBigUint64(at, buffer.address, true);
    data.setUint32(at + 8, buffer.length, true);
    data.setUint16(at + 12, id, true);
    data.setUint16(at + 14, flags, true);
  }

  private writeChain(buffers: Buffer[], id: number): void {
    const descriptors = buffers.map((buffer, i) => ({
      buffer,
      flags: (buffer.writable ? VIRTQ_DESC_F_WRITE : 0) | (i === buffers.length - 1 ? 0 : VIRTQ_DESC_F_NEXT),
    }));
    this.makeAvailable(descriptors, id);
  }

  /** A chain is ours again; the next used descriptor stands behind its slots. */
  private giveBack({ id, span }: Outstanding<T>): void {
    this.outstanding.delete(id);
    this.freeIds.push(id);
    this.freeSlots += span;
    this.nextUsed = packedAfter(this.nextUsed, span, this.size);
  }

  /** Slots from one place to another that is less than two rounds behind; negative when it lies ahead of it. */
  private distance(from: number, to: number): number {
    const rounds = (from ^ to) & PACKED_WRAP ? this.size : 0;
    return (to & ~PACKED_WRAP) + rounds - (from & ~PACKED_WRAP);
  }

  private flagsAt(cursor: number): number {
    return Atomics.load(this.halfWords, this.flagsIndex(cursor));
  }

  /** Where the flags of a slot stand, in 16-bit words. */
  private flagsIndex(cursor: number): number {
    return (this.memory.at(this.ring.desc) + (cursor & ~PACKED_WRAP) * VIRTQ_DESC_SIZE + 14) >>> 1;
  }
}
