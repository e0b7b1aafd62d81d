// A captured frame in one line, as tcpdump would. Only digits and words of ours get into it, never bytes of the frame as
// they are: it goes to a terminal. A leaf.

import { ipText, macText } from "./address.js";
import {
  ETHERTYPE_RARP,
  type IpHeader,
  type Packet,
  PROTOCOL_ICMP,
  PROTOCOL_ICMPV6,
  PROTOCOL_TCP,
  PROTOCOL_UDP,
} from "./packet.js";

/** Flags of a TCP header from bit 0 on, as tcpdump writes them. */
const TCP_FLAGS = ["F", "S", "R", "P", ".", "U", "E", "W"];
const ICMP: Record<number, string> = {
  0: "echo reply",
  3: "destination unreachable",
  5: "redirect",
  8: "echo request",
  11: "time exceeded",
};
const ICMPV6: Record<number, string> = {
  1: "destination unreachable",
  2: "packet too big",
  3: "time exceeded",
  128: "echo request",
  129: "echo reply",
  133: "router solicitation",
  134: "router advertisement",
  135: "neighbor solicitation",
  136: "neighbor advertisement",
  143: "multicast listener report v2",
};

/** "IP 10.0.0.1.40000 > 10.0.0.2.9: UDP, length 18"; in brackets what the capture has to say of the frame. */
export function summary(packet: Packet): string {
  const tags = packet.vlans.map((id) => `vlan ${id}, `).join("");
  const notes: string[] = [];
  if (packet.bytes.length < packet.length) notes.push(`cut to ${packet.bytes.length} of ${packet.length} bytes`);
  if (packet.comment !== undefined) notes.push(packet.comment.replace(/[^\x20-\x7e]/g, "?"));
  return tags + content(packet) + notes.map((note) => ` [${note}]`).join("");
}

function content(packet: Packet): string {
  const { bytes, ip, arp, type, length } = packet;
  if (ip) return internet(packet, ip);
  if (arp) {
    const [sender, target] = [ipText(arp.sender), ipText(arp.target)];
    const kind = type === ETHERTYPE_RARP ? "RARP" : "ARP";
    if (arp.operation === 1) return `${kind}, request who-has ${target} tell ${sender}, length ${length}`;
    if (arp.operation === 2) return `${kind}, reply ${sender} is-at ${macText(arp.senderMac)}, length ${length}`;
    return `${kind}, operation ${arp.operation} of ${macText(arp.senderMac)}, length ${length}`;
  }
  if (bytes.length < 12) return `${bytes.length} bytes, no whole Ethernet header`;
  const what = type === undefined ? "cut in its tags" : `ethertype 0x${type.toString(16).padStart(4, "0")}`;
  return `${macText(bytes, 6)} > ${macText(bytes)}, ${what}, length ${length}`;
}

function internet(packet: Packet, ip: IpHeader): string {
  const { bytes, sourcePort, destinationPort } = packet;
  const port = (number: number | undefined) => (number === undefined ? "" : `.${number}`);
  const [from, to] = [ipText(ip.source) + port(sourcePort), ipText(ip.destination) + port(destinationPort)];
  const head = `${ip.version === 4 ? "IP" : "IP6"} ${from} > ${to}:`;
  const at = ip.transport;
  if (at === undefined) return `${head} fragment of protocol ${ip.protocol}, length ${packet.length}`;
  const carried = Math.max(0, ip.end - at);
  const note = ip.fragment ? " (first fragment)" : "";
  if (ip.protocol === PROTOCOL_UDP) return `${head} UDP, length ${Math.max(0, carried - 8)}${note}`;
  if (ip.protocol === PROTOCOL_TCP && bytes.length >= at + 16) return `${head} ${tcp(bytes, at, carried)}${note}`;
  const names = ip.protocol === PROTOCOL_ICMP ? ICMP : ip.protocol === PROTOCOL_ICMPV6 ? ICMPV6 : undefined;
  if (names && bytes.length >= at + 8) {
    const kind = bytes[at]!;
    const name = names[kind] ?? `type ${kind} code ${bytes[at + 1]}`;
    const echo = name.startsWith("echo") ? `, id ${word(bytes, at + 4)}, seq ${word(bytes, at + 6)}` : "";
    return `${head} ${ip.version === 4 ? "ICMP" : "ICMP6"} ${name}${echo}, length ${carried}${note}`;
  }
  return `${head} protocol ${ip.protocol}, length ${carried}${note}`;
}

function tcp(bytes: Uint8Array, at: number, carried: number): string {
  const bits = bytes[at + 13]!;
  const flags = TCP_FLAGS.filter((_, i) => bits & (1 << i)).join("");
  const sequence = word(bytes, at + 4) * 65_536 + word(bytes, at + 6);
  const length = Math.max(0, carried - (bytes[at + 12]! >> 4) * 4);
  const range = length > 0 ? `${sequence}:${(sequence + length) % 2 ** 32}` : `${sequence}`;
  const acknowledged = bits & 16 ? `, ack ${word(bytes, at + 8) * 65_536 + word(bytes, at + 10)}` : "";
  return `Flags [${flags || "none"}], seq ${range}${acknowledged}, win ${word(bytes, at + 14)}, length ${length}`;
}

function word(bytes: Uint8Array, at: number): number {
  return (bytes[at]! << 8) | bytes[at + 1]!;
}
