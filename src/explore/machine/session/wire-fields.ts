// The bytes of a vhost-user message, field by field.

import type { Fd } from "../../../fd.js";
import { FEATURE_NAMES, PROTOCOL_FEATURE_NAMES } from "../../../vhost-user/features.js";
import { FLAG_NEED_REPLY, FLAG_REPLY, HEADER_SIZE, messageByNumber } from "../../../vhost-user/message.js";
import type { PayloadKind } from "../../../vhost-user/payload.js";

/** Part of a message: its bytes from `offset` on, and what they say. */
export interface WireField {
  name: string;
  offset: number;
  length: number;
  text: string;
}

const REGION = ["guest address", "size", "user address", "mmap offset"] as const;

/** The fields of a whole message. `kind`: of the payload, when it is not the request's own. */
export function wireFields(bytes: Uint8Array, kind?: PayloadKind): WireField[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const request = view.getUint32(0, true);
  const spec = messageByNumber(request);
  const flags = view.getUint32(4, true);
  const fields: WireField[] = [
    { name: "request", offset: 0, length: 4, text: `${request}: ${spec?.name ?? "unknown"}` },
    { name: "flags", offset: 4, length: 4, text: flagsText(flags) },
    { name: "size", offset: 8, length: 4, text: `${view.getUint32(8, true)} bytes follow` },
  ];
  const names = payloadFields(kind ?? spec?.payload ?? "none", bytes.length - HEADER_SIZE);
  let offset = HEADER_SIZE;
  for (const [name, length] of names) {
    if (offset + length > bytes.length) break;
    const value = length === 8 ? view.getBigUint64(offset, true) : BigInt(view.getUint32(offset, true));
    fields.push({ name, offset, length, text: valueText(name, value, spec?.name ?? "") });
    offset += length;
  }
  if (offset < bytes.length) fields.push({ name: "payload", offset, length: bytes.length - offset, text: "" });
  return fields;
}

function payloadFields(kind: PayloadKind, bytes: number): (readonly [name: string, length: number])[] {
  if (kind === "u64") return [["value", 8]];
  if (kind === "vringFd") return [["index and no-descriptor bit", 8]];
  if (kind === "vringState")
    return [
      ["index", 4],
      ["num", 4],
    ];
  if (kind === "vringAddr") {
    const addresses = ["descriptor table", "used ring", "avail ring", "log"].map((name) => [name, 8] as const);
    return [["index", 4], ["flags", 4], ...addresses];
  }
  if (kind === "memRegion") return [["padding", 8], ...REGION.map((name) => [name, 8] as const)];
  if (kind !== "memTable") return [];
  const regions = Math.floor((bytes - 8) / 32);
  const each = Array.from({ length: regions }, (_, i) => REGION.map((name) => [`region ${i}: ${name}`, 8] as const));
  return [["regions", 4], ["padding", 4], ...each.flat()];
}

function valueText(name: string, value: bigint, request: string): string {
  if (name.startsWith("index and"))
    return `queue ${value & 0xffn}${value & 0x100n ? ", no descriptor comes with it" : ""}`;
  if (request.includes("PROTOCOL_FEATURES")) return namesOf(value, PROTOCOL_FEATURE_NAMES);
  if (request.includes("FEATURES")) return namesOf(value, FEATURE_NAMES);
  if (/address|table|ring|log/.test(name) && value > 0xffffn) return `0x${value.toString(16)}`;
  if (/size|offset/.test(name)) return `${value / 1024n} KiB`;
  if (request.includes("STATUS")) return statusText(value);
  return String(value);
}

function flagsText(flags: number): string {
  const words = [`version ${flags & 3}`];
  if (flags & FLAG_REPLY) words.push("reply");
  if (flags & FLAG_NEED_REPLY) words.push("need reply");
  return words.join(", ");
}

const STATUS = [
  [1n, "ACKNOWLEDGE"],
  [2n, "DRIVER"],
  [8n, "FEATURES_OK"],
  [4n, "DRIVER_OK"],
] as const;

/** The bits of the device status (virtio 1.3, 2.1). */
function statusText(value: bigint): string {
  const names = STATUS.filter(([bit]) => value & bit).map(([, name]) => name);
  return names.length > 0 ? names.join("|") : "0: reset";
}

/** Names of the features in a set. */
export function namesOf(set: bigint, names: Readonly<Record<number, string>>): string {
  const found = [];
  for (let bit = 0; set >> BigInt(bit) > 0n; bit++)
    if ((set >> BigInt(bit)) & 1n) found.push(names[bit] ?? `bit ${bit}`);
  return found.join(", ") || "none";
}

/** Numbers of descriptors, for a sentence. */
export function fdsText(fds: readonly Fd[]): string {
  return fds.length === 0 ? "no descriptor" : `descriptor${fds.length > 1 ? "s" : ""} ${fds.join(", ")}`;
}
