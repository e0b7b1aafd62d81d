// Notifications and their suppression (virtio 1.3, 2.7.7 and 2.7.10): kicks are asked for only before a worker sleeps,
// calls are made only when the driver wants one.

import { Queue, Worker } from "../abi";
import { VIRTQ_AVAIL_F_NO_INTERRUPT, VIRTQ_USED_F_NO_NOTIFY } from "../spec/virtio";
import { pending } from "./split";

/**
 * Asks the driver for a kick with its next buffer. True when there is one already: then do not sleep.
 * @inline
 */
export function armKick(queue: Queue): bool {
  // Store, then load, both sequentially consistent: the driver does the reverse, so one of us sees the other.
  if (queue.eventIdx) atomic.store<u16>(availEvent(queue), <u16>queue.nextAvail);
  else atomic.store<u16>(queue.used, 0);
  return pending(queue) > 0;
}

/**
 * Spares the driver its kicks while we poll. With event idx an old avail_event does that by itself.
 * @inline
 */
export function disarmKick(queue: Queue): void {
  if (!queue.eventIdx) store<u16>(queue.used, VIRTQ_USED_F_NO_NOTIFY);
}

/**
 * After a publish: puts the queue in the worker's call list when its driver wants to be told.
 * @inline
 */
export function requestCall(worker: Worker, queue: Queue): void {
  if (queue.callFd < 0) {
    forgetCalls(queue);
    return;
  }
  if (queue.eventIdx) {
    const event = <u32>atomic.load<u16>(usedEvent(queue));
    const now = queue.nextUsed;
    const before = queue.calledUsed;
    queue.calledUsed = now;
    // vring_need_event: did the index step over used_event since the last look?
    if (((now - event - 1) & 0xffff) >= ((now - before) & 0xffff)) return;
  } else if (atomic.load<u16>(queue.avail) & VIRTQ_AVAIL_F_NO_INTERRUPT) {
    return;
  }
  // Whoever finds it 0 puts it in his list; who finds it 1 knows that a write is still to come.
  if (atomic.xchg<u32>(changetype<usize>(queue), 1, offsetof<Queue>("callPending")) != 0) return;
  ++queue.calls;
  store<u32>(worker.calls + (worker.callCount << 2), changetype<usize>(queue));
  ++worker.callCount;
}

/**
 * As if the last call were a whole ring ago, so that the next used chain is called for if the driver's event lies
 * behind us: after a start, or without an eventfd, we cannot know what it was told of. A call too many does no harm.
 * @inline
 */
export function forgetCalls(queue: Queue): void {
  queue.calledUsed = queue.nextUsed - queue.size;
}

/**
 * The field in which the driver says at which used index it wants a call: behind the avail ring.
 * @inline
 */
function usedEvent(queue: Queue): usize {
  return queue.avail + 4 + (queue.size << 1);
}

/**
 * The field in which we say at which avail index we want a kick: behind the used ring.
 * @inline
 */
function availEvent(queue: Queue): usize {
  return queue.used + 4 + (queue.size << 3);
}
