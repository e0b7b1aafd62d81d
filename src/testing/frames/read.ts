// Frames read again: where their layers begin, whether their checksums are right, and what to leave to the switch.

import { get16, put16 } from "../bytes.js";
import { fold, pseudoHeaderSum, sum16 } from "./checksum.js";
import { ETHERTYPE_IPV4, ETHERTYPE_IPV6, TPID_QINQ, TPID_VLAN } from "./ethernet.js";
import { PROTOCOL_ICMP, PROTOCOL_ICMPV6, PROTOCOL_TCP, PROTOCOL_UDP } from "./ip.js";

/** Offsets in a frame of IPv4, or of IPv6 without extension headers. */
export interface Layers {
  version: 4 | 6;
  protocol: number;
  network: number;
  transport: number;
  /** Where the packet ends; behind it may be padding. */
  end: number;
}

/** Undefined when the frame carries no whole IP packet, or IPv6 with extension headers. */
export function layersOf(frame: Uint8Array): Layers | undefined {
  let network = 14;
  let type = get16(frame, 12);
  for (; type === TPID_VLAN || type === TPID_QINQ; network += 4) type = get16(frame, network + 2);
  if (type === ETHERTYPE_IPV4 && frame.length >= network + 20) {
    const transport = network + (frame[network]! & 15) * 4;
    return within(frame, 4, frame[network + 9]!, network, transport, network + get16(frame, network + 2));
  }
  if (type === ETHERTYPE_IPV6 && frame.length >= network + 40) {
    const transport = network + 40;
    return within(frame, 6, frame[network + 6]!, network, transport, transport + get16(frame, network + 4));
  }
  return undefined;
}

/** The checksums of a frame that are wrong, by name; an empty list for one that has none. */
export function wrongChecksums(frame: Uint8Array): string[] {
  const layers = layersOf(frame);
  if (!layers) return [];
  const { version, protocol, network, transport, end } = layers;
  const wrong: string[] = [];
  if (version === 4 && fold(sum16(frame.subarray(network, transport))) !== 0xffff) wrong.push("IPv4 header");
  const message = frame.subarray(transport, end);
  const names: Record<number, string> = { [PROTOCOL_TCP]: "TCP", [PROTOCOL_UDP]: "UDP", [PROTOCOL_ICMPV6]: "ICMPv6" };
  if (protocol === PROTOCOL_ICMP && fold(sum16(message)) !== 0xffff) wrong.push("ICMP");
  const name = names[protocol];
  const computed = !(protocol === PROTOCOL_UDP && version === 4 && get16(message, 6) === 0);
  if (name && computed && fold(pseudoSum(frame, layers) + sum16(message)) !== 0xffff) wrong.push(name);
  return wrong;
}

/** A frame with what its virtio_net header must ask for. */
export interface OffloadedFrame {
  frame: Uint8Array;
  /** The first 10 bytes of struct virtio_net_hdr (virtio 1.3, 5.1.6). */
  header: Uint8Array;
}

const GSO_TCPV4 = 1;
const GSO_TCPV6 = 4;
const GSO_UDP_L4 = 5;

/**
 * Leaves the checksum of a TCP or UDP frame to the switch, and with `segment` (bytes of payload) its segmentation too.
 * Throws for other frames.
 */
export function leaveToDevice(given: Uint8Array, segment = 0): OffloadedFrame {
  const layers = layersOf(given);
  const tcp = layers?.protocol === PROTOCOL_TCP;
  if (!layers || !(tcp || layers.protocol === PROTOCOL_UDP))
    throw new Error("only TCP and UDP can be left to the device");
  const frame = given.slice();
  const { version, transport } = layers;
  const checksumOffset = tcp ? 16 : 6;
  put16(frame, transport + checksumOffset, pseudoSum(frame, layers));
  const view = new DataView(new ArrayBuffer(10));
  const type = tcp ? (version === 4 ? GSO_TCPV4 : GSO_TCPV6) : GSO_UDP_L4;
  view.setUint8(0, 1);
  view.setUint8(1, segment > 0 ? type : 0);
  view.setUint16(2, segment > 0 ? transport + (tcp ? (frame[transport + 12]! >> 4) * 4 : 8) : 0, true);
  view.setUint16(4, segment, true);
  view.setUint16(6, transport, true);
  view.setUint16(8, checksumOffset, true);
  return { frame, header: new Uint8Array(view.buffer) };
}

function within(frame: Uint8Array, version: 4 | 6, protocol: number, network: number, transport: number, end: number) {
  return end >= transport && end <= frame.length
    ? ({ version, protocol, network, transport, end } as const)
    : undefined;
}

function pseudoSum(frame: Uint8Array, { version, protocol, network, transport, end }: Layers): number {
  const [first, bytes] = version === 4 ? [network + 12, 4] : [network + 8, 16];
  const source = frame.subarray(first, first + bytes);
  return pseudoHeaderSum(source, frame.subarray(first + bytes, first + 2 * bytes), protocol, end - transport);
}
