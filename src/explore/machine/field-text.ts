// The values of fields as people read them: flags by name, addresses in hex, counts in decimal.

import {
  RING_EVENT_FLAGS_DESC,
  RING_EVENT_FLAGS_DISABLE,
  VIRTQ_DESC_F_AVAIL,
  VIRTQ_DESC_F_INDIRECT,
  VIRTQ_DESC_F_NEXT,
  VIRTQ_DESC_F_USED,
  VIRTQ_DESC_F_WRITE,
} from "../../../assembly/spec/virtio.js";
import { PACKED_WRAP } from "../../core/packed-ring.js";
import { formatMac } from "../../core/mac.js";
import { hex } from "../../testing/bytes.js";
import type { Place } from "./places.js";

/** A field with its value now. `place.name` is its name, `place.address` and `.length` where it lies. */
export interface FieldView {
  place: Place;
  value: number;
  text: string;
}

/** A field of memory as it is now. */
export function fieldAt({ bytes }: { bytes: Uint8Array }, place: Place): FieldView {
  const now = bytes.slice(place.address, place.address + place.length);
  const value = now.length > 8 ? 0 : now.reduceRight((sum, byte) => sum * 256 + byte, 0);
  return { place, value, text: fieldText(place, now) };
}

const DESCRIPTOR_FLAGS: readonly (readonly [number, string])[] = [
  [VIRTQ_DESC_F_NEXT, "NEXT"],
  [VIRTQ_DESC_F_WRITE, "WRITE"],
  [VIRTQ_DESC_F_INDIRECT, "INDIRECT"],
  [VIRTQ_DESC_F_AVAIL, "AVAIL"],
  [VIRTQ_DESC_F_USED, "USED"],
];

/** The names of a descriptor's flags that are set: of a packed ring's AVAIL and USED too. */
export function descriptorFlags(flags: number): string[] {
  return DESCRIPTOR_FLAGS.filter(([bit]) => flags & bit).map(([, name]) => name);
}

/** desc_event_flags of a packed ring's event area (virtio 1.3, 2.8.10). */
export function eventFlags(flags: number): string {
  const low = flags & 3;
  return low === RING_EVENT_FLAGS_DESC ? "DESC" : low === RING_EVENT_FLAGS_DISABLE ? "DISABLE" : "ENABLE";
}

/** Position and wrap counter of a packed ring: "3, wrap 1". */
export function cursorText(cursor: number): string {
  return `${cursor & ~PACKED_WRAP}, wrap ${cursor & PACKED_WRAP ? 1 : 0}`;
}

/** The value of a field; `bytes` may be a part of it. */
export function fieldText(place: Place, bytes: Uint8Array): string {
  const { field, part, kind } = place;
  if (bytes.length > 8 || bytes.length === 0 || kind === "buffer" || kind === "ram") return bytesText(bytes);
  const value = numberOf(bytes);
  if (field === "addr" || field === "guestAddress") return `0x${value.toString(16)}`;
  if (kind === "core") return part === "fdb" && field === "key" ? entryText(value) : coreText(place, value);
  if (field === "flags" && (part === "desc" || part === "table")) return namesOr0(descriptorFlags(Number(value)));
  if (field === "flags" && (part === "driver" || part === "device")) return eventFlags(Number(value));
  if (field === "flags") return value === 0n ? "0" : part === "avail" ? "NO_INTERRUPT" : "NO_NOTIFY";
  if (field === "desc") return cursorText(Number(value));
  return String(value);
}

/** Pointers in hex: what is larger than any count of a machine is one. */
function coreText({ field = "" }: Place, value: bigint): string {
  return field.startsWith("drops.") || value < 0x1_0000n ? String(value) : `0x${value.toString(16)}`;
}

function entryText(key: bigint): string {
  return key === 0n ? "empty" : `${formatMac(key)} on port ${(key >> 48n) - 1n}`;
}

function namesOr0(names: string[]): string {
  return names.length > 0 ? names.join("|") : "0";
}

export function bytesText(bytes: Uint8Array): string {
  return bytes.length > 16 ? `${hex(bytes.subarray(0, 16))}…` : hex(bytes);
}

function numberOf(bytes: Uint8Array): bigint {
  return bytes.reduceRight((value, byte) => (value << 8n) | BigInt(byte), 0n);
}
