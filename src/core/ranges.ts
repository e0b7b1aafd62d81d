// Who has which part of linear memory: a first-fit allocator of ranges, for the control structs and for the windows.

interface Range {
  start: number;
  end: number;
}

export class RangeAllocator {
  /** Free ranges, ascending, never adjacent. */
  private free: Range[];
  private used = 0;

  /** Hands out [start, end); offsets are bytes in linear memory. */
  constructor(
    private readonly start: number,
    private readonly end: number,
  ) {
    this.free = [{ start, end }];
  }

  get usedBytes(): number {
    return this.used;
  }

  get totalBytes(): number {
    return this.end - this.start;
  }

  /** Offset of a free range of `size` bytes at a multiple of `align` (a power of two), or null when there is none. */
  allocate(size: number, align: number): number | null {
    for (let i = 0; i < this.free.length; i++) {
      const range = this.free[i]!;
      const at = Math.ceil(range.start / align) * align;
      if (at + size > range.end) continue;
      const rest: Range[] = [];
      if (at > range.start) rest.push({ start: range.start, end: at });
      if (at + size < range.end) rest.push({ start: at + size, end: range.end });
      this.free.splice(i, 1, ...rest);
      this.used += size;
      return at;
    }
    return null;
  }

  /** Gives back a range that `allocate` gave. Anything else is a mistake of ours and throws. */
  release(at: number, size: number): void {
    const next = this.free.findIndex((range) => range.start > at);
    const index = next < 0 ? this.free.length : next;
    const before = this.free[index - 1];
    const after = this.free[index];
    if (at < this.start || at + size > this.end || (before && before.end > at) || (after && at + size > after.start)) {
      throw new Error(`range ${at}+${size} was not given out`);
    }
    const merged = { start: at, end: at + size };
    let from = index;
    let count = 0;
    if (before && before.end === at) {
      merged.start = before.start;
      from--;
      count++;
    }
    if (after && after.start === at + size) {
      merged.end = after.end;
      count++;
    }
    this.free.splice(from, count, merged);
    this.used -= size;
  }
}
