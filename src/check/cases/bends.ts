// How cases of bad descriptors bend a ring: the means that transmit-bends.ts and receive-bends.ts share.

import { VIRTQ_DESC_F_INDIRECT, VIRTQ_DESC_F_NEXT, VIRTQ_DESC_F_WRITE } from "../../../assembly/spec/virtio.js";
import { frame } from "../frames.js";
import type { CheckGuest } from "../guest.js";
import type { CheckRing } from "../ring.js";

export const NEXT = VIRTQ_DESC_F_NEXT;
export const WRITE = VIRTQ_DESC_F_WRITE;
export const INDIRECT = VIRTQ_DESC_F_INDIRECT;

export interface Bend {
  id: string;
  title: string;
  clause: string;
  /** To be negotiated beside VERSION_1. */
  features?: readonly number[];
  /** Breaks the ring, which runs. */
  how(ring: CheckRing, guest: CheckGuest): void;
}

/** The guest's memory ends here. */
export function end(guest: CheckGuest): bigint {
  const { guestAddress, size } = guest.files[0]!.region;
  return guestAddress + size;
}

/** A chain of a good header and this buffer. */
export function behindHeader(ring: CheckRing, address: bigint, length: number, flags = 0, next = 0): void {
  ring.makeChain([
    { buffer: { address: ring.free[0]!, length: 12 }, flags: NEXT, next: 1 },
    { buffer: { address, length }, flags, next },
  ]);
}

/** A descriptor of the ring that refers to an indirect table. */
export function indirect(ring: CheckRing, address: bigint, length: number, flags = INDIRECT): void {
  ring.makeChain([{ buffer: { address, length }, flags, next: 1 }]);
}

/** A frame of these bytes behind a header, both as they are. */
export function raw(ring: CheckRing, guest: CheckGuest, header: readonly number[], bytes: Uint8Array): void {
  guest.send(bytes, { header: Uint8Array.from(header), cuts: [12] });
  ring.notify();
}

/** Every descriptor of a receiveq, those that the device has included, becomes this. */
export function allBecome(
  ring: CheckRing,
  address: bigint,
  length: number,
  flags: number,
  next = (i: number) => i,
): void {
  for (let i = 0; i < ring.size; i++) {
    ring.driver.writeDescriptor(ring.place.desc, i, { address, length }, flags, next(i));
  }
}

/** The avail index as it is, moved. */
export function moveAvail(ring: CheckRing, guest: CheckGuest, by: number): void {
  const at = guest.at(ring.place.avail) + 2;
  guest.data.setUint16(at, guest.data.getUint16(at, true) + by, true);
}

export function tcpHeader(): Uint8Array {
  const bytes = frame(1, 2, 200, 1);
  bytes.set([0x08, 0x00, 0x45, 0, 0, 186, 0, 0, 0, 0, 64, 6, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2], 12);
  return bytes;
}

export const OUTSIDE = "CVE-2018-1059: a buffer must lie in the guest's memory, to its last byte";
export const LOOP = "virtio 1.3, 2.7.5.2: no loops; a chain has at most as many descriptors as its ring";
export const TABLE = "virtio 1.3, 2.7.5.3: a table of whole descriptors, none of them indirect, without NEXT beside it";
export const OFFLOAD = "virtio 1.3, 5.1.6.2: the places and sizes of a header lie in its packet; CVE-2024-11614";
