// Who has which part of linear memory: a first-fit allocator of ranges, for the control structs and for the windows.

interface Range {
  start: number;
  end: number;
}

export class RangeAllocator {
  /** Free ranges, ascending, never adjacent. */
  private readonly free: Range[];
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
    const { free } = this;
    for (let i = 0; i < free.length; i++) {
      const range = free[i]!;
      const at = Math.ceil(range.start / align) * align;
      const end = at + size;
      if (end > range.end) continue;
      if (at > range.start && end < range.end) {
        free.splice(i + 1, 0, { start: end, end: range.end });
        range.end = at;
      } else if (at > range.start) range.end = at;
      else if (end < range.end) range.start = end;
      else free.splice(i, 1);
      this.used += size;
      return at;
    }
    return null;
  }

  /** Gives back a range that `allocate` gave. Anything else is a mistake of ours and throws. */
  release(at: number, size: number): void {
    const { free } = this;
    const end = at + size;
    let index = 0;
    while (index < free.length && free[index]!.start <= at) index++;
    const before = free[index - 1];
    const after = free[index];
    if (at < this.start || end > this.end || (before && before.end > at) || (after && end > after.start)) {
      throw new Error(`range ${at}+${size} was not given out`);
    }
    const joinsAfter = after !== undefined && after.start === end;
    if (before && before.end === at) {
      before.end = joinsAfter ? after.end : end;
      if (joinsAfter) free.splice(index, 1);
    } else if (joinsAfter) after.start = at;
    else free.splice(index, 0, { start: at, end });
    this.used -= size;
  }
}
