// The switch itself: one burst of one transmitq at a time, in passes, so that the cache misses of its frames overlap.
//
//   dequeue    avail ring and descriptors                       (virtq/dequeue.ts)
//   addresses  the first bytes of every frame, then the lines of the FDB where they stand
//   offloads   what the virtio_net headers ask for, where anything was negotiated (net/offload.ts)
//   classify   learn, look up, sort the frames into groups, one for each destination port
//   deliver    reserve, copy, publish for each group            (virtq/enqueue.ts)
//   complete   give the sender its buffers back                 (virtq/dequeue.ts)
//
// The order of the frames between two ports is kept: a flooded frame first lets all frames before it go.

import { BURST, Core, Fdb, Frame, Group, Port, Queue, Worker } from "../abi";
import { captureBurst, capturesOf, noteDrop, noteDrops, owesTurn, settleCaptures } from "../capture";
import { gather } from "../memory/copy";
import { ETHERNET_HEADER, isGroup, isReserved, MAC_MASK } from "../net/ethernet";
import { readOffloads } from "../net/offload";
import {
  DROP_ADMIN_DOWN,
  DROP_BAD_SOURCE,
  DROP_HAIRPIN,
  DROP_NO_PORT,
  DROP_PORT_DOWN,
  DROP_RESERVED,
} from "../spec/status";
import { trace, TRACE_FORWARD, TRACE_LEARN } from "../trace";
import { complete, dequeue, discard } from "../virtq/dequeue";
import { enqueue } from "../virtq/enqueue";
import { learn, lookup, touch, UNKNOWN_PORT } from "./fdb";
import { countDrop } from "./stats";

/** No frame has this address: it is wider than 48 bits. */
const NO_ADDRESS: u64 = u64.MAX_VALUE;

/** With no more addresses than this their cache lines are at hand anyway, and reading ahead would only cost. */
const FDB_IN_CACHE: u32 = 256;

/** Moves up to one burst from a transmitq to where it belongs. Returns the number of frames taken. */
export function serve(core: Core, worker: Worker, queue: Queue, now: u32): u32 {
  if (!queue.enabled) return discard(worker, queue, now);
  if (worker.capturing && owesTurn(queue)) return 0;
  const count = dequeue(worker, queue);
  if (count == 0) return 0;
  readAddresses(worker, count);
  const captures = capturesOf(queue);
  worker.captures = <u32>captures;
  if (captures != 0) captureBurst(worker, captures, count);
  worker.offloaded = queue.offloads == 0 ? 0 : readOffloads(worker, queue, count);
  const fdb = changetype<Fdb>(core.fdb);
  if (fdb.count > FDB_IN_CACHE) touchEntries(fdb, worker, count);
  forward(core, worker, queue, count, now);
  if (worker.dirtyRings) settleCaptures(worker, queue, count);
  complete(worker, queue);
  return count;
}

/** The MAC addresses of all frames, before any is acted upon: the misses of a burst are paid at once. */
function readAddresses(worker: Worker, count: u32): void {
  let at: usize = worker.frameTable;
  for (let i: u32 = 0; i < count; ++i, at += offsetof<Frame>()) {
    const frame = changetype<Frame>(at);
    if (frame.length == 0) continue;
    let bytes: usize = frame.at;
    if (frame.segments != 1) {
      bytes = worker.headerScratch;
      gather(bytes, frame.at, ETHERNET_HEADER);
    }
    frame.destination = load<u64>(bytes) & MAC_MASK;
    frame.source = load<u64>(bytes, 6) & MAC_MASK;
  }
}

/** The lines of the FDB that the burst will ask for; frames of one flow come in trains, and ask for the same ones. */
function touchEntries(fdb: Fdb, worker: Worker, count: u32): void {
  let at: usize = worker.frameTable;
  let lastSource = NO_ADDRESS;
  let lastDestination = NO_ADDRESS;
  let sum: u32 = 0;
  for (let i: u32 = 0; i < count; ++i, at += offsetof<Frame>()) {
    const frame = changetype<Frame>(at);
    const source = frame.source;
    const destination = frame.destination;
    if (source != lastSource) sum += touch(fdb, source);
    if (destination != lastDestination) sum += touch(fdb, destination);
    lastSource = source;
    lastDestination = destination;
  }
  worker.touched = sum;
}

/**
 * Learns the sources and sorts the frames into groups, which are delivered as the burst ends. Frames of one flow come
 * in trains: the group of the frame before is kept, and only a change of address asks the FDB.
 */
function forward(core: Core, worker: Worker, queue: Queue, count: u32, now: u32): void {
  const fdb = changetype<Fdb>(core.fdb);
  const self = changetype<Port>(queue.port).id;
  let at: usize = worker.frameTable;
  let lastSource = NO_ADDRESS;
  let lastDestination = NO_ADDRESS;
  let group: usize = 0;
  worker.groups = 0;
  floodOf(worker).count = 0;

  for (let i: u32 = 0; i < count; ++i, at += offsetof<Frame>()) {
    const frame = changetype<Frame>(at);
    if (frame.length == 0) continue;
    const source = frame.source;
    if (source != lastSource) {
      if (source == 0 || isGroup(source)) {
        countDrop(queue, DROP_BAD_SOURCE, 1);
        noteDrop(worker, i, DROP_BAD_SOURCE);
        continue;
      }
      if (learn(fdb, source, self, now)) {
        trace(worker, TRACE_LEARN, queue.port, <u32>source, <u32>(source >> 32));
        group = 0; // what was learned may be where the next frame goes
      }
      lastSource = source;
    }
    const destination = frame.destination;
    if (destination != lastDestination || group == 0) {
      lastDestination = destination;
      group = groupFor(core, worker, queue, destination, i);
      if (group == 0) continue;
    }
    trace(worker, TRACE_FORWARD, group, i, 0);
    append(worker, changetype<Group>(group), i);
  }
  deliverGroups(worker, queue);
  deliverFlood(core, worker, queue);
}

/** The group of frames to an address, or 0 when frame `number` with it goes nowhere: then that has been counted. */
function groupFor(core: Core, worker: Worker, queue: Queue, destination: u64, number: u32): usize {
  let port = UNKNOWN_PORT;
  if (!isGroup(destination)) {
    port = lookup(changetype<Fdb>(core.fdb), destination);
  } else if (isReserved(destination)) {
    countDrop(queue, DROP_RESERVED, 1);
    noteDrop(worker, number, DROP_RESERVED);
    return 0;
  }
  if (port == UNKNOWN_PORT) {
    deliverGroups(worker, queue);
    return changetype<usize>(floodOf(worker));
  }
  if (port == changetype<Port>(queue.port).id) {
    countDrop(queue, DROP_HAIRPIN, 1);
    noteDrop(worker, number, DROP_HAIRPIN);
    return 0;
  }
  deliverFlood(core, worker, queue);
  const slot: usize = worker.groupOf + port;
  let group = <u32>load<u8>(slot);
  if (group == 0) {
    const pointer = atomic.load<u32>(core.ports + (port << 2));
    if (pointer == 0) {
      countDrop(queue, DROP_PORT_DOWN, 1);
      noteDrop(worker, number, DROP_PORT_DOWN);
      return 0;
    }
    if (worker.groups == BURST - 1) deliverGroups(worker, queue);
    group = ++worker.groups;
    store<u8>(slot, <u8>group);
    const added = changetype<Group>(groupAt(worker, group - 1));
    added.port = pointer;
    added.count = 0;
  }
  return groupAt(worker, group - 1);
}

/** @inline */
function groupAt(worker: Worker, number: u32): usize {
  return worker.groupTable + number * offsetof<Group>();
}

/**
 * The last group of the table is the flood's. While it has frames no other group has: order is kept.
 * @inline
 */
function floodOf(worker: Worker): Group {
  return changetype<Group>(groupAt(worker, BURST - 1));
}

/** @inline */
function append(worker: Worker, group: Group, number: u32): void {
  if (group.count == 0) group.first = number;
  else changetype<Frame>(worker.frameTable + group.last * offsetof<Frame>()).next = number;
  group.last = number;
  group.count += 1;
}

function deliverGroups(worker: Worker, queue: Queue): void {
  for (let i: u32 = 0, groups = worker.groups; i < groups; ++i) {
    const group = changetype<Group>(groupAt(worker, i));
    const port = changetype<Port>(group.port);
    store<u8>(worker.groupOf + port.id, 0);
    const receiveq = steer(worker, queue, port);
    if (receiveq == 0) {
      const cause = atomic.load<u32>(group.port, offsetof<Port>("adminDown")) ? DROP_ADMIN_DOWN : DROP_PORT_DOWN;
      countDrop(queue, cause, group.count);
      noteDrops(worker, group.first, group.count, cause);
    } else enqueue(worker, queue, changetype<Queue>(receiveq), group.first, group.count);
  }
  worker.groups = 0;
}

/** A copy to every port that has a running receiveq, except the one the frames came from. */
function deliverFlood(core: Core, worker: Worker, queue: Queue): void {
  const group = floodOf(worker);
  if (group.count == 0) return;
  const list: usize = atomic.load<u32>(changetype<usize>(core), offsetof<Core>("floodList"));
  let copies: u32 = 0;
  let item = list + 4;
  for (let left = load<u32>(list); left > 0; --left, item += 4) {
    const port = changetype<Port>(load<u32>(item));
    if (load<u32>(item) == queue.port) continue;
    const receiveq = steer(worker, queue, port);
    if (receiveq == 0) continue;
    enqueue(worker, queue, changetype<Queue>(receiveq), group.first, group.count);
    ++copies;
  }
  if (copies == 0) {
    countDrop(queue, DROP_NO_PORT, group.count);
    noteDrops(worker, group.first, group.count, DROP_NO_PORT);
  }
  group.count = 0;
}

/**
 * The receiveq of a port for frames of one transmitq: one and the same for a sender's queue, so that a flow stays in
 * order, and none shared between workers where the port has at least as many receiveqs as there are workers. Each worker
 * then has an equal share of them, and spreads a port's transmitqs over it.
 * @inline
 */
function steer(worker: Worker, queue: Queue, port: Port): usize {
  const list: usize = atomic.load<u32>(changetype<usize>(port), offsetof<Port>("receiveqs"));
  const count = load<u32>(list);
  if (count == 0) return 0;
  let number: u32 = 0;
  if (count > 1) {
    const workers = worker.workers;
    if (count >= workers) {
      // The first workers have one more where it does not come out even, as of transmitqs.
      const first = (worker.id * count + workers - 1) / workers;
      number = first + (queue.lane % (((worker.id + 1) * count + workers - 1) / workers - first));
    } else {
      number = (worker.id + queue.lane) % count;
    }
  }
  return load<u32>(list + 4 + (number << 2));
}
