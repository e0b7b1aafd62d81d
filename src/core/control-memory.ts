// The part of linear memory in which the structs of the core lie (assembly/abi.ts): who of the host has which piece of it.

import { RangeAllocator } from "./ranges.js";
import { type Layout, Struct, type Views } from "./views.js";

const CACHE_LINE = 64;

export class ControlMemory {
  /** For whoever wants pieces of another kind. */
  readonly ranges: RangeAllocator;

  /** Hands out [start, end); offsets are bytes in linear memory. */
  constructor(
    readonly views: Views,
    start: number,
    end: number,
  ) {
    this.ranges = new RangeAllocator(start, end);
  }

  get usedBytes(): number {
    return this.ranges.usedBytes;
  }

  /** Offset of so many bytes, zeroed, on cache lines of their own. Throws when there is no room. */
  allocate(bytes: number): number {
    const size = wholeLines(bytes);
    const at = this.ranges.allocate(size, CACHE_LINE);
    if (at === null) throw new Error("the switch's own tables do not fit: lower fdb.limit or the number of ports");
    this.views.bytes.fill(0, at, at + size);
    return at;
  }

  /** Gives back what `allocate` gave for so many bytes; nothing may use it any more. */
  release(at: number, bytes: number): void {
    this.ranges.release(at, wholeLines(bytes));
  }

  /** Room for one struct, zeroed. */
  struct<L extends Layout>(of: L): Struct<L> {
    return new Struct(this.views, of, this.allocate(of.size));
  }
}

function wholeLines(bytes: number): number {
  return Math.ceil(bytes / CACHE_LINE) * CACHE_LINE;
}
