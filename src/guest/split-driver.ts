// The driver's half of a split virtqueue (virtio 1.3, 2.7), plain and in full: chains, indirect tables, event idx.
// Written to be read and to be bent: tests use it to make every kind of chain, good and bad. The fast driver that
// generates load is assembly/driver/.

import {
  VIRTQ_AVAIL_F_NO_INTERRUPT,
  VIRTQ_DESC_F_INDIRECT,
  VIRTQ_DESC_F_NEXT,
  VIRTQ_DESC_F_WRITE,
  VIRTQ_DESC_SIZE,
  VIRTQ_USED_F_NO_NOTIFY,
} from "../../assembly/spec/virtio.js";
import type { Buffer, GuestMemory, RingAddresses, RingDriver, UsedChain } from "./ring-driver.js";

export class SplitDriver<T = unknown> implements RingDriver<T> {
  private readonly free: number[] = [];
  private readonly tokens = new Map<number, { descriptors: number[]; token: T }>();
  private nextAvail: number;
  private lastUsed: number;
  private words: Uint16Array;

  /** `firstIndex`: where avail and used index stand already, 0 to 65535; the ring in memory must say the same. */
  constructor(
    private readonly memory: GuestMemory,
    readonly ring: RingAddresses,
    readonly size: number,
    readonly eventIdx = false,
    firstIndex = 0,
  ) {
    this.words = new Uint16Array(memory.data.buffer);
    this.nextAvail = firstIndex;
    this.lastUsed = firstIndex;
    for (let i = size - 1; i >= 0; i--) this.free.push(i);
  }

  get freeDescriptors(): number {
    return this.free.length;
  }

  get availIndex(): number {
    return this.nextAvail;
  }

  add(buffers: Buffer[], token: T, indirectTable?: bigint): number | null {
    const count = indirectTable === undefined ? buffers.length : 1;
    if (this.free.length < count || buffers.length === 0) return null;
    const descriptors: number[] = [];
    for (let i = 0; i < count; i++) descriptors.push(this.free.pop()!);
    if (indirectTable === undefined) {
      this.writeTable(this.ring.desc, buffers, descriptors);
    } else {
      this.writeTable(
        indirectTable,
        buffers,
        buffers.map((_, i) => i),
      );
      const table = { address: indirectTable, length: buffers.length * VIRTQ_DESC_SIZE };
      this.writeDescriptor(this.ring.desc, descriptors[0]!, table, VIRTQ_DESC_F_INDIRECT, 0);
    }
    const head = descriptors[0]!;
    this.tokens.set(head, { descriptors, token });
    this.makeAvailable(head);
    return head;
  }

  /** Writes one avail entry and moves the index; the bare step, also for heads that no `add` gave. */
  makeAvailable(head: number): void {
    const { data } = this.memory;
    const avail = this.memory.at(this.ring.avail);
    data.setUint16(avail + 4 + (this.nextAvail % this.size) * 2, head, true);
    this.nextAvail = (this.nextAvail + 1) & 0xffff;
    Atomics.store(this.halfWords(), (avail + 2) >>> 1, this.nextAvail);
  }

  take(): UsedChain<T> | null {
    const { data } = this.memory;
    const used = this.memory.at(this.ring.used);
    if (Atomics.load(this.halfWords(), (used + 2) >>> 1) === this.lastUsed) return null;
    const slot = used + 4 + (this.lastUsed % this.size) * 8;
    const head = data.getUint32(slot, true);
    const written = data.getUint32(slot + 4, true);
    const entry = this.tokens.get(head);
    if (!entry) throw new Error(`the device gave back chain ${head}, which it did not have`);
    this.tokens.delete(head);
    for (let i = entry.descriptors.length - 1; i >= 0; i--) this.free.push(entry.descriptors[i]!);
    this.lastUsed = (this.lastUsed + 1) & 0xffff;
    return { head, written, token: entry.token };
  }

  needsKick(before: number): boolean {
    const used = this.memory.at(this.ring.used);
    if (!this.eventIdx) return (this.memory.data.getUint16(used, true) & VIRTQ_USED_F_NO_NOTIFY) === 0;
    const event = this.memory.data.getUint16(used + 4 + this.size * 8, true);
    return ((this.nextAvail - event - 1) & 0xffff) < ((this.nextAvail - before) & 0xffff);
  }

  wantCalls(wanted: boolean): void {
    const { data } = this.memory;
    const avail = this.memory.at(this.ring.avail);
    if (this.eventIdx)
      data.setUint16(avail + 4 + this.size * 2, (this.lastUsed + (wanted ? 0 : 0x8000)) & 0xffff, true);
    else data.setUint16(avail, wanted ? 0 : VIRTQ_AVAIL_F_NO_INTERRUPT, true);
  }

  writeDescriptor(table: bigint, index: number, buffer: Buffer, flags: number, next: number): void {
    const { data } = this.memory;
    const at = this.memory.at(table) + index * VIRTQ_DESC_SIZE;
    data.setBigUint64(at, buffer.address, true);
    data.setUint32(at + 8, buffer.length, true);
    data.setUint16(at + 12, flags, true);
    data.setUint16(at + 14, next, true);
  }

  private writeTable(table: bigint, buffers: Buffer[], indices: number[]): void {
    for (let i = 0; i < buffers.length; i++) {
      const buffer = buffers[i]!;
      const last = i === buffers.length - 1;
      const flags = (buffer.writable ? VIRTQ_DESC_F_WRITE : 0) | (last ? 0 : VIRTQ_DESC_F_NEXT);
      this.writeDescriptor(table, indices[i]!, buffer, flags, last ? 0 : indices[i + 1]!);
    }
  }

  private halfWords(): Uint16Array {
    // A memory that was replaced by another has another buffer.
    const { buffer } = this.memory.data;
    if (this.words.buffer !== buffer) this.words = new Uint16Array(buffer);
    return this.words;
  }
}
