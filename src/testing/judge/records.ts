// What the switch writes down for others: where a packed ring stands, for its successor, and which pages it wrote, for the
// destination of a migration.

import type { BridgePort, BridgeQueue } from "../../core/bridge-port.js";
import { inflightBytes } from "../../core/inflight.js";
import { PACKED_WRAP } from "../../core/packed-ring.js";
import type { Span } from "../ram.js";

const PAGE_BITS = 12n;
const HEADER = 32;
const ENTRY = 32;

/**
 * The queue's part of the inflight area, if it has one, as memory that the switch may write. Between two bursts both of its
 * used positions are where the ring stands (`position`, if it has moved) and no descriptor is in flight. Throws otherwise.
 */
export function inflightAtRest(
  { struct }: BridgeQueue,
  size: number,
  position: number | undefined,
  data: DataView,
): Span[] {
  const area = struct.get("inflight");
  if (area === 0) return [];
  if (position !== undefined) {
    const read = (at: number, wrap: number) =>
      data.getUint16(area + at, true) | (data.getUint8(area + wrap) ? PACKED_WRAP : 0);
    for (const [name, noted] of [
      ["used_idx", read(16, 20)],
      ["old_used_idx", read(18, 21)],
    ] as const) {
      if (noted !== position)
        throw new Error(`the inflight area has ${name} at ${noted}, and the ring stands at ${position}`);
    }
  }
  for (let entry = 0; entry < size; entry++) {
    if (data.getUint8(area + HEADER + entry * ENTRY) !== 0)
      throw new Error(`the inflight area has descriptor ${entry} in flight between two bursts`);
  }
  return [{ offset: area, length: inflightBytes(size, true) }];
}

/** Guest physical address of a page of what was written that the port's dirty log does not have; undefined: it has all. */
export function unmarkedPage(
  { log, regions }: BridgePort,
  written: readonly Span[],
  bytes: Uint8Array,
): bigint | undefined {
  if (log === undefined) return undefined;
  for (const { offset, length } of written) {
    const region = regions.find(({ window, size }) => offset >= window && offset < window + Number(size));
    if (region === undefined || length === 0) continue;
    const first = region.guestAddress + BigInt(offset - region.window);
    for (let page = first >> PAGE_BITS; page <= (first + BigInt(length) - 1n) >> PAGE_BITS; page++) {
      const at = Number(page >> 3n);
      if (at >= log.size) continue;
      if (!(bytes[log.window + at]! & (1 << Number(page & 7n)))) return page << PAGE_BITS;
    }
  }
  return undefined;
}
