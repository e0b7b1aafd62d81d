// A transcript as a sequence diagram: the front-end on the left, the back-end on the right, what the switch did beside it.

import { featureNames, protocolFeatureNames } from "../vhost-user/features.js";
import { messageByNumber } from "../vhost-user/message.js";
import type {
  EffectLine,
  FdDescription,
  Json,
  MessageLine,
  ParsedTranscript,
  RingLine,
  TranscriptHead,
  TranscriptLine,
} from "../vhost-user/transcript.js";

const TIME_WIDTH = 11;
const ARROW_WIDTH = 31;
const FEATURE_REQUESTS = new Set(["GET_FEATURES", "SET_FEATURES"]);
const PROTOCOL_FEATURE_REQUESTS = new Set(["GET_PROTOCOL_FEATURES", "SET_PROTOCOL_FEATURES"]);

/** One line for each message and, with `effects`, for each effect and each change of a ring. */
export function renderTranscript({ head, lines, torn }: ParsedTranscript, options: { effects: boolean }): string {
  const shown = lines.filter((line) => options.effects || "from" in line || "closed" in line || "cut" in line);
  const end = torn ? ["the transcript ends in the middle of a line: its switch was ended, or is writing still"] : [];
  const titles = `${"ms".padStart(TIME_WIDTH)}  ${"front-end".padEnd(ARROW_WIDTH - 3)}back-end  (! reply wanted)`;
  return `${[...headLines(head), "", titles, ...shown.map(renderLine), ...end].map(printable).join("\n")}\n`;
}

function headLines({ port, role, program, pid, started, version }: TranscriptHead): string[] {
  const who = `${program ?? "a front-end"}${pid === undefined ? "" : ` (pid ${pid})`}`;
  return [`port ${port} (${role}), ${who}, from ${started}, ringbridge ${version}`];
}

function renderLine(line: TranscriptLine): string {
  const time = line.ms.toFixed(3).padStart(TIME_WIDTH);
  const beside = `${" ".repeat(ARROW_WIDTH)}│`;
  if ("from" in line) return `${time}  │${arrow(line)}│ ${details(line)}`.trimEnd();
  if ("effect" in line) return `${time}  │${beside}   ${effect(line)}`;
  if ("ring" in line) return `${time}  │${beside}   ${ring(line)}`;
  return `${time}  ${"closed" in line ? `closed: ${line.closed}` : `cut short: ${line.cut}`}`;
}

function arrow({ from, name, needReply }: MessageLine): string {
  const label = ` ${name}${needReply ? " !" : ""} `;
  return from === "front-end" ? `─${label.padEnd(ARROW_WIDTH - 2, "─")}▶` : `◀${label.padStart(ARROW_WIDTH - 2, "─")}─`;
}

function details(line: MessageLine): string {
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

function effect({ effect: { kind, ...fields }, outcome }: EffectLine): string {
  const went = Object.keys(outcome).length === 0 ? "" : ` → ${words(outcome)}`;
  return `${kind} ${words(fields)}${went}`;
}

function ring({ ring, event, at, reason }: RingLine): string {
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
function printable(text: string): string {
  return text.replace(/[\p{Cc}\p{Cf}\p{Co}\p{Cn}]/gu, "?");
}
