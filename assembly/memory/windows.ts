// Guests larger than linear memory: chunks of their regions, mapped when they are needed.
//
// Each worker has a pool of windows, one chunk wide, and for each such region a table of the chunks that it has mapped.
// Nobody else uses them, so that a window is given to another chunk without asking anybody; the least recently used one
// goes first. What the burst in hand refers to stays: its frames hold up to half of the pool until the next burst, the
// receive buffers of one delivery the rest until the next delivery.
//
// Only the host reaches into a pool from outside, to empty it of a region that goes away: Worker.windowLock.

import { CHUNK_BYTES, CHUNK_SHIFT, ChunkedRegion, ChunkWindow, Region, Worker } from "../abi";
import { mapChunk } from "./env";

/**
 * A burst is about to be taken: what the one before held may go.
 * @inline
 */
export function holdForBurst(worker: Worker): void {
  const clock = worker.windowClock + 1;
  worker.windowClock = clock;
  worker.burstClock = clock;
  worker.burstWindows = 0;
}

/**
 * Receive buffers are about to be looked for: those of the delivery before may go, the burst's frames stay.
 * @inline
 */
export function holdForDelivery(worker: Worker): void {
  worker.windowClock += 1;
}

/**
 * `locate` for an address in a region that is not mapped whole: the piece found is the part of the chunk that belongs
 * to the region. False: no window can be had for it.
 */
export function locateChunk(worker: Worker, region: Region, address: u64): bool {
  const chunked = changetype<ChunkedRegion>(region.chunks);
  const skew = chunked.skew;
  const inFile = address - region.guestAddress + skew;
  const chunk = <u32>(inFile >> CHUNK_SHIFT);
  const entry = tableEntry(worker, region.chunks, chunk);
  let window = load<u32>(entry);
  if (window == 0) window = miss(worker, region.chunks, chunk);
  worker.windowMissing = 1;
  if (window == 0 || !hold(worker, windowAt(worker, (window - worker.windowPool) >> CHUNK_SHIFT))) return false;
  worker.windowMissing = 0;

  const before = chunk == 0 ? skew : 0;
  const start = ((<u64>chunk) << CHUNK_SHIFT) + before - skew; // from the region's beginning
  worker.spanStart = region.guestAddress + start;
  worker.spanLength = min<u64>(CHUNK_BYTES - before, region.size - start);
  worker.spanWindow = window + before;
  return true;
}

/**
 * The guest address of an offset in this worker's pool, for whoever has only that; it must have been located in this
 * burst.
 */
export function addressInPool(worker: Worker, offset: u32): u64 {
  const inPool = offset - worker.windowPool;
  const window = windowAt(worker, inPool >> CHUNK_SHIFT);
  const chunked = changetype<ChunkedRegion>(window.region);
  return chunked.guestAddress + ((<u64>window.chunk) << CHUNK_SHIFT) + (inPool & (CHUNK_BYTES - 1));
}

/** @inline */
function tableEntry(worker: Worker, region: usize, chunk: u32): usize {
  const tables = region + offsetof<ChunkedRegion>();
  return tables + worker.id * changetype<ChunkedRegion>(region).tableBytes + (chunk << 2);
}

/** @inline */
function windowAt(worker: Worker, number: u32): ChunkWindow {
  return changetype<ChunkWindow>(worker.windowTable + number * offsetof<ChunkWindow>());
}

/** Keeps a window for those who are in hand: the burst's frames, or a delivery's buffers. False: no more for the burst. */
function hold(worker: Worker, window: ChunkWindow): bool {
  const clock = worker.windowClock;
  if (clock == worker.burstClock && window.burst != clock) {
    if (worker.burstWindows >= worker.windowCount >> 1) return false;
    worker.burstWindows += 1;
    window.burst = clock;
  }
  window.lastUse = clock;
  return true;
}

/** Maps a chunk over the window that was used least recently. Returns its offset, or 0. */
function miss(worker: Worker, region: usize, chunk: u32): u32 {
  if (worker.windowClock == worker.burstClock && worker.burstWindows >= worker.windowCount >> 1) return 0;
  const lock = changetype<usize>(worker) + offsetof<Worker>("windowLock");
  while (atomic.cmpxchg<u32>(lock, 0, 1) != 0) {}
  let offset: u32 = 0;
  const number = leastRecentlyUsed(worker);
  if (number < worker.windowCount) {
    const window = windowAt(worker, number);
    const old: usize = window.region;
    if (old != 0) store<u32>(tableEntry(worker, old, window.chunk), 0);
    window.region = 0;
    const place = worker.windowPool + (number << CHUNK_SHIFT);
    const time = mapChunk(<u32>changetype<usize>(worker), <u32>region, chunk, place);
    if (time != 0) {
      window.region = <u32>region;
      window.chunk = chunk;
      store<u32>(tableEntry(worker, region, chunk), place);
      worker.chunkMisses += 1;
      worker.chunkMissTime += time;
      offset = place;
    }
  }
  atomic.store<u32>(lock, 0);
  return offset;
}

/** The window to give away: one that is free, else the one not used for longest; windowCount when all are held. */
function leastRecentlyUsed(worker: Worker): u32 {
  const clock = worker.windowClock;
  const burst = worker.burstClock;
  const count = worker.windowCount;
  let found = count;
  let oldest: u32 = 0;
  for (let number: u32 = 0; number < count; ++number) {
    const window = windowAt(worker, number);
    if (window.region == 0) return number;
    const age = clock - window.lastUse;
    if (age > oldest && window.burst != burst) {
      oldest = age;
      found = number;
    }
  }
  return found;
}
