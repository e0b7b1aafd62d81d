// What cases of bad descriptors do to a transmitq.

import {
  VIRTIO_F_INDIRECT_DESC,
  VIRTIO_F_RING_PACKED,
  VIRTIO_NET_F_CSUM,
  VIRTIO_NET_F_HOST_TSO4,
} from "../../../assembly/spec/virtio.js";
import type { PackedDriver } from "../../guest/packed-driver.js";
import { frame } from "../frames.js";
import {
  type Bend,
  behindHeader,
  end,
  indirect,
  INDIRECT,
  LOOP,
  moveAvail,
  NEXT,
  OFFLOAD,
  OUTSIDE,
  raw,
  TABLE,
  tcpHeader,
  WRITE,
} from "./bends.js";

export const TRANSMIT: Bend[] = [
  {
    id: "M1a",
    title: "a buffer that runs past its region",
    clause: OUTSIDE,
    how: (ring, guest) => behindHeader(ring, end(guest) - 16n, 200),
  },
  {
    id: "M1b",
    title: "a buffer whose end overflows",
    clause: OUTSIDE,
    how: (ring) => behindHeader(ring, 2n ** 64n - 16n, 200),
  },
  {
    id: "M36c",
    title: "a buffer in no region",
    clause: OUTSIDE,
    how: (ring) => behindHeader(ring, 0xdead_beef_0000n, 200),
  },
  {
    id: "M14a",
    title: "a descriptor that is its own next",
    clause: LOOP,
    how: (ring) => behindHeader(ring, ring.free[1]!, 100, NEXT, 1),
  },
  {
    id: "M14b",
    title: "a chain that comes back to its head",
    clause: LOOP,
    how: (ring) => behindHeader(ring, ring.free[1]!, 100, NEXT, 0),
  },
  {
    id: "M14c",
    title: "a loop of empty descriptors",
    clause: LOOP,
    how: (ring) => behindHeader(ring, ring.free[1]!, 0, NEXT, 1),
  },
  {
    id: "M15a",
    title: "a next beyond the table",
    clause: "virtio 1.3, 2.7.5: next is an index of the table",
    how: (ring) => behindHeader(ring, ring.free[1]!, 100, NEXT, 60_000),
  },
  {
    id: "M15b",
    title: "a head beyond the table",
    clause: "virtio 1.3, 2.7.6: ring[] holds indices of the table",
    how: (ring) => ring.makeAvailable(ring.size + 1),
  },
  {
    id: "M16a",
    title: "an avail index that jumps ahead by more than the ring",
    clause: "virtio 1.3, 2.7.6: no more than the ring's size is available",
    how: (ring, guest) => moveAvail(ring, guest, ring.size + 100),
  },
  {
    id: "M16b",
    title: "an avail index that goes back",
    clause: "virtio 1.3, 2.7.13: a driver MUST NOT decrement the available idx",
    how: (ring, guest) => moveAvail(ring, guest, -1),
  },
  {
    id: "M17a",
    title: "an indirect table of 20 bytes",
    clause: TABLE,
    features: [VIRTIO_F_INDIRECT_DESC],
    how: (ring) => indirect(ring, ring.free[0]!, 20),
  },
  {
    id: "M17b",
    title: "an empty indirect table",
    clause: TABLE,
    features: [VIRTIO_F_INDIRECT_DESC],
    how: (ring) => indirect(ring, ring.free[0]!, 0),
  },
  {
    id: "M17c",
    title: "an indirect table of 65536 descriptors",
    clause: TABLE,
    features: [VIRTIO_F_INDIRECT_DESC],
    how: (ring, guest) => indirect(ring, guest.files[0]!.region.guestAddress, 1 << 20),
  },
  {
    id: "M17d",
    title: "an indirect table in an indirect table",
    clause: TABLE,
    features: [VIRTIO_F_INDIRECT_DESC],
    how: (ring) => {
      const table = ring.free[0]!;
      ring.driver.writeDescriptor(table, 0, { address: table, length: 16 }, INDIRECT, 0);
      indirect(ring, table, 16);
    },
  },
  {
    id: "M17e",
    title: "INDIRECT and NEXT in one descriptor",
    clause: TABLE,
    features: [VIRTIO_F_INDIRECT_DESC],
    how: (ring) => indirect(ring, ring.free[0]!, 32, INDIRECT | NEXT),
  },
  {
    id: "M17f",
    title: "an indirect table that runs past its region",
    clause: TABLE,
    features: [VIRTIO_F_INDIRECT_DESC],
    how: (ring, guest) => indirect(ring, end(guest) - 16n, 256),
  },
  {
    id: "F10",
    title: "a chain of nearly 4 GiB, the same memory again and again",
    clause: "QEMU's large_tx test: no allocation of that size, no length that wraps",
    features: [VIRTIO_F_INDIRECT_DESC],
    how: (ring, guest) => {
      const { guestAddress, size } = guest.files[0]!.region;
      const table = ring.free[0]!;
      // As many as a buffer has room for: 2 KiB / 16.
      for (let i = 0; i < 128; i++) {
        ring.driver.writeDescriptor(
          table,
          i,
          { address: guestAddress, length: Number(size) },
          i < 127 ? NEXT : 0,
          i + 1,
        );
      }
      indirect(ring, table, 2048);
    },
  },
  {
    id: "M18",
    title: "a descriptor of 4 GiB - 1",
    clause: "virtio 1.3, 2.7.5: len is 32 bits; a frame is shorter",
    how: (ring) => behindHeader(ring, ring.free[1]!, 0xffff_ffff),
  },
  {
    id: "M11c",
    title: "a chain shorter than its header",
    clause: "CVE-2022-2132: a header comes first",
    how: (ring) => ring.makeChain([{ buffer: { address: ring.free[0]!, length: 5 }, flags: 0, next: 0 }]),
  },
  {
    id: "M11d",
    title: "a header and nothing behind it",
    clause: "CVE-2022-2132: a frame may be empty, and is none",
    how: (ring) => ring.makeChain([{ buffer: { address: ring.free[0]!, length: 12 }, flags: 0, next: 0 }]),
  },
  {
    id: "M45a",
    title: "device-writable buffers",
    clause: "virtio 1.3, 5.1.6.2: device-readable ones",
    how: (ring) => behindHeader(ring, ring.free[1]!, 100, WRITE),
  },
  {
    id: "M48",
    title: "frames that are none: 1 and 13 bytes, a cut VLAN tag, an IPv4 length that lies",
    clause: "robustness: OVS CVE-2020-35498, CVE-2022-4337",
    how: (ring, guest) => {
      for (const length of [1, 13]) raw(ring, guest, [], new Uint8Array(length).fill(2));
      const tagged = frame(1, 2, 18, 1).subarray(0, 15);
      tagged.set([0x81, 0x00], 12);
      raw(ring, guest, [], tagged);
      const lying = tcpHeader().subarray(0, 40);
      lying.set([0xff, 0xff], 16);
      raw(ring, guest, [], lying);
    },
  },
  {
    id: "M12",
    title: "a checksum to be put behind the frame",
    clause: OFFLOAD,
    features: [VIRTIO_NET_F_CSUM],
    how: (ring, guest) => raw(ring, guest, [1, 0, 0, 0, 0, 0, 0xf0, 0xff, 0x10, 0], tcpHeader()),
  },
  {
    id: "M19a",
    title: "segmentation into segments of 0 bytes",
    clause: OFFLOAD,
    features: [VIRTIO_NET_F_CSUM, VIRTIO_NET_F_HOST_TSO4],
    how: (ring, guest) => raw(ring, guest, [1, 1, 54, 0, 0, 0, 34, 0, 16, 0], tcpHeader()),
  },
  {
    id: "M19b",
    title: "an unknown kind of segmentation",
    clause: OFFLOAD,
    features: [VIRTIO_NET_F_CSUM, VIRTIO_NET_F_HOST_TSO4],
    how: (ring, guest) => raw(ring, guest, [1, 0x77, 54, 0, 100, 0, 34, 0, 16, 0], tcpHeader()),
  },
  {
    id: "M20",
    title: "a TCP header that ends behind its frame",
    clause: OFFLOAD,
    features: [VIRTIO_NET_F_CSUM, VIRTIO_NET_F_HOST_TSO4],
    how: (ring, guest) => raw(ring, guest, [1, 1, 0xff, 0xff, 100, 0, 34, 0, 16, 0], tcpHeader().subarray(0, 40)),
  },
  {
    id: "M6",
    title: "packed: one bad descriptor among good ones",
    clause: "CVE-2020-10725: each of a batch is looked at",
    features: [VIRTIO_F_RING_PACKED],
    how: (ring) => {
      const driver = ring.driver as PackedDriver<bigint>;
      for (let i = 0; i < 8; i++) {
        const address = i === 2 ? 0xdead_beef_0000n : ring.free[i]!;
        driver.makeAvailable([{ buffer: { address, length: i === 5 ? 0 : 100 }, flags: 0 }], i);
      }
    },
  },
  {
    id: "M14d",
    title: "packed: a chain that never ends",
    clause: LOOP,
    features: [VIRTIO_F_RING_PACKED],
    how: (ring) => {
      const driver = ring.driver as PackedDriver<bigint>;
      for (let round = 0; round < 2; round++) {
        const one = { buffer: { address: ring.free[0]!, length: 20 }, flags: NEXT };
        driver.makeAvailable(
          Array.from({ length: ring.size }, () => one),
          0,
        );
      }
    },
  },
];
