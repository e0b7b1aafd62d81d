// The driver's half of a split virtqueue (virtio 1.3, 2.7), one memory access for each yield.

import {
  VIRTQ_AVAIL_F_NO_INTERRUPT,
  VIRTQ_DESC_F_INDIRECT,
  VIRTQ_DESC_F_NEXT,
  VIRTQ_DESC_F_WRITE,
  VIRTQ_DESC_SIZE,
  VIRTQ_USED_F_NO_NOTIFY,
} from "../../../../assembly/spec/virtio.js";
import type { RingLayout } from "../guest-layout.js";
import { load, type Piece, type Steps, store, type Used } from "./access.js";

/** What the driver remembers of its ring: nothing of this lies in shared memory. Plain data. */
export interface SplitState {
  ring: RingLayout;
  eventIdx: boolean;
  /** Descriptors that the device does not have; the last is taken first. */
  free: number[];
  /** Free-running 16-bit indices: of the next avail entry to write, of the next used entry to read. */
  nextAvail: number;
  lastUsed: number;
  /** Chains that the device has: by head, their descriptors and the number of their buffer. */
  chains: Record<number, { descriptors: number[]; buffer: number }>;
}

export function freshSplit(ring: RingLayout, eventIdx: boolean): SplitState {
  const free = Array.from({ length: ring.size }, (_, i) => ring.size - 1 - i);
  return { ring, eventIdx, free, nextAvail: 0, lastUsed: 0, chains: {} };
}

/** Gives a chain of pieces to the device (2.7.13); with `table` they are listed there (2.7.5.3). False: no room. */
export function* addSplit(state: SplitState, pieces: Piece[], buffer: number, table?: number): Steps<boolean> {
  const count = table === undefined ? pieces.length : 1;
  if (state.free.length < count) return false;
  const descriptors = Array.from({ length: count }, () => state.free.pop()!);
  const head = descriptors[0]!;
  if (table === undefined) {
    yield* writeChain(state.ring.desc, descriptors, pieces);
  } else {
    const indices = pieces.map((_, i) => i);
    yield* writeChain(table, indices, pieces);
    const whole = { address: table, length: pieces.length * VIRTQ_DESC_SIZE, writable: false };
    yield* writeDescriptor(state.ring.desc, head, whole, VIRTQ_DESC_F_INDIRECT, 0);
  }
  state.chains[head] = { descriptors, buffer };
  yield* makeAvailable(state, head);
  return true;
}

/** A chain: each descriptor but the last says where it goes on (2.7.5). */
export function* writeChain(table: number, indices: number[], pieces: Piece[]): Steps<void> {
  for (const [i, piece] of pieces.entries()) {
    const last = i === pieces.length - 1;
    const flags = (piece.writable ? VIRTQ_DESC_F_WRITE : 0) | (last ? 0 : VIRTQ_DESC_F_NEXT);
    yield* writeDescriptor(table, indices[i]!, piece, flags, last ? 0 : indices[i + 1]!);
  }
}

/** struct virtq_desc (2.7.5). */
export function* writeDescriptor(table: number, index: number, piece: Piece, flags: number, next: number): Steps<void> {
  const at = table + index * VIRTQ_DESC_SIZE;
  yield store("desc.addr", at, 8, piece.address);
  yield store("desc.len", at + 8, 4, piece.length);
  yield store("desc.flags", at + 12, 2, flags);
  yield store("desc.next", at + 14, 2, next);
}

/** The head goes into the avail ring, and only then does the index move: it says that all before it is there (2.7.13.3). */
export function* makeAvailable(state: SplitState, head: number): Steps<void> {
  const { ring } = state;
  yield store("avail.ring[]", ring.avail + 4 + (state.nextAvail % ring.size) * 2, 2, head); // 2.7.13.2
  state.nextAvail = (state.nextAvail + 1) & 0xffff;
  yield store("avail.idx", ring.avail + 2, 2, state.nextAvail); // 2.7.13.3
}

/** The next chain that the device has given back (2.7.14); undefined: there is none. */
export function* takeSplit(state: SplitState): Steps<Used | undefined> {
  const { ring } = state;
  const index = yield* load("used.idx", ring.used + 2, 2);
  if (index === state.lastUsed) return undefined;
  const slot = ring.used + 4 + (state.lastUsed % ring.size) * 8;
  const head = yield* load("used.ring[].id", slot, 4);
  const written = yield* load("used.ring[].len", slot + 4, 4);
  state.lastUsed = (state.lastUsed + 1) & 0xffff;
  const chain = state.chains[head];
  if (!chain) return undefined;
  delete state.chains[head];
  state.free.push(...chain.descriptors.reverse());
  return { buffer: chain.buffer, written };
}

/** Does the device want a kick for what was made available since the index was `before` (2.7.10)? */
export function* wantsKickSplit(state: SplitState, before: number): Steps<boolean> {
  const { ring } = state;
  if (!state.eventIdx) {
    const flags = yield* load("used.flags", ring.used, 2);
    return (flags & VIRTQ_USED_F_NO_NOTIFY) === 0;
  }
  const event = yield* load("avail_event", ring.used + 4 + ring.size * 8, 2);
  // Did the index step over the device's event? (2.7.10.1)
  return ((state.nextAvail - event - 1) & 0xffff) < ((state.nextAvail - before) & 0xffff);
}

/** Asks to be called with the next used chain, or not at all (2.7.7). True: there is one already, so look again. */
export function* wantCallsSplit(state: SplitState, wanted: boolean): Steps<boolean> {
  const { ring } = state;
  if (state.eventIdx) {
    // An event half a round of the index away is not reached soon.
    const event = (state.lastUsed + (wanted ? 0 : 0x8000)) & 0xffff;
    yield store("used_event", ring.avail + 4 + ring.size * 2, 2, event);
  } else {
    yield store("avail.flags", ring.avail, 2, wanted ? 0 : VIRTQ_AVAIL_F_NO_INTERRUPT);
  }
  if (!wanted) return false;
  // What the device used before it saw that is called for by nobody (2.7.7.1).
  const index = yield* load("used.idx, looked at again", ring.used + 2, 2);
  return index !== state.lastUsed;
}
