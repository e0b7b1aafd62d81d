// The driver's half of a packed virtqueue (virtio 1.3, 2.8), one memory access for each yield.
//
// There is one ring of descriptors. Who wrote an entry last shows in its bits AVAIL and USED, against a wrap counter that each
// side turns at the end of every round.

import {
  RING_EVENT_FLAGS_DESC,
  RING_EVENT_FLAGS_DISABLE,
  RING_EVENT_FLAGS_ENABLE,
  VIRTQ_DESC_F_INDIRECT,
  VIRTQ_DESC_F_NEXT,
  VIRTQ_DESC_F_WRITE,
  VIRTQ_DESC_SIZE,
} from "../../../../assembly/spec/virtio.js";
import {
  availableBits,
  isUsed,
  PACKED_START,
  packedAfter,
  packedDistance,
  packedSlot,
} from "../../../core/packed-ring.js";
import type { RingLayout } from "../guest-layout.js";
import { load, type Piece, type Steps, store, type Used } from "./access.js";

/** What the driver remembers of its ring. Plain data. */
export interface PackedState {
  ring: RingLayout;
  eventIdx: boolean;
  /** Buffer ids that the device does not have, and entries of the ring. */
  freeIds: number[];
  freeSlots: number;
  /** Position of the next descriptor to make available, of the next used one to read; the wrap counter in bit 15. */
  nextAvail: number;
  nextUsed: number;
  /** Chains that the device has: by buffer id, the entries they take and the number of their buffer. */
  chains: Record<number, { span: number; buffer: number }>;
}

export function freshPacked(ring: RingLayout, eventIdx: boolean): PackedState {
  const freeIds = Array.from({ length: ring.size }, (_, i) => ring.size - 1 - i);
  const at = { nextAvail: PACKED_START, nextUsed: PACKED_START };
  return { ring, eventIdx, freeIds, freeSlots: ring.size, ...at, chains: {} };
}

/** Gives a chain of pieces to the device (2.8.21.1); with `table` they are listed there (2.8.7). False: no room. */
export function* addPacked(state: PackedState, pieces: Piece[], buffer: number, table?: number): Steps<boolean> {
  const span = table === undefined ? pieces.length : 1;
  if (state.freeSlots < span) return false;
  const id = state.freeIds.pop()!;
  if (table === undefined) {
    const flags = (piece: Piece, i: number) =>
      (piece.writable ? VIRTQ_DESC_F_WRITE : 0) | (i === pieces.length - 1 ? 0 : VIRTQ_DESC_F_NEXT);
    yield* writeChain(
      state,
      pieces.map((piece, i) => ({ piece, flags: flags(piece, i) })),
      id,
    );
  } else {
    yield* writeTable(table, pieces);
    const whole = { address: table, length: pieces.length * VIRTQ_DESC_SIZE, writable: false };
    yield* writeChain(state, [{ piece: whole, flags: VIRTQ_DESC_F_INDIRECT }], id);
  }
  state.chains[id] = { span, buffer };
  state.freeSlots -= span;
  return true;
}

/** The table is the chain: neither NEXT nor the bits of the round mean anything in it (2.8.7). */
function* writeTable(table: number, pieces: Piece[]): Steps<void> {
  for (const [i, piece] of pieces.entries()) {
    const at = table + i * VIRTQ_DESC_SIZE;
    yield store("table.addr", at, 8, piece.address);
    yield store("table.len", at + 8, 4, piece.length);
    yield store("table.id", at + 12, 2, 0);
    yield store("table.flags", at + 14, 2, piece.writable ? VIRTQ_DESC_F_WRITE : 0);
  }
}

/** Writes a chain over the next entries. The flags of its first one come last: with them all of it is there (2.8.21.1). */
export function* writeChain(state: PackedState, chain: { piece: Piece; flags: number }[], id: number): Steps<void> {
  const { ring } = state;
  const first = state.nextAvail;
  for (const [i, { piece, flags }] of chain.entries()) {
    const cursor = packedAfter(first, i, ring.size);
    const at = ring.desc + packedSlot(cursor) * VIRTQ_DESC_SIZE;
    yield store("desc.addr", at, 8, piece.address);
    yield store("desc.len", at + 8, 4, piece.length);
    yield store("desc.id", at + 12, 2, id); // the last one's counts (2.8.6)
    if (i > 0) yield store("desc.flags", at + 14, 2, flags | availableBits(cursor));
  }
  const at = ring.desc + packedSlot(first) * VIRTQ_DESC_SIZE;
  state.nextAvail = packedAfter(first, chain.length, ring.size);
  yield store("desc.flags, the first's", at + 14, 2, chain[0]!.flags | availableBits(first)); // 2.8.1
}

/** The next chain that the device has given back (2.8.21.2); undefined: there is none. */
export function* takePacked(state: PackedState): Steps<Used | undefined> {
  const { ring } = state;
  const cursor = state.nextUsed;
  const at = ring.desc + packedSlot(cursor) * VIRTQ_DESC_SIZE;
  const flags = yield* load("used flags", at + 14, 2); // 2.8.1
  if (!isUsed(flags, cursor)) return undefined;
  if (Object.keys(state.chains).length === 0) return undefined;
  const id = yield* load("used id", at + 12, 2);
  const length = yield* load("used len", at + 8, 4);
  const chain = state.chains[id];
  if (!chain) return undefined;
  delete state.chains[id];
  state.freeIds.push(id);
  state.freeSlots += chain.span;
  state.nextUsed = packedAfter(cursor, chain.span, ring.size);
  // Without WRITE nothing was written, and the length has no meaning (2.8.4).
  return { buffer: chain.buffer, written: flags & VIRTQ_DESC_F_WRITE ? length : 0 };
}

/** Does the device want a kick for what was made available since the cursor was `before` (2.8.10)? */
export function* wantsKickPacked(state: PackedState, before: number): Steps<boolean> {
  const { ring } = state;
  const flags = (yield* load("device event flags", ring.used + 2, 2)) & 3;
  if (flags === RING_EVENT_FLAGS_ENABLE) return true;
  if (flags === RING_EVENT_FLAGS_DISABLE || !state.eventIdx) return false;
  const event = yield* load("device event place", ring.used, 2);
  const distance = packedDistance(event, state.nextAvail, ring.size);
  return distance >= 1 && distance <= packedDistance(before, state.nextAvail, ring.size);
}

/** Asks to be called with the next used chain, or not at all (2.8.10). True: there is one already, so look again. */
export function* wantCallsPacked(state: PackedState, wanted: boolean): Steps<boolean> {
  const { ring } = state;
  const on = state.eventIdx ? RING_EVENT_FLAGS_DESC : RING_EVENT_FLAGS_ENABLE;
  yield store("driver event place", ring.avail, 2, state.nextUsed);
  yield store("driver event flags", ring.avail + 2, 2, wanted ? on : RING_EVENT_FLAGS_DISABLE);
  if (!wanted || Object.keys(state.chains).length === 0) return false;
  const cursor = state.nextUsed;
  const at = ring.desc + packedSlot(cursor) * VIRTQ_DESC_SIZE;
  // What the device used before it saw that is called for by nobody.
  const flags = yield* load("used flags, looked at again", at + 14, 2);
  return isUsed(flags, cursor);
}
