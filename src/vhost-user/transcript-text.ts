// The lines of a transcript in words: what a message carries, what an effect and a ring came to.

import { featureNames, protocolFeatureNames } from "./features.js";
import { messageByNumber } from "./message.js";
import type { EffectLine, FdDescription, Json, MessageLine, RingLine } from "./transcript.js";

const FEATURE_REQUESTS = new Set(["GET_FEATURES", "SET_FEATURES"]);
const PROTOCOL_FEATURE_REQUESTS = new Set(["GET_PROTOCOL_FEATURES", "SET_PROTOCOL_FEATURES"]);

/** What a message carries: its fields by name, feature bits by theirs, and its descriptors; bytes where that is not known. */
export function messageText(line: MessageLine): string {
  const { name, payload, hex, fds = [] } = line;
  const descriptors = fds.map((fd) => `[${descriptor(fd)}]`);
  return [message(name, payload, line), ...descriptors].filter((text) => text !== "").join(" ") || bytes(hex);
}

function message(name: string, payload: Json | undefined, { from, request, hex }: MessageLine): string {
  if (payload === undefined) return bytes(hex);
  // Bits without a meaning are of interest only where somebody sets them.
  const { value, reserved, ...others } = payload as { [key: string]: Json };
  const fields = reserved === undefined || reserved === "0x0" ? others : { ...others, reserved };
  if (value === undefined) return words(name.endsWith("VRING_BASE") ? { ...fields, num: hex32(fields.num) } : fields);
  const set = BigInt(value as string);
  const acknowledges = from === "back-end" && messageByNumber(request)?.reply === "ack";
  if (acknowledges) return `${value} (${set === 0n ? "done" : "failed"})`;
  if (FEATURE_REQUESTS.has(name)) return `${value} ${short(featureNames(set))}`;
  if (PROTOCOL_FEATURE_REQUESTS.has(name)) return `${value} ${short(protocolFeatureNames(set))}`;
  return `${value}`;
}

/** The base of a packed ring is of two halves, each with a wrap counter on top. */
function hex32(num: Json | undefined): string {
  return `0x${Number(num).toString(16)}`;
}

/** Feature names without what all of them begin with. */
function short(names: readonly string[]): string {
  return names
    .map((name) => name.replace(/^(VIRTIO_NET|VIRTIO|VHOST_USER_PROTOCOL|VHOST_USER|VHOST)_F_/, ""))
    .join(" ");
}

function bytes(hex: string): string {
  return hex === "" ? "" : `bytes ${hex}`;
}

function descriptor({ fd, kind, ...more }: FdDescription): string {
  return `${fd} ${kind}${Object.keys(more).length === 0 ? "" : `: ${words(more)}`}`;
}

/** What the switch was asked to do, and how that went. */
export function effectText({ effect: { kind, ...fields }, outcome }: EffectLine): string {
  const went = Object.keys(outcome).length === 0 ? "" : ` → ${words(outcome)}`;
  return `${kind} ${words(fields)}${went}`;
}

/** What became of a ring. */
export function ringText({ ring, event, at, reason }: RingLine): string {
  return `ring ${ring} ${event}${at === undefined ? "" : ` at ${at}`}${reason === undefined ? "" : `: ${reason}`}`;
}

/** Fields as "name=value"; what is nested in braces. */
function words(fields: { [key: string]: Json }): string {
  return Object.entries(fields)
    .map(([name, value]) => `${name}=${word(value)}`)
    .join(" ");
}

function word(value: Json): string {
  if (Array.isArray(value)) return `[${value.map(word).join(", ")}]`;
  if (typeof value === "object" && value !== null) return `{${words(value)}}`;
  return String(value);
}

/** What a front-end chose (the name of its memory file, of its program) may not drive the reader's terminal. */
export function printable(text: string): string {
  return text.replace(/[\p{Cc}\p{Cf}\p{Co}\p{Cn}]/gu, "?");
}
