// The rules of a packed ring (virtio 1.3, 2.8) as its driver sees them kept.

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
} from "../../../assembly/spec/virtio.js";
import { PACKED_WRAP, packedAfter } from "../../core/packed-ring.js";
import type { Span } from "../ram.js";
import { type Chain, type Descriptor, packedDescriptor, type RingSight, RoomReader } from "./chain.js";
import type { RingRules, Used, Wish } from "./rules.js";

const OWNER = VIRTQ_DESC_F_AVAIL | VIRTQ_DESC_F_USED;

export class PackedRules implements RingRules {
  readonly outstanding = new Map<number, Chain>();
  broken: string | undefined;
  private avail: number;
  private used: number;
  private slots = 0;

  /** `next`: where the device begins, as SET_VRING_BASE has it. */
  constructor(
    private readonly sight: RingSight,
    next: number,
  ) {
    this.avail = next;
    this.used = next;
  }

  get position(): number {
    return this.used;
  }

  look(): void {
    const { size } = this.sight;
    while (this.broken === undefined && this.slots < size) {
      const first = this.avail;
      const available = first & PACKED_WRAP ? VIRTQ_DESC_F_AVAIL : VIRTQ_DESC_F_USED;
      if ((this.flagsAt(first) & OWNER) !== available) return;
      this.take(first);
    }
  }

  private take(first: number): void {
    const { size } = this.sight;
    const reader = new RoomReader(this.sight);
    let span = 0;
    let descriptor: Descriptor;
    while (true) {
      descriptor = this.at(packedAfter(first, span++, size));
      const table = descriptor.flags & VIRTQ_DESC_F_INDIRECT;
      if (table) reader.addTable(descriptor, true);
      else reader.add(descriptor);
      if (table || !(descriptor.flags & VIRTQ_DESC_F_NEXT)) break;
      if (this.slots + span >= size) {
        this.broken = `the chain from slot ${first & ~PACKED_WRAP} has no end`;
        return;
      }
    }
    const id = descriptor.next;
    if (this.outstanding.has(id)) {
      this.broken = `buffer ${id} was made available twice`;
      return;
    }
    this.outstanding.set(id, { id, span, writable: reader.writable, room: reader.room });
    this.slots += span;
    this.avail = packedAfter(first, span, size);
  }

  judge(): Used[] {
    const all: Used[] = [];
    while (this.outstanding.size > 0) {
      if ((this.flagsAt(this.used) & OWNER) !== (this.used & PACKED_WRAP ? OWNER : 0)) break;
      const { flags, length, next: id } = this.at(this.used);
      const slot = `slot ${this.used & ~PACKED_WRAP}`;
      const chain = this.outstanding.get(id);
      if (!chain) throw new Error(`buffer ${id} was given back, which the device did not have (${slot})`);
      if (flags & ~(OWNER | VIRTQ_DESC_F_WRITE)) throw new Error(`${slot} is used with flags 0x${flags.toString(16)}`);
      const wrote = { offset: this.offset(this.used) + 8, length: 8 };
      if (this.sight.inOrder) {
        // One used descriptor for a batch: what came before it was used to the end (2.8.8).
        for (const before of this.outstanding.values()) {
          if (before === chain) break;
          this.giveBack(before);
          all.push({ chain: before, written: before.room, wrote: { offset: wrote.offset, length: 0 } });
        }
      }
      this.giveBack(chain);
      // Without WRITE the length has no meaning (2.8.4).
      all.push({ chain, written: flags & VIRTQ_DESC_F_WRITE ? length : 0, wrote });
    }
    return all;
  }

  private giveBack(chain: Chain): void {
    this.outstanding.delete(chain.id);
    this.slots -= chain.span;
    this.used = packedAfter(this.used, chain.span, this.sight.size);
  }

  /** The device's event suppression area. */
  get deviceFields(): Span[] {
    return [{ offset: this.sight.used, length: 4 }];
  }

  get deviceArea(): Span[] {
    return [...this.deviceFields, { offset: this.sight.desc, length: this.sight.size * VIRTQ_DESC_SIZE }];
  }

  asksForKicks(): boolean {
    const { data, used } = this.sight;
    const flags = data.getUint16(used + 2, true);
    if (flags === RING_EVENT_FLAGS_DESC) return data.getUint16(used, true) === this.position;
    return flags === RING_EVENT_FLAGS_ENABLE;
  }

  wish(count: number, slots: number): Wish {
    const { data, avail, size, eventIdx } = this.sight;
    const flags = data.getUint16(avail + 2, true) & 3;
    if (flags === RING_EVENT_FLAGS_DISABLE) return "quiet";
    if (flags !== RING_EVENT_FLAGS_DESC || !eventIdx) return "call";
    const event = data.getUint16(avail, true);
    const rounds = (event ^ this.used) & PACKED_WRAP ? size : 0;
    // How far the event's slot lies behind where the device will go on.
    const behind = (this.used & ~PACKED_WRAP) + rounds - (event & ~PACKED_WRAP);
    return count > 0 && behind >= 1 && behind <= slots ? "call" : "quiet";
  }

  private flagsAt(cursor: number): number {
    return this.sight.data.getUint16(this.offset(cursor) + 14, true);
  }

  private at(cursor: number): Descriptor {
    return packedDescriptor(this.sight.data, this.offset(cursor));
  }

  private offset(cursor: number): number {
    return this.sight.desc + (cursor & ~PACKED_WRAP) * VIRTQ_DESC_SIZE;
  }
}
