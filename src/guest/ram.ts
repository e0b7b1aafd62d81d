// The RAM of a simulated guest: a memory file, mapped into this process's own linear memory for the driver and handed
// to the back-end as one or two regions. A place in it has three addresses, and none of them equals another, so that
// whoever mixes them up finds out.

import { alignOffset, hostPageSize, mapInto, memoryBase, unmap } from "../sys/mapping.js";
import { closeFd, createMemfd } from "../sys/memfd.js";
import type { Fd, MemoryRegion } from "../vhost-user/effects.js";

const HUGE_PAGE = 2 * 1024 * 1024;
/** Where the guest and the front-end see the regions: RAM below and above the PCI hole, as on a PC. */
const GUEST_ADDRESSES = [0x1_0000_0000n, 0x10_0000n];
const USER_ADDRESSES = [0x7f40_0000_0000n, 0x7f80_4000_0000n];

export interface GuestRamOptions {
  memory: WebAssembly.Memory;
  /** Offset in linear memory from which on `guestRamBytes` are free. */
  window: number;
  /** Bytes of RAM, rounded up to whole pages for each region. */
  bytes: number;
  regions?: 1 | 2;
  /** 2 MiB pages; they must be reserved (vm.nr_hugepages). */
  hugePages?: boolean;
}

/** A piece of RAM: its offset in this process's linear memory, its addresses for the device and for the messages. */
export interface RamPlace {
  offset: number;
  guestAddress: bigint;
  userAddress: bigint;
}

/** Bytes of linear memory that RAM takes at most, its alignment included. */
export function guestRamBytes({
  bytes,
  regions = 1,
  hugePages,
}: Pick<GuestRamOptions, "bytes" | "regions" | "hugePages">) {
  const page = hugePages ? HUGE_PAGE : hostPageSize();
  return Math.ceil(bytes / page) * page + (regions + 1) * page;
}

export class GuestRam {
  readonly fd: Fd;
  readonly regions: MemoryRegion[] = [];
  private readonly base: bigint;
  private readonly start: number;
  private readonly bytes: number;
  private readonly pageSize: number;
  /** First free byte of each region, from the start of the file. */
  private readonly heaps: number[] = [];

  /** Throws a SystemError when the machine has not as much memory, or no huge pages are left. */
  constructor(options: GuestRamOptions) {
    const { memory, window, regions = 1, hugePages = false } = options;
    const count = regions;
    this.pageSize = hugePages ? HUGE_PAGE : hostPageSize();
    const regionBytes = Math.ceil(options.bytes / count / this.pageSize) * this.pageSize;
    this.bytes = regionBytes * count;
    this.base = memoryBase(memory);
    this.start = alignOffset(this.base, window, this.pageSize);
    if (this.start + this.bytes > memory.buffer.byteLength) {
      throw new RangeError(`${this.bytes} bytes of guest RAM do not fit the linear memory behind ${window}`);
    }
    this.fd = createMemfd("guest-ram", this.bytes, { seals: true, hugePages });
    try {
      mapInto(this.base, this.start, this.fd, 0, this.bytes, { pageSize: this.pageSize });
    } catch (error) {
      closeFd(this.fd);
      throw error;
    }
    for (let i = 0; i < count; i++) {
      this.heaps.push(i * regionBytes);
      this.regions.push({
        guestAddress: GUEST_ADDRESSES[i]!,
        size: BigInt(regionBytes),
        userAddress: USER_ADDRESSES[i]!,
        mmapOffset: BigInt(i * regionBytes),
      });
    }
  }

  /** A free piece of one region. Throws when there is none of that size. */
  allocate(bytes: number, align: number, region = 0): RamPlace {
    const { guestAddress, userAddress, mmapOffset, size } = this.regions[region]!;
    const at = Math.ceil(this.heaps[region]! / align) * align;
    if (at + bytes > Number(mmapOffset + size)) throw new Error(`guest RAM is used up: ${bytes} more bytes are needed`);
    this.heaps[region] = at + bytes;
    const inside = BigInt(at) - mmapOffset;
    return {
      offset: this.start + at,
      guestAddress: guestAddress + inside,
      userAddress: userAddress + inside,
    };
  }

  /** Gives the memory back. Nothing may use the places any more. */
  close(): void {
    unmap(this.base, this.start, this.bytes, { pageSize: this.pageSize });
    closeFd(this.fd);
  }
}
