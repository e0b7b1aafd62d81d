// Counters. Each is written by one worker at a time and read by the host whenever it likes.

import { Queue } from "../abi";

/**
 * Counts `count` frames under one DROP_* cause of spec/status.ts.
 * @inline
 */
export function countDrop(queue: Queue, cause: u32, count: u32): void {
  const counter = changetype<usize>(queue) + offsetof<Queue>("drops") + (cause << 3);
  store<u64>(counter, load<u64>(counter) + count);
}
