// The forwarding database: which port an address was last seen behind.
//
// Buckets of four entries fill one cache line. An address has two buckets. It is put in its first one if that has room,
// so that nearly every lookup reads one line, else in its second; where both are full another address makes room by
// moving to its own other bucket. So a table at most half full (the host sees to it) has room for every address.
// An entry's address and port are one 64-bit word: workers look up and refresh without a lock; only a new or moved
// address takes one.

import { Fdb, FdbEntry } from "../abi";
import { MAC_MASK } from "../net/ethernet";

/** Returned by `lookup` for an address that is not known. */
export const UNKNOWN_PORT: u32 = 0xffff_ffff;
const ENTRIES: u32 = 4;
const BUCKET_BYTES: u32 = 64;

/**
 * The port of an address, or UNKNOWN_PORT.
 * @inline
 */
export function lookup(fdb: Fdb, address: u64): u32 {
  const entry = find(fdb, address);
  if (entry == 0) return UNKNOWN_PORT;
  const key = load<u64>(entry);
  // Address zero is nobody's: it finds an empty entry, whose port is UNKNOWN_PORT by the same arithmetic.
  // The entry may have been taken over by another address since it was found: then this one is just not known.
  return (key & MAC_MASK) == address ? <u32>(key >> 48) - 1 : UNKNOWN_PORT;
}

/**
 * Reads the cache line in which an address most likely stands, so that the waits of a whole burst overlap. What is
 * returned means nothing: the caller keeps it somewhere, lest the load be left out.
 * @inline
 */
export function touch(fdb: Fdb, address: u64): u32 {
  return load<u32>(bucket(fdb, <u32>hash(address)));
}

/**
 * Notes that `address` was a source on `port` at second `now`. Returns true when it was new there.
 * A full table, or a port that holds its share already, learns nothing new and counts it: others keep their entries.
 * @inline
 */
export function learn(fdb: Fdb, address: u64, port: u32, now: u32): bool {
  // Nearly always the address stands in its first bucket, and with this port: then no part of the key is taken apart.
  const key = keyOf(address, port);
  let entry = bucket(fdb, <u32>hash(address));
  if (load<u64>(entry) != key) {
    entry += 16;
    if (load<u64>(entry) != key) {
      entry = find(fdb, address);
      if (entry == 0 || load<u64>(entry) != key) return insert(fdb, address, port, now);
    }
  }
  // A store only when the second has changed keeps the line shared between the workers' caches.
  if (load<u32>(entry, offsetof<FdbEntry>("seen")) != now) store<u32>(entry, now, offsetof<FdbEntry>("seen"));
  return false;
}

/** Forgets what has not been seen for the ageing time; called by the host about once a second. Returns how many. */
export function age(fdb: Fdb, now: u32): u32 {
  const ageing = fdb.ageing;
  if (ageing == 0) return 0;
  let gone: u32 = 0;
  lock(fdb);
  const end: usize = fdb.entries + (fdb.bucketMask + 1) * BUCKET_BYTES;
  for (let entry: usize = fdb.entries; entry < end; entry += offsetof<FdbEntry>()) {
    if (load<u64>(entry) != 0 && now - load<u32>(entry, offsetof<FdbEntry>("seen")) > ageing) {
      remove(fdb, entry);
      ++gone;
    }
  }
  fdb.aged += gone;
  unlock(fdb);
  return gone;
}

/** Forgets what was learned on one port, or on all (UNKNOWN_PORT). Returns how many. */
export function flush(fdb: Fdb, port: u32): u32 {
  let gone: u32 = 0;
  lock(fdb);
  const end: usize = fdb.entries + (fdb.bucketMask + 1) * BUCKET_BYTES;
  for (let entry: usize = fdb.entries; entry < end; entry += offsetof<FdbEntry>()) {
    const key = load<u64>(entry);
    if (key != 0 && (port == UNKNOWN_PORT || <u32>(key >> 48) == port + 1)) {
      remove(fdb, entry);
      ++gone;
    }
  }
  unlock(fdb);
  return gone;
}

/** @inline */
function keyOf(address: u64, port: u32): u64 {
  return address | ((<u64>(port + 1)) << 48);
}

/** @inline */
function hash(address: u64): u64 {
  const mixed = address * 0x9e37_79b9_7f4a_7c15;
  return mixed ^ (mixed >> 32);
}

/** @inline */
function bucket(fdb: Fdb, number: u32): usize {
  return fdb.entries + (number & fdb.bucketMask) * BUCKET_BYTES;
}

/** @inline */
function find(fdb: Fdb, address: u64): usize {
  const mixed = hash(address);
  const first = findIn(bucket(fdb, <u32>mixed), address);
  return first != 0 ? first : findIn(bucket(fdb, <u32>(mixed >> 40)), address);
}

/**
 * The entry of an address in one bucket, or 0.
 * @inline
 */
function findIn(at: usize, address: u64): usize {
  if ((load<u64>(at) & MAC_MASK) == address) return at;
  if ((load<u64>(at, 16) & MAC_MASK) == address) return at + 16;
  if ((load<u64>(at, 32) & MAC_MASK) == address) return at + 32;
  if ((load<u64>(at, 48) & MAC_MASK) == address) return at + 48;
  return 0;
}

function insert(fdb: Fdb, address: u64, port: u32, now: u32): bool {
  lock(fdb);
  const changed = insertLocked(fdb, address, port, now);
  unlock(fdb);
  return changed;
}

function insertLocked(fdb: Fdb, address: u64, port: u32, now: u32): bool {
  const counts: usize = fdb.portEntries;
  const own = counts + (port << 2);
  const known = find(fdb, address);
  if (load<u32>(own) >= fdb.portLimit || (known == 0 && fdb.count >= fdb.limit)) {
    fdb.refused += 1;
    return false;
  }
  if (known != 0) {
    const before = <u32>(load<u64>(known) >> 48) - 1;
    if (before == port) return false; // another worker was quicker
    const other = counts + (before << 2);
    store<u32>(other, load<u32>(other) - 1);
    store<u32>(own, load<u32>(own) + 1);
    store<u32>(known, now, offsetof<FdbEntry>("seen"));
    atomic.store<u64>(known, keyOf(address, port));
    fdb.moved += 1;
    return true;
  }
  const mixed = hash(address);
  const one = bucket(fdb, <u32>mixed);
  const two = bucket(fdb, <u32>(mixed >> 40));
  let free = emptyIn(one);
  if (free == 0) free = emptyIn(two);
  if (free == 0) free = makeRoom(fdb, one);
  if (free == 0) free = makeRoom(fdb, two);
  if (free == 0) {
    fdb.refused += 1;
    return false;
  }
  store<u32>(free, now, offsetof<FdbEntry>("seen"));
  atomic.store<u64>(free, keyOf(address, port));
  store<u32>(own, load<u32>(own) + 1);
  fdb.count += 1;
  fdb.learned += 1;
  return true;
}

/** Moves an entry of a full bucket to its other one. Returns its old place, which may be overwritten, or 0. */
function makeRoom(fdb: Fdb, from: usize): usize {
  for (let i: u32 = 0; i < ENTRIES; ++i) {
    const entry = from + i * offsetof<FdbEntry>();
    const key = load<u64>(entry);
    const mixed = hash(key & MAC_MASK);
    const one = bucket(fdb, <u32>mixed);
    const free = emptyIn(one == from ? bucket(fdb, <u32>(mixed >> 40)) : one);
    if (free != 0) {
      // First the new place, then the old one is given away: who looks for it in between finds it in either.
      store<u32>(free, load<u32>(entry, offsetof<FdbEntry>("seen")), offsetof<FdbEntry>("seen"));
      atomic.store<u64>(free, key);
      return entry;
    }
  }
  return 0;
}

function emptyIn(at: usize): usize {
  for (let i: u32 = 0; i < ENTRIES; ++i) {
    const entry = at + i * offsetof<FdbEntry>();
    if (load<u64>(entry) == 0) return entry;
  }
  return 0;
}

function remove(fdb: Fdb, entry: usize): void {
  const own = fdb.portEntries + ((<u32>(load<u64>(entry) >> 48) - 1) << 2);
  store<u32>(own, load<u32>(own) - 1);
  atomic.store<u64>(entry, 0);
  fdb.count -= 1;
}

function lock(fdb: Fdb): void {
  const at = changetype<usize>(fdb) + offsetof<Fdb>("lock");
  while (atomic.cmpxchg<u32>(at, 0, 1) != 0) {}
}

function unlock(fdb: Fdb): void {
  atomic.store<u32>(changetype<usize>(fdb), 0, offsetof<Fdb>("lock"));
}
