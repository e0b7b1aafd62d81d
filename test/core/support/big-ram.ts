// Memory of a test guest that is never mapped whole: a sparse file, read and written by descriptor, of which the switch
// maps chunks as it needs them.

import { readSync, writeSync } from "node:fs";
import * as layout from "../../../src/core/layout.js";
import { closeFd, createMemfd } from "../../../src/sys/memfd.js";
import type { TestGuest, TestSwitch } from "./bench-guest.js";

export const CHUNK = layout.CHUNK_BYTES;
const PAGE = 4096;

export interface BigRamOptions {
  bytes?: number;
  /** Guest physical address of its first byte. */
  base?: bigint;
  /** Bytes of its first page, and of its first chunk, that lie before the region. */
  skew?: number;
}

export class BigRam {
  /** Guest addresses of its first byte, and of the byte behind its last. */
  readonly base: bigint;
  readonly end: bigint;
  readonly fd: number;
  readonly chunks: number;
  private readonly skew: number;

  /** Gives the guest this memory besides what it has. */
  static async add(guest: TestGuest, options: BigRamOptions = {}): Promise<BigRam> {
    const ram = new BigRam(guest.sw, options);
    const region = { guestAddress: ram.base, size: ram.end - ram.base, window: 0, chunks: ram.chunks };
    await guest.sw.bridge.setRegions(guest.port, [...guest.regions, region]);
    return ram;
  }

  private constructor(sw: TestSwitch, { bytes = 2 ** 33, base = 0x100_0000_0000n, skew = 0 }: BigRamOptions) {
    this.base = base;
    this.skew = skew;
    this.end = this.base + BigInt(bytes);
    const fileBytes = Math.ceil((bytes + skew) / PAGE) * PAGE;
    this.fd = createMemfd("big-ram", fileBytes);
    const file = { fd: this.fd, fileOffset: 0n, bytes: BigInt(fileBytes), skew, guestAddress: this.base };
    this.chunks = sw.bridge.chunks.add(file);
  }

  /** The guest address at which a chunk begins. */
  chunk(number: number): bigint {
    return this.base - BigInt(this.skew) + BigInt(number * CHUNK);
  }

  write(address: bigint, bytes: Uint8Array): void {
    writeSync(this.fd, bytes, 0, bytes.length, Number(address - this.base) + this.skew);
  }

  read(address: bigint, length: number): Uint8Array {
    const bytes = new Uint8Array(length);
    readSync(this.fd, bytes, 0, length, Number(address - this.base) + this.skew);
    return bytes;
  }

  close(): void {
    closeFd(this.fd);
  }
}
