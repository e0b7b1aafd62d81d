// What the drivers of both forms of ring have in common: the verbs of a virtqueue.

import type { RingLayout } from "../guest-layout.js";
import type { Piece, Steps, Used } from "./access.js";
import { addPacked, freshPacked, type PackedState, takePacked, wantCallsPacked, wantsKickPacked } from "./packed.js";
import { addSplit, freshSplit, type SplitState, takeSplit, wantCallsSplit, wantsKickSplit } from "./split.js";

export type RingState = SplitState | PackedState;

export function freshRing(ring: RingLayout, eventIdx: boolean): RingState {
  return ring.packed ? freshPacked(ring, eventIdx) : freshSplit(ring, eventIdx);
}

export function isPacked(state: RingState): state is PackedState {
  return state.ring.packed;
}

/** Gives a chain of pieces to the device. False: the ring has no room for it. */
export function add(state: RingState, pieces: Piece[], buffer: number, table?: number): Steps<boolean> {
  return isPacked(state) ? addPacked(state, pieces, buffer, table) : addSplit(state, pieces, buffer, table);
}

/** The next chain that came back; undefined: there is none. */
export function take(state: RingState): Steps<Used | undefined> {
  return isPacked(state) ? takePacked(state) : takeSplit(state);
}

/** Does the device want a kick for what was made available since `nextAvail` was `before`? */
export function wantsKick(state: RingState, before: number): Steps<boolean> {
  return isPacked(state) ? wantsKickPacked(state, before) : wantsKickSplit(state, before);
}

/** Asks for calls or not to be called. True: there is something already. */
export function wantCalls(state: RingState, wanted: boolean): Steps<boolean> {
  return isPacked(state) ? wantCallsPacked(state, wanted) : wantCallsSplit(state, wanted);
}

/** Descriptors that the device does not have. */
export function freeDescriptors(state: RingState): number {
  return isPacked(state) ? state.freeSlots : state.free.length;
}
