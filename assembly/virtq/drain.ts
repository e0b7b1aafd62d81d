// What waits in backlogs (backlog.ts) goes on its way when there are other translations than those that had no place for it,
// and is dropped when its receiver takes nothing any more.

import { Backlog, BACKLOG_SECONDS, Port, Queue, Worker } from "../abi";
import { countDrop } from "../bridge/stats";
import { publishCaptures } from "../capture";
import { generationOf } from "../memory/regions";
import { DROP_ADMIN_DOWN, DROP_PORT_DOWN, DROP_TRANSLATION, QUEUE_OK } from "../spec/status";
import { backlogOf, forgetOldest, takeOldest } from "./backlog";
import { acquire, deliverHeld, release } from "./enqueue";

/** Looks through a list of receiveqs with backlogs. Between two bursts: the burst's tables are used. */
export function drainBacklogs(worker: Worker, list: usize): void {
  let item = list + 4;
  for (let left = load<u32>(list); left > 0; --left, item += 4) {
    const queue = changetype<Queue>(load<u32>(item));
    const backlog = backlogOf(queue);
    if (atomic.load<u32>(changetype<usize>(backlog), offsetof<Backlog>("frames")) == 0) continue;
    const shared = queue.shared;
    if (shared) acquire(queue);
    drain(worker, queue, backlog);
    if (shared) release(queue);
  }
  if (worker.dirtyRings) publishCaptures(worker);
}

/** Is there something in these backlogs that this or another worker has to look at? */
export function mayDrain(list: usize): bool {
  let item = list + 4;
  for (let left = load<u32>(list); left > 0; --left, item += 4) {
    const queue = changetype<Queue>(load<u32>(item));
    if (backlogOf(queue).frames == 0) continue;
    if (!takesFrames(queue) || (!isWaiting(queue) && isNew(queue))) return true;
  }
  return false;
}

function drain(worker: Worker, queue: Queue, backlog: Backlog): void {
  if (!takesFrames(queue)) {
    const down = atomic.load<u32>(queue.port, offsetof<Port>("adminDown"));
    discardAll(queue, backlog, down ? DROP_ADMIN_DOWN : DROP_PORT_DOWN);
    return;
  }
  if (!isWaiting(queue) && isNew(queue)) {
    worker.draining = 1;
    while (backlog.frames > 0) {
      takeOldest(worker, backlog);
      worker.stuck = 0;
      deliverHeld(worker, queue);
      if (worker.stuck) break;
      forgetOldest(worker, backlog);
    }
    worker.draining = 0;
  }
  if (worker.now - backlog.since >= BACKLOG_SECONDS) discardAll(queue, backlog, DROP_TRANSLATION);
}

function discardAll(queue: Queue, backlog: Backlog, cause: u32): void {
  countDrop(queue, cause, backlog.frames);
  backlog.frames = 0;
}

/** Not one that the guest broke, its front-end disabled, or the operator put out of use with its port: nothing waits there. */
function takesFrames(queue: Queue): bool {
  return queue.status == QUEUE_OK && queue.enabled != 0;
}

/** @inline */
function isWaiting(queue: Queue): bool {
  return atomic.load<u32>(changetype<usize>(queue), offsetof<Queue>("waiting")) != 0;
}

/** @inline */
function isNew(queue: Queue): bool {
  const writable: usize = atomic.load<u32>(queue.port, offsetof<Port>("writable"));
  return backlogOf(queue).generation != generationOf(writable);
}
