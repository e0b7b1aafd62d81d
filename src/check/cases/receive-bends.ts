// What cases of bad descriptors do to a receiveq.

import { type Bend, allBecome, end, LOOP, moveAvail, NEXT, OUTSIDE, WRITE } from "./bends.js";

export const RECEIVE: Bend[] = [
  {
    id: "M1c",
    title: "buffers that run past their region",
    clause: OUTSIDE,
    how: (ring, guest) => allBecome(ring, end(guest) - 16n, 2048, WRITE),
  },
  {
    id: "M36d",
    title: "buffers in no region",
    clause: OUTSIDE,
    how: (ring) => allBecome(ring, 0xdead_beef_0000n, 2048, WRITE),
  },
  {
    id: "M45b",
    title: "buffers that are not device-writable",
    clause: "virtio 1.3, 2.7.4.2: a device MUST NOT write to a device-readable buffer",
    how: (ring, guest) => allBecome(ring, guest.files[0]!.allocate(2048, 64), 2048, 0),
  },
  {
    id: "M34",
    title: "buffers smaller than the header",
    clause: "virtio 1.3, 5.1.6.3.1: at least the size of the header; CVE-2021-3748",
    how: (ring, guest) => allBecome(ring, guest.files[0]!.allocate(64, 64), 4, WRITE),
  },
  {
    id: "M14e",
    title: "chains that loop",
    clause: LOOP,
    how: (ring, guest) => allBecome(ring, guest.files[0]!.allocate(64, 64), 0, WRITE | NEXT, (i) => i),
  },
  {
    id: "M15c",
    title: "nexts beyond the table",
    clause: "virtio 1.3, 2.7.5: next is an index of the table",
    how: (ring, guest) => allBecome(ring, guest.files[0]!.allocate(64, 64), 16, WRITE | NEXT, () => 60_000),
  },
  {
    id: "M16c",
    title: "an avail index that jumps ahead by more than the ring",
    clause: "virtio 1.3, 2.7.6: no more than the ring's size is available",
    how: (ring, guest) => moveAvail(ring, guest, ring.size + 100),
  },
];
