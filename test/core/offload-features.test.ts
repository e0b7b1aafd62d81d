// From negotiated feature bits to what a queue's driver may ask for or can take.

import { describe, expect, test } from "vitest";
import * as offload from "../../assembly/spec/offload.js";
import * as virtio from "../../assembly/spec/virtio.js";
import { bits } from "../../src/core/feature-bits.js";
import { receiveOffloads, transmitOffloads } from "../../src/core/offloads.js";
import { OFFLOAD_FEATURES } from "../../src/vhost-user/features.js";

const { OFFLOAD_CSUM, OFFLOAD_ECN, OFFLOAD_TSO4, OFFLOAD_TSO6, OFFLOAD_UFO, OFFLOAD_USO4, OFFLOAD_USO6 } = offload;
const ALL = OFFLOAD_CSUM | offload.OFFLOAD_GSO;

const TRANSMIT: [name: string, bit: number, offloads: number][] = [
  ["HOST_TSO4", virtio.VIRTIO_NET_F_HOST_TSO4, OFFLOAD_TSO4],
  ["HOST_TSO6", virtio.VIRTIO_NET_F_HOST_TSO6, OFFLOAD_TSO6],
  ["HOST_UFO", virtio.VIRTIO_NET_F_HOST_UFO, OFFLOAD_UFO],
  ["HOST_USO", virtio.VIRTIO_NET_F_HOST_USO, OFFLOAD_USO4 | OFFLOAD_USO6],
  ["GSO", virtio.VIRTIO_NET_F_GSO, OFFLOAD_TSO4 | OFFLOAD_TSO6 | OFFLOAD_ECN | OFFLOAD_UFO],
];
const RECEIVE: typeof TRANSMIT = [
  ["GUEST_TSO4", virtio.VIRTIO_NET_F_GUEST_TSO4, OFFLOAD_TSO4],
  ["GUEST_TSO6", virtio.VIRTIO_NET_F_GUEST_TSO6, OFFLOAD_TSO6],
  ["GUEST_UFO", virtio.VIRTIO_NET_F_GUEST_UFO, OFFLOAD_UFO],
  ["GUEST_USO4", virtio.VIRTIO_NET_F_GUEST_USO4, OFFLOAD_USO4],
  ["GUEST_USO6", virtio.VIRTIO_NET_F_GUEST_USO6, OFFLOAD_USO6],
];

describe.each([
  {
    side: "transmitq",
    of: transmitOffloads,
    table: TRANSMIT,
    csum: virtio.VIRTIO_NET_F_CSUM,
    ecn: virtio.VIRTIO_NET_F_HOST_ECN,
  },
  {
    side: "receiveq",
    of: receiveOffloads,
    table: RECEIVE,
    csum: virtio.VIRTIO_NET_F_GUEST_CSUM,
    ecn: virtio.VIRTIO_NET_F_GUEST_ECN,
  },
])("$side", ({ of, table, csum, ecn }) => {
  test.each(table)("%s with CSUM, and nothing without", (_, bit, offloads) => {
    expect(of(bits(csum, bit))).toBe(OFFLOAD_CSUM | offloads);
    expect(of(bits(bit))).toBe(0);
  });

  test("HOST_ECN and GUEST_ECN say nothing without TSO", () => {
    expect(of(bits(csum, ecn))).toBe(OFFLOAD_CSUM);
    expect(of(bits(csum, ecn, table[1]![1]))).toBe(OFFLOAD_CSUM | OFFLOAD_ECN | OFFLOAD_TSO6);
  });

  test("what the switch offers is all there is, and no other feature counts", () => {
    expect(of(OFFLOAD_FEATURES)).toBe(ALL);
    expect(of(~OFFLOAD_FEATURES & ((1n << 64n) - 1n))).toBe(0);
  });
});
