// The only place where an address that a guest wrote is believed.
//
// A guest names its memory by guest physical address. The port's region list says which of them are mapped, and where
// in linear memory. What leaves here are offsets that are safe for the length given: everything behind this file
// works with offsets and never sees a guest address.

import { Queue, Region, Worker } from "../abi";
import { locateChunk } from "./windows";

/** Up to so many regions are looked through one after the other; more there are only behind an IOTLB, or of plugged memory. */
const LINEAR_MAX: u32 = 8;

/** Of a list of many, the last region that does not begin behind the address, or the first. */
function nearest(regions: usize, count: u32, address: u64): usize {
  const first = regions + 8;
  let low: u32 = 0;
  while (count > 1) {
    const half = count >> 1;
    if (changetype<Region>(first + (low + half) * offsetof<Region>()).guestAddress <= address) low += half;
    count -= half;
  }
  return first + low * offsetof<Region>();
}

/**
 * Finds the piece of guest memory around an address that is contiguous in linear memory: worker.spanStart and
 * .spanLength in the guest, .spanWindow here. It stays where it is until the burst is over. False: there is none.
 * `regions` is a list {count, generation, Region…}.
 * @inline
 */
export function locate(worker: Worker, regions: usize, address: u64): bool {
  let entry = regions + 8;
  let left = load<u32>(regions);
  if (left > LINEAR_MAX) {
    entry = nearest(regions, left, address);
    left = 1;
  }
  for (; left > 0; --left) {
    const region = changetype<Region>(entry);
    if (address - region.guestAddress < region.size) {
      if (region.chunks != 0) return locateChunk(worker, region, address);
      worker.spanStart = region.guestAddress;
      worker.spanLength = region.size;
      worker.spanWindow = region.window;
      return true;
    }
    entry += offsetof<Region>();
  }
  worker.windowMissing = 0;
  return false;
}

/**
 * Offset in linear memory of a guest's buffer that lies wholly in one piece, else 0: offset 0 is never mapped, so it can
 * mean "nowhere".
 * @inline
 */
export function translate(worker: Worker, regions: usize, address: u64, length: u32): u32 {
  if (!locate(worker, regions, address)) return 0;
  const start = address - worker.spanStart;
  if (<u64>length > worker.spanLength - start) return 0;
  return worker.spanWindow + <u32>start;
}

/** Does all of that range lie in the guest's memory, in one region or several side by side? Nothing is mapped for it. */
export function isMemory(regions: usize, address: u64, length: u32): bool {
  let entry = regions + 8;
  for (let left = load<u32>(regions); left > 0; --left) {
    const region = changetype<Region>(entry);
    const start = address - region.guestAddress;
    if (start < region.size) {
      const rest = region.size - start;
      if (<u64>length <= rest) return true;
      // Regions stand in the order of their addresses: what goes on is in the next.
      address += rest;
      length -= <u32>rest;
    }
    entry += offsetof<Region>();
  }
  return false;
}

/** Is that range one of the guest's own, wholly in one region? Where it lies here says `locate`, piece by piece. */
export function isInOneRegion(regions: usize, address: u64, length: u32): bool {
  let entry = regions + 8;
  for (let left = load<u32>(regions); left > 0; --left) {
    const region = changetype<Region>(entry);
    const start = address - region.guestAddress;
    if (start < region.size) return <u64>length <= region.size - start;
    entry += offsetof<Region>();
  }
  return false;
}

/**
 * The number of a region list: another for each that is ever published, and 0 for one with regions that are not mapped
 * whole, whose pieces move.
 * @inline
 */
export function generationOf(regions: usize): u32 {
  return load<u32>(regions, 4);
}

/** Lets the next burst of a queue begin with the piece that `locate` found last, while the list is the same. */
export function keepSpan(worker: Worker, queue: Queue, regions: usize): void {
  const generation = generationOf(regions);
  queue.spanGeneration = generation == 0 ? u32.MAX_VALUE : generation;
  queue.spanStart = worker.spanStart;
  queue.spanLength = worker.spanLength;
  queue.spanWindow = worker.spanWindow;
}
