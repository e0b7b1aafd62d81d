// What simulated guests send to each other: the flows, and the lengths of their frames.

import { SEGMENTED_HEADERS } from "./driver-layout.js";

/** A stream of frames from one address to another. Its place in the list of all flows is its number. */
export interface TrafficFlow {
  /** MAC addresses, as "02:00:00:00:00:01". */
  from: string;
  to: string;
}

/** Frame lengths in bytes, Ethernet header included and frame check sequence not, sent in turn. */
export type FrameSizes = readonly number[];

const IMIX_SMALL = 64;
const IMIX_MIDDLE = 570;
const IMIX_LARGE = 1518;

/** Simple IMIX: seven small frames, four middle ones and a large one, spread over the round. */
export const IMIX: FrameSizes = [
  ...[IMIX_SMALL, IMIX_MIDDLE, IMIX_SMALL, IMIX_SMALL, IMIX_MIDDLE, IMIX_SMALL],
  ...[IMIX_LARGE, IMIX_SMALL, IMIX_MIDDLE, IMIX_SMALL, IMIX_MIDDLE, IMIX_SMALL],
];

/** TCP payload of a segment, as with an MTU of 1500 and time stamps. */
export const SEGMENT_SIZE = 1448;
/** What a sender with segmentation offload hands over at once: 45 segments behind one set of headers, almost 64 KiB. */
export const TSO_FRAME = SEGMENTED_HEADERS + 45 * SEGMENT_SIZE;

/** A frame size of the command line: bytes, or a word for more than one size or more than a size. */
export type FrameSize = number | "imix" | "tso";

/** The lengths that a word or number of the command line stands for. */
export function frameSizes(size: FrameSize): FrameSizes {
  if (size === "tso") return [TSO_FRAME];
  return size === "imix" ? IMIX : [size];
}

/** A locally administered MAC address for guest number `guest` and one of its flows. */
export function guestMac(guest: number, flow = 0): string {
  const octets = [2, 0, guest >> 8, guest & 0xff, flow >> 8, flow & 0xff];
  return octets.map((octet) => octet.toString(16).padStart(2, "0")).join(":");
}

/** The six octets of a MAC address. Throws when the text is none. */
export function macOctets(mac: string): number[] {
  if (!/^([0-9a-f]{2}:){5}[0-9a-f]{2}$/i.test(mac)) throw new Error(`"${mac}" is no MAC address (02:00:00:00:00:01)`);
  return mac.split(":").map((octet) => Number.parseInt(octet, 16));
}
