// Room for frames that are sent: given back when the switch has returned them.

import { RangeAllocator } from "../core/ranges.js";
import type { BufferHeap } from "./ram.js";

export class Arena implements BufferHeap {
  private readonly ranges: RangeAllocator;

  /** `base` must suit any alignment that will be asked for. */
  constructor(
    readonly base: bigint,
    bytes: number,
  ) {
    this.ranges = new RangeAllocator(0, bytes);
  }

  allocate(bytes: number, align: number): bigint | null {
    const at = this.ranges.allocate(bytes, align);
    return at === null ? null : this.base + BigInt(at);
  }

  release(address: bigint, bytes: number): void {
    this.ranges.release(Number(address - this.base), bytes);
  }
}
