// The order of the switch's stores (virtio 1.3, 2.7.13, 2.8.21): what a driver finds in a buffer that it is given back must
// all be there by then. Only a build that tells of its stores shows that; after the call nobody can see it any more.

import type { GuestDevice } from "../device.js";
import type { Span } from "../ram.js";
import type { Used } from "./rules.js";

const DESCRIPTORS = 16;

/** A receiveq, and where in linear memory its driver looks for what comes back. */
interface Place {
  device: GuestDevice;
  index: number;
  packed: boolean;
  /** Descriptors of a packed ring, the used ring of a split one. */
  ring: number;
  size: number;
}

interface Publish {
  place: Place;
  at: number;
  /** A split ring's used index before it. */
  index: number;
  image: Uint8Array;
}

export class StoreOrder {
  private readonly places = new Map<string, Place>();
  private publishes: Publish[] = [];

  /** `start` and `length`: the guests' windows in linear memory. */
  constructor(
    private readonly memory: WebAssembly.Memory,
    private readonly start: number,
    private readonly length: () => number,
  ) {}

  started(device: GuestDevice, index: number): void {
    if (index % 2 === 1) return;
    const { ring } = device.driver(index);
    const { packed } = device.rings;
    const at = device.ram.at(packed ? ring.desc : ring.used);
    this.places.set(keyOf(device, index), { device, index, packed, ring: at, size: device.size });
  }

  /** A call into the switch begins. */
  begin(): void {
    this.publishes = [];
  }

  /** The switch is about to store at this offset. */
  storing(at: number): void {
    if (at < this.start) return;
    for (const place of this.places.values()) {
      const { packed, ring, size } = place;
      if (packed ? at < ring || at >= ring + size * DESCRIPTORS : at !== ring + 2) continue;
      const data = new DataView(this.memory.buffer);
      const image = new Uint8Array(this.memory.buffer, this.start, this.length()).slice();
      this.publishes.push({ place, at, index: packed ? 0 : data.getUint16(ring + 2, true), image });
    }
  }

  /** Throws when one of the chains that came back was given to its driver before its bytes, `written`, were all there. */
  judge(device: GuestDevice, index: number, used: readonly Used[], written: (each: Used) => Span[]): void {
    if (this.publishes.length === 0) return; // none of this call, or a build that tells of none
    const place = this.places.get(keyOf(device, index));
    if (!place || used.length === 0) return;
    const own = this.publishes.filter((publish) => publish.place === place).reverse();
    const data = new DataView(this.memory.buffer);
    const first = data.getUint16(place.ring + 2, true) - used.length;
    for (const [i, each] of used.entries()) {
      const by = place.packed
        ? own.find(({ at }) => at === each.wrote.offset)
        : own.find((publish) => ((publish.index - first) & 0xffff) <= i);
      if (!by) continue; // with others, in one used descriptor
      const now = new Uint8Array(this.memory.buffer);
      for (const { offset, length } of written(each)) {
        const then = by.image.subarray(offset - this.start, offset - this.start + length);
        if (then.some((byte, j) => byte !== now[offset + j]))
          throw new Error(`chain ${each.chain.id} was given back before all was written that it holds`);
      }
    }
  }
}

const keyOf = ({ port }: GuestDevice, index: number) => `${port.id}/${index}`;
