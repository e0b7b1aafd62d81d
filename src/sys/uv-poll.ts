// Node's own event loop as a waiter for one descriptor (libuv's uv_poll, which koffi reaches and Node does not expose).
//
// Why not a blocking wait on the thread pool (koffi's `.async`): it would hold one of libuv's four threads for ever,
// and a process with such a call under way cannot exit, because exit joins the pool's threads.
//
// Only on the main thread: when a worker is terminated with such a poll open, koffi 3.3 aborts the whole process.

import { isMainThread } from "node:worker_threads";
import type { Fd } from "../fd.js";
import { koffi } from "./libc.js";

export interface ReadablePoll {
  /** Keep the event loop alive for this descriptor, or not. */
  setAlive(alive: boolean): void;
  /** No callback comes after this. To be called before the descriptor is closed; a second call does nothing. */
  close(): void;
}

/**
 * Call `callback` once per turn of the event loop while `fd` is readable (level-triggered). Keeps the event loop alive.
 * Main thread only. Epoll descriptors, eventfds, pipes and sockets can be watched, each by one poll at a time.
 */
export function onReadable(fd: Fd, callback: () => void): ReadablePoll {
  if (!isMainThread) throw new Error("descriptors are polled on the main thread only; a worker waits in Epoll.wait");
  let open = true;
  let scheduled: NodeJS.Immediate | undefined;
  const handle = koffi().node.poll(fd, { readable: true }, () => {
    // koffi calls from libuv directly, without Node's callback scope: promise jobs and ticks would not run afterwards,
    // nor would an exception be reported. An immediate has that scope, and runs in the same turn of the loop.
    scheduled ??= setImmediate(() => {
      scheduled = undefined;
      callback();
    });
  });
  return {
    setAlive(alive) {
      if (!open) return;
      if (alive) handle.ref();
      else handle.unref();
    },
    close() {
      if (!open) return;
      open = false;
      if (scheduled !== undefined) clearImmediate(scheduled);
      // The handle is gone with this call: koffi would crash on any later one.
      handle.close();
    },
  };
}
