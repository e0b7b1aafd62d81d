// Counting exactly what happened to a flow: which numbers never came, came twice, or came late.

import { DriverQueue, Flow, FLOW_WINDOW } from "./abi";

/**
 * Notes that the frame with this number has arrived.
 * @inline
 */
export function arrived(queue: DriverQueue, flow: Flow, sequence: u32): void {
  const next = flow.nextReceive;
  flow.frames += 1;
  if (sequence == next && !flow.dirty) flow.nextReceive = next + 1;
  else irregular(queue, flow, sequence);
}

/** After a gap, until all numbers of the window have come in order again. */
function irregular(queue: DriverQueue, flow: Flow, sequence: u32): void {
  const next = flow.nextReceive;
  const ahead = <i32>(sequence - next);
  if (ahead < 0) {
    behind(queue, flow, sequence, <u32>-ahead);
    return;
  }
  if (ahead > 0) {
    queue.lost += ahead;
    flow.dirty = 1;
    flow.cleanFrom = sequence + FLOW_WINDOW;
    const first = <u32>ahead > FLOW_WINDOW ? sequence - FLOW_WINDOW : next;
    for (let skipped = first; skipped != sequence; ++skipped) setMissing(flow, skipped, true);
  }
  setMissing(flow, sequence, false);
  flow.nextReceive = sequence + 1;
  if (flow.dirty && sequence + 1 == flow.cleanFrom) flow.dirty = 0;
}

/** A number `distance` below the next one: either it was missed, or it is here twice. */
function behind(queue: DriverQueue, flow: Flow, sequence: u32, distance: u32): void {
  if (distance > FLOW_WINDOW) {
    queue.stale += 1;
  } else if (isMissing(flow, sequence)) {
    queue.reordered += 1;
    queue.lost -= 1;
    setMissing(flow, sequence, false);
  } else {
    queue.duplicates += 1;
  }
}

/** @inline */
function isMissing(flow: Flow, sequence: u32): bool {
  return <bool>((load<u8>(bits(flow, sequence)) >>> (sequence & 7)) & 1);
}

/** @inline */
function setMissing(flow: Flow, sequence: u32, missing: bool): void {
  const at = bits(flow, sequence);
  const bit = 1 << (sequence & 7);
  store<u8>(at, missing ? load<u8>(at) | bit : load<u8>(at) & ~bit);
}

/**
 * The byte of the bitmap that has a number's bit.
 * @inline
 */
function bits(flow: Flow, sequence: u32): usize {
  return changetype<usize>(flow) + offsetof<Flow>("missing") + ((sequence & (FLOW_WINDOW - 1)) >>> 3);
}
