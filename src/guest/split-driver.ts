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
  /** Of the ring's parts, in linear memory. */
  private readonly desc: number;
  private readonly avail: number;
  private readonly used: number;
  private readonly halfWords: Uint16Array;
  /** The descriptor behind each free one, or each one of a chain: our own copy, which no device can change. */
  private readonly next: Uint16Array;
  private free = 0;
  private freeCount: number;
  /** By head: descriptors of the chain, 0 while the device does not have it, and what was given with it. */
  private readonly counts: Uint16Array;
  private readonly tokens: (T | undefined)[];
  private nextAvail: number;
  private lastUsed: number;

  /** `firstIndex`: where avail and used index stand already, 0 to 65535; the ring in memory must say the same. */
  constructor(
    private readonly memory: GuestMemory,
    readonly ring: RingAddresses,
    readonly size: number,
    readonly eventIdx = false,
    firstIndex = 0,
  ) {
    this.desc = memory.at(ring.desc);
    this.avail = memory.at(ring.avail);
    this.used = memory.at(ring.used);
    this.halfWords = new Uint16Array(memory.data.buffer);
    this.nextAvail = firstIndex;
    this.lastUsed = firstIndex;
    this.freeCount = size;
    this.next = Uint16Array.from({ length: size }, (_, i) => i + 1);
    this.counts = new Uint16Array(size);
    this.tokens = new Array(size).fill(undefined);
  }

  get freeDescriptors(): number {
    return this.freeCount;
  }

  get availIndex(): number {
    return this.nextAvail;
  }

  add(buffers: Buffer[], token: T, indirectTable?: bigint): number | null {
    const count = indirectTable === undefined ? buffers.length : 1;
    if (this.freeCount < count || buffers.length === 0) return null;
    const head = this.free;
    if (indirectTable === undefined) {
      this.writeChain(buffers, head);
    } else {
      this.writeTable(this.memory.at(indirectTable), buffers);
      const table = { address: indirectTable, length: buffers.length * VIRTQ_DESC_SIZE };
      this.write(this.desc + head * VIRTQ_DESC_SIZE, table, VIRTQ_DESC_F_INDIRECT, 0);
    }
    this.free = this.next[this.lastOf(head, count)]!;
    this.freeCount -= count;
    this.counts[head] = count;
    this.tokens[head] = token;
    this.makeAvailable(head);
    return head;
  }

  /** Writes one avail entry and moves the index; the bare step, also for heads that no `add` gave. */
  makeAvailable(head: number): void {
    const { avail } = this;
    this.memory.data.setUint16(avail + 4 + (this.nextAvail % this.size) * 2, head, true);
    this.nextAvail = (this.nextAvail + 1) & 0xffff;
    Atomics.store(this.halfWords, (avail + 2) >>> 1, this.nextAvail);
  }

  take(): UsedChain<T> | null {
    const { used } = this;
    if (Atomics.load(this.halfWords, (used + 2) >>> 1) === this.lastUsed) return null;
    const { data } = this.memory;
    const slot = used + 4 + (this.lastUsed % this.size) * 8;
    const head = data.getUint32(slot, true);
    const written = data.getUint32(slot + 4, true);
    const count = head < this.size ? this.counts[head]! : 0;
    if (count === 0) throw new Error(`the device gave back chain ${head}, which it did not have`);
    const token = this.tokens[head] as T;
    this.tokens[head] = undefined;
    this.counts[head] = 0;
    this.next[this.lastOf(head, count)] = this.free;
    this.free = head;
    this.freeCount += count;
    this.lastUsed = (this.lastUsed + 1) & 0xffff;
    return { head, written, token };
  }

  needsKick(before: number): boolean {
    const { data } = this.memory;
    if (!this.eventIdx) return (data.getUint16(this.used, true) & VIRTQ_USED_F_NO_NOTIFY) === 0;
    const event = data.getUint16(this.used + 4 + this.size * 8, true);
    return ((this.nextAvail - event - 1) & 0xffff) < ((this.nextAvail - before) & 0xffff);
  }

  wantCalls(wanted: boolean): void {
    const { data } = this.memory;
    if (this.eventIdx)
      data.setUint16(this.avail + 4 + this.size * 2, (this.lastUsed + (wanted ? 0 : 0x8000)) & 0xffff, true);
    else data.setUint16(this.avail, wanted ? 0 : VIRTQ_AVAIL_F_NO_INTERRUPT, true);
  }

  writeDescriptor(table: bigint, index: number, buffer: Buffer, flags: number, next: number): void {
    this.write(this.memory.at(table) + index * VIRTQ_DESC_SIZE, buffer, flags, next);
  }

  /** Writes one descriptor at an offset in linear memory. */
  private write(at: number, { address, length }: Buffer, flags: number, next: number): void {
    const { data } = this.memory;
    data.setBigUint64(at, address, true);
    data.setUint32(at + 8, length, true);
    data.setUint16(at + 12, flags, true);
    data.setUint16(at + 14, next, true);
  }

  /** A chain over free descriptors of the ring. */
  private writeChain(buffers: readonly Buffer[], head: number): void {
    for (let i = 0, slot = head; i < buffers.length; i++) {
      const last = i === buffers.length - 1;
      const next = last ? 0 : this.next[slot]!;
      this.write(this.desc + slot * VIRTQ_DESC_SIZE, buffers[i]!, flagsOf(buffers[i]!, last), next);
      slot = next;
    }
  }

  /** An indirect table at an offset in linear memory: its entries one after the other. */
  private writeTable(at: number, buffers: readonly Buffer[]): void {
    for (let i = 0; i < buffers.length; i++) {
      const last = i === buffers.length - 1;
      this.write(at + i * VIRTQ_DESC_SIZE, buffers[i]!, flagsOf(buffers[i]!, last), last ? 0 : i + 1);
    }
  }

  /** The last of `count` descriptors that are linked from `head` on. */
  private lastOf(head: number, count: number): number {
    let last = head;
    for (let i = 1; i < count; i++) last = this.next[last]!;
    return last;
  }
}

function flagsOf({ writable }: Buffer, last: boolean): number {
  return (writable ? VIRTQ_DESC_F_WRITE : 0) | (last ? 0 : VIRTQ_DESC_F_NEXT);
}
