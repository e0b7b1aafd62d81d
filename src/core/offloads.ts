// From negotiated features to Queue.offloads (assembly/spec/offload.ts).

import * as offload from "../../assembly/spec/offload.js";
import * as virtio from "../../assembly/spec/virtio.js";
import { hasBit } from "./feature-bits.js";

const { OFFLOAD_CSUM, OFFLOAD_ECN, OFFLOAD_TSO4, OFFLOAD_TSO6, OFFLOAD_UFO, OFFLOAD_USO4, OFFLOAD_USO6 } = offload;

/** Feature bits of either direction, and what each stands for. */
const TRANSMIT: readonly (readonly [bit: number, offloads: number])[] = [
  [virtio.VIRTIO_NET_F_CSUM, OFFLOAD_CSUM],
  // Legacy, from before there was a bit for each (virtio 1.3, 5.1.3.3).
  [virtio.VIRTIO_NET_F_GSO, OFFLOAD_TSO4 | OFFLOAD_TSO6 | OFFLOAD_ECN | OFFLOAD_UFO],
  [virtio.VIRTIO_NET_F_HOST_TSO4, OFFLOAD_TSO4],
  [virtio.VIRTIO_NET_F_HOST_TSO6, OFFLOAD_TSO6],
  [virtio.VIRTIO_NET_F_HOST_ECN, OFFLOAD_ECN],
  [virtio.VIRTIO_NET_F_HOST_UFO, OFFLOAD_UFO],
  [virtio.VIRTIO_NET_F_HOST_USO, OFFLOAD_USO4 | OFFLOAD_USO6],
];
const RECEIVE: typeof TRANSMIT = [
  [virtio.VIRTIO_NET_F_GUEST_CSUM, OFFLOAD_CSUM],
  [virtio.VIRTIO_NET_F_GUEST_TSO4, OFFLOAD_TSO4],
  [virtio.VIRTIO_NET_F_GUEST_TSO6, OFFLOAD_TSO6],
  [virtio.VIRTIO_NET_F_GUEST_ECN, OFFLOAD_ECN],
  [virtio.VIRTIO_NET_F_GUEST_UFO, OFFLOAD_UFO],
  [virtio.VIRTIO_NET_F_GUEST_USO4, OFFLOAD_USO4],
  [virtio.VIRTIO_NET_F_GUEST_USO6, OFFLOAD_USO6],
];

/** What a driver with these features may ask for with the frames that it sends: OFFLOAD_* bits. */
export function transmitOffloads(features: bigint): number {
  return offloadsOf(features, TRANSMIT);
}

/** What a driver with these features takes in the frames that it receives: OFFLOAD_* bits. */
export function receiveOffloads(features: bigint): number {
  return offloadsOf(features, RECEIVE);
}

/** Segmentation rests on checksums, ECN on TCP segmentation (5.1.3.1): without them their bits say nothing. */
function offloadsOf(features: bigint, table: typeof TRANSMIT): number {
  const all = table.reduce((set, [bit, offloads]) => (hasBit(features, bit) ? set | offloads : set), 0);
  if (!(all & OFFLOAD_CSUM)) return 0;
  return all & (OFFLOAD_TSO4 | OFFLOAD_TSO6) ? all : all & ~OFFLOAD_ECN;
}
