// The front-end of the lesson on vhost-user: a guest of 4 MiB, its two rings, its descriptors, as QEMU or DPDK's virtio-user tell
// of them; and the mistakes that it can be told to make.

import * as virtio from "../../../../assembly/spec/virtio.js";
import { bits } from "../../../core/feature-bits.js";
import { ringParts } from "../../../core/ring-parts.js";
import { PACKED_START } from "../../../core/packed-ring.js";
import {
  DPDK_PROTOCOL_FEATURES,
  dpdkConnect,
  dpdkStart,
  dpdkStop,
  type FrontEndDevice,
  type FrontEndRequest,
  QEMU_PROTOCOL_FEATURES,
  qemuConnect,
  qemuStart,
  qemuStop,
  type Script,
} from "../../../vhost-user/front-end-session.js";

/**
 * `no-descriptor`: memory is given without its file; `overlap`: two regions at one address; `ring-outside`: a ring where no
 * region is; `misaligned`: a descriptor table at an odd address; `short`: a payload with bytes missing.
 */
export const SESSION_MISTAKES = ["none", "no-descriptor", "overlap", "ring-outside", "misaligned", "short"] as const;
export type SessionMistake = (typeof SESSION_MISTAKES)[number];

export interface SessionOptions {
  frontEnd: "qemu" | "dpdk";
  ring: "split" | "packed";
  /** Entries of each ring. */
  size: number;
  mistake: SessionMistake;
}

const MIB = 1n << 20n;
/** Where the front-end has mapped the guest's RAM for itself: nobody else can do anything with such an address. */
const USER_BASE = 0x7f12_4000_0000n;
/** The file descriptor of the RAM, and of the eventfds: numbers of the switch's process, where SCM_RIGHTS has put them. */
const MEMORY_FD = 21;
const FIRST_EVENTFD = 30;

/** What a descriptor is. */
export function descriptorText(fd: number): string {
  if (fd === MEMORY_FD || fd === MEMORY_FD + 1) return "memfd of the guest's RAM (4 MiB)";
  const number = fd - FIRST_EVENTFD;
  const queue = number >> 1 === 0 ? "receiveq" : "transmitq";
  return `eventfd: ${number % 2 === 0 ? "kick" : "call"} of the ${queue}`;
}

/** RAM below the hole that a PC has for its devices, and behind it; one file, as QEMU has it. */
export function deviceOf({ ring, size, frontEnd, mistake }: SessionOptions): FrontEndDevice {
  const packed = ring === "packed";
  const low = { guestAddress: 0n, size: 2n * MIB, userAddress: USER_BASE, mmapOffset: 0n };
  const high = { ...low, guestAddress: 0x1_0000_0000n, userAddress: USER_BASE + 2n * MIB, mmapOffset: 2n * MIB };
  if (mistake === "overlap") high.guestAddress = MIB;
  let at = high.userAddress + 0x1000n;
  const rings = [0, 1].map((index) => {
    const [desc, avail, used] = ringParts(size, packed).map(({ bytes }) => {
      const start = at;
      at += BigInt(Math.ceil(bytes / 4096) * 4096);
      return start;
    }) as [bigint, bigint, bigint];
    const eventfds = { kick: FIRST_EVENTFD + 2 * index, call: FIRST_EVENTFD + 2 * index + 1 };
    return { index, size, desc, avail, used, nextAvail: packed ? PACKED_START : 0, ...eventfds };
  });
  if (mistake === "ring-outside") rings[1]!.used = USER_BASE + 64n * MIB;
  if (mistake === "misaligned") rings[1]!.desc += 1n;
  const features = [virtio.VIRTIO_F_VERSION_1, virtio.VIRTIO_NET_F_MRG_RXBUF, virtio.VIRTIO_F_INDIRECT_DESC];
  if (packed) features.push(virtio.VIRTIO_F_RING_PACKED);
  return {
    features: bits(...features, virtio.VIRTIO_F_EVENT_IDX),
    protocolFeatures: frontEnd === "qemu" ? QEMU_PROTOCOL_FEATURES : DPDK_PROTOCOL_FEATURES,
    regions: [low, high],
    memoryFds: [MEMORY_FD, MEMORY_FD + 1],
    rings,
  };
}

/** Everything that the front-end sends, from its connection to the end of the guest. */
export function* wholeLife(options: SessionOptions): Script<void> {
  const device = deviceOf(options);
  if (options.frontEnd === "qemu") {
    const agreed = yield* qemuConnect(device);
    yield* qemuStart(device, agreed);
    yield* qemuStop(device, agreed);
  } else {
    const agreed = yield* dpdkConnect(device);
    yield* dpdkStart(device, agreed);
    yield* dpdkStop(device);
  }
}

/** The request as it goes over the socket, with the mistake in it that was asked for. */
export function withMistake(request: FrontEndRequest, bytes: Uint8Array, mistake: SessionMistake) {
  const givesMemory = request.name === "SET_MEM_TABLE" || request.name === "ADD_MEM_REG";
  if (!givesMemory) return { bytes, fds: request.fds };
  if (mistake === "no-descriptor") return { bytes, fds: [] };
  if (mistake === "short") {
    const cut = bytes.slice(0, bytes.length - 8);
    new DataView(cut.buffer).setUint32(8, cut.length - 12, true);
    return { bytes: cut, fds: request.fds };
  }
  return { bytes, fds: request.fds };
}
