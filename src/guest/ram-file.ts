// Guest memory for hand-driven guests: one memory file of this process, in one region whose addresses a test chooses.

import { alignOffset, hostPageSize, mapInto, memoryBase } from "../sys/mapping.js";
import { closeFd, createMemfd } from "../sys/memfd.js";
import type { Fd, MemoryRegion } from "../vhost-user/effects.js";

export const HUGE_PAGE = 2 * 1024 * 1024;

export interface RamFileOptions {
  /** Offset in this process's linear memory from which on there is room. */
  window: number;
  guestAddress: bigint;
  /** Bytes of the region. */
  bytes: number;
  /** Where in the file the region begins; any number of bytes. */
  mmapOffset?: number;
  hugePages?: boolean;
  seals?: boolean;
}

/** A guest's memory file in one region, as the guest sees it. */
export interface GuestFile {
  readonly fd: Fd;
  readonly region: MemoryRegion;
  /** One past the last byte taken of this process's linear memory. */
  readonly windowEnd: number;
  /** Guest address of a free piece. */
  allocate(bytes: number, align: number): bigint;
  /** Offset in linear memory, or undefined when the address is not of this region, or not mapped here. */
  at(address: bigint): number | undefined;
  /** Guest address to front-end address. */
  userAddress(address: bigint): bigint;
  close(): void;
}

export class RamFile implements GuestFile {
  readonly fd: Fd;
  readonly region: MemoryRegion;
  /** One past the last byte taken from the window. */
  readonly windowEnd: number;
  private readonly start: number;
  private heap = 0;

  constructor(memory: WebAssembly.Memory, options: RamFileOptions) {
    const { window, guestAddress, bytes, mmapOffset = 0, hugePages = false, seals = true } = options;
    const pageSize = hugePages ? HUGE_PAGE : hostPageSize();
    const fileBytes = Math.ceil((mmapOffset + bytes) / pageSize) * pageSize;
    const base = memoryBase(memory);
    const at = alignOffset(base, window, pageSize);
    this.windowEnd = at + fileBytes;
    this.fd = createMemfd("hand-guest", fileBytes, { seals, hugePages });
    mapInto(base, at, this.fd, 0, fileBytes, { pageSize });
    this.start = at + mmapOffset;
    // No address equals another, so that whoever mixes them up finds out.
    const userAddress = 0x7f00_0000_0000n + guestAddress;
    this.region = { guestAddress, size: BigInt(bytes), userAddress, mmapOffset: BigInt(mmapOffset) };
  }

  /** Guest address of a free piece. The region's addresses and its place in the file have to be aligned for it. */
  allocate(bytes: number, align: number): bigint {
    const at = Math.ceil(this.heap / align) * align;
    if (at + bytes > Number(this.region.size)) throw new Error(`${bytes} more bytes do not fit this memory`);
    this.heap = at + bytes;
    return this.region.guestAddress + BigInt(at);
  }

  /** Offset in linear memory, or undefined when the address is not of this region. */
  at(address: bigint): number | undefined {
    const { guestAddress, size } = this.region;
    if (address < guestAddress || address >= guestAddress + size) return undefined;
    return this.start + Number(address - guestAddress);
  }

  /** Guest address to front-end address. */
  userAddress(address: bigint): bigint {
    return address - this.region.guestAddress + this.region.userAddress;
  }

  /** The file; the mapping goes with the linear memory. */
  close(): void {
    closeFd(this.fd);
  }
}
