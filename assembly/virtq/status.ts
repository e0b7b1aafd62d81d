// A ring that its guest has broken.

import { Queue } from "../abi";

/** Marks the ring as broken: nobody touches it again before the host sets it up anew. */
export function fail(queue: Queue, status: u32, descriptor: u32): void {
  queue.statusDescriptor = descriptor;
  atomic.store<u32>(changetype<usize>(queue), status, offsetof<Queue>("status"));
}
