// The RAM of a guest in process: regions of guest physical addresses over windows of the switch's linear memory.

import type { Bridge } from "../core/bridge.js";
import type { MappedRegion } from "../core/bridge-port.js";
import type { GuestMemory } from "../guest/ring-driver.js";
import { concat } from "./bytes.js";

const PAGE = 4096;

/** A range of linear memory, in bytes. */
export interface Span {
  offset: number;
  length: number;
}

/** Where buffers come from. `allocate` returns a guest physical address, or null when there is no such room. */
export interface BufferHeap {
  allocate(bytes: number, align: number): bigint | null;
  release(address: bigint, bytes: number): void;
}

export class DeviceRam implements GuestMemory {
  readonly data: DataView;
  readonly regions: MappedRegion[] = [];
  readonly bytes: number;
  /** Regions by their distance from `base`, ascending: plain numbers are quicker than addresses. */
  private readonly places: { start: number; end: number; window: number }[] = [];
  private readonly view: Uint8Array;
  private heap: bigint;

  /**
   * Regions of `sizes` bytes, multiples of 4096, side by side for the guest from `base` on. Their windows are in the reverse
   * order, with a page between them. Throws when linear memory has no such room.
   */
  constructor(
    bridge: Bridge,
    readonly base: bigint,
    sizes: readonly number[],
    /** Whether the windows may hold what somebody else has left. */
    used = true,
  ) {
    this.data = bridge.views.data;
    this.view = bridge.views.bytes;
    this.bytes = sizes.reduce((sum, bytes) => sum + bytes, 0);
    this.heap = base;
    let end = base + BigInt(this.bytes);
    for (const bytes of [...sizes].reverse()) {
      const window = bridge.windows.allocate(bytes + PAGE, PAGE);
      if (window === null)
        throw new Error(`${bytes} bytes of guest RAM do not fit the switch's memory: raise memoryMiB`);
      if (used) this.view.fill(0, window, window + bytes + PAGE);
      end -= BigInt(bytes);
      this.regions.unshift({ guestAddress: end, size: BigInt(bytes), window });
      const start = Number(end - base);
      this.places.unshift({ start, end: start + bytes, window });
    }
  }

  /** Offset of a guest physical address in linear memory. Throws when the guest has no memory there. */
  at(address: bigint): number {
    const distance = Number(address - this.base);
    const { window, start } = this.placeOf(distance);
    return window + distance - start;
  }

  private placeOf(distance: number) {
    for (const place of this.places) if (distance >= place.start && distance < place.end) return place;
    throw new Error(`the guest has no memory at 0x${(this.base + BigInt(distance)).toString(16)}`);
  }

  /** Where a range of RAM lies in linear memory, region by region. */
  spans(address: bigint, length: number): Span[] {
    const spans: Span[] = [];
    for (let at = Number(address - this.base), left = length; left > 0; ) {
      const { window, start, end } = this.placeOf(at);
      const piece = Math.min(left, end - at);
      spans.push({ offset: window + at - start, length: piece });
      at += piece;
      left -= piece;
    }
    return spans;
  }

  write(address: bigint, bytes: Uint8Array): void {
    const offset = this.offsetOf(address, bytes.length);
    if (offset !== undefined) {
      this.view.set(bytes, offset);
      return;
    }
    let at = 0;
    for (const span of this.spans(address, bytes.length)) {
      this.view.set(bytes.subarray(at, at + span.length), span.offset);
      at += span.length;
    }
  }

  /** A copy of a range. */
  read(address: bigint, length: number): Uint8Array {
    return this.look(address, length).slice();
  }

  /** A range as it stands in memory, whatever is written there later; of one that lies across regions a copy. */
  look(address: bigint, length: number): Uint8Array {
    const offset = this.offsetOf(address, length);
    if (offset !== undefined) return this.view.subarray(offset, offset + length);
    return concat(
      this.spans(address, length).map((span) => this.view.subarray(span.offset, span.offset + span.length)),
    );
  }

  /** Offset in linear memory of a range that lies in one region; undefined of any other. */
  private offsetOf(address: bigint, length: number): number | undefined {
    const distance = Number(address - this.base);
    for (const { window, start, end } of this.places) {
      if (distance >= start && distance + length <= end) return window + distance - start;
    }
    return undefined;
  }

  /** A piece of RAM that is never given back. Throws when it is used up. */
  allocate(bytes: number, align = 16): bigint {
    const at = ((this.heap + BigInt(align) - 1n) / BigInt(align)) * BigInt(align);
    this.heap = at + BigInt(bytes);
    if (this.heap > this.base + BigInt(this.bytes)) throw new Error("guest RAM is used up");
    return at;
  }

  /** What was allocated from now on may be allocated again when `release` is called: for tests that send without end. */
  mark(): () => void {
    const { heap } = this;
    return () => {
      this.heap = heap;
    };
  }
}
