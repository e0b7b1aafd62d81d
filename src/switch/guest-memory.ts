// A front-end's memory regions, mapped into windows of the linear memory and out again.

import type { MappedRegion } from "../core/bridge-port.js";
import type { RangeAllocator } from "../core/ranges.js";
import { alignOffset, describeFile, mapInto, memoryBase, unmap } from "../sys/mapping.js";
import { closeFd } from "../sys/memfd.js";
import { isSystemError } from "../sys/system-error.js";
import type { DirtyLog, Fd, MemoryRegion } from "../vhost-user/effects.js";

/** Windows start on such a boundary, so that the kernel may use huge pages for them. */
const WINDOW_ALIGN = 2 * 1024 * 1024;
const SHARE_HINT = "start QEMU with -object memory-backend-memfd,id=mem,size=…,share=on -machine memory-backend=mem";

/** One region where it lies now. */
export interface Mapping extends MappedRegion {
  userAddress: bigint;
  /** The front-end could make the file shorter: touching the lost pages would be a SIGBUS for us. */
  shrinkable: boolean;
  /** The range given out by the allocator, and the part of it that is mapped. */
  rangeStart: number;
  rangeBytes: number;
  mapStart: number;
  mapBytes: number;
  pageSize: number;
}

/** Maps regions on behalf of one switch. */
export class GuestMemory {
  private readonly base: bigint;

  constructor(
    memory: WebAssembly.Memory,
    private readonly windows: RangeAllocator,
  ) {
    this.base = memoryBase(memory);
  }

  /**
   * Maps one region. The descriptor is closed in any case: the mapping does not need it.
   * Throws an Error whose message says what is wrong with the region and what the operator can do.
   */
  map(region: MemoryRegion, fd: Fd): Mapping {
    try {
      return this.mapOpen(region, fd, `memory region ${hex(region.guestAddress)} of ${mebibytes(region.size)}`);
    } finally {
      closeFd(fd);
    }
  }

  /** Maps a dirty log: no part of the guest's memory, but shared and mapped in the same way. */
  mapLog({ fd, size, offset }: DirtyLog): Mapping {
    const region = { guestAddress: 0n, size, userAddress: 0n, mmapOffset: offset };
    try {
      return this.mapOpen(region, fd, `the dirty log of ${size} bytes`);
    } finally {
      closeFd(fd);
    }
  }

  /** Takes a mapping away. Nothing may use the window any more. */
  unmap(mapping: Mapping): void {
    unmap(this.base, mapping.mapStart, mapping.mapBytes, { pageSize: mapping.pageSize });
    this.windows.release(mapping.rangeStart, mapping.rangeBytes);
  }

  private mapOpen(region: MemoryRegion, fd: Fd, name: string): Mapping {
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
    const pageSize = file.blockSize;
    const inPage = Number(region.mmapOffset % BigInt(pageSize));
    const mapBytes = Math.ceil((Number(region.size) + inPage) / pageSize) * pageSize;
    const align = Math.max(WINDOW_ALIGN, pageSize);
    const rangeBytes = mapBytes + align;
    const rangeStart = this.windows.allocate(rangeBytes, 4096);
    if (rangeStart === null) {
      throw new Error(
        `${name} does not fit: the guests' memories share ${mebibytes(this.windows.totalBytes)}, ` +
          `${mebibytes(this.windows.usedBytes)} of which are taken: give the guests less memory`,
      );
    }
    const mapStart = alignOffset(this.base, rangeStart, align);
    try {
      mapInto(this.base, mapStart, fd, region.mmapOffset - BigInt(inPage), mapBytes, { pageSize });
    } catch (error) {
      this.windows.release(rangeStart, rangeBytes);
      const hint = isSystemError(error, "ENOMEM")
        ? "no huge pages are left, or vm.max_map_count is reached"
        : SHARE_HINT;
      throw new Error(`${name} cannot be mapped: ${(error as Error).message}: ${hint}`);
    }
    return {
      guestAddress: region.guestAddress,
      size: region.size,
      userAddress: region.userAddress,
      window: mapStart + inPage,
      shrinkable: !(file.seals?.shrink ?? false),
      rangeStart,
      rangeBytes,
      mapStart,
      mapBytes,
      pageSize,
    };
  }
}

function hex(value: bigint): string {
  return `0x${value.toString(16)}`;
}

function mebibytes(bytes: number | bigint): string {
  const value = Number(bytes) / (1024 * 1024);
  return `${value < 10 ? value.toFixed(1) : Math.round(value)} MiB`;
}
