// The only place where an address that a guest wrote is believed.
//
// A guest names its memory by guest physical address. The port's region list says which of them are mapped, and where
// in linear memory. What leaves here are offsets that are safe for the length given: everything behind this file
// works with offsets and never sees a guest address.

import { Region, Segment } from "../abi";

/**
 * Bytes that can be reached from `address` on in the region that holds it; the offset is `offsetIn`. 0: no region.
 * @inline
 */
export function regionOf(regions: usize, address: u64): usize {
  let entry = regions + 8;
  for (let left = load<u32>(regions); left > 0; --left) {
    const region = changetype<Region>(entry);
    if (address - region.guestAddress < region.size) return entry;
    entry += offsetof<Region>();
  }
  return 0;
}

/**
 * Offset in linear memory of a guest's buffer that lies wholly in one region, else 0.
 * `regions` is a list {count, pad, Region…}; offset 0 is never mapped, so it can mean "nowhere".
 * @inline
 */
export function translate(regions: usize, address: u64, length: u32): u32 {
  const entry = regionOf(regions, address);
  if (entry == 0) return 0;
  const region = changetype<Region>(entry);
  const start = address - region.guestAddress;
  if (<u64>length > region.size - start) return 0;
  return region.window + <u32>start;
}

/** The region in whose window a checked segment lies. */
export function regionAround(regions: usize, segment: Segment): Region {
  let entry = regions + 8;
  while (<u64>(segment.offset - changetype<Region>(entry).window) >= changetype<Region>(entry).size) {
    entry += offsetof<Region>();
  }
  return changetype<Region>(entry);
}
