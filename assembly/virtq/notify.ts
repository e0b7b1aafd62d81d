// Notifications and their suppression (virtio 1.3, 2.7.7, 2.7.10 and 2.8.10): kicks are asked for only before a worker
// sleeps, calls are made only when the driver wants one.

import { DirtyLog, Queue, Worker } from "../abi";
import { logOf, mark, tellOfMarks } from "../memory/log";
import {
  RING_EVENT_FLAGS_DESC,
  RING_EVENT_FLAGS_DISABLE,
  RING_EVENT_FLAGS_ENABLE,
  VIRTQ_AVAIL_F_NO_INTERRUPT,
  VIRTQ_USED_F_NO_NOTIFY,
} from "../spec/virtio";
import { advance, descriptorAt, isAvailable, POSITION, WRAP } from "./packed";
import { pending } from "./split";

/** Offset of the flags in an event suppression area of a packed ring: behind the u16 that says where. */
const EVENT_FLAGS: usize = 2;

/** Asks the driver for a kick with its next buffer (2.7.10, 2.8.10). True when there is one already: then do not sleep. */
export function armKick(worker: Worker, queue: Queue): bool {
  const more = askForKick(queue);
  markNotification(worker, queue);
  return more;
}

/**
 * 2.7.10; packed: 2.8.10.
 * @inline
 */
function askForKick(queue: Queue): bool {
  const next = queue.nextAvail;
  // Store, then load, both sequentially consistent: the driver does the reverse, so one of us sees the other.
  if (queue.packed) {
    store<u16>(queue.used, <u16>next);
    atomic.store<u16>(queue.used, <u16>(queue.eventIdx ? RING_EVENT_FLAGS_DESC : RING_EVENT_FLAGS_ENABLE), EVENT_FLAGS);
    return isAvailable(descriptorAt(queue.desc, next), next);
  }
  if (queue.eventIdx) atomic.store<u16>(availEvent(queue), <u16>next);
  else atomic.store<u16>(queue.used, 0);
  return pending(queue) > 0;
}

/**
 * Spares the driver its kicks while we poll (2.7.10, 2.8.10). With a split ring's event idx an old avail_event does that by itself.
 * @inline
 */
export function disarmKick(worker: Worker, queue: Queue): void {
  if (queue.packed) store<u16>(queue.used, RING_EVENT_FLAGS_DISABLE, EVENT_FLAGS);
  else if (!queue.eventIdx) store<u16>(queue.used, VIRTQ_USED_F_NO_NOTIFY);
  else return;
  markNotification(worker, queue);
}

/** Marks the field that `armKick` and `disarmKick` write. */
function markNotification(worker: Worker, queue: Queue): void {
  const log = logOf(queue);
  if (log == 0) return;
  if (queue.packed) mark(changetype<DirtyLog>(log), queue.used, 4);
  else mark(changetype<DirtyLog>(log), queue.eventIdx ? <u32>availEvent(queue) : queue.used, 2);
  tellOfMarks(changetype<DirtyLog>(log), worker);
}

/**
 * After a publish: puts the queue in the worker's call list when its driver wants to be told (2.7.7, 2.8.10).
 * @inline
 */
export function requestCall(worker: Worker, queue: Queue): void {
  if (queue.callFd < 0) {
    forgetCalls(queue);
    return;
  }
  if (queue.packed) {
    if (!packedWantsCall(queue)) return;
  } else if (queue.eventIdx) {
    const event = <u32>atomic.load<u16>(usedEvent(queue));
    const now = queue.nextUsed;
    const before = queue.calledUsed;
    queue.calledUsed = now;
    if (!steppedOver(event, now, now - before)) return;
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
  // In a packed ring a whole round and another one look like none at all: so all but one descriptor of the round. An event
  // that lies further behind than that is of a ring with nothing left to use.
  queue.calledUsed = queue.packed ? advance(queue.nextUsed ^ WRAP, 1, queue.size) : queue.nextUsed - queue.size;
}

/** Does the driver of a packed ring want a call for what has been used since the last look (2.8.10)? */
function packedWantsCall(queue: Queue): bool {
  // Where and whether stand in one word, so they are of one moment.
  const wish = atomic.load<u32>(queue.avail);
  const flags = (wish >> 16) & 3;
  const now = queue.nextUsed;
  const before = queue.calledUsed;
  queue.calledUsed = now;
  if (flags == RING_EVENT_FLAGS_DISABLE) return false;
  if (flags != RING_EVENT_FLAGS_DESC || !queue.eventIdx) return true;
  const size = queue.size;
  let used = (now & POSITION) - (before & POSITION);
  if ((now ^ before) & WRAP) used += size;
  let event = wish & POSITION;
  if ((wish ^ now) & WRAP) event -= size;
  return steppedOver(event, now & POSITION, used);
}

/**
 * vring_need_event (2.7.7.2): did the index, which is `now` and was `steps` less, step over the event's since the last look?
 * @inline
 */
function steppedOver(event: u32, now: u32, steps: u32): bool {
  return ((now - event - 1) & 0xffff) < (steps & 0xffff);
}

/**
 * The field in which the driver says at which used index it wants a call (2.7.7): behind the avail ring.
 * @inline
 */
function usedEvent(queue: Queue): usize {
  return queue.avail + 4 + (queue.size << 1);
}

/**
 * The field in which we say at which avail index we want a kick (2.7.10): behind the used ring.
 * @inline
 */
function availEvent(queue: Queue): usize {
  return queue.used + 4 + (queue.size << 3);
}
