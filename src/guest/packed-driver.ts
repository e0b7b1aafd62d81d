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
  VIRTQ_DESC_F_INDIRECT,
  VIRTQ_DESC_F_NEXT,
  VIRTQ_DESC_F_WRITE,
  VIRTQ_DESC_SIZE,
} from "../../assembly/spec/virtio.js";
import { availableBits, isUsed, PACKED_START, packedAfter, packedDistance, packedSlot } from "../core/packed-ring.js";
import type { Buffer, GuestMemory, RingAddresses, RingDriver, UsedChain } from "./ring-driver.js";

export interface PackedDriverOptions {
  /** VIRTIO_F_EVENT_IDX: notifications are asked for by descriptor. */
  eventIdx?: boolean;
  /** VIRTIO_F_IN_ORDER: one used descriptor may stand for all chains up to its own. */
  inOrder?: boolean;
  /** Where both sides stand in the ring, as `availIndex`. Default a fresh ring. */
  first?: number;
}

export class PackedDriver<T = unknown> implements RingDriver<T> {
  /** Of the ring's parts, in linear memory. */
  private readonly desc: number;
  private readonly driverArea: number;
  private readonly deviceArea: number;
  private readonly freeIds: number[] = [];
  /** By id: slots of the chain in the ring, 0 while the device does not have it; bytes it may write; what was given. */
  private readonly spans: Uint16Array;
  private readonly rooms: Float64Array;
  private readonly tokens: (T | undefined)[];
  /** By slot: the id of the chain that begins there. */
  private readonly idAt: Uint16Array;
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
    this.desc = memory.at(ring.desc);
    this.driverArea = memory.at(ring.avail);
    this.deviceArea = memory.at(ring.used);
    this.halfWords = new Uint16Array(memory.data.buffer);
    this.spans = new Uint16Array(size);
    this.rooms = new Float64Array(size);
    this.tokens = new Array(size).fill(undefined);
    this.idAt = new Uint16Array(size);
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
      const at = this.memory.at(indirectTable);
      for (let i = 0; i < buffers.length; i++) {
        this.write(at + i * VIRTQ_DESC_SIZE, buffers[i]!, buffers[i]!.writable ? VIRTQ_DESC_F_WRITE : 0, 0);
      }
      const table = { address: indirectTable, length: buffers.length * VIRTQ_DESC_SIZE };
      this.makeAvailable([{ buffer: table, flags: VIRTQ_DESC_F_INDIRECT }], id);
    }
    this.spans[id] = span;
    this.rooms[id] = roomOf(buffers);
    this.tokens[id] = token;
    this.freeSlots -= span;
    return id;
  }

  /**
   * Writes descriptors over the next slots, with these flags and the bits that make them available; the bare step, also
   * for chains that no `add` makes. The first is made available last, when all behind it can be read.
   */
  makeAvailable(descriptors: readonly { buffer: Buffer; flags: number }[], id: number): void {
    const first = this.nextAvail;
    const count = descriptors.length;
    for (let i = 0, cursor = first; i < count; i++, cursor = packedAfter(cursor, 1, this.size)) {
      const { buffer, flags } = descriptors[i]!;
      const before = i === 0 ? this.flagsAt(cursor) : flags | availableBits(cursor);
      // Only the last one's id counts (2.8.6).
      this.write(this.slotAt(cursor), buffer, before, i === count - 1 ? id : 0xffff);
    }
    this.idAt[packedSlot(first)] = id;
    Atomics.store(this.halfWords, this.flagsIndex(first), descriptors[0]!.flags | availableBits(first));
    this.nextAvail = packedAfter(first, count, this.size);
  }

  take(): UsedChain<T> | null {
    if (this.skipped.length > 0) return this.skipped.shift()!;
    const cursor = this.nextUsed;
    const flags = this.flagsAt(cursor);
    if (!isUsed(flags, cursor) || this.freeSlots === this.size) return null;
    const { data } = this.memory;
    const slot = this.slotAt(cursor);
    const id = data.getUint16(slot + 12, true);
    // Without WRITE nothing was written, and the length has no meaning (2.8.4).
    const written = flags & VIRTQ_DESC_F_WRITE ? data.getUint32(slot + 8, true) : 0;
    if (!this.has(id)) throw new Error(`the device gave back buffer ${id}, which it did not have`);
    if (this.inOrder) this.skipTo(id);
    const used = this.giveBack(id, written);
    if (this.skipped.length === 0) return used;
    this.skipped.push(used);
    return this.skipped.shift()!;
  }

  needsKick(before: number): boolean {
    const { data } = this.memory;
    const flags = data.getUint16(this.deviceArea + 2, true) & 3;
    if (flags === RING_EVENT_FLAGS_ENABLE) return true;
    if (flags === RING_EVENT_FLAGS_DISABLE || !this.eventIdx) return false;
    const event = data.getUint16(this.deviceArea, true);
    const distance = packedDistance(event, this.nextAvail, this.size);
    return distance >= 1 && distance <= packedDistance(before, this.nextAvail, this.size);
  }

  wantCalls(wanted: boolean): void {
    const { data } = this.memory;
    data.setUint16(this.driverArea, this.nextUsed, true);
    const on = this.eventIdx ? RING_EVENT_FLAGS_DESC : RING_EVENT_FLAGS_ENABLE;
    data.setUint16(this.driverArea + 2, wanted ? on : RING_EVENT_FLAGS_DISABLE, true);
  }

  writeDescriptor(table: bigint, index: number, buffer: Buffer, flags: number, id: number): void {
    this.write(this.memory.at(table) + index * VIRTQ_DESC_SIZE, buffer, flags, id);
  }

  /** Writes one descriptor at an offset in linear memory. */
  private write(at: number, { address, length }: Buffer, flags: number, id: number): void {
    const { data } = this.memory;
    data.setBigUint64(at, address, true);
    data.setUint32(at + 8, length, true);
    data.setUint16(at + 12, id, true);
    data.setUint16(at + 14, flags, true);
  }

  private writeChain(buffers: readonly Buffer[], id: number): void {
    const descriptors: { buffer: Buffer; flags: number }[] = [];
    for (const buffer of buffers) {
      const last = descriptors.length === buffers.length - 1;
      descriptors.push({ buffer, flags: (buffer.writable ? VIRTQ_DESC_F_WRITE : 0) | (last ? 0 : VIRTQ_DESC_F_NEXT) });
    }
    this.makeAvailable(descriptors, id);
  }

  /** Whether the device has a chain of that id. */
  private has(id: number): boolean {
    return id < this.size && this.spans[id] !== 0;
  }

  /** In order: of the chains before `id` there is no used descriptor, they were used to the end (2.8.8). */
  private skipTo(id: number): void {
    for (let first = this.firstId; first !== id && this.has(first); first = this.firstId) {
      this.skipped.push(this.giveBack(first, this.rooms[first]!));
    }
  }

  /** Id of the chain that begins where the next used descriptor is looked for. */
  private get firstId(): number {
    return this.idAt[packedSlot(this.nextUsed)]!;
  }

  /** A chain is ours again; the next used descriptor stands behind its slots. */
  private giveBack(id: number, written: number): UsedChain<T> {
    const span = this.spans[id]!;
    const token = this.tokens[id] as T;
    this.spans[id] = 0;
    this.tokens[id] = undefined;
    this.freeIds.push(id);
    this.freeSlots += span;
    this.nextUsed = packedAfter(this.nextUsed, span, this.size);
    return { head: id, written, token };
  }

  private flagsAt(cursor: number): number {
    return Atomics.load(this.halfWords, this.flagsIndex(cursor));
  }

  /** Where the flags of a slot stand, in 16-bit words. */
  private flagsIndex(cursor: number): number {
    return (this.slotAt(cursor) + 14) >>> 1;
  }

  /** Where a slot lies in linear memory. */
  private slotAt(cursor: number): number {
    return this.desc + packedSlot(cursor) * VIRTQ_DESC_SIZE;
  }
}

/** Bytes that the device may write. */
function roomOf(buffers: readonly Buffer[]): number {
  let room = 0;
  for (const { length, writable } of buffers) if (writable) room += length;
  return room;
}
