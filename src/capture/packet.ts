// Where the layers of a captured frame are. Frames may be cut or make no sense: nothing behind what was kept is read, and
// what is not there is undefined. A leaf.

export const ETHERTYPE_IPV4 = 0x0800;
export const ETHERTYPE_ARP = 0x0806;
export const ETHERTYPE_RARP = 0x8035;
export const ETHERTYPE_IPV6 = 0x86dd;
export const PROTOCOL_ICMP = 1;
export const PROTOCOL_TCP = 6;
export const PROTOCOL_UDP = 17;
export const PROTOCOL_ICMPV6 = 58;
const TAGS = [0x8100, 0x88a8, 0x9100];
const TAGS_MAX = 8;
/** IPv6 extension headers that have their length in their second byte: hop-by-hop, routing, destination options. */
const EXTENSIONS = [0, 43, 60];
const EXTENSION_FRAGMENT = 44;
const EXTENSIONS_MAX = 16;

/** A frame as it was captured. */
export interface Captured {
  /** The bytes that were kept, and how many the frame had. */
  bytes: Uint8Array;
  length: number;
  direction?: "in" | "out";
  /** Why it went nowhere, if it did not. */
  comment?: string;
}

export interface IpHeader {
  version: 4 | 6;
  /** What it carries; IPv6: behind the extension headers. */
  protocol: number;
  /** The addresses, of 4 or 16 bytes. */
  source: Uint8Array;
  destination: Uint8Array;
  /** Offset of what it carries; undefined in a fragment that is not the first one. */
  transport?: number;
  fragment: boolean;
  /** Offset behind the packet, as its header has it; it may be more than was kept. */
  end: number;
}

export interface Packet extends Captured {
  /** VLAN identifiers, outermost first. */
  vlans: number[];
  /** EtherType (or the length of an 802.3 frame) behind the tags. */
  type?: number;
  /** Offset behind it. */
  network: number;
  ip?: IpHeader;
  /** Of ARP for IPv4: the protocol addresses. */
  arp?: { operation: number; sender: Uint8Array; target: Uint8Array; senderMac: Uint8Array };
  /** Of TCP and UDP. */
  sourcePort?: number;
  destinationPort?: number;
}

/** Finds the layers of a frame. */
export function readPacket(captured: Captured): Packet {
  const { bytes } = captured;
  const packet: Packet = { ...captured, vlans: [], network: 14 };
  if (bytes.length < 14) return packet;
  let type = word(bytes, 12);
  while (TAGS.includes(type) && packet.vlans.length < TAGS_MAX) {
    if (bytes.length < packet.network + 4) return packet;
    packet.vlans.push(word(bytes, packet.network) & 0xfff);
    type = word(bytes, packet.network + 2);
    packet.network += 4;
  }
  packet.type = type;
  if (type === ETHERTYPE_IPV4) packet.ip = ip4(bytes, packet.network);
  else if (type === ETHERTYPE_IPV6) packet.ip = ip6(bytes, packet.network);
  else if (type === ETHERTYPE_ARP || type === ETHERTYPE_RARP) readArp(packet);
  const { ip } = packet;
  const ports = ip !== undefined && (ip.protocol === PROTOCOL_TCP || ip.protocol === PROTOCOL_UDP);
  if (ports && ip.transport !== undefined && bytes.length >= ip.transport + 4) {
    packet.sourcePort = word(bytes, ip.transport);
    packet.destinationPort = word(bytes, ip.transport + 2);
  }
  return packet;
}

function ip4(bytes: Uint8Array, at: number): IpHeader | undefined {
  if (bytes.length < at + 20 || bytes[at]! >> 4 !== 4) return undefined;
  const header = (bytes[at]! & 15) * 4;
  if (header < 20) return undefined;
  const fragment = word(bytes, at + 6) & 0x3fff;
  return {
    version: 4,
    protocol: bytes[at + 9]!,
    source: bytes.subarray(at + 12, at + 16),
    destination: bytes.subarray(at + 16, at + 20),
    transport: (fragment & 0x1fff) === 0 ? at + header : undefined,
    fragment: fragment !== 0,
    end: at + word(bytes, at + 2),
  };
}

function ip6(bytes: Uint8Array, at: number): IpHeader | undefined {
  if (bytes.length < at + 40 || bytes[at]! >> 4 !== 6) return undefined;
  const ip: IpHeader = {
    version: 6,
    protocol: bytes[at + 6]!,
    source: bytes.subarray(at + 8, at + 24),
    destination: bytes.subarray(at + 24, at + 40),
    fragment: false,
    end: at + 40 + word(bytes, at + 4),
  };
  let next = at + 40;
  for (let i = 0; i < EXTENSIONS_MAX; i++) {
    const fragment = ip.protocol === EXTENSION_FRAGMENT;
    if (!fragment && !EXTENSIONS.includes(ip.protocol)) {
      ip.transport = next;
      return ip;
    }
    if (bytes.length < next + 8) return ip;
    ip.protocol = bytes[next]!;
    if (fragment) {
      ip.fragment = true;
      // What follows in a later fragment is the middle of something.
      if (word(bytes, next + 2) >> 3 !== 0) return ip;
      next += 8;
    } else {
      next += 8 + bytes[next + 1]! * 8;
    }
  }
  return ip;
}

function readArp(packet: Packet): void {
  const { bytes, network: at } = packet;
  // Ethernet and IPv4, in addresses of 6 and 4 bytes.
  if (bytes.length < at + 28 || word(bytes, at + 2) !== ETHERTYPE_IPV4 || word(bytes, at + 4) !== 0x0604) return;
  packet.arp = {
    operation: word(bytes, at + 6),
    senderMac: bytes.subarray(at + 8, at + 14),
    sender: bytes.subarray(at + 14, at + 18),
    target: bytes.subarray(at + 24, at + 28),
  };
}

function word(bytes: Uint8Array, at: number): number {
  return (bytes[at]! << 8) | bytes[at + 1]!;
}
