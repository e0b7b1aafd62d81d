// The front-end's memory regions, as numbers only: which tables of regions are acceptable, and where a ring lies in
// them. Nothing is mapped here.

import { ringParts } from "../core/ring-parts.js";
import type { MemoryRegion } from "./effects.js";

const ADDRESS_SPACE = 1n << 64n;
/** A file offset is a signed 64-bit number (off_t). */
const FILE_OFFSETS = 1n << 63n;

/** The three parts of a ring at the front-end's own addresses (UVA), as SET_VRING_ADDR gives them. */
export interface RingAddresses {
  desc: bigint;
  avail: bigint;
  used: bigint;
}

/** Why this region can not be added to those, or undefined when it can (M21, M23). */
export function regionProblem(region: MemoryRegion, others: readonly MemoryRegion[]): string | undefined {
  const { guestAddress, size, userAddress, mmapOffset } = region;
  const at = `the memory region at guest address ${hex(guestAddress)}`;
  if (size === 0n) return `${at} is empty`;
  if (guestAddress + size > ADDRESS_SPACE) return `${at} wraps around the guest's address space (size ${hex(size)})`;
  if (userAddress + size > ADDRESS_SPACE) {
    return `${at} wraps around the front-end's address space (address ${hex(userAddress)}, size ${hex(size)})`;
  }
  if (mmapOffset + size > FILE_OFFSETS) {
    return `${at} ends past any file (offset ${hex(mmapOffset)}, size ${hex(size)})`;
  }
  for (const other of others) {
    if (overlap(guestAddress, size, other.guestAddress, other.size)) {
      return `${at} overlaps the one at ${hex(other.guestAddress)} in guest addresses`;
    }
    if (overlap(userAddress, size, other.userAddress, other.size)) {
      return `${at} overlaps the one at ${hex(other.guestAddress)} in front-end addresses (${hex(userAddress)})`;
    }
  }
  return undefined;
}

/** Why these regions can not be the front-end's memory, or undefined when they can. */
export function tableProblem(regions: readonly MemoryRegion[]): string | undefined {
  for (const [i, region] of regions.entries()) {
    const problem = regionProblem(region, regions.slice(0, i));
    if (problem !== undefined) return problem;
  }
  return undefined;
}

/** REM_MEM_REG names a region by all but its file offset. */
export function sameRegion(a: MemoryRegion, b: MemoryRegion): boolean {
  return a.guestAddress === b.guestAddress && a.userAddress === b.userAddress && a.size === b.size;
}

/** The guest physical addresses of a ring, or why it may not be used. */
export type ResolvedRing = { ok: true; desc: bigint; avail: bigint; used: bigint } | { ok: false; reason: string };

/**
 * Find a ring of `size` entries in guest memory. Each part must lie whole in one region, be aligned (virtio 1.3 sections
 * 2.7 and 2.8) and apart from the others (M44). The lengths count a split ring's event index fields even when they are
 * not negotiated, as every driver lays them out.
 */
export function resolveRing(
  addresses: RingAddresses,
  size: number,
  packed: boolean,
  regions: readonly MemoryRegion[],
): ResolvedRing {
  const found: { name: string; at: bigint; length: bigint }[] = [];
  for (const part of ringParts(size, packed)) {
    const userAddress = addresses[part.key];
    const length = BigInt(part.bytes);
    const region = regions.find((r) => contains(r, userAddress, length));
    if (region === undefined) {
      return refused(`its ${part.name} (${part.bytes} bytes at ${hex(userAddress)}) lies in no memory region`);
    }
    const offset = userAddress - region.userAddress;
    const at = region.guestAddress + offset;
    // The file offset decides the alignment in our mapping, the guest address that in the guest's.
    const align = BigInt(part.align);
    if (at % align !== 0n || (region.mmapOffset + offset) % align !== 0n) {
      return refused(`its ${part.name} at ${hex(userAddress)} is not aligned to ${part.align} bytes`);
    }
    const other = found.find((f) => overlap(at, length, f.at, f.length));
    if (other !== undefined) return refused(`its ${part.name} overlaps its ${other.name}`);
    found.push({ name: part.name, at, length });
  }
  const [desc, avail, used] = found.map((f) => f.at);
  return { ok: true, desc: desc!, avail: avail!, used: used! };
}

function refused(reason: string): ResolvedRing {
  return { ok: false, reason };
}

/** Whether any part of a resolved ring of `size` descriptors lies in the region. */
export function ringTouches(ring: { desc: bigint; avail: bigint; used: bigint }, region: MemoryRegion): boolean {
  return [ring.desc, ring.avail, ring.used].some((at) => overlap(at, 1n, region.guestAddress, region.size));
}

function contains(region: MemoryRegion, userAddress: bigint, length: bigint): boolean {
  return userAddress >= region.userAddress && userAddress + length <= region.userAddress + region.size;
}

function overlap(a: bigint, aSize: bigint, b: bigint, bSize: bigint): boolean {
  return a < b + bSize && b < a + aSize;
}

function hex(value: bigint): string {
  return `0x${value.toString(16)}`;
}
