// Ethernet frames and VLAN tags (IEEE 802.3, 802.1Q). Without frame check sequence, as virtio-net carries them.

import { concat, put16 } from "../bytes.js";
import { BROADCAST, macBytes, type Station } from "./address.js";

export const ETHERTYPE_IPV4 = 0x0800;
export const ETHERTYPE_ARP = 0x0806;
export const ETHERTYPE_IPV6 = 0x86dd;
export const TPID_VLAN = 0x8100;
export const TPID_QINQ = 0x88a8;
/** Free for local experiments (IEEE 802 clause 9.2.4). */
export const ETHERTYPE_EXPERIMENT = 0x88b5;

/** Shortest frame on a wire, without its check sequence. virtio-net takes shorter ones, and these builders make them. */
export const ETHERNET_MIN = 60;

/** A VLAN tag. */
export interface VlanTag {
  /** VLAN identifier, 0 to 4095. */
  id: number;
  /** Priority, 0 to 7. Default 0. */
  priority?: number;
  /** Default 0x8100; 0x88a8 for a service tag. */
  tpid?: number;
}

/** Text becomes UTF-8; a number stands for that many bytes that count up. */
export type Payload = string | Uint8Array | number;

/** What an Ethernet frame is made of. */
export interface EthernetOptions {
  from: Station;
  /** A station, or "broadcast". */
  to: Station | "broadcast";
  /** VLAN tags, outermost first. A number is a tag's identifier. */
  tags?: readonly (VlanTag | number)[];
  payload?: Payload;
}

/** A frame of any type. Default type 0x88b5. */
export function ethernet({ from, to, tags = [], payload = 0, type }: EthernetOptions & { type?: number }): Uint8Array {
  const destination = macBytes(to === "broadcast" ? BROADCAST : to.mac);
  const last = new Uint8Array(2);
  put16(last, 0, type ?? ETHERTYPE_EXPERIMENT);
  return concat([destination, macBytes(from.mac), ...tags.map(tagBytes), last, payloadBytes(payload)]);
}

/** The same frame with a tag between its addresses and what follows them. */
export function vlan(frame: Uint8Array, tag: VlanTag | number): Uint8Array {
  return concat([frame.subarray(0, 12), tagBytes(tag), frame.subarray(12)]);
}

/** The bytes that a payload stands for. */
export function payloadBytes(payload: Payload): Uint8Array {
  if (typeof payload === "string") return new TextEncoder().encode(payload);
  return typeof payload === "number" ? Uint8Array.from({ length: payload }, (_, i) => i & 0xff) : payload;
}

function tagBytes(given: VlanTag | number): Uint8Array {
  const { id, priority = 0, tpid = TPID_VLAN } = typeof given === "number" ? { id: given } : given;
  if (!(id >= 0 && id <= 4095 && priority >= 0 && priority <= 7)) throw new Error(`no VLAN tag: ${id}, ${priority}`);
  const tag = new Uint8Array(4);
  put16(tag, 0, tpid);
  put16(tag, 2, (priority << 13) | id);
  return tag;
}
