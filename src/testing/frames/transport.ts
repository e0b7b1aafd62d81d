// UDP (RFC 768), TCP (RFC 9293), ICMP and ICMPv6 echo (RFC 792, RFC 4443), each over IPv4 or IPv6 with right checksums.

import { concat, put16, put32 } from "../bytes.js";
import { checksum, transportChecksum } from "./checksum.js";
import { payloadBytes } from "./ethernet.js";
import {
  type IpOptions,
  ipAddresses,
  ipPacket,
  PROTOCOL_ICMP,
  PROTOCOL_ICMPV6,
  PROTOCOL_TCP,
  PROTOCOL_UDP,
} from "./ip.js";

/** What a UDP datagram is made of. */
export interface PortOptions extends IpOptions {
  /** Defaults 40000 and 9 (discard). */
  sourcePort?: number;
  destinationPort?: number;
}

/** A flag of TCP's header (RFC 9293 3.1). */
export type TcpFlag = "fin" | "syn" | "rst" | "psh" | "ack" | "urg" | "ece" | "cwr";
const TCP_FLAGS: readonly TcpFlag[] = ["fin", "syn", "rst", "psh", "ack", "urg", "ece", "cwr"];

/** What a TCP segment is made of. */
export interface TcpOptions extends PortOptions {
  /** Default 1 and 1. */
  sequence?: number;
  acknowledgement?: number;
  /** Default ["ack"]. */
  flags?: readonly TcpFlag[];
  /** Default 65535. */
  window?: number;
}

/** What an echo request or reply is made of. */
export interface EchoOptions extends IpOptions {
  /** Default false: a request. */
  reply?: boolean;
  /** Default 1 and 1. */
  id?: number;
  sequence?: number;
}

/** A frame with a UDP datagram. */
export function udp(options: PortOptions): Uint8Array {
  const message = withPorts(options, 8);
  put16(message, 4, message.length & 0xffff);
  const sum = sumFor(options, PROTOCOL_UDP, message);
  // 0 would mean: not computed.
  put16(message, 6, sum || 0xffff);
  return ipPacket({ ...options, protocol: PROTOCOL_UDP, payload: message });
}

/** A frame with a TCP segment. */
export function tcp(options: TcpOptions): Uint8Array {
  const { sequence = 1, acknowledgement = 1, flags = ["ack"], window = 0xffff } = options;
  const message = withPorts(options, 20);
  put32(message, 4, sequence);
  put32(message, 8, acknowledgement);
  message[12] = 0x50;
  message[13] = flags.reduce((set, flag) => set | (1 << TCP_FLAGS.indexOf(flag)), 0);
  put16(message, 14, window);
  put16(message, 16, sumFor(options, PROTOCOL_TCP, message));
  return ipPacket({ ...options, protocol: PROTOCOL_TCP, payload: message });
}

/** A frame with an echo request or reply: ICMP over IPv4, ICMPv6 over IPv6. */
export function icmpEcho(options: EchoOptions): Uint8Array {
  const { ip = 4, reply = false, id = 1, sequence = 1 } = options;
  const message = concat([new Uint8Array(8), payloadBytes(options.payload ?? 0)]);
  message[0] = ip === 4 ? (reply ? 0 : 8) : reply ? 129 : 128;
  put16(message, 4, id);
  put16(message, 6, sequence);
  put16(message, 2, ip === 4 ? checksum(message) : sumFor(options, PROTOCOL_ICMPV6, message));
  return ipPacket({ ...options, protocol: ip === 4 ? PROTOCOL_ICMP : PROTOCOL_ICMPV6, payload: message });
}

function withPorts({ sourcePort = 40_000, destinationPort = 9, payload = 0 }: PortOptions, headerBytes: number) {
  const message = concat([new Uint8Array(headerBytes), payloadBytes(payload)]);
  put16(message, 0, sourcePort);
  put16(message, 2, destinationPort);
  return message;
}

function sumFor(options: IpOptions, protocol: number, message: Uint8Array): number {
  const { source, destination } = ipAddresses(options);
  return transportChecksum(source, destination, protocol, message);
}
