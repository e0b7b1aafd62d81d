// The rules of a split ring (virtio 1.3, 2.7) as its driver sees them kept.

import {
  VIRTQ_AVAIL_F_NO_INTERRUPT,
  VIRTQ_DESC_F_INDIRECT,
  VIRTQ_DESC_F_NEXT,
  VIRTQ_DESC_SIZE,
  VIRTQ_USED_F_NO_NOTIFY,
} from "../../../assembly/spec/virtio.js";
import type { Span } from "../ram.js";
import { type Chain, type RingSight, RoomReader, splitDescriptor } from "./chain.js";
import type { RingRules, Used, Wish } from "./rules.js";

export class SplitRules implements RingRules {
  readonly outstanding = new Map<number, Chain>();
  broken: string | undefined;
  private avail: number;
  private used: number;

  /** `nextAvail`: where the device begins. */
  constructor(
    private readonly sight: RingSight,
    nextAvail: number,
  ) {
    this.avail = nextAvail;
    this.used = sight.data.getUint16(sight.used + 2, true);
  }

  get position(): number {
    return (this.avail - this.outstanding.size) & 0xffff;
  }

  look(): void {
    const { data, avail, size } = this.sight;
    const index = data.getUint16(avail + 2, true);
    while (this.avail !== index && this.broken === undefined) {
      const head = data.getUint16(avail + 4 + (this.avail % size) * 2, true);
      if (((index - this.position) & 0xffff) > size) this.broken = `avail index ${index} is too far ahead`;
      else if (head >= size) this.broken = `head ${head} is no descriptor`;
      else if (this.outstanding.has(head)) this.broken = `chain ${head} was made available twice`;
      else this.take(head);
    }
  }

  private take(head: number): void {
    const { data, desc, size } = this.sight;
    const reader = new RoomReader(this.sight);
    for (let index = head, left = size; ; left--) {
      if (left === 0 || index >= size) {
        this.broken = `the chain from ${head} has no end`;
        return;
      }
      const descriptor = splitDescriptor(data, desc + index * VIRTQ_DESC_SIZE);
      if (descriptor.flags & VIRTQ_DESC_F_INDIRECT) {
        reader.addTable(descriptor, false);
        break;
      }
      reader.add(descriptor);
      if (!(descriptor.flags & VIRTQ_DESC_F_NEXT)) break;
      index = descriptor.next;
    }
    this.outstanding.set(head, { id: head, span: 1, writable: reader.writable, room: reader.room });
    this.avail = (this.avail + 1) & 0xffff;
  }

  judge(): Used[] {
    const { data, used, size, inOrder } = this.sight;
    const moved = (data.getUint16(used + 2, true) - this.used) & 0xffff;
    const had = this.outstanding.size;
    if (moved > had)
      throw new Error(`the used index moved by ${moved} from ${this.used}, but the device had ${had} chains`);
    const all: Used[] = [];
    for (let i = 0; i < moved; i++, this.used = (this.used + 1) & 0xffff) {
      const at = used + 4 + (this.used % size) * 8;
      const id = data.getUint32(at, true);
      const chain = this.outstanding.get(id);
      if (!chain)
        throw new Error(`chain ${id} was given back, which the device did not have (used element ${this.used})`);
      const oldest = inOrder ? this.outstanding.keys().next().value : id;
      if (id !== oldest) throw new Error(`chain ${id} was given back before chain ${oldest}, in spite of IN_ORDER`);
      this.outstanding.delete(id);
      all.push({ chain, written: data.getUint32(at + 4, true), wrote: { offset: at, length: 8 } });
    }
    return all;
  }

  get deviceFields(): Span[] {
    const { used, size, eventIdx } = this.sight;
    return [
      { offset: used + 2, length: 2 },
      eventIdx ? { offset: used + 4 + size * 8, length: 2 } : { offset: used, length: 2 },
    ];
  }

  get deviceArea(): Span[] {
    const { used, size } = this.sight;
    return [{ offset: used, length: 6 + size * 8 }];
  }

  asksForKicks(): boolean {
    const { data, used, size, eventIdx } = this.sight;
    if (eventIdx) return data.getUint16(used + 4 + size * 8, true) === this.position;
    return (data.getUint16(used, true) & VIRTQ_USED_F_NO_NOTIFY) === 0;
  }

  wish(count: number): Wish {
    const { data, avail, size, eventIdx } = this.sight;
    if (!eventIdx) return data.getUint16(avail, true) & VIRTQ_AVAIL_F_NO_INTERRUPT ? "quiet" : "call";
    const event = data.getUint16(avail + 4 + size * 2, true);
    return ((this.used - event - 1) & 0xffff) < count ? "call" : "quiet";
  }
}
