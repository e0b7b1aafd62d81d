// What the host calls. Everything else goes through the structs of abi.ts.
//
// All state lives in linear memory and is reached from a Core or Worker pointer: this module has no heap and no static data,
// and imports the memory and two functions of the host's (memory/env.ts), so any number of instances (one a
// worker) can run over the same memory.

import * as abi from "./abi";
import { age, flush, learn } from "./bridge/fdb";
import { serve } from "./bridge/bridge";
import { isGroup } from "./net/ethernet";
import { awaitsTranslation } from "./memory/iotlb";
import { QUEUE_OK } from "./spec/status";
import { drainBacklogs, mayDrain } from "./virtq/drain";
import { armKick, disarmKick, forgetCalls } from "./virtq/notify";

export const ABI_VERSION: u32 = abi.ABI_VERSION;

/** Rounds that find nothing before `poll` comes back: less than a microsecond, so that a frame waits for no caller. */
const IDLE_ROUNDS: u32 = 16;

/**
 * Rounds over the worker's transmitqs, a burst of each, until one has moved something. Returns the frames moved; queues
 * to call stand in worker.calls. `now` is a clock in seconds.
 */
export function poll(corePointer: usize, workerPointer: usize, now: u32): u32 {
  const core = changetype<abi.Core>(corePointer);
  const worker = changetype<abi.Worker>(workerPointer);
  // Nothing of the last call is held any more: who waits for that may go on (see abi.ts).
  atomic.store<u32>(workerPointer, worker.epoch + 1, offsetof<abi.Worker>("epoch"));
  worker.callCount = 0;
  worker.polls += 1;
  worker.now = now;
  const backlogs: usize = atomic.load<u32>(workerPointer, offsetof<abi.Worker>("backlogs"));
  if (backlogs) drainBacklogs(worker, backlogs);
  const list: usize = atomic.load<u32>(workerPointer, offsetof<abi.Worker>("transmitqs"));
  const end = list + 4 + (load<u32>(list) << 2);
  for (let round: u32 = 0; round < IDLE_ROUNDS; ++round) {
    let frames: u32 = 0;
    for (let item = list + 4; item < end; item += 4) {
      frames += serve(core, worker, changetype<abi.Queue>(load<u32>(item)), now);
    }
    if (frames > 0) {
      worker.frames += frames;
      return frames;
    }
  }
  return 0;
}

/** Before a worker sleeps: asks every transmitq's driver for a kick. Returns 1 when there is something to do already. */
export function arm(workerPointer: usize): u32 {
  const worker = changetype<abi.Worker>(workerPointer);
  const list: usize = atomic.load<u32>(workerPointer, offsetof<abi.Worker>("transmitqs"));
  let busy: u32 = 0;
  for (let i: u32 = 0, count = load<u32>(list); i < count; ++i) {
    const queue = changetype<abi.Queue>(load<u32>(list + 4 + (i << 2)));
    if (queue.status != QUEUE_OK) continue;
    const more = armKick(worker, queue);
    // Who replaces the list for which it waits wakes this worker.
    const regions: usize = atomic.load<u32>(queue.port, offsetof<abi.Port>("regions"));
    if (more && !(queue.enabled && awaitsTranslation(queue, regions))) busy = 1;
  }
  const backlogs: usize = atomic.load<u32>(workerPointer, offsetof<abi.Worker>("backlogs"));
  if (backlogs && mayDrain(backlogs)) busy = 1;
  return busy;
}

/** After it woke: spares the drivers their kicks again. */
export function disarm(workerPointer: usize): void {
  const worker = changetype<abi.Worker>(workerPointer);
  const list: usize = atomic.load<u32>(workerPointer, offsetof<abi.Worker>("transmitqs"));
  for (let i: u32 = 0, count = load<u32>(list); i < count; ++i) {
    const queue = changetype<abi.Queue>(load<u32>(list + 4 + (i << 2)));
    if (queue.status == QUEUE_OK) disarmKick(worker, queue);
  }
}

/**
 * The host calls this on a queue it has filled in, before it publishes it. A split ring goes on at the used index that
 * its driver sees; in a packed one used descriptors go where the available ones were.
 */
export function startQueue(queuePointer: usize): void {
  const queue = changetype<abi.Queue>(queuePointer);
  queue.nextUsed = queue.packed ? queue.nextAvail : <u32>atomic.load<u16>(queue.used, 2);
  forgetCalls(queue);
  queue.drainFrom = queue.enabled ? 0 : abi.HOLD_UNSEEN;
  queue.status = QUEUE_OK;
  disarmKick(changetype<abi.Worker>(0), queue);
}

/**
 * Learns an address, given as the two parts of a 48-bit little-endian number, on a port, as if a frame had come from it
 * at second `seen`. Addresses that no frame can come from are not learned.
 */
export function fdbLearn(corePointer: usize, port: u32, addressLow: u32, addressHigh: u32, seen: u32): void {
  const address = <u64>addressLow | ((<u64>(addressHigh & 0xffff)) << 32);
  if (address == 0 || isGroup(address)) return;
  learn(changetype<abi.Fdb>(changetype<abi.Core>(corePointer).fdb), address, port, seen);
}

/** Forgets addresses that were not seen for the ageing time. Returns how many. */
export function fdbAge(corePointer: usize, now: u32): u32 {
  return age(changetype<abi.Fdb>(changetype<abi.Core>(corePointer).fdb), now);
}

/** Forgets the addresses of one port, or of all with 0xffffffff. Returns how many. */
export function fdbFlush(corePointer: usize, port: u32): u32 {
  return flush(changetype<abi.Fdb>(changetype<abi.Core>(corePointer).fdb), port);
}
