// What the primitives of a filter expression ask of a frame. A leaf.

import {
  ETHERTYPE_ARP,
  ETHERTYPE_IPV4,
  ETHERTYPE_IPV6,
  ETHERTYPE_RARP,
  type Packet,
  PROTOCOL_ICMP,
  PROTOCOL_ICMPV6,
  PROTOCOL_TCP,
  PROTOCOL_UDP,
} from "./packet.js";

/** Does a frame match? */
export type Filter = (packet: Packet) => boolean;

export const byType = (type: number): Filter => {
  return (packet) => packet.type === type;
};
export const byProtocol = (protocol: number): Filter => {
  return ({ ip }) => ip?.protocol === protocol;
};
export const PROTOCOLS: Record<string, Filter> = {
  arp: byType(ETHERTYPE_ARP),
  rarp: byType(ETHERTYPE_RARP),
  ip: byType(ETHERTYPE_IPV4),
  ip6: byType(ETHERTYPE_IPV6),
  tcp: byProtocol(PROTOCOL_TCP),
  udp: byProtocol(PROTOCOL_UDP),
  icmp: ({ ip }) => ip?.version === 4 && ip.protocol === PROTOCOL_ICMP,
  icmp6: ({ ip }) => ip?.version === 6 && ip.protocol === PROTOCOL_ICMPV6,
};
export const ALONE: Record<string, Filter> = {
  broadcast: ({ bytes }) => bytes.length >= 6 && bytes.subarray(0, 6).every((octet) => octet === 0xff),
  multicast: ({ bytes }) => bytes.length >= 1 && (bytes[0]! & 1) === 1,
  inbound: ({ direction }) => direction === "in",
  outbound: ({ direction }) => direction === "out",
  dropped: ({ comment }) => comment !== undefined,
};
export type Side = "src" | "dst" | "either";

export function byAddress(side: Side, matches: (address: Uint8Array) => boolean): Filter {
  return ({ ip, arp }) => {
    const source = ip?.source ?? arp?.sender;
    const destination = ip?.destination ?? arp?.target;
    return (
      (side !== "dst" && source !== undefined && matches(source)) ||
      (side !== "src" && destination !== undefined && matches(destination))
    );
  };
}

export function byPort(side: Side, from: number, to: number): Filter {
  const within = (port: number | undefined) => port !== undefined && port >= from && port <= to;
  return ({ sourcePort, destinationPort }) =>
    (side !== "dst" && within(sourcePort)) || (side !== "src" && within(destinationPort));
}

/** Are the first `bits` bits the same, in addresses of one kind? */
export function sameBits(a: Uint8Array, b: Uint8Array, bits: number): boolean {
  if (a.length !== b.length) return false;
  const whole = bits >> 3;
  for (let i = 0; i < whole; i++) if (a[i] !== b[i]) return false;
  return bits % 8 === 0 || (a[whole]! ^ b[whole]!) >> (8 - (bits % 8)) === 0;
}
