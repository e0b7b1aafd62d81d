// A driver that gives the switch a bad chain: each is one mistake that a broken or malicious guest can make. What the switch
// must do is refuse, and go on with everybody else.

import { VIRTQ_DESC_F_INDIRECT, VIRTQ_DESC_F_NEXT, VIRTQ_DESC_F_WRITE } from "../../../../assembly/spec/virtio.js";
import { kick, type Piece, type Steps, store, write } from "./access.js";
import type { DriverState } from "./net.js";
import { writeChain as writePacked } from "./packed.js";
import { isPacked } from "./ring.js";
import { makeAvailable, type SplitState, writeDescriptor } from "./split.js";

/**
 * `address` outside of the guest's memory, `length` of 4 GiB, `direction`: only the device may write there, `indirect`: a table of
 * one and a half entries, `loop`: a chain without an end, `runt`: too short for a header. Split rings only: `next` and `head` name
 * descriptors that the table does not have, `index` jumps by more than the ring has entries.
 */
export const BAD_CHAINS = [
  "address",
  "length",
  "direction",
  "indirect",
  "loop",
  "runt",
  "next",
  "head",
  "index",
] as const;
export type BadChain = (typeof BAD_CHAINS)[number];

/** Gives one bad chain to the transmitq. */
export interface SendBadOperation {
  do: "send-bad";
  bad: BadChain;
}

const NOWHERE = 0x7fff_0000;

/** Writes the chain and kicks, whether the switch wants it or not. The buffer is never asked back for. */
export function* sendBad(driver: DriverState, { bad }: SendBadOperation): Steps<string> {
  const { transmitq, layout } = driver;
  const buffer = driver.freeTx.shift();
  if (buffer === undefined) return "has no buffer left to send with: it must take some back";
  const address = layout.txBuffers.base + buffer * layout.txBuffers.bytes;
  yield write("what would be a frame", address, new Uint8Array(72).fill(0xbd));
  const { piece, flags } = badDescriptor(bad, { address, length: 72, writable: false });
  if (isPacked(transmitq)) {
    if (bad === "next" || bad === "head" || bad === "index") return `cannot do that: a packed ring has no ${bad}`;
    if (transmitq.freeSlots < transmitq.ring.size && bad === "loop") return "needs an empty ring for that";
    // In a packed ring a chain without an end is one that goes once around.
    const span = bad === "loop" ? transmitq.ring.size : 1;
    if (transmitq.freeSlots < span) return "finds its transmitq full";
    const id = transmitq.freeIds.pop()!;
    transmitq.chains[id] = { span, buffer };
    transmitq.freeSlots -= span;
    yield* writePacked(
      transmitq,
      Array.from({ length: span }, () => ({ piece, flags })),
      id,
    );
  } else {
    const head = transmitq.free.pop();
    if (head === undefined) return "finds its transmitq full";
    transmitq.chains[head] = { descriptors: [head], buffer };
    yield* badSplit(transmitq, bad, head, piece, flags);
  }
  yield kick("kick for nothing good", "transmitq");
  return `has given a bad chain (${bad})`;
}

function badDescriptor(bad: BadChain, piece: Piece): { piece: Piece; flags: number } {
  if (bad === "address") return { piece: { ...piece, address: NOWHERE }, flags: 0 };
  if (bad === "length") return { piece: { ...piece, length: 0xffff_ffff }, flags: 0 };
  if (bad === "direction") return { piece, flags: VIRTQ_DESC_F_WRITE };
  if (bad === "indirect") return { piece: { ...piece, length: 24 }, flags: VIRTQ_DESC_F_INDIRECT };
  if (bad === "runt") return { piece: { ...piece, length: 10 }, flags: 0 };
  return { piece, flags: bad === "loop" || bad === "next" ? VIRTQ_DESC_F_NEXT : 0 };
}

function* badSplit(state: SplitState, bad: BadChain, head: number, piece: Piece, flags: number): Steps<void> {
  const { ring } = state;
  const next = bad === "loop" ? head : bad === "next" ? ring.size + 3 : 0;
  yield* writeDescriptor(ring.desc, head, piece, flags, next);
  if (bad === "index") {
    // Entries that nobody has written.
    state.nextAvail = (state.nextAvail + ring.size + 5) & 0xffff;
    yield store("avail.idx, too far", ring.avail + 2, 2, state.nextAvail);
    return;
  }
  yield* makeAvailable(state, bad === "head" ? ring.size + 5 : head);
}
