// Sets of feature bits as the host has them: a bigint, bit numbers from assembly/spec/virtio.ts.

import * as virtio from "../../assembly/spec/virtio.js";

/** A feature set with these bit numbers. */
export function bits(...numbers: number[]): bigint {
  return numbers.reduce((set, bit) => set | (1n << BigInt(bit)), 0n);
}

/** Whether a feature set holds the bit with this number. */
export function hasBit(set: bigint, bit: number): boolean {
  return ((set >> BigInt(bit)) & 1n) === 1n;
}

/**
 * Bytes of struct virtio_net_hdr with these negotiated features: 12 with num_buffers, 10 without
 * (virtio 1.3 section 5.1.6.1 and its legacy note).
 */
export function headerSize(features: bigint): number {
  const withNumBuffers =
    hasBit(features, virtio.VIRTIO_NET_F_MRG_RXBUF) ||
    hasBit(features, virtio.VIRTIO_F_VERSION_1) ||
    hasBit(features, virtio.VIRTIO_F_RING_PACKED);
  return withNumBuffers ? virtio.VIRTIO_NET_HDR_SIZE : virtio.VIRTIO_NET_HDR_SIZE_LEGACY;
}
