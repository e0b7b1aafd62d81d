// The inflight area (vhost-user, "Inflight I/O tracking"): a file that the front-end keeps while a back-end is away, with a
// part for each queue. We complete in order and hold nothing between two bursts: what it gives a ring that starts again is
// the certainty that a device ran before, and where a packed ring stood. Descriptors are marked in it only while a merged
// frame is given to the driver of a packed ring (assembly/virtq/packed.ts).

import type { RingInMemory } from "./bridge-port.js";

const VERSION = 1;
/** Both forms begin u64 features, u16 version, u16 desc_num. */
const VERSION_AT = 8;
const DESC_NUM_AT = 10;
/** Split: u16 last_batch_head, u16 used_idx; then 16 bytes for each descriptor. */
const SPLIT_USED_AT = 14;
const SPLIT_HEADER = 16;
const SPLIT_ENTRY = 16;
/** Packed: u16 free_head, old_free_head, used_idx, old_used_idx, u8 used_wrap, old_used_wrap; then 32 bytes for each. */
const USED_AT = 16;
const OLD_USED_AT = 18;
const USED_WRAP_AT = 20;
const OLD_USED_WRAP_AT = 21;
const PACKED_HEADER = 32;
const PACKED_ENTRY = 32;
const PACKED_NEXT_AT = 2;
/** u8 inflight is an entry's first byte; what was the second half of the descriptor is kept here. */
const PACKED_DESCRIPTOR_AT = 16;
/** Each queue's part starts on a boundary of this. */
const ALIGN = 64;

const DESC_SECOND_HALF_AT = 8;
const DESC_FLAGS_AT = 14;
const AVAIL = 1 << 7;
const USED = 1 << 15;

/** Bytes of one queue's part, for rings of up to `queueSize` entries. */
export function inflightBytes(queueSize: number, packed: boolean): number {
  const bytes = packed ? PACKED_HEADER + PACKED_ENTRY * queueSize : SPLIT_HEADER + SPLIT_ENTRY * queueSize;
  return Math.ceil(bytes / ALIGN) * ALIGN;
}

/**
 * A ring is to start whose part of the area lies at `at` in the memory of `data`. Returns where it goes on: at
 * `ring.nextAvail` when the part is new or was cleared, else at the first chain that was not given back to the driver.
 */
export function openInflight(data: DataView, at: number, ring: RingInMemory, features: bigint): number {
  const { size, packed = false } = ring;
  const known = data.getUint16(at + VERSION_AT, true) === VERSION && data.getUint16(at + DESC_NUM_AT, true) === size;
  const cursor = known ? recover(data, at, ring) : ring.nextAvail;
  new Uint8Array(data.buffer, at, inflightBytes(size, packed)).fill(0);
  data.setBigUint64(at, features, true);
  data.setUint16(at + DESC_NUM_AT, size, true);
  if (packed) {
    for (const [index, wrap] of [[USED_AT, USED_WRAP_AT] as const, [OLD_USED_AT, OLD_USED_WRAP_AT] as const]) {
      data.setUint16(at + index, cursor & 0x7fff, true);
      data.setUint8(at + wrap, cursor >>> 15);
    }
    for (let i = 0; i < size; i++) data.setUint16(at + PACKED_HEADER + i * PACKED_ENTRY + PACKED_NEXT_AT, i + 1, true);
  } else {
    data.setUint16(at + SPLIT_USED_AT, cursor, true);
  }
  data.setUint16(at + VERSION_AT, VERSION, true);
  return cursor;
}

/** A split ring has stopped at `cursor`; the core notes a packed one's with every burst. */
export function noteStop(data: DataView, at: number, cursor: number): void {
  data.setUint16(at + SPLIT_USED_AT, cursor, true);
}

/** The front-end has been told where the ring stands: what the area says is of no use any more. */
export function clearInflight(data: DataView, at: number): void {
  data.setUint16(at + VERSION_AT, 0, true);
}

function recover(data: DataView, at: number, ring: RingInMemory): number {
  // What was given back is counted by the used index, whatever the front-end takes for the next avail index.
  if (!ring.packed) return data.getUint16(ring.used + 2, true);
  const cursorAt = (index: number, wrap: number) =>
    data.getUint16(at + index, true) | (data.getUint8(at + wrap) === 0 ? 0 : 0x8000);
  const [used, old] = [cursorAt(USED_AT, USED_WRAP_AT), cursorAt(OLD_USED_AT, OLD_USED_WRAP_AT)];
  // The front-end may have written anything: outside the ring there is nothing to go on from.
  if ((used & 0x7fff) >= ring.size || (old & 0x7fff) >= ring.size) return ring.nextAvail;
  if (used === old) return used;
  // Between the two notes: the driver was told unless its descriptor still stands as it made it available.
  const flags = data.getUint16(ring.desc + 16 * (old & 0x7fff) + DESC_FLAGS_AT, true);
  const round = (old & 0x8000) !== 0;
  const untouched = ((flags & AVAIL) !== 0) === round && ((flags & USED) !== 0) !== round;
  if (untouched) restoreKept(data, at, ring);
  return untouched ? old : used;
}

/** A merged frame's later buffers, which had been used when its first was not: they are available again. */
function restoreKept(data: DataView, at: number, { desc, size }: RingInMemory): void {
  for (let slot = 0; slot < size; slot++) {
    const entry = at + PACKED_HEADER + slot * PACKED_ENTRY;
    if (data.getUint8(entry) === 0) continue;
    const descriptor = data.getBigUint64(entry + PACKED_DESCRIPTOR_AT, true);
    data.setBigUint64(desc + 16 * slot + DESC_SECOND_HALF_AT, descriptor, true);
  }
}
