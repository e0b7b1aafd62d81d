// Windows for rings that lie in regions not mapped whole: all workers poll them all the time, so their pages are mapped
// from the start of the ring to its stop, and rings in the same pages share a window.

import type { RangeAllocator } from "../core/ranges.js";
import { alignOffset, hostPageSize, mapInto, unmap } from "../sys/mapping.js";
import type { Fd } from "../fd.js";

interface Window {
  users: number;
  range: RangeAllocator;
  rangeStart: number;
  rangeBytes: number;
  start: number;
  bytes: number;
}

/** A part of a ring where it lies in linear memory, until it is let go. */
export interface RingPlace {
  offset: number;
  /** It has a window of its own, and lies in no region that is mapped whole. */
  apart: boolean;
  release(): void;
}

/** The windows of the rings of one file. */
export class RingWindows {
  /** By the first and last page of the file. */
  private readonly windows = new Map<string, Window>();

  /** `ranges`: where there may be room, in the order in which it is looked for. */
  constructor(
    private readonly base: bigint,
    private readonly ranges: readonly RangeAllocator[],
    private readonly fd: Fd,
    private readonly pageSize: number,
  ) {}

  /** Maps `bytes` from `fileOffset` on. Throws an Error that says what is wrong when that cannot be done. */
  map(fileOffset: bigint, bytes: number): RingPlace {
    const page = BigInt(this.pageSize);
    const first = fileOffset / page;
    const last = (fileOffset + BigInt(bytes) - 1n) / page;
    const key = `${first}-${last}`;
    let window = this.windows.get(key);
    if (window === undefined) {
      window = this.open(first * page, Number(last - first + 1n) * this.pageSize);
      this.windows.set(key, window);
    }
    window.users++;
    const offset = window.start + Number(fileOffset - first * page);
    return { offset, apart: true, release: () => this.release(key) };
  }

  private open(fileOffset: bigint, bytes: number): Window {
    // Offsets are multiples of the host's page size by themselves, of a huge page's with room to move.
    const slack = this.pageSize === hostPageSize() ? 0 : this.pageSize;
    const rangeBytes = bytes + slack;
    for (const range of this.ranges) {
      const rangeStart = range.allocate(rangeBytes, hostPageSize());
      if (rangeStart === null) continue;
      const start = alignOffset(this.base, rangeStart, this.pageSize);
      try {
        mapInto(this.base, start, this.fd, fileOffset, bytes, { pageSize: this.pageSize });
      } catch (error) {
        range.release(rangeStart, rangeBytes);
        throw error;
      }
      return { users: 0, range, rangeStart, rangeBytes, start, bytes };
    }
    throw new Error(`no ${bytes} bytes of linear memory are left for it: the switch has too many rings`);
  }

  private release(key: string): void {
    const window = this.windows.get(key)!;
    if (--window.users > 0) return;
    this.windows.delete(key);
    unmap(this.base, window.start, window.bytes, { pageSize: this.pageSize });
    window.range.release(window.rangeStart, window.rangeBytes);
  }
}
