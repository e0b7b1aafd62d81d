// A front-end's memory regions, mapped into windows of the linear memory and out again: whole where there is room,
// otherwise known to the chunk pools of the workers, who map what they need of it.

import type { Bridge } from "../core/bridge.js";
import type { MappedRegion } from "../core/bridge-port.js";
import * as layout from "../core/layout.js";
import {
  alignOffset,
  describeFile,
  type FileDescription,
  mapInto,
  memoryBase,
  type Seals,
  unmap,
} from "../sys/mapping.js";
import { closeFd } from "../sys/memfd.js";
import { isSystemError } from "../sys/system-error.js";
import type { RangeAllocator } from "../core/ranges.js";
import type { Fd, MemoryRegion, SharedFile } from "../vhost-user/effects.js";
import { type RingPlace, RingWindows } from "./ring-windows.js";

/** Windows start on such a boundary, so that the kernel may use huge pages for them. */
const WINDOW_ALIGN = 2 * 1024 * 1024;
const SHARE_HINT = "start QEMU with -object memory-backend-memfd,id=mem,size=…,share=on -machine memory-backend=mem";

/** The range given out by the allocator, and the part of it that is mapped. */
interface Whole {
  range: RangeAllocator;
  rangeStart: number;
  rangeBytes: number;
  mapStart: number;
  mapBytes: number;
}

interface Chunked {
  fd: Fd;
  mmapOffset: bigint;
  rings: RingWindows;
}

/** One region where it lies now. */
export interface Mapping extends MappedRegion {
  userAddress: bigint;
  /** The front-end could make the file shorter: touching the lost pages would be a SIGBUS for us. */
  shrinkable: boolean;
  pageSize: number;
  /** How it is mapped: one of the two. */
  whole?: Whole;
  chunked?: Chunked;
}

/** Maps regions on behalf of one switch. */
export class GuestMemory {
  private readonly base: bigint;

  constructor(
    memory: WebAssembly.Memory,
    private readonly bridge: Bridge,
  ) {
    this.base = memoryBase(memory);
  }

  /**
   * Maps one region, or whole or not at all. The descriptor is this function's: it is closed here, or with a region that
   * is not mapped whole. Throws an Error whose message says what is wrong with the region and what the operator can do.
   */
  map(region: MemoryRegion, fd: Fd, how?: "whole"): Mapping {
    const name = `memory region 0x${region.guestAddress.toString(16)} of ${mebibytes(region.size)}`;
    let mapping: Mapping | undefined;
    try {
      const file = checkedFile(name, region, fd);
      mapping = this.mapWhole(name, region, fd, file, [this.bridge.windows]) ?? undefined;
      if (mapping === undefined && how === "whole") {
        throw new Error(
          `${name} does not fit: ${this.roomLeft()}, and memory whose pages come late can not be mapped in chunks: ` +
            "migrate without postcopy, or to a switch with less guest memory",
        );
      }
      mapping ??= this.addChunked(name, region, fd, file);
      return mapping;
    } finally {
      if (mapping?.chunked === undefined) closeFd(fd);
    }
  }

  /** Maps a file that is no part of the guest's memory, as the dirty log: shared and mapped likewise, and always whole. */
  mapFile({ fd, size, offset }: SharedFile, what: string): Mapping {
    const name = `${what} of ${size} bytes`;
    const { windows, ringWindows } = this.bridge;
    const region = { guestAddress: 0n, size, userAddress: 0n, mmapOffset: offset };
    try {
      const mapping = this.mapWhole(name, region, fd, checkedFile(name, region, fd), [windows, ringWindows]);
      if (mapping === null) throw new Error(`${name} does not fit: ${this.roomLeft()}`);
      return mapping;
    } finally {
      closeFd(fd);
    }
  }

  /** Takes a mapping away. It is on no list, a grace period has passed, and no ring lies there. */
  async unmap(mapping: Mapping): Promise<void> {
    const { whole, chunked, pageSize } = mapping;
    if (whole !== undefined) {
      unmap(this.base, whole.mapStart, whole.mapBytes, { pageSize });
      whole.range.release(whole.rangeStart, whole.rangeBytes);
    }
    if (chunked !== undefined) {
      await this.bridge.chunks.remove(mapping.chunks!, (offset) => unmap(this.base, offset, layout.CHUNK_BYTES));
      closeFd(chunked.fd);
    }
  }

  /**
   * Where a part of a ring lies in linear memory, to be released when the ring has stopped; null when it is not in one
   * of these regions. Throws an Error when there is no room.
   */
  placeRing(mappings: readonly Mapping[], guestAddress: bigint, bytes: number): RingPlace | null {
    for (const { guestAddress: begin, size, window, chunked } of mappings) {
      const start = guestAddress - begin;
      if (start < 0n || start + BigInt(bytes) > size) continue;
      if (chunked !== undefined) return chunked.rings.map(chunked.mmapOffset + start, bytes);
      return { offset: window + Number(start), apart: false, release: () => {} };
    }
    return null;
  }

  /** Null: there is no room. */
  private mapWhole(
    name: string,
    region: MemoryRegion,
    fd: Fd,
    { blockSize: pageSize, seals }: FileDescription,
    ranges: readonly RangeAllocator[],
  ): Mapping | null {
    const inPage = Number(region.mmapOffset % BigInt(pageSize));
    const mapBytes = Math.ceil((Number(region.size) + inPage) / pageSize) * pageSize;
    const align = Math.max(WINDOW_ALIGN, pageSize);
    const rangeBytes = mapBytes + align;
    for (const range of ranges) {
      const rangeStart = range.allocate(rangeBytes, 4096);
      if (rangeStart === null) continue;
      const mapStart = alignOffset(this.base, rangeStart, align);
      try {
        mapInto(this.base, mapStart, fd, region.mmapOffset - BigInt(inPage), mapBytes, { pageSize });
      } catch (error) {
        range.release(rangeStart, rangeBytes);
        throw notMapped(name, error);
      }
      const whole = { range, rangeStart, rangeBytes, mapStart, mapBytes };
      return { ...described(region, pageSize, seals), window: mapStart + inPage, whole };
    }
    return null;
  }

  private addChunked(
    name: string,
    region: MemoryRegion,
    fd: Fd,
    { blockSize: pageSize, seals }: FileDescription,
  ): Mapping {
    const { windows, ringWindows, chunks } = this.bridge;
    if (pageSize > layout.CHUNK_BYTES) {
      throw new Error(
        `${name} does not fit: ${this.roomLeft()}, and pages of ${mebibytes(pageSize)} cannot be mapped in chunks of ` +
          `${mebibytes(layout.CHUNK_BYTES)}: use smaller pages, or give the guest less memory`,
      );
    }
    const rings = new RingWindows(this.base, [ringWindows, windows], fd, pageSize);
    try {
      // What is wrong with the file shall be known now, not when the first frame comes.
      rings.map(region.mmapOffset, 1).release();
    } catch (error) {
      throw notMapped(name, error);
    }
    const page = BigInt(pageSize);
    const inPage = region.mmapOffset % page;
    const file = {
      fd,
      fileOffset: region.mmapOffset - inPage,
      bytes: ((region.size + inPage + page - 1n) / page) * page,
      skew: Number(inPage),
      guestAddress: region.guestAddress,
    };
    const chunked = { fd, mmapOffset: region.mmapOffset, rings };
    return { ...described(region, pageSize, seals), window: 0, chunks: chunks.add(file), chunked };
  }

  private roomLeft(): string {
    const { totalBytes, usedBytes } = this.bridge.windows;
    return `of the ${mebibytes(totalBytes)} for memory that is mapped whole ${mebibytes(totalBytes - usedBytes)} are left`;
  }
}

/** What the file is, when the region may be mapped from it. */
function checkedFile(name: string, region: MemoryRegion, fd: Fd): FileDescription {
  const file = describeFile(fd);
  if (file.kind !== "regular")
    throw new Error(`${name}: its descriptor is no memory file (${file.kind}): ${SHARE_HINT}`);
  if (file.readOnly) throw new Error(`${name}: its file is open for reading only: ${SHARE_HINT}`);
  const end = region.mmapOffset + region.size;
  if (file.size < end) {
    throw new Error(
      `${name}: its file has ${file.size} bytes, the region reaches to ${end}: touching it would be a SIGBUS`,
    );
  }
  return file;
}

function described({ guestAddress, size, userAddress }: MemoryRegion, pageSize: number, seals: Seals | null) {
  return { guestAddress, size, userAddress, shrinkable: !(seals?.shrink ?? false), pageSize };
}

function notMapped(name: string, error: unknown): Error {
  const hint = isSystemError(error, "ENOMEM") ? "no huge pages are left, or vm.max_map_count is reached" : SHARE_HINT;
  return new Error(`${name} cannot be mapped: ${(error as Error).message}: ${hint}`);
}

function mebibytes(bytes: number | bigint): string {
  const value = Number(bytes) / (1024 * 1024);
  return `${value < 10 ? value.toFixed(1) : Math.round(value)} MiB`;
}
