// Feature bits: their names for people, the sets that the switch offers, and what they mean for the frame header.
// Names are those of the virtio 1.3 and vhost-user specifications.

import { bits, hasBit } from "../core/feature-bits.js";
import * as virtio from "../../assembly/spec/virtio.js";

/** Protocol feature bit numbers (VHOST_USER_PROTOCOL_F_*) that this code refers to. */
export const PROTOCOL_F_MQ = 0;
export const PROTOCOL_F_LOG_SHMFD = 1;
export const PROTOCOL_F_RARP = 2;
export const PROTOCOL_F_REPLY_ACK = 3;
export const PROTOCOL_F_MTU = 4;
export const PROTOCOL_F_BACKEND_REQ = 5;
export const PROTOCOL_F_PAGEFAULT = 8;
export const PROTOCOL_F_CONFIG = 9;
export const PROTOCOL_F_BACKEND_SEND_FD = 10;
export const PROTOCOL_F_INFLIGHT_SHMFD = 12;
export const PROTOCOL_F_RESET_DEVICE = 13;
export const PROTOCOL_F_CONFIGURE_MEM_SLOTS = 15;
export const PROTOCOL_F_STATUS = 16;
export const PROTOCOL_F_DEVICE_STATE = 19;

/** The whole set of virtio feature names by bit number, for net devices; bits without a name print as a number. */
export const FEATURE_NAMES: Readonly<Record<number, string>> = {
  0: "VIRTIO_NET_F_CSUM",
  1: "VIRTIO_NET_F_GUEST_CSUM",
  2: "VIRTIO_NET_F_CTRL_GUEST_OFFLOADS",
  3: "VIRTIO_NET_F_MTU",
  5: "VIRTIO_NET_F_MAC",
  6: "VIRTIO_NET_F_GSO",
  7: "VIRTIO_NET_F_GUEST_TSO4",
  8: "VIRTIO_NET_F_GUEST_TSO6",
  9: "VIRTIO_NET_F_GUEST_ECN",
  10: "VIRTIO_NET_F_GUEST_UFO",
  11: "VIRTIO_NET_F_HOST_TSO4",
  12: "VIRTIO_NET_F_HOST_TSO6",
  13: "VIRTIO_NET_F_HOST_ECN",
  14: "VIRTIO_NET_F_HOST_UFO",
  15: "VIRTIO_NET_F_MRG_RXBUF",
  16: "VIRTIO_NET_F_STATUS",
  17: "VIRTIO_NET_F_CTRL_VQ",
  18: "VIRTIO_NET_F_CTRL_RX",
  19: "VIRTIO_NET_F_CTRL_VLAN",
  20: "VIRTIO_NET_F_CTRL_RX_EXTRA",
  21: "VIRTIO_NET_F_GUEST_ANNOUNCE",
  22: "VIRTIO_NET_F_MQ",
  23: "VIRTIO_NET_F_CTRL_MAC_ADDR",
  24: "VIRTIO_F_NOTIFY_ON_EMPTY",
  26: "VHOST_F_LOG_ALL",
  27: "VIRTIO_F_ANY_LAYOUT",
  28: "VIRTIO_F_INDIRECT_DESC",
  29: "VIRTIO_F_EVENT_IDX",
  30: "VHOST_USER_F_PROTOCOL_FEATURES",
  32: "VIRTIO_F_VERSION_1",
  33: "VIRTIO_F_ACCESS_PLATFORM",
  34: "VIRTIO_F_RING_PACKED",
  35: "VIRTIO_F_IN_ORDER",
  36: "VIRTIO_F_ORDER_PLATFORM",
  37: "VIRTIO_F_SR_IOV",
  38: "VIRTIO_F_NOTIFICATION_DATA",
  39: "VIRTIO_F_NOTIF_CONFIG_DATA",
  40: "VIRTIO_F_RING_RESET",
  41: "VIRTIO_NET_F_GUEST_RSC4",
  42: "VIRTIO_NET_F_GUEST_RSC6",
  50: "VIRTIO_NET_F_DEVICE_STATS",
  51: "VIRTIO_NET_F_HASH_TUNNEL",
  52: "VIRTIO_NET_F_VQ_NOTF_COAL",
  53: "VIRTIO_NET_F_NOTF_COAL",
  54: "VIRTIO_NET_F_GUEST_USO4",
  55: "VIRTIO_NET_F_GUEST_USO6",
  56: "VIRTIO_NET_F_HOST_USO",
  57: "VIRTIO_NET_F_HASH_REPORT",
  59: "VIRTIO_NET_F_GUEST_HDRLEN",
  60: "VIRTIO_NET_F_RSS",
  61: "VIRTIO_NET_F_RSC_EXT",
  62: "VIRTIO_NET_F_STANDBY",
  63: "VIRTIO_NET_F_SPEED_DUPLEX",
};

/** Protocol feature names by bit number. */
export const PROTOCOL_FEATURE_NAMES: Readonly<Record<number, string>> = {
  0: "VHOST_USER_PROTOCOL_F_MQ",
  1: "VHOST_USER_PROTOCOL_F_LOG_SHMFD",
  2: "VHOST_USER_PROTOCOL_F_RARP",
  3: "VHOST_USER_PROTOCOL_F_REPLY_ACK",
  4: "VHOST_USER_PROTOCOL_F_MTU",
  5: "VHOST_USER_PROTOCOL_F_BACKEND_REQ",
  6: "VHOST_USER_PROTOCOL_F_CROSS_ENDIAN",
  7: "VHOST_USER_PROTOCOL_F_CRYPTO_SESSION",
  8: "VHOST_USER_PROTOCOL_F_PAGEFAULT",
  9: "VHOST_USER_PROTOCOL_F_CONFIG",
  10: "VHOST_USER_PROTOCOL_F_BACKEND_SEND_FD",
  11: "VHOST_USER_PROTOCOL_F_HOST_NOTIFIER",
  12: "VHOST_USER_PROTOCOL_F_INFLIGHT_SHMFD",
  13: "VHOST_USER_PROTOCOL_F_RESET_DEVICE",
  14: "VHOST_USER_PROTOCOL_F_INBAND_NOTIFICATIONS",
  15: "VHOST_USER_PROTOCOL_F_CONFIGURE_MEM_SLOTS",
  16: "VHOST_USER_PROTOCOL_F_STATUS",
  17: "VHOST_USER_PROTOCOL_F_XEN_MMAP",
  18: "VHOST_USER_PROTOCOL_F_SHARED_OBJECT",
  19: "VHOST_USER_PROTOCOL_F_DEVICE_STATE",
  20: "VHOST_USER_PROTOCOL_F_GET_VRING_BASE_INFLIGHT",
  21: "VHOST_USER_PROTOCOL_F_GPA_ADDRESSES",
  22: "VHOST_USER_PROTOCOL_F_SHMEM",
  23: "VHOST_USER_PROTOCOL_F_GET_VRING_BASE_SKIP_DRAIN",
};

/**
 * Checksums and segmentation left to the device, both ways: passed on where the receiver takes them, else done by the
 * switch. GSO is the legacy bit for all of HOST_*. CTRL_GUEST_OFFLOADS is not among them: a back-end is never told what
 * the guest then turns off.
 */
export const OFFLOAD_FEATURES: bigint = bits(
  virtio.VIRTIO_NET_F_CSUM,
  virtio.VIRTIO_NET_F_GUEST_CSUM,
  virtio.VIRTIO_NET_F_GSO,
  virtio.VIRTIO_NET_F_GUEST_TSO4,
  virtio.VIRTIO_NET_F_GUEST_TSO6,
  virtio.VIRTIO_NET_F_GUEST_ECN,
  virtio.VIRTIO_NET_F_GUEST_UFO,
  virtio.VIRTIO_NET_F_HOST_TSO4,
  virtio.VIRTIO_NET_F_HOST_TSO6,
  virtio.VIRTIO_NET_F_HOST_ECN,
  virtio.VIRTIO_NET_F_HOST_UFO,
  virtio.VIRTIO_NET_F_GUEST_USO4,
  virtio.VIRTIO_NET_F_GUEST_USO6,
  virtio.VIRTIO_NET_F_HOST_USO,
);

/**
 * What the switch offers. STATUS, CTRL_VQ and GUEST_ANNOUNCE are the front-end's own business, but QEMU hides MQ and
 * GUEST_ANNOUNCE from the guest without them. IN_ORDER is true of this back-end, and DPDK's driver takes its fast
 * path with it. RING_RESET is not offered though rings can be stopped and started alone: QEMU (10.0) lets the guest reset
 * a ring but tells it to tap back-ends only, so the ring would change under a vhost-user one.
 */
export const DEFAULT_FEATURES: bigint =
  OFFLOAD_FEATURES |
  bits(
    virtio.VIRTIO_NET_F_MTU,
    virtio.VIRTIO_NET_F_MRG_RXBUF,
    virtio.VIRTIO_NET_F_STATUS,
    virtio.VIRTIO_NET_F_CTRL_VQ,
    virtio.VIRTIO_NET_F_GUEST_ANNOUNCE,
    virtio.VIRTIO_NET_F_MQ,
    virtio.VHOST_F_LOG_ALL,
    virtio.VIRTIO_F_ANY_LAYOUT,
    virtio.VIRTIO_F_INDIRECT_DESC,
    virtio.VIRTIO_F_EVENT_IDX,
    virtio.VHOST_USER_F_PROTOCOL_FEATURES,
    virtio.VIRTIO_F_VERSION_1,
    virtio.VIRTIO_F_RING_PACKED,
    virtio.VIRTIO_F_IN_ORDER,
  );

export const DEFAULT_PROTOCOL_FEATURES: bigint = bits(
  PROTOCOL_F_MQ,
  PROTOCOL_F_LOG_SHMFD,
  PROTOCOL_F_RARP,
  PROTOCOL_F_REPLY_ACK,
  PROTOCOL_F_MTU,
  PROTOCOL_F_INFLIGHT_SHMFD,
  PROTOCOL_F_RESET_DEVICE,
  PROTOCOL_F_CONFIGURE_MEM_SLOTS,
  PROTOCOL_F_STATUS,
  PROTOCOL_F_DEVICE_STATE,
);

/**
 * Addresses behind a virtual IOMMU. Only for ports that ask for it: of BACKEND_REQ alone QEMU opens one more socket for
 * each card, and translations cost the data path something.
 */
export const IOMMU_FEATURES: bigint = bits(virtio.VIRTIO_F_ACCESS_PLATFORM);
/** By the first the front-end can be asked for a translation; the second belongs to it. */
export const IOMMU_PROTOCOL_FEATURES: bigint = bits(PROTOCOL_F_BACKEND_REQ, PROTOCOL_F_BACKEND_SEND_FD);

/** What a port's configuration says about the device: the fields of its configuration space that are known, and more. */
export interface DeviceConfig {
  /** OFFLOAD_FEATURES are offered; default true. */
  offloads?: boolean | undefined;
  /** As core/mac.ts has it. */
  mac?: bigint | undefined;
  mtu?: number | undefined;
  /** IOMMU_FEATURES and IOMMU_PROTOCOL_FEATURES are offered; default false. */
  iommu?: boolean | undefined;
  /** Postcopy migration to the port is offered; default false. */
  postcopy?: boolean | undefined;
}

/**
 * What to offer for a device of which this is known. The configuration space itself (CONFIG) is offered only when it
 * has something to say: QEMU keeps that of a net device itself, and warns when a back-end offers one.
 */
export function offerFor({ offloads, mac, mtu, iommu, postcopy }: DeviceConfig): {
  features: bigint;
  protocolFeatures: bigint;
} {
  let features = offloads === false ? DEFAULT_FEATURES & ~OFFLOAD_FEATURES : DEFAULT_FEATURES;
  let protocolFeatures = DEFAULT_PROTOCOL_FEATURES;
  if (iommu === true) {
    features |= IOMMU_FEATURES;
    protocolFeatures |= IOMMU_PROTOCOL_FEATURES;
  }
  if (postcopy === true) protocolFeatures |= bits(PROTOCOL_F_PAGEFAULT);
  if (mac === undefined && mtu === undefined) return { features, protocolFeatures };
  if (mac !== undefined) features |= bits(virtio.VIRTIO_NET_F_MAC);
  // A driver that may read the MTU believes it: without one there is none to be read.
  if (mtu === undefined) features &= ~bits(virtio.VIRTIO_NET_F_MTU);
  return { features, protocolFeatures: protocolFeatures | bits(PROTOCOL_F_CONFIG) };
}

/** Names of the bits of a virtio feature set, lowest bit first; an unnamed bit reads "bit 58". */
export function featureNames(features: bigint): string[] {
  return namesOf(features, FEATURE_NAMES);
}

/** Names of the bits of a vhost-user protocol feature set. */
export function protocolFeatureNames(features: bigint): string[] {
  return namesOf(features, PROTOCOL_FEATURE_NAMES);
}

function namesOf(set: bigint, names: Readonly<Record<number, string>>): string[] {
  const found: string[] = [];
  for (let bit = 0; bit < 64; bit++) {
    if (hasBit(set, bit)) found.push(names[bit] ?? `bit ${bit}`);
  }
  return found;
}
