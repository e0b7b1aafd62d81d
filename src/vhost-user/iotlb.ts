// The device IOTLB (VIRTIO_F_ACCESS_PLATFORM): what a guest's driver calls addresses are I/O virtual ones (IOVA), and
// only the front-end can say what memory they stand for. This file keeps what it has said; nothing is changed in place.

import { VIRTIO_F_ACCESS_PLATFORM } from "../../assembly/spec/virtio.js";
import { hasBit } from "../core/feature-bits.js";
import type { MemoryRegion, Translation } from "./effects.js";
import { PROTOCOL_F_BACKEND_REQ } from "./features.js";

/** vhost_iotlb_msg: its `type`, and the bits of its `perm`. */
export const IOTLB_MISS = 1;
export const IOTLB_UPDATE = 2;
export const IOTLB_INVALIDATE = 3;
export const IOTLB_READ = 1;
export const IOTLB_WRITE = 2;

/** Entries kept for one front-end; side by side in both address spaces they become one. */
export const IOTLB_ENTRIES_MAX = 2048;

const ADDRESS_SPACE = 1n << 64n;

interface Entry extends Translation {
  /** Iotlb.clock when it came: the oldest goes first. */
  readonly age: number;
}

export interface Iotlb {
  /** Ascending by iova, none overlaps another. */
  readonly entries: readonly Entry[];
  readonly clock: number;
}

export const EMPTY_IOTLB: Iotlb = { entries: [], clock: 0 };

/**
 * Whether addresses are to be translated. A front-end without BACKEND_REQ can not be asked for a translation, so its
 * addresses are plain ones whatever features it has acked.
 */
export function usesIotlb(state: { features: bigint | null; protocolFeatures: bigint }): boolean {
  return (
    hasBit(state.features ?? 0n, VIRTIO_F_ACCESS_PLATFORM) && hasBit(state.protocolFeatures, PROTOCOL_F_BACKEND_REQ)
  );
}

/** Why this is no translation into those regions, or undefined when it is (M51). */
export function translationProblem(entry: Translation, regions: readonly MemoryRegion[]): string | undefined {
  const { iova, size, userAddress, permission } = entry;
  const at = `the translation of 0x${iova.toString(16)}`;
  if (size === 0n) return `${at} is empty`;
  if (iova + size > ADDRESS_SPACE || userAddress + size > ADDRESS_SPACE) return `${at} wraps around the address space`;
  if (permission < 1 || permission > (IOTLB_READ | IOTLB_WRITE)) return `${at} has access rights ${permission}`;
  if (!inOneRegion(userAddress, size, regions)) {
    return `${at} leads to 0x${userAddress.toString(16)}, which is in no memory region for ${size} bytes`;
  }
  return undefined;
}

/**
 * Adds a translation in place of what is known of its range. With more than IOTLB_ENTRIES_MAX the oldest ones go that
 * `spared` does not hold for, if there are such.
 */
export function withTranslation(
  iotlb: Iotlb,
  added: Translation,
  regions: readonly MemoryRegion[],
  spared: (entry: Translation) => boolean,
): Iotlb {
  const { entries } = withoutRange(iotlb, added.iova, added.size, spared);
  const at = firstEndingAfter(entries, added.iova);
  const clock = iotlb.clock + 1;
  let entry: Entry = { ...added, age: clock };
  let [from, to] = [at, at];
  const before = entries[at - 1];
  if (before !== undefined && continues(before, entry, regions)) {
    entry = { ...entry, iova: before.iova, userAddress: before.userAddress, size: before.size + entry.size };
    from--;
  }
  const after = entries[at];
  if (after !== undefined && continues(entry, after, regions)) {
    entry = { ...entry, size: entry.size + after.size };
    to++;
  }
  return bounded({ entries: [...entries.slice(0, from), entry, ...entries.slice(to)], clock }, spared);
}

/** Forgets a range, which may cut entries in two. The same object when nothing of it was known. */
export function withoutRange(
  iotlb: Iotlb,
  iova: bigint,
  size: bigint,
  spared: (entry: Translation) => boolean = () => false,
): Iotlb {
  const { entries, clock } = iotlb;
  const end = iova + size;
  const from = firstEndingAfter(entries, iova);
  const rest: Entry[] = [];
  let to = from;
  for (let entry = entries[to]; entry !== undefined && entry.iova < end; entry = entries[++to]) {
    const last = entry.iova + entry.size;
    if (entry.iova < iova) rest.push({ ...entry, size: iova - entry.iova });
    if (last > end) {
      rest.push({ ...entry, iova: end, size: last - end, userAddress: entry.userAddress + (end - entry.iova) });
    }
  }
  if (to === from) return iotlb;
  return bounded({ entries: [...entries.slice(0, from), ...rest, ...entries.slice(to)], clock }, spared);
}

/** Forgets all that leads into a memory region. */
export function withoutRegion(iotlb: Iotlb, { userAddress, size }: MemoryRegion): Iotlb {
  const outside = (entry: Entry) => entry.userAddress < userAddress || entry.userAddress >= userAddress + size;
  return { ...iotlb, entries: iotlb.entries.filter(outside) };
}

/** Where a range of I/O virtual addresses lies in the front-end: in one piece, in several, or not known from `iova` on. */
export type Found = { kind: "found"; userAddress: bigint } | { kind: "missing"; iova: bigint } | { kind: "scattered" };

/** See Found. `permission` is what must be allowed for all of it. */
export function lookUp(entries: readonly Translation[], iova: bigint, size: bigint, permission: number): Found {
  let userAddress: bigint | undefined;
  if (iova + size > ADDRESS_SPACE) return { kind: "scattered" };
  let number = firstEndingAfter(entries, iova);
  for (let at = iova; at < iova + size; number++) {
    const entry = entries[number];
    if (entry === undefined || entry.iova > at || (entry.permission & permission) !== permission) {
      return { kind: "missing", iova: at };
    }
    const here = entry.userAddress + (at - entry.iova);
    userAddress ??= here;
    if (here !== userAddress + (at - iova)) return { kind: "scattered" };
    at = entry.iova + entry.size;
  }
  return { kind: "found", userAddress: userAddress ?? 0n };
}

/** The number of the first entry that does not end at or before the address. */
function firstEndingAfter(entries: readonly Translation[], iova: bigint): number {
  let [low, high] = [0, entries.length];
  while (low < high) {
    const middle = (low + high) >>> 1;
    const { iova: begin, size } = entries[middle]!;
    if (begin + size > iova) high = middle;
    else low = middle + 1;
  }
  return low;
}

/** Whether the second entry goes on where the first one ends, within one region: what is mapped apart stays apart. */
function continues(first: Entry, second: Entry, regions: readonly MemoryRegion[]): boolean {
  return (
    first.iova + first.size === second.iova &&
    first.userAddress + first.size === second.userAddress &&
    first.permission === second.permission &&
    inOneRegion(first.userAddress, first.size + second.size, regions)
  );
}

function inOneRegion(userAddress: bigint, size: bigint, regions: readonly MemoryRegion[]): boolean {
  return regions.some((r) => userAddress >= r.userAddress && userAddress + size <= r.userAddress + r.size);
}

function bounded(iotlb: Iotlb, spared: (entry: Translation) => boolean): Iotlb {
  let { entries } = iotlb;
  while (entries.length > IOTLB_ENTRIES_MAX) {
    const loose = entries.filter((entry) => !spared(entry));
    const oldest = (loose.length > 0 ? loose : entries).reduce((a, b) => (b.age < a.age ? b : a));
    entries = entries.filter((entry) => entry !== oldest);
  }
  return { ...iotlb, entries };
}
