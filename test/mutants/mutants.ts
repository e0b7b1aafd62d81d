// Bugs that somebody could make in the core, each a change of one piece of its sources, and the rule that it breaks. All of
// them must be found by the properties of test/model; one that is not is a hole in the model or in the judge.

import type { Change } from "./mutated-core.js";

export interface Mutant extends Change {
  name: string;
  /** What it breaks, with the section of the virtio specification, of IEEE 802.1Q, or the promise of this switch. */
  rule: string;
}

const SPLIT = "assembly/virtq/split.ts";
const PACKED = "assembly/virtq/packed.ts";
const CHAIN = "assembly/virtq/chain.ts";
const DEQUEUE = "assembly/virtq/dequeue.ts";
const ENQUEUE = "assembly/virtq/enqueue.ts";
const RESERVE = "assembly/virtq/reserve.ts";
const PLACE = "assembly/virtq/place.ts";
const NOTIFY = "assembly/virtq/notify.ts";
const INFLIGHT = "assembly/virtq/inflight.ts";
const BRIDGE = "assembly/bridge/bridge.ts";
const FDB = "assembly/bridge/fdb.ts";
const REGIONS = "assembly/memory/regions.ts";
const LOG = "assembly/memory/log.ts";

export const MUTANTS: readonly Mutant[] = [
  // The split ring.
  {
    name: "the avail index is not taken modulo 65536",
    rule: "2.7.6: idx is free-running and wraps at 65536",
    file: SPLIT,
    text: "(index - queue.nextAvail) & 0xffff;",
    by: "index - queue.nextAvail;",
  },
  {
    name: "used elements one place too far",
    rule: "2.7.8: the element at used.idx modulo the queue's size",
    file: SPLIT,
    text: "store<u64>(used + ((index & mask) << 3)",
    by: "store<u64>(used + (((index + 1) & mask) << 3)",
  },
  {
    name: "the used index runs one ahead",
    rule: "2.7.8.2: only what is in the used ring is counted by its index",
    file: SPLIT,
    text: "(queue.nextUsed + cursor - queue.nextAvail) & 0xffff",
    by: "(queue.nextUsed + cursor - queue.nextAvail + 1) & 0xffff",
  },
  {
    name: "the first head of a burst comes back for all of them",
    rule: "2.7.8: each chain is returned once",
    file: DEQUEUE,
    text: "const id = packed ? <u32>(rest >> 32) & 0xffff : head;",
    by: "const id = packed ? <u32>(rest >> 32) & 0xffff : headAt(avail, mask, queue.nextAvail);",
  },
  {
    name: "a head one past the end of the ring is believed",
    rule: "2.7.6: ring[] holds heads below the queue's size",
    file: DEQUEUE,
    text: "if (begin >= queue.size) {",
    by: "if (begin > queue.size) {",
  },
  {
    name: "a jump of the avail index by more than the ring is believed",
    rule: "2.7.13: at most queue size chains are outstanding",
    file: SPLIT,
    text: "if (count > queue.size) {",
    by: "if (count > queue.size + 1) {",
  },
  // The packed ring.
  {
    name: "off by one where the ring wraps",
    rule: "2.8.1: the wrap counters change at the last descriptor",
    file: PACKED,
    text: "return position >= size ?",
    by: "return position > size ?",
  },
  {
    name: "used descriptors always of the first round",
    rule: "2.8.1: used when both bits are the device's wrap counter",
    file: PACKED,
    text: "const round: u32 = cursor & WRAP ?",
    by: "const round: u32 = cursor | WRAP ?",
  },
  {
    name: "a descriptor that was never made available is taken",
    rule: "2.8.1: available when AVAIL is the counter and USED is not",
    file: PACKED,
    text: "const flags = <u32>(descriptor >> 48) & (VIRTQ_DESC_F_AVAIL | VIRTQ_DESC_F_USED);\n  return flags == (cursor & WRAP ? <u32>VIRTQ_DESC_F_AVAIL : <u32>VIRTQ_DESC_F_USED);",
    by: "const flags = <u32>(descriptor >> 48) & VIRTQ_DESC_F_USED;\n  return flags == (cursor & WRAP ? 0 : <u32>VIRTQ_DESC_F_USED);",
  },
  {
    name: "a chain of several descriptors counts as one",
    rule: "2.8.6: the next available descriptor is behind the whole chain",
    file: PACKED,
    text: "worker.chainSpan = span;",
    by: "worker.chainSpan = 1;",
  },
  {
    name: "a receive buffer comes back without WRITE",
    rule: "2.8.3: used length is valid only with the WRITE flag",
    file: PACKED,
    text: "return writable ? round | VIRTQ_DESC_F_WRITE : round;",
    by: "return round;",
  },
  {
    name: "the inflight area is not told that the driver was",
    rule: "vhost-user, inflight I/O tracking: old_used_idx follows used_idx",
    file: INFLIGHT,
    text: "store<u16>(header, <u16>(cursor & POSITION), OLD_USED);",
    by: "",
  },
  // Chains.
  {
    name: "an entry of an indirect table may lie behind its end",
    rule: "2.7.5.3.2: next is below the table's length",
    file: CHAIN,
    text: "if (index >= tableSize) return fault(writable, DROP_TX_INDIRECT);",
    by: "",
  },
  {
    name: "an indirect table of no whole number of descriptors",
    rule: "2.7.5.3: the table is an array of 16-byte descriptors",
    file: CHAIN,
    text: "if (length == 0 || length & 15 ||",
    by: "if (length == 0 ||",
  },
  {
    name: "an indirect table though none was negotiated",
    rule: "2.7.5.3.1: only with VIRTIO_F_INDIRECT_DESC",
    file: CHAIN,
    text: "if (inside || !queue.indirect ||",
    by: "if (inside ||",
  },
  {
    name: "next of a descriptor may lie behind the ring",
    rule: "2.7.5: next is below the queue's size",
    file: CHAIN,
    text: "} else if (!packed && index >= size) {",
    by: "} else if (!packed && index > size) {",
  },
  {
    name: "a buffer that goes on in the next region is taken as one piece",
    rule: "promise: a guest's address is used only inside the region it lies in",
    file: CHAIN,
    text: "const piece = <u32>min<u64>(length, spanLength - start);",
    by: "const piece = length;",
  },
  {
    name: "a transmit buffer may end behind its region",
    rule: "promise: nothing but the guest's own memory is read for it",
    file: DEQUEUE,
    text: "inside >= length || total > length - inside) break;",
    by: "inside >= length) break;",
  },
  {
    name: "an address is looked for in a region one byte too long",
    rule: "promise: a region ends at its size",
    file: REGIONS,
    text: "if (address - region.guestAddress < region.size) {\n      if (region.chunks",
    by: "if (address - region.guestAddress <= region.size) {\n      if (region.chunks",
  },
  {
    name: "a chain of device-writable buffers is sent",
    rule: "2.7.4.2: a device reads no device-writable buffer of a transmitq",
    file: CHAIN,
    text: "if (!lenient && ((flags & VIRTQ_DESC_F_WRITE) != 0) != writable)",
    by: "if (!lenient && writable && !(flags & VIRTQ_DESC_F_WRITE))",
  },
  {
    name: "a read-only buffer is written to",
    rule: "2.7.4.1: a device writes to no device-readable buffer",
    file: CHAIN,
    text: "if (!lenient && ((flags & VIRTQ_DESC_F_WRITE) != 0) != writable)",
    by: "if (!lenient && !writable && flags & VIRTQ_DESC_F_WRITE)",
  },
  {
    name: "what is no whole Ethernet header is sent",
    rule: "5.1.6.2: a packet behind the header; promise: shorter is dropped as runt",
    file: DEQUEUE,
    text: "if (worker.chainBytes < header + ETHERNET_HEADER ||",
    by: "if (worker.chainBytes < header ||",
  },
  // Receive buffers.
  {
    name: "used length without the header",
    rule: "5.1.6.4: len is the bytes written, header included",
    file: ENQUEUE,
    text: "packed ? <u32>(rest >> 32) & 0xffff : head, need, true, packed);",
    by: "packed ? <u32>(rest >> 32) & 0xffff : head, frame.length, true, packed);",
  },
  {
    name: "num_buffers is always one",
    rule: "5.1.6.4: num_buffers counts the buffers of the packet",
    file: PLACE,
    text: "writeHeaderSegments(worker, to, header, placement.buffers,",
    by: "writeHeaderSegments(worker, to, header, 1,",
  },
  {
    name: "published before it was copied",
    rule: "2.7.13, 2.8.21: what is used was written before",
    file: ENQUEUE,
    text: "  copyPlaced(worker, queue, next);\n  if (cursor != queue.nextAvail) publish(worker, queue, cursor, true, packed);",
    by: "  const moved = cursor != queue.nextAvail;\n  if (moved) publish(worker, queue, cursor, true, packed);\n  copyPlaced(worker, queue, next);",
  },
  {
    name: "frames are spread over buffers that may not be merged",
    rule: "5.1.6.3: without MRG_RXBUF one buffer holds the packet",
    file: RESERVE,
    text: "if (room < need && (!queue.mergeable || full)) {",
    by: "if (room < need && full) {",
  },
  {
    name: "a bad receive buffer is lost",
    rule: "2.7.8: each chain is returned; promise: a bad one unused",
    file: RESERVE,
    text: "giveReserved(worker, queue, buffers, packed, false);",
    by: "",
  },
  {
    name: "a receive buffer one byte too small is filled",
    rule: "2.7.8.2: no more is written than the buffer has room for",
    file: ENQUEUE,
    text: "room < need || inside >= length",
    by: "room + 1 < need || inside >= length",
  },
  {
    name: "room for a header of 12 bytes whatever was negotiated",
    rule: "5.1.6.1: legacy without MRG_RXBUF has 10 bytes",
    file: ENQUEUE,
    text: "const need = frame.length + header;",
    by: "const need = frame.length + 12;",
  },
  {
    name: "a frame that finds no buffer is not counted",
    rule: "promise: a frame is delivered, or dropped under one cause",
    file: ENQUEUE,
    text: "    else countDrop(queue, cause, 1);\n    worker.spanLength = 0;",
    by: "    worker.spanLength = 0;",
  },
  // Notifications.
  {
    name: "it sleeps without a second look, split ring",
    rule: "2.7.10: after asking for kicks the ring is looked at again",
    file: NOTIFY,
    text: "return pending(queue) > 0;",
    by: "return false;",
  },
  {
    name: "it sleeps without a second look, packed ring",
    rule: "2.8.10: after asking for kicks the ring is looked at again",
    file: NOTIFY,
    text: "return isAvailable(descriptorAt(queue.desc, next), next);",
    by: "return false;",
  },
  {
    name: "avail_event behind the wrong number of elements",
    rule: "2.7.10.1: avail_event stands behind the used ring",
    file: NOTIFY,
    text: "return queue.used + 4 + (queue.size << 3);",
    by: "return queue.used + 2 + (queue.size << 3);",
  },
  {
    name: "the event is compared one too early",
    rule: "2.7.7.2: vring_need_event",
    file: NOTIFY,
    text: "((now - event - 1) & 0xffff) < (steps & 0xffff)",
    by: "((now - event) & 0xffff) < (steps & 0xffff)",
  },
  {
    name: "the round of a packed ring's event is not looked at",
    rule: "2.8.10: the event has a wrap counter of its own",
    file: NOTIFY,
    text: "if ((wish ^ now) & WRAP) event -= size;",
    by: "",
  },
  {
    name: "drivers that want no calls are called",
    rule: "2.7.7.2: no notification while VIRTQ_AVAIL_F_NO_INTERRUPT is set",
    file: NOTIFY,
    text: "} else if (atomic.load<u16>(queue.avail) & VIRTQ_AVAIL_F_NO_INTERRUPT) {",
    by: "} else if (false) {",
  },
  {
    name: "a receiver that asked for a call gets none",
    rule: "2.7.7.2: the device notifies when it has used buffers",
    file: ENQUEUE,
    text: "if (cursor != begin) requestCall(worker, queue);",
    by: "if (cursor != begin && left > 0) requestCall(worker, queue);",
  },
  // The bridge.
  {
    name: "an address that moves stays where it was",
    rule: "802.1Q 8.7: the entry is updated to the port of reception",
    file: FDB,
    text: "if (before == port) return false; // another worker was quicker",
    by: "return false;",
  },
  {
    name: "a flooded frame goes back to its sender too",
    rule: "802.1Q 8.6.1: never out of the port of reception",
    file: BRIDGE,
    text: "if (load<u32>(item) == queue.port) continue;",
    by: "",
  },
  {
    name: "nothing ages",
    rule: "802.1Q 8.8.3: entries go after the ageing time",
    file: FDB,
    text: 'offsetof<FdbEntry>("seen")) > ageing) {',
    by: 'offsetof<FdbEntry>("seen")) > ageing + 60) {',
  },
  {
    name: "an address that is heard of ages nevertheless",
    rule: "802.1Q 8.8.3: the timer starts again with each frame",
    file: FDB,
    text: 'store<u32>(entry, now, offsetof<FdbEntry>("seen"));\n  return false;',
    by: "{}\n  return false;",
  },
  {
    name: "one port may fill the whole table",
    rule: "promise: a port learns no more than its share",
    file: FDB,
    text: "if (load<u32>(own) >= fdb.portLimit || (",
    by: "if ((",
  },
  {
    name: "a group address is learned as a source",
    rule: "802.1Q 8.7: no entry for a group address",
    file: BRIDGE,
    text: "if (source == 0 || isGroup(source)) {",
    by: "if (source == 0) {",
  },
  {
    name: "frames for a bridge's neighbour are forwarded",
    rule: "802.1Q 8.6.3: reserved addresses are not relayed",
    file: BRIDGE,
    text: "} else if (isReserved(destination)) {",
    by: "} else if (false) {",
  },
  {
    name: "a frame overtakes the flooded ones before it",
    rule: "802.1Q 6.5.3: order is kept between two ports",
    file: BRIDGE,
    text: "  deliverFlood(core, worker, queue);\n  const slot",
    by: "  const slot",
  },
  {
    name: "a disabled transmitq still sends",
    rule: "vhost-user, SET_VRING_ENABLE: a disabled ring passes nothing on",
    file: BRIDGE,
    text: "if (!queue.enabled) return discard(worker, queue, now);",
    by: "",
  },
  {
    name: "a frame one byte longer than the MTU passes",
    rule: "5.1.4.1: no packet of more than mtu bytes is sent to the driver",
    file: "assembly/net/mtu.ts",
    text: "return frame.length - linkHeader(worker, frame) > mtu;",
    by: "return frame.length - linkHeader(worker, frame) > mtu + 1;",
  },
  // The dirty log.
  {
    name: "written receive buffers are not logged",
    rule: "vhost-user, VHOST_F_LOG_ALL: each page that is written is marked",
    file: PLACE,
    text: "if (log != 0) markPlaced(",
    by: "if (log == 1) markPlaced(",
  },
  {
    name: "only the first page of a write is logged",
    rule: "vhost-user, VHOST_F_LOG_ALL: each page that is written is marked",
    file: LOG,
    text: "const last = (address + length - 1) >> LOG_PAGE_BITS;",
    by: "const last = address >> LOG_PAGE_BITS;",
  },
  {
    name: "the used ring is not logged",
    rule: "vhost-user, VHOST_VRING_F_LOG: the used ring too",
    file: "assembly/virtq/ring.ts",
    text: "if (log != 0) {",
    by: "if (log == 1) {",
  },
];
