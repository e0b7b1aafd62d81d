// The host's side of the FDB (assembly/bridge/fdb.ts): its tables, and the addresses in it.

import type { ControlMemory } from "./control-memory.js";
import * as layout from "./layout.js";
import { formatMac } from "./mac.js";
import type { Struct } from "./views.js";

const BUCKET_ENTRIES = 4;

export interface FdbOptions {
  /** Addresses that are learned in all, and on one port. */
  limit: number;
  portLimit: number;
  ageingSeconds: number;
}

/** A learned address. */
export interface FdbEntry {
  /** 12 hex digits with colons. */
  mac: string;
  /** Number of its port. */
  port: number;
  /** In which second of the workers' clock it was last seen. */
  seen: number;
}

/** Fills the FDB's struct in, and makes its empty tables. */
export function createFdb(fdb: Struct<typeof layout.Fdb>, control: ControlMemory, options: FdbOptions): void {
  // Twice as many entries as may be used: then one of an address's two buckets has room.
  const buckets = powerOfTwo(Math.ceil((options.limit * 2) / BUCKET_ENTRIES));
  fdb.set("bucketMask", buckets - 1);
  fdb.set("entries", control.allocate(tableBytes(fdb)));
  fdb.set("limit", options.limit);
  fdb.set("portLimit", options.portLimit);
  fdb.set("ageing", options.ageingSeconds);
  fdb.set("portEntries", control.allocate(layout.PORTS_MAX * 4));
}

/** Learned addresses, at most so many. */
export function fdbEntries(fdb: Struct<typeof layout.Fdb>, limit: number): FdbEntry[] {
  const { u32, u64 } = fdb.views;
  const entries: FdbEntry[] = [];
  const start = fdb.get("entries");
  const end = start + tableBytes(fdb);
  for (let at = start; at < end && entries.length < limit; at += layout.FdbEntry.size) {
    // Most are free, and a half is read much faster than the whole.
    if (u32[at >>> 2] === 0 && u32[(at >>> 2) + 1] === 0) continue;
    const key = u64[at >>> 3]!;
    if (key === 0n) continue;
    entries.push({ mac: formatMac(key), port: Number(key >> 48n) - 1, seen: u32[(at + 8) >>> 2]! });
  }
  return entries;
}

function tableBytes(fdb: Struct<typeof layout.Fdb>): number {
  return (fdb.get("bucketMask") + 1) * BUCKET_ENTRIES * layout.FdbEntry.size;
}

function powerOfTwo(least: number): number {
  let size = 1;
  while (size < least) size *= 2;
  return size;
}
