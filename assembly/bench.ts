// The core's parts, each in a loop, for `npm run bench` (bench/cases): what one of them costs cannot be seen from
// outside. It is a module of its own and no part of the core. Every function does the same over and over: what a part
// would move on is put back, so that it finds the ring as it was.

import { ABI_VERSION as CORE_ABI_VERSION, Core, Fdb, Frame, Group, Port, Queue, Worker } from "./abi";
import { learn, lookup } from "./bridge/fdb";
import { copy } from "./memory/copy";
import { translate } from "./memory/regions";
import { readableChain } from "./virtq/chain";
import { complete, dequeue } from "./virtq/dequeue";
import { enqueue } from "./virtq/enqueue";
import { headAt } from "./virtq/split";

export const ABI_VERSION: u32 = CORE_ABI_VERSION;

/** Translates `count` addresses, u64[count] at `addresses`. Returns a sum of the offsets, so that none is left out. */
export function translateAll(workerPointer: usize, portPointer: usize, addresses: usize, count: u32, length: u32): u32 {
  const worker = changetype<Worker>(workerPointer);
  const regions: usize = changetype<Port>(portPointer).regions;
  let sum: u32 = 0;
  for (let i: u32 = 0; i < count; ++i) sum += translate(worker, regions, load<u64>(addresses + (i << 3)), length);
  return sum;
}

/** Walks the `count` chains that a transmitq holds, `times` over. Returns the segments found. */
export function walkChains(workerPointer: usize, queuePointer: usize, count: u32, times: u32): u32 {
  const worker = changetype<Worker>(workerPointer);
  const queue = changetype<Queue>(queuePointer);
  const regions: usize = changetype<Port>(queue.port).regions;
  const mask = queue.size - 1;
  let segments: u32 = 0;
  for (let n: u32 = 0; n < times; ++n) {
    worker.txSegments = 0;
    for (let i: u32 = 0; i < count; ++i) {
      readableChain(worker, queue, regions, headAt(queue.avail, mask, queue.nextAvail + i));
    }
    segments += worker.txSegments;
  }
  return segments;
}

/** Takes a burst and gives it back, `times` over. Returns the frames taken. */
export function dequeueBursts(workerPointer: usize, queuePointer: usize, times: u32): u32 {
  const worker = changetype<Worker>(workerPointer);
  const queue = changetype<Queue>(queuePointer);
  const nextAvail = queue.nextAvail;
  const nextUsed = queue.nextUsed;
  let frames: u32 = 0;
  for (let n: u32 = 0; n < times; ++n) {
    const taken = dequeue(worker, queue);
    if (taken > 0) complete(worker, queue);
    queue.nextAvail = nextAvail;
    queue.nextUsed = nextUsed;
    frames += taken;
  }
  return frames;
}

/** Takes one burst, makes a group of it, and delivers that to a receiveq, `times` over. Returns the frames of it. */
export function enqueueBursts(
  workerPointer: usize,
  sourcePointer: usize,
  queuePointer: usize,
  groupPointer: usize,
  times: u32,
): u32 {
  const worker = changetype<Worker>(workerPointer);
  const source = changetype<Queue>(sourcePointer);
  const queue = changetype<Queue>(queuePointer);
  const group = changetype<Group>(groupPointer);
  const count = dequeue(worker, source);
  linkFrames(worker, group, count);
  const nextAvail = queue.nextAvail;
  const nextUsed = queue.nextUsed;
  for (let n: u32 = 0; n < times; ++n) {
    enqueue(worker, source, queue, group.first, group.count);
    queue.nextAvail = nextAvail;
    queue.nextUsed = nextUsed;
  }
  return count * times;
}

/** Looks `count` addresses up, u64[count] at `addresses`. Returns a sum of the ports. */
export function lookupAll(corePointer: usize, addresses: usize, count: u32): u32 {
  const fdb = changetype<Fdb>(changetype<Core>(corePointer).fdb);
  let sum: u32 = 0;
  for (let i: u32 = 0; i < count; ++i) sum += lookup(fdb, load<u64>(addresses + (i << 3)));
  return sum;
}

/** Learns `count` addresses on a port. Returns how many were new. */
export function learnAll(corePointer: usize, addresses: usize, count: u32, port: u32, now: u32): u32 {
  const fdb = changetype<Fdb>(changetype<Core>(corePointer).fdb);
  let fresh: u32 = 0;
  for (let i: u32 = 0; i < count; ++i) fresh += <u32>learn(fdb, load<u64>(addresses + (i << 3)), port, now);
  return fresh;
}

/** Copies `length` bytes as the core does, from each of `buffers` places to one that is as far behind `to`. */
export function copyAll(to: usize, from: usize, length: u32, stride: u32, buffers: u32): void {
  for (let i: u32 = 0, at: usize = 0; i < buffers; ++i, at += stride) copy(to + at, from + at, length);
}

/** The same with memory.copy, whatever the length. */
export function memoryCopyAll(to: usize, from: usize, length: u32, stride: u32, buffers: u32): void {
  for (let i: u32 = 0, at: usize = 0; i < buffers; ++i, at += stride) memory.copy(to + at, from + at, length);
}

function linkFrames(worker: Worker, group: Group, count: u32): void {
  group.first = 0;
  group.last = count - 1;
  group.count = count;
  for (let i: u32 = 0; i + 1 < count; ++i) {
    changetype<Frame>(worker.frameTable + i * offsetof<Frame>()).next = i + 1;
  }
}
