// Frames for a receiver behind a virtual IOMMU that wait, for nobody has said yet where its next receive buffer lies, or its
// ring: the front-end has been asked, and a guest that unmaps its buffers all the time would lose most frames otherwise.
//
// They are copied, so that their sender has its buffers back and nobody else waits. What comes later for the same
// receiver waits behind them. A backlog that is full, or that nobody has shortened for BACKLOG_SECONDS, drops.

import { Backlog, Frame, HeldFrame, Offload, Queue, Worker } from "../abi";
import { countDrop } from "../bridge/stats";
import { gather } from "../memory/copy";
import { DROP_TRANSLATION } from "../spec/status";
import { offloadOf } from "./place";

/** @inline */
export function backlogOf(queue: Queue): Backlog {
  return changetype<Backlog>(queue.backlog);
}

/** Are frames for this receiveq, which has a backlog, to go there in any case? */
export function mustWait(queue: Queue): bool {
  return backlogOf(queue).frames != 0 || atomic.load<u32>(changetype<usize>(queue), offsetof<Queue>("waiting")) != 0;
}

/** Keeps a group of `count` frames of the burst in hand, the first of them number `first`. */
export function holdAll(worker: Worker, queue: Queue, first: u32, count: u32): void {
  let number = first;
  for (; count > 0; --count) {
    hold(worker, queue, number, 0);
    number = changetype<Frame>(worker.frameTable + number * offsetof<Frame>()).next;
  }
}

/** Keeps frame `number` of the burst in hand, for which the list of that generation had no place; or drops and counts it. */
export function hold(worker: Worker, queue: Queue, number: u32, generation: u32): void {
  const frame = changetype<Frame>(worker.frameTable + number * offsetof<Frame>());
  const backlog = backlogOf(queue);
  const length = frame.length;
  const bytes = (<u32>offsetof<HeldFrame>() + length + 7) & ~7;
  if (backlog.frames == 0) {
    backlog.head = 0;
    backlog.tail = 0;
    backlog.since = worker.now;
    backlog.generation = generation;
  }
  if (bytes > backlog.size - backlog.tail && !makeRoom(backlog, bytes)) {
    countDrop(queue, DROP_TRANSLATION, 1);
    return;
  }
  const held = heldAt(backlog, backlog.tail);
  held.bytes = bytes;
  held.length = length;
  held.fields = 0;
  held.checksumOffset = 0;
  held.needs = 0;
  if (worker.offloaded) {
    const offload = offloadOf(worker, number);
    held.fields = offload.fields;
    held.checksumOffset = offload.checksumOffset;
    held.needs = offload.needs;
  }
  const to = changetype<usize>(held) + offsetof<HeldFrame>();
  if (frame.segments == 1) memory.copy(to, frame.at, length);
  else gather(to, frame.at, length);
  backlog.tail += bytes;
  backlog.frames += 1;
}

/** Makes the oldest frame of a backlog the only one of a burst. */
export function takeOldest(worker: Worker, backlog: Backlog): void {
  const held = heldAt(backlog, backlog.head);
  const frame = changetype<Frame>(worker.frameTable);
  frame.at = <u32>(changetype<usize>(held) + offsetof<HeldFrame>());
  frame.segments = 1;
  frame.length = held.length;
  const offload = changetype<Offload>(worker.offloadTable);
  offload.fields = held.fields;
  offload.checksumOffset = held.checksumOffset;
  offload.needs = held.needs;
  worker.offloaded = held.needs;
  worker.headersApart = 0;
}

/** Lets the oldest go. */
export function forgetOldest(worker: Worker, backlog: Backlog): void {
  backlog.head += heldAt(backlog, backlog.head).bytes;
  backlog.frames -= 1;
  backlog.since = worker.now;
}

/** Moves what waits to the beginning, when that gives enough and is worth it. */
function makeRoom(backlog: Backlog, bytes: u32): bool {
  const head = backlog.head;
  const waiting = backlog.tail - head;
  // A frame is moved at most as often as a half of the room was emptied.
  if (head < backlog.size >> 1 || bytes > backlog.size - waiting) return false;
  memory.copy(changetype<usize>(heldAt(backlog, 0)), changetype<usize>(heldAt(backlog, head)), waiting);
  backlog.head = 0;
  backlog.tail = waiting;
  return true;
}

/** @inline */
function heldAt(backlog: Backlog, at: u32): HeldFrame {
  return changetype<HeldFrame>(changetype<usize>(backlog) + offsetof<Backlog>() + at);
}
