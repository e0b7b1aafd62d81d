// RAM much larger than what its guest uses of it: a sparse memory file in one region, of which the guest's own process
// maps slices that lie all over it. What is allocated one after the other comes from one slice after the other.

import { alignOffset, hostPageSize, mapInto, memoryBase } from "../../../src/sys/mapping.js";
import { closeFd, createMemfd } from "../../../src/sys/memfd.js";
import type { Fd, MemoryRegion } from "../../../src/vhost-user/effects.js";
import { type GuestFile, HUGE_PAGE } from "../../../src/guest/ram-file.js";

const CHUNK = 2 * 1024 * 1024;
const PAGE = 4096;
const SLICE = 4 * PAGE;

export interface ScatteredRamOptions {
  /** Offset in this process's linear memory from which on there is room. */
  window: number;
  guestAddress: bigint;
  /** Bytes of the region: more than slices * 4 MiB. */
  bytes: number;
  slices: number;
  /** Where in the file the region begins: a multiple of 4096. */
  mmapOffset?: number;
  seed?: number;
  /** Of 2 MiB: a slice takes up to two of them. */
  hugePages?: boolean;
}

export class ScatteredRam implements GuestFile {
  readonly fd: Fd;
  readonly region: MemoryRegion;
  readonly windowEnd: number;
  /** Each slice: place in the region, offset in linear memory, bytes of it that are taken. */
  private readonly slices: { place: number; offset: number; used: number }[] = [];
  private next = 0;

  constructor(memory: WebAssembly.Memory, options: ScatteredRamOptions) {
    const { window, guestAddress, bytes, slices, mmapOffset = 0, seed = 1, hugePages = false } = options;
    this.fd = createMemfd("scattered-guest", mmapOffset + bytes, { seals: true, hugePages });
    const pageSize = hugePages ? HUGE_PAGE : hostPageSize();
    const base = memoryBase(memory);
    const stride = Math.floor(bytes / slices / CHUNK) * CHUNK;
    let at = alignOffset(base, window, pageSize);
    let random = seed;
    for (let i = 0; i < slices; i++) {
      random = (random * 1_103_515_245 + 12_345) % 2 ** 31;
      // Over a chunk's end, so that the first thing in a slice lies in two chunks; and one at either end of the region.
      const chunk = 1 + (random % (stride / CHUNK - 1));
      let place = i * stride + chunk * CHUNK - PAGE - (mmapOffset % CHUNK);
      let used = PAGE - 512;
      if (i === 0) [place, used] = [0, 0];
      if (i === slices - 1) [place, used] = [bytes - SLICE, SLICE - PAGE];
      const inPage = (mmapOffset + place) % pageSize;
      const mapped = Math.ceil((inPage + SLICE) / pageSize) * pageSize;
      mapInto(base, at, this.fd, mmapOffset + place - inPage, mapped, { pageSize });
      this.slices.push({ place, offset: at + inPage, used });
      at += mapped;
    }
    this.windowEnd = at;
    const userAddress = 0x7f00_0000_0000n + guestAddress;
    this.region = { guestAddress, size: BigInt(bytes), userAddress, mmapOffset: BigInt(mmapOffset) };
  }

  allocate(bytes: number, align: number): bigint {
    for (let tries = 0; tries < this.slices.length; tries++) {
      const slice = this.slices[this.next++ % this.slices.length]!;
      const start = Math.ceil(slice.used / align) * align;
      if (start + bytes > SLICE) continue;
      slice.used = start + bytes;
      return this.region.guestAddress + BigInt(slice.place + start);
    }
    throw new Error(`no slice has ${bytes} bytes left`);
  }

  at(address: bigint): number | undefined {
    const place = Number(address - this.region.guestAddress);
    const slice = this.slices.find((slice) => place >= slice.place && place < slice.place + SLICE);
    return slice && slice.offset + place - slice.place;
  }

  userAddress(address: bigint): bigint {
    return address - this.region.guestAddress + this.region.userAddress;
  }

  close(): void {
    closeFd(this.fd);
  }
}
