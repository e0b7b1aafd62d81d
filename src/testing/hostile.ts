// What a faulty driver writes into its rings. A bad chain is given back and counted; a bad ring stops its queue until the
// driver resets it (ARCHITECTURE.md, safety rule 4).

import {
  VIRTQ_DESC_F_AVAIL,
  VIRTQ_DESC_F_NEXT,
  VIRTQ_DESC_F_USED,
  VIRTQ_DESC_F_WRITE,
} from "../../assembly/spec/virtio.js";
import { PACKED_WRAP, packedAfter } from "../core/packed-ring.js";
import { PackedDriver } from "../guest/packed-driver.js";
import type { Buffer } from "../guest/ring-driver.js";
import type { LabGuest } from "./guest.js";

/**
 * torn-descriptor: an address of which half is new; bad-address: one outside of the guest's memory; freed-memory: one in a
 * region that has just been unplugged; loop: a chain that never ends; index-jump: the avail index runs ahead by more than
 * the ring has, or (packed) a descriptor far ahead of its turn becomes available.
 */
export const HOSTILE_KINDS = ["torn-descriptor", "bad-address", "freed-memory", "loop", "index-jump"] as const;
export type HostileKind = (typeof HOSTILE_KINDS)[number];

const LENGTH = 256;

/** Breaks the guest's first receiveq or transmitq, and kicks the switch. A guest that is not connected can break none. */
export async function breakRing(guest: LabGuest, kind: HostileKind, queue: "transmit" | "receive"): Promise<void> {
  if (!guest.connected) return;
  const { ram } = guest.device;
  const spare = ram.regions.at(-1)!;
  switch (kind) {
    case "torn-descriptor":
      offer(guest, queue, (spare.guestAddress & 0xffff_ffffn) | (0xdead_beefn << 32n));
      break;
    case "bad-address":
      offer(guest, queue, ram.base + BigInt(ram.bytes));
      break;
    case "freed-memory":
      await guest.unplug();
      offer(guest, queue, spare.guestAddress);
      break;
    case "loop":
      loop(guest, queue);
      break;
    case "index-jump":
      jump(guest, queue);
      break;
  }
  guest.kick();
}

/** A whole chain by the driver's own means, of which only the address is wrong. Its head, or null when the ring is full. */
function offer(guest: LabGuest, queue: "transmit" | "receive", address: bigint): number | null {
  const { device, lab } = guest;
  const receive = queue === "receive";
  const buffers: Buffer[] = [{ address, length: LENGTH, writable: receive }];
  const head = receive ? device.rx[0]!.add(buffers, buffers) : device.tx[0]!.add(buffers, []);
  if (head === null) return null;
  if (receive) {
    guest.driver.poison.add(buffers);
  } else {
    lab.ledger.offeredBad++;
    guest.sent++;
  }
  return head;
}

function loop(guest: LabGuest, queue: "transmit" | "receive"): void {
  const receive = queue === "receive";
  const { device } = guest;
  const driver = device.driver(receive ? 0 : 1);
  const flags = VIRTQ_DESC_F_NEXT | (receive ? VIRTQ_DESC_F_WRITE : 0);
  // A receive buffer that goes round has room for any frame, and is taken for good, unless its pieces hold nothing.
  const buffer = { address: guest.plan.arena!.base, length: receive ? 0 : 16 };
  if (driver instanceof PackedDriver) {
    const descriptors = Array.from({ length: driver.size }, () => ({ buffer, flags }));
    driver.makeAvailable(descriptors, 0);
    return;
  }
  // In a full ring any chain will do.
  const head = offer(guest, queue, buffer.address) ?? 0;
  driver.writeDescriptor(driver.ring.desc, head, buffer, flags, head);
}

function jump({ device }: LabGuest, queue: "transmit" | "receive"): void {
  const driver = device.driver(queue === "receive" ? 0 : 1);
  if (!(driver instanceof PackedDriver)) {
    const index = (driver.availIndex + driver.size + 1) & 0xffff;
    device.ram.data.setUint16(device.ram.at(driver.ring.avail) + 2, index, true);
  } else if (driver.freeDescriptors > 1) {
    // The free slot whose turn comes last: the driver writes over it before the device gets there.
    const cursor = packedAfter(driver.availIndex, driver.freeDescriptors - 1, driver.size);
    const owner = cursor & PACKED_WRAP ? VIRTQ_DESC_F_AVAIL : VIRTQ_DESC_F_USED;
    const nowhere = { address: device.ram.base + BigInt(device.ram.bytes), length: LENGTH };
    driver.writeDescriptor(driver.ring.desc, cursor & ~PACKED_WRAP, nowhere, owner, 0);
  }
}
