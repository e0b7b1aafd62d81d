// IPv4 (RFC 791) and IPv6 (RFC 8200) headers.

import { concat, put16 } from "../bytes.js";
import { ip4Bytes, ip6Bytes, type Station } from "./address.js";
import { checksum } from "./checksum.js";
import { ETHERTYPE_IPV4, ETHERTYPE_IPV6, type EthernetOptions, ethernet, payloadBytes } from "./ethernet.js";

export const PROTOCOL_ICMP = 1;
export const PROTOCOL_TCP = 6;
export const PROTOCOL_UDP = 17;
export const PROTOCOL_ICMPV6 = 58;

/** What a frame with an IP packet is made of. */
export interface IpOptions extends EthernetOptions {
  /** Default 4. */
  ip?: 4 | 6;
  /** TTL or hop limit. Default 64. */
  ttl?: number;
  /** Traffic class or type of service. Default 0. */
  trafficClass?: number;
  /** IPv4: identification. Default 0. */
  identification?: number;
}

const BROADCAST_IP4 = "255.255.255.255";
const ALL_NODES_IP6 = "ff02::1";

/** Source and destination of a packet as bytes. Throws when a station has no address of that version. */
export function ipAddresses({ from, to, ip = 4 }: IpOptions): { source: Uint8Array; destination: Uint8Array } {
  const target = to === "broadcast" ? { ip4: BROADCAST_IP4, ip6: ALL_NODES_IP6 } : to;
  const bytes = (station: Partial<Station>) => (ip === 4 ? ip4Bytes(station.ip4 ?? "") : ip6Bytes(station.ip6 ?? ""));
  return { source: bytes(from), destination: bytes(target) };
}

/** A frame with an IP packet of any protocol; `payload` is what the IP header carries. */
export function ipPacket(options: IpOptions & { protocol: number }): Uint8Array {
  const body = payloadBytes(options.payload ?? 0);
  const packet = concat([options.ip === 6 ? ipv6Header(options, body.length) : ipv4Header(options, body.length), body]);
  const type = options.ip === 6 ? ETHERTYPE_IPV6 : ETHERTYPE_IPV4;
  return ethernet({ from: options.from, to: options.to, tags: options.tags, type, payload: packet });
}

function ipv4Header(options: IpOptions & { protocol: number }, length: number): Uint8Array {
  const { source, destination } = ipAddresses(options);
  const header = new Uint8Array(20);
  header[0] = 0x45;
  header[1] = options.trafficClass ?? 0;
  // A packet to be segmented may be longer than the field can say; the length is then the driver's to leave at that.
  put16(header, 2, (20 + length) & 0xffff);
  put16(header, 4, options.identification ?? 0);
  header[8] = options.ttl ?? 64;
  header[9] = options.protocol;
  header.set(source, 12);
  header.set(destination, 16);
  put16(header, 10, checksum(header));
  return header;
}

function ipv6Header(options: IpOptions & { protocol: number }, length: number): Uint8Array {
  const { source, destination } = ipAddresses(options);
  const header = new Uint8Array(40);
  put16(header, 0, 0x6000 | ((options.trafficClass ?? 0) << 4));
  put16(header, 4, length & 0xffff);
  header[6] = options.protocol;
  header[7] = options.ttl ?? 64;
  header.set(source, 8);
  header.set(destination, 24);
  return header;
}
