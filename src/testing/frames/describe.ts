// A frame in one line, for messages.

import { get16 } from "../bytes.js";
import { macText } from "./address.js";
import { layersOf } from "./read.js";

const PROTOCOLS: Record<number, string> = { 1: "ICMP", 6: "TCP", 17: "UDP", 58: "ICMPv6" };

/** "02:00:00:00:00:01 > 02:00:00:00:00:02, UDP over IPv4, 40000 > 9, 60 bytes". */
export function describeFrame(frame: Uint8Array): string {
  if (frame.length < 14) return `${frame.length} bytes, no Ethernet header`;
  const layers = layersOf(frame);
  const words = [`${macText(frame, 6)} > ${macText(frame)}`];
  if (layers) {
    const { version, protocol, transport, end } = layers;
    words.push(`${PROTOCOLS[protocol] ?? `protocol ${protocol}`} over IPv${version}`);
    const ports = (protocol === 6 || protocol === 17) && end >= transport + 4;
    if (ports) words.push(`${get16(frame, transport)} > ${get16(frame, transport + 2)}`);
  } else {
    words.push(`type 0x${get16(frame, 12).toString(16).padStart(4, "0")}`);
  }
  return [...words, `${frame.length} bytes`].join(", ");
}
