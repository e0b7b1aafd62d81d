// Packets of every kind that can be left to the device to segment.

import * as virtio from "../../../assembly/spec/virtio.js";
import { type PacketShape, TCP, UDP } from "./packets.js";

const { VIRTIO_NET_HDR_GSO_TCPV4, VIRTIO_NET_HDR_GSO_TCPV6, VIRTIO_NET_HDR_GSO_UDP, VIRTIO_NET_HDR_GSO_UDP_L4 } =
  virtio;
const END = { to: 2, from: 1 };
export const QINQ = [0x88a8, 0x8100];

export interface Kind {
  name: string;
  /** The receiver's bit for it. */
  bit: number;
  gsoType: number;
  gsoSize: number;
  shape: PacketShape;
}

export const tcp4: PacketShape = { ...END, version: 4, protocol: TCP, payload: 10_000, tcpOptions: 12, tcpFlags: 0x19 };
export const tcp6: PacketShape = { ...tcp4, version: 6 };
export const udp4: PacketShape = { ...END, version: 4, protocol: UDP, payload: 9_001 };
export const udp6: PacketShape = { ...udp4, version: 6 };
const ROUTED: [number, number][] = [
  [0, 16],
  [60, 8],
  [43, 24],
  [60, 16],
];

export const KINDS: Kind[] = [
  { name: "TSO4", bit: virtio.VIRTIO_NET_F_GUEST_TSO4, gsoType: VIRTIO_NET_HDR_GSO_TCPV4, gsoSize: 1448, shape: tcp4 },
  { name: "TSO6", bit: virtio.VIRTIO_NET_F_GUEST_TSO6, gsoType: VIRTIO_NET_HDR_GSO_TCPV6, gsoSize: 1428, shape: tcp6 },
  { name: "UFO4", bit: virtio.VIRTIO_NET_F_GUEST_UFO, gsoType: VIRTIO_NET_HDR_GSO_UDP, gsoSize: 1480, shape: udp4 },
  { name: "UFO6", bit: virtio.VIRTIO_NET_F_GUEST_UFO, gsoType: VIRTIO_NET_HDR_GSO_UDP, gsoSize: 1448, shape: udp6 },
  { name: "USO4", bit: virtio.VIRTIO_NET_F_GUEST_USO4, gsoType: VIRTIO_NET_HDR_GSO_UDP_L4, gsoSize: 1400, shape: udp4 },
  { name: "USO6", bit: virtio.VIRTIO_NET_F_GUEST_USO6, gsoType: VIRTIO_NET_HDR_GSO_UDP_L4, gsoSize: 1400, shape: udp6 },
];

/** Of each kind also with two tags, with IP options or extension headers, and cut into odd pieces. */
export const VARIANTS: Kind[] = KINDS.flatMap((kind) => [
  kind,
  { ...kind, name: `${kind.name} with two tags`, shape: { ...kind.shape, tags: QINQ } },
  {
    ...kind,
    name: `${kind.name} with one tag and odd segments`,
    gsoSize: 777,
    shape: { ...kind.shape, tags: [0x8100] },
  },
  kind.shape.version === 4
    ? { ...kind, name: `${kind.name} with IP options`, shape: { ...kind.shape, options: 24 } }
    : { ...kind, name: `${kind.name} with extension headers`, shape: { ...kind.shape, extensions: ROUTED } },
]);
