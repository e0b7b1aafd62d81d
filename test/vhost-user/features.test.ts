// What a port offers: features, protocol features and the configuration space, and their names.

import { describe, expect, test } from "vitest";
import * as virtio from "../../assembly/spec/virtio.js";
import { bits, headerSize } from "../../src/core/feature-bits.js";
import {
  DEFAULT_FEATURES,
  DEFAULT_PROTOCOL_FEATURES,
  FEATURE_NAMES,
  featureNames,
  OFFLOAD_FEATURES,
  offerFor,
  PROTOCOL_FEATURE_NAMES,
  protocolFeatureNames,
} from "../../src/vhost-user/features.js";

describe("feature names", () => {
  test("agree with the numbers that the core uses", () => {
    const spec = Object.entries(virtio).filter(([name]) => /^(VIRTIO|VHOST)(_NET|_USER)?_F_/.test(name));
    expect(spec.length).toBeGreaterThan(25);
    for (const [name, bit] of spec) expect(FEATURE_NAMES[bit]).toBe(name);
  });

  test("a set reads as its names, lowest bit first, and an unnamed bit as its number", () => {
    expect(featureNames(bits(32, 15, 58))).toEqual(["VIRTIO_NET_F_MRG_RXBUF", "VIRTIO_F_VERSION_1", "bit 58"]);
    expect(protocolFeatureNames(bits(3, 40))).toEqual(["VHOST_USER_PROTOCOL_F_REPLY_ACK", "bit 40"]);
    expect(featureNames(0n)).toEqual([]);
  });

  test("no name stands twice", () => {
    for (const names of [FEATURE_NAMES, PROTOCOL_FEATURE_NAMES]) {
      const all = Object.values(names);
      expect(new Set(all).size).toBe(all.length);
    }
  });
});

test("the offer holds what the switch does, and nothing else", () => {
  expect(featureNames(DEFAULT_FEATURES)).toEqual([
    "VIRTIO_NET_F_CSUM",
    "VIRTIO_NET_F_GUEST_CSUM",
    "VIRTIO_NET_F_MTU",
    "VIRTIO_NET_F_GSO",
    "VIRTIO_NET_F_GUEST_TSO4",
    "VIRTIO_NET_F_GUEST_TSO6",
    "VIRTIO_NET_F_GUEST_ECN",
    "VIRTIO_NET_F_GUEST_UFO",
    "VIRTIO_NET_F_HOST_TSO4",
    "VIRTIO_NET_F_HOST_TSO6",
    "VIRTIO_NET_F_HOST_ECN",
    "VIRTIO_NET_F_HOST_UFO",
    "VIRTIO_NET_F_MRG_RXBUF",
    "VIRTIO_NET_F_STATUS",
    "VIRTIO_NET_F_CTRL_VQ",
    "VIRTIO_NET_F_GUEST_ANNOUNCE",
    "VIRTIO_NET_F_MQ",
    "VHOST_F_LOG_ALL",
    "VIRTIO_F_ANY_LAYOUT",
    "VIRTIO_F_INDIRECT_DESC",
    "VIRTIO_F_EVENT_IDX",
    "VHOST_USER_F_PROTOCOL_FEATURES",
    "VIRTIO_F_VERSION_1",
    "VIRTIO_F_RING_PACKED",
    "VIRTIO_F_IN_ORDER",
    "VIRTIO_NET_F_GUEST_USO4",
    "VIRTIO_NET_F_GUEST_USO6",
    "VIRTIO_NET_F_HOST_USO",
  ]);
  expect(protocolFeatureNames(DEFAULT_PROTOCOL_FEATURES)).toEqual([
    "VHOST_USER_PROTOCOL_F_MQ",
    "VHOST_USER_PROTOCOL_F_LOG_SHMFD",
    "VHOST_USER_PROTOCOL_F_RARP",
    "VHOST_USER_PROTOCOL_F_REPLY_ACK",
    "VHOST_USER_PROTOCOL_F_MTU",
    "VHOST_USER_PROTOCOL_F_INFLIGHT_SHMFD",
    "VHOST_USER_PROTOCOL_F_RESET_DEVICE",
    "VHOST_USER_PROTOCOL_F_CONFIGURE_MEM_SLOTS",
    "VHOST_USER_PROTOCOL_F_STATUS",
    "VHOST_USER_PROTOCOL_F_DEVICE_STATE",
  ]);
});

test("a port without offloads offers none, and all else as before", () => {
  const { features, protocolFeatures } = offerFor({ offloads: false, mac: 2n, mtu: 9000 });
  expect(features).toBe(offerFor({ mac: 2n, mtu: 9000 }).features & ~OFFLOAD_FEATURES);
  expect(protocolFeatures).toBe(offerFor({ mac: 2n, mtu: 9000 }).protocolFeatures);
  expect(offerFor({ offloads: false }).features).toBe(DEFAULT_FEATURES & ~OFFLOAD_FEATURES);
  expect(featureNames(OFFLOAD_FEATURES)).toHaveLength(14);
});

test("addresses behind a virtual IOMMU are offered to those ports alone that ask for them", () => {
  expect(offerFor({ iommu: false })).toEqual(offerFor({}));
  const plain = offerFor({ mac: 2n });
  const iommu = offerFor({ mac: 2n, iommu: true });
  expect(featureNames(iommu.features & ~plain.features)).toEqual(["VIRTIO_F_ACCESS_PLATFORM"]);
  expect(protocolFeatureNames(iommu.protocolFeatures & ~plain.protocolFeatures)).toEqual([
    "VHOST_USER_PROTOCOL_F_BACKEND_REQ",
    "VHOST_USER_PROTOCOL_F_BACKEND_SEND_FD",
  ]);
  expect(featureNames(offerFor({}).features)).not.toContain("VIRTIO_F_ACCESS_PLATFORM");
});

describe("the configuration space", () => {
  const CONFIG = 1n << 9n;
  const [MTU, MAC] = [1n << 3n, 1n << 5n];

  test("is offered only when it has something to say", () => {
    expect(offerFor({})).toEqual({ features: DEFAULT_FEATURES, protocolFeatures: DEFAULT_PROTOCOL_FEATURES });
    const both = offerFor({ mac: 2n, mtu: 9000 });
    expect(both.protocolFeatures).toBe(DEFAULT_PROTOCOL_FEATURES | CONFIG);
    expect(both.features).toBe(DEFAULT_FEATURES | MAC);
  });

  test("offers no MTU to be read where none is known, and no MAC", () => {
    expect(offerFor({ mac: 2n }).features).toBe((DEFAULT_FEATURES | MAC) & ~MTU);
    expect(offerFor({ mtu: 9000 }).features).toBe(DEFAULT_FEATURES);
  });
});

test("F43: the frame header has 10 bytes for a legacy driver and 12 with num_buffers", () => {
  expect(headerSize(0n)).toBe(10);
  expect(headerSize(bits(virtio.VIRTIO_F_ANY_LAYOUT, virtio.VIRTIO_F_EVENT_IDX))).toBe(10);
  expect(headerSize(bits(virtio.VIRTIO_NET_F_MRG_RXBUF))).toBe(12);
  expect(headerSize(bits(virtio.VIRTIO_F_VERSION_1))).toBe(12);
  expect(headerSize(bits(virtio.VIRTIO_F_RING_PACKED))).toBe(12);
});
