// The switch itself: one burst of one transmitq at a time, in passes, so that the cache misses of its frames overlap.
//
//   dequeue    avail ring and descriptors                       (virtq/dequeue.ts)
//   addresses  the first bytes of every frame
//   classify   learn, look up, sort the frames into groups, one for each destination port
//   deliver    reserve, copy, publish for each group            (virtq/enqueue.ts)
//   complete   give the sender its buffers back                 (virtq/dequeue.ts)
//
// The order of the frames between two ports is kept: a flooded frame first lets all frames before it go.

import { BURST, Core, Fdb, Frame, Group, Port, Queue, Segment, Worker } from "../abi";
import { gather } from "../memory/copy";
import { ETHERNET_HEADER, isGroup, isReserved, MAC_MASK } from "../net/ethernet";
import { DROP_BAD_SOURCE, DROP_HAIRPIN, DROP_NO_PORT, DROP_PORT_DOWN, DROP_RESERVED } from "../spec/status";
import { trace, TRACE_FORWARD, TRACE_LEARN } from "../trace";
import { complete, dequeue, discard } from "../virtq/dequeue";
import { enqueue } from "../virtq/enqueue";
import { learn, lookup, UNKNOWN_PORT } from "./fdb";
import { countDrop } from "./stats";

/** No frame has this address: it is wider than 48 bits. */
const NO_ADDRESS: u64 = u64.MAX_VALUE;

/** Moves up to one burst from a transmitq to where it belongs. Returns the number of frames taken. */
export function serve(core: Core, worker: Worker, queue: Queue, now: u32): u32 {
  if (!queue.enabled) return discard(worker, queue);
  const count = dequeue(worker, queue);
  if (count == 0) return 0;
  readAddresses(worker, count);
  forward(core, worker, queue, count, now);
  complete(worker, queue, count);
  return count;
}

/** The MAC addresses of all frames, before any is acted upon: the misses of a burst are paid at once. */
function readAddresses(worker: Worker, count: u32): void {
  let at: usize = worker.frameTable;
  const segments: usize = worker.txSegmentTable;
  for (let i: u32 = 0; i < count; ++i, at += offsetof<Frame>()) {
    const frame = changetype<Frame>(at);
    if (frame.length == 0) continue;
    const list = segments + frame.segment * offsetof<Segment>();
    let bytes: usize = changetype<Segment>(list).offset;
    if (changetype<Segment>(list).length < ETHERNET_HEADER) {
      bytes = worker.headerScratch;
      gather(bytes, list, ETHERNET_HEADER);
    }
    frame.destination = load<u64>(bytes) & MAC_MASK;
    frame.source = load<u64>(bytes, 6) & MAC_MASK;
  }
}

function forward(core: Core, worker: Worker, queue: Queue, count: u32, now: u32): void {
  const fdb = changetype<Fdb>(core.fdb);
  const ports: usize = core.ports;
  const self = changetype<Port>(queue.port).id;
  const frames: usize = worker.frameTable;
  const groupOf: usize = worker.groupOf;
  const groupTable: usize = worker.groupTable;
  // The last group is the flood's; groups of ports are numbered from 0.
  const flood = changetype<Group>(groupTable + (BURST - 1) * offsetof<Group>());
  flood.count = 0;
  let groups: u32 = 0;
  let lastSource = NO_ADDRESS;
  let lastDestination = NO_ADDRESS;
  let lastPort: u32 = UNKNOWN_PORT;

  for (let i: u32 = 0; i < count; ++i) {
    const frame = changetype<Frame>(frames + i * offsetof<Frame>());
    if (frame.length == 0) continue;
    const source = frame.source;
    if (source != lastSource) {
      if (source == 0 || isGroup(source)) {
        countDrop(queue, DROP_BAD_SOURCE, 1);
        continue;
      }
      if (learn(fdb, source, self, now)) {
        trace(worker, TRACE_LEARN, queue.port, <u32>source, <u32>(source >> 32));
        lastDestination = NO_ADDRESS; // what was learned may be what comes next
      }
      lastSource = source;
    }

    const destination = frame.destination;
    if (destination != lastDestination) {
      lastDestination = destination;
      if (isGroup(destination)) {
        if (isReserved(destination)) {
          countDrop(queue, DROP_RESERVED, 1);
          lastDestination = NO_ADDRESS;
          continue;
        }
        lastPort = UNKNOWN_PORT;
      } else {
        lastPort = lookup(fdb, destination);
      }
    }

    if (lastPort == UNKNOWN_PORT) {
      if (groups > 0) {
        deliverGroups(worker, queue, groups);
        groups = 0;
      }
      trace(worker, TRACE_FORWARD, 0, i, 0);
      append(worker, flood, i);
      continue;
    }
    if (lastPort == self) {
      countDrop(queue, DROP_HAIRPIN, 1);
      continue;
    }
    if (flood.count > 0) deliverFlood(core, worker, queue, flood);
    const slot = groupOf + lastPort;
    let number = <u32>load<u8>(slot);
    if (number == 0) {
      const port = atomic.load<u32>(ports + (lastPort << 2));
      if (port == 0) {
        countDrop(queue, DROP_PORT_DOWN, 1);
        continue;
      }
      if (groups == BURST - 1) {
        deliverGroups(worker, queue, groups);
        groups = 0;
      }
      const group = changetype<Group>(groupTable + groups * offsetof<Group>());
      group.port = port;
      group.count = 0;
      number = ++groups;
      store<u8>(slot, <u8>number);
    }
    trace(worker, TRACE_FORWARD, lastPort, i, 0);
    append(worker, changetype<Group>(groupTable + (number - 1) * offsetof<Group>()), i);
  }
  if (groups > 0) deliverGroups(worker, queue, groups);
  if (flood.count > 0) deliverFlood(core, worker, queue, flood);
}

/** @inline */
function append(worker: Worker, group: Group, number: u32): void {
  if (group.count == 0) group.first = number;
  else changetype<Frame>(worker.frameTable + group.last * offsetof<Frame>()).next = number;
  group.last = number;
  group.count += 1;
}

function deliverGroups(worker: Worker, queue: Queue, groups: u32): void {
  for (let i: u32 = 0; i < groups; ++i) {
    const group = changetype<Group>(worker.groupTable + i * offsetof<Group>());
    const port = changetype<Port>(group.port);
    store<u8>(worker.groupOf + port.id, 0);
    const receiveq = steer(worker, queue, port);
    if (receiveq == 0) countDrop(queue, DROP_PORT_DOWN, group.count);
    else enqueue(worker, queue, changetype<Queue>(receiveq), group);
  }
}

/** A copy to every port that has a running receiveq, except the one the frames came from. */
function deliverFlood(core: Core, worker: Worker, queue: Queue, group: Group): void {
  const list: usize = atomic.load<u32>(changetype<usize>(core), offsetof<Core>("floodList"));
  let copies: u32 = 0;
  let item = list + 4;
  for (let left = load<u32>(list); left > 0; --left, item += 4) {
    const port = changetype<Port>(load<u32>(item));
    if (load<u32>(item) == queue.port) continue;
    const receiveq = steer(worker, queue, port);
    if (receiveq == 0) continue;
    enqueue(worker, queue, changetype<Queue>(receiveq), group);
    ++copies;
  }
  if (copies == 0) countDrop(queue, DROP_NO_PORT, group.count);
  group.count = 0;
}

/**
 * The receiveq of a port for frames of one transmitq: one and the same for a sender's queue, so that a flow stays in
 * order, and none shared between workers where the port has at least as many receiveqs as there are workers.
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
      const share = count / workers;
      number = worker.id * share + (queue.pair % share);
    } else {
      number = queue.pair % count;
    }
  }
  return load<u32>(list + 4 + (number << 2));
}
