// How the RAM of a lab's guest is laid out: rings, receive buffers, room for what it sends, and a spare region at the end
// that nothing uses, so that it can be unplugged (faults.ts).

import { hasBit } from "../core/feature-bits.js";
import { VIRTIO_NET_F_GUEST_TSO4, VIRTIO_NET_F_MRG_RXBUF } from "../../assembly/spec/virtio.js";
import { splitRingBytes } from "../core/split-ring.js";
import type { DeviceOptions, GuestDevice } from "./device.js";
import type { LabGuestOptions } from "./guest.js";
import type { DeviceRam } from "./ram.js";
import { featuresOf } from "./shape.js";

const PAGE = 4096;
const SPARE_BYTES = 4 * PAGE;
const ARENA_ALIGN = 4096;
const WHOLE_FRAME = 66 * 1024;

export interface GuestPlan {
  device: DeviceOptions;
  /** Receive buffers of each pair, and the bytes of each. */
  rxBuffers: number;
  rxBufferBytes: number;
  /** Where frames to be sent lie, once `reserve` was called. */
  arena: { base: bigint; bytes: number } | undefined;
  /** Takes the RAM for frames to be sent, behind rings and receive buffers. */
  reserve(ram: DeviceRam): { base: bigint; bytes: number };
  /** Gives a driver with empty rings its receive buffers again. */
  giveBuffers(device: GuestDevice): void;
}

/** Throws for a shape that no driver can have. */
export function planGuest(options: LabGuestOptions): GuestPlan {
  const features = featuresOf(options);
  const { size = 256, pairs = 1, regions = 1 } = options;
  const mergeable = hasBit(features, VIRTIO_NET_F_MRG_RXBUF);
  const long = hasBit(features, VIRTIO_NET_F_GUEST_TSO4) && !mergeable;
  const rxBuffers = Math.min(size, options.rxBuffers ?? (long ? 16 : 64));
  const rxBufferBytes = options.rxBufferBytes ?? (long ? WHOLE_FRAME : 2048);
  const arenaBytes = options.transmitBytes ?? 256 * 1024;
  const { desc, avail, used } = splitRingBytes(size);
  const ringBytes = pages(pairs * 2 * (desc + avail + used + 64));
  const bytes = pages(ringBytes + pairs * rxBuffers * rxBufferBytes + arenaBytes + ARENA_ALIGN);
  // Rings lie in one region; the others share what is left.
  const first = Math.max(ringBytes, pages(bytes / regions));
  const rest = Math.max(PAGE, pages((bytes - first) / Math.max(1, regions - 1)));
  const device: DeviceOptions = {
    ...{ features, size, pairs, rxBuffers: 0, rxBufferBytes },
    regions: [first, ...Array.from({ length: regions - 1 }, () => rest), SPARE_BYTES],
  };
  let buffers: bigint | undefined;
  const plan: GuestPlan = {
    ...{ device, rxBuffers, rxBufferBytes, arena: undefined },
    reserve(ram) {
      buffers = ram.allocate(pairs * rxBuffers * rxBufferBytes);
      plan.arena = { base: ram.allocate(arenaBytes, ARENA_ALIGN), bytes: arenaBytes };
      return plan.arena;
    },
    giveBuffers(of) {
      for (let i = 0; i < pairs * rxBuffers; i++) {
        const address = buffers! + BigInt(i * rxBufferBytes);
        of.giveBuffers([{ address, length: rxBufferBytes, writable: true }], Math.floor(i / rxBuffers));
      }
    },
  };
  return plan;
}

function pages(bytes: number): number {
  return Math.ceil(bytes / PAGE) * PAGE;
}
