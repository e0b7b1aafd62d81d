// Two guests on a switch, with the offloads of each.

import { expect } from "vitest";
import * as virtio from "../../../assembly/spec/virtio.js";
import type { SoftwareOffloads } from "../../../src/core/bridge-port.js";
import { bits } from "../../../src/core/feature-bits.js";
import { type GuestOptions, type Target, TestGuest, TestSwitch } from "./bench-guest.js";
import { decodeHeader, encodeHeader, type NetHeader, parse } from "./packets.js";

export const MODERN = bits(virtio.VIRTIO_F_VERSION_1, virtio.VIRTIO_NET_F_MRG_RXBUF, virtio.VIRTIO_F_INDIRECT_DESC);
export const PACKED = bits(virtio.VIRTIO_F_RING_PACKED);
/** All that a sender can leave to the device. */
export const HOST_ALL = bits(
  virtio.VIRTIO_NET_F_CSUM,
  virtio.VIRTIO_NET_F_HOST_TSO4,
  virtio.VIRTIO_NET_F_HOST_TSO6,
  virtio.VIRTIO_NET_F_HOST_ECN,
  virtio.VIRTIO_NET_F_HOST_UFO,
  virtio.VIRTIO_NET_F_HOST_USO,
);
export const GUEST_CSUM = bits(virtio.VIRTIO_NET_F_GUEST_CSUM);
/** All that a receiver can take. */
export const GUEST_ALL =
  GUEST_CSUM |
  bits(
    virtio.VIRTIO_NET_F_GUEST_TSO4,
    virtio.VIRTIO_NET_F_GUEST_TSO6,
    virtio.VIRTIO_NET_F_GUEST_ECN,
    virtio.VIRTIO_NET_F_GUEST_UFO,
    virtio.VIRTIO_NET_F_GUEST_USO4,
    virtio.VIRTIO_NET_F_GUEST_USO6,
  );

export interface PairOptions {
  target: Target;
  sender?: bigint;
  receiver?: bigint;
  /** Of both guests. */
  common?: bigint;
  guest?: GuestOptions;
  memory?: WebAssembly.Memory;
}

export interface Received {
  header: NetHeader;
  frame: Uint8Array;
}

export class OffloadPair {
  private constructor(
    readonly sw: TestSwitch,
    readonly sender: TestGuest,
    readonly receiver: TestGuest,
  ) {}

  static async create({ target, sender, receiver, common = MODERN, guest, memory }: PairOptions): Promise<OffloadPair> {
    const sw = new TestSwitch({ target, ...(memory ? { memory } : {}) });
    const options = { ramBytes: 2 * 1024 * 1024, rxBuffers: 256, ...guest };
    return new OffloadPair(
      sw,
      await TestGuest.create(sw, { ...options, rxBuffers: 1, features: common | (sender ?? HOST_ALL) }),
      await TestGuest.create(sw, { ...options, features: common | (receiver ?? 0n) }),
    );
  }

  /** Sends one frame and returns what arrives. */
  pass(frame: Uint8Array, header: Partial<NetHeader>, pieces: number[] = []): Received[] {
    const release = this.sender.mark();
    this.sender.send(frame, { pieces, header: encodeHeader(header) });
    this.sw.settle();
    if (this.sender.reclaim() !== 1) throw new Error("the sender's chain did not come back");
    release();
    return this.receiver
      .receiveWithHeaders(0, true)
      .map((received) => ({ header: decodeHeader(received.header), frame: received.frame }));
  }

  /** Counters of the receiver's queue. */
  get counters(): SoftwareOffloads {
    return this.receiver.queue(0).softwareOffloads;
  }
}

/** Takes the identification out of an IPv6 fragment; frames of other kinds stay as they are. */
export function withoutFragmentId(frame: Uint8Array): Uint8Array {
  const bytes = frame.slice();
  const { version, nextHeader, repeated } = parse(bytes);
  if (version === 6 && bytes[nextHeader] === 44) bytes.fill(0, repeated + 4, repeated + 8);
  return bytes;
}

/** As hexadecimal text, which compares many times faster than arrays do. */
export function expectFrames(frames: Uint8Array[], expected: Uint8Array[]): void {
  expect(frames.map(hex)).toEqual(expected.map(hex));
}

export function expectArrival(received: Received[], expected: Received[]): void {
  expect(received.map(({ header }) => header)).toEqual(expected.map(({ header }) => header));
  expectFrames(
    received.map(({ frame }) => frame),
    expected.map(({ frame }) => frame),
  );
}

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString("hex");
}
