// The transcript of one session, as JSON lines: what the front-end sent, what the switch was asked to do and how that
// went, what was answered, what became of the rings, why it ended. This file knows the format and nothing of files; the
// same code writes a running switch's transcripts and those of a replay, so that the two can be compared as text.
//
// Descriptors have names (fd1, fd2, … in the order in which they came), for their numbers mean nothing later on. 64-bit
// numbers are written as "0x…", bytes as "hex:…".

import type { Effect, EffectOutcome, Fd } from "./effects.js";
import {
  FLAG_NEED_REPLY,
  HEADER_SIZE,
  type MessageSpec,
  messageByNumber,
  requestLabel,
  type WireMessage,
} from "./message.js";
import { decodePayload, type PayloadKind } from "./payload.js";
import type { SessionOptions } from "./session.js";

/** Raised when an older reader would misread the lines. */
export const TRANSCRIPT_FORMAT = 1;

export type Json = null | boolean | number | string | Json[] | { [key: string]: Json };

/** What a descriptor was when it came: its kind first, the rest depends on that. */
export type FdDescription = { kind: string } & { [key: string]: Json };

/** The first line. */
export interface TranscriptHead {
  transcript: number;
  /** The version of ringbridge. */
  version: string;
  port: string;
  role: string;
  /** Name and process id of the front-end's program, where the kernel tells them. */
  program?: string;
  pid?: number;
  /** When the front-end connected: ISO 8601. */
  started: string;
  /** What the session was made with (SessionOptions). */
  session: Json;
}

/** One message, in either direction. */
export interface MessageLine {
  /** Milliseconds since the front-end connected. */
  ms: number;
  from: "front-end" | "back-end";
  /** Of a reply: the request that it answers. */
  request: number;
  name: string;
  /** The header's flags, version included. */
  flags: number;
  needReply?: true;
  /** Field by field; absent when the payload is not decoded here, or does not decode. */
  payload?: Json;
  /** The payload's bytes. */
  hex: string;
  fds?: FdDescription[];
}

export interface EffectLine {
  ms: number;
  effect: { kind: string } & { [key: string]: Json };
  outcome: { [key: string]: Json };
}

/** What became of a ring. */
export interface RingLine {
  ms: number;
  ring: number;
  event: "started" | "stopped" | "enabled" | "disabled" | "broken";
  /** Started, stopped: the next avail index. */
  at?: number;
  /** Broken: why. */
  reason?: string;
}

/** The connection has ended. */
export interface ClosedLine {
  ms: number;
  closed: string;
}

/** The session goes on, its transcript does not. */
export interface CutLine {
  ms: number;
  cut: string;
}

export type TranscriptLine = MessageLine | EffectLine | RingLine | ClosedLine | CutLine;

/** The fields of effects and outcomes that are descriptors. */
const FD_FIELDS = new Set(["fd", "fds", "kick", "call", "err"]);

export interface TranscriptSink {
  write(line: TranscriptHead | TranscriptLine): void;
  /** Milliseconds since the connection was made. */
  now(): number;
  /** What a descriptor refers to. Must not throw. */
  describe(fd: Fd): FdDescription;
}

/** Turns what happens in one session into lines. */
export class Transcript {
  private readonly names = new Map<Fd, string>();
  private named = 0;

  constructor(private readonly sink: TranscriptSink) {}

  /** A message has come, whole. Before it is carried out: its descriptors are still open. */
  request({ request, flags, payload, fds }: WireMessage): void {
    const spec = messageByNumber(request);
    const described = fds.map((fd) => ({ fd: this.name(fd), ...this.sink.describe(fd) }));
    this.sink.write({
      ...this.message("front-end", request, flags, spec?.payload, payload),
      ...(described.length > 0 ? { fds: described } : {}),
    });
  }

  /** Effects have been run. */
  effects(effects: readonly Effect[], outcomes: readonly EffectOutcome[]): void {
    effects.forEach((effect, i) => {
      const outcome = outcomes[i]!;
      // A descriptor that the switch has made is named here.
      for (const [key, value] of Object.entries(outcome)) if (FD_FIELDS.has(key)) this.name(value as Fd);
      this.sink.write({
        ms: this.sink.now(),
        effect: this.plain(shortened(effect)) as EffectLine["effect"],
        outcome: this.plain(outcome) as EffectLine["outcome"],
      });
      this.ringEvent(effect, outcome);
    });
  }

  /** A reply goes out; `bytes` with its header. */
  reply(bytes: Uint8Array): void {
    const view = new DataView(bytes.buffer, bytes.byteOffset);
    const request = view.getUint32(0, true);
    const payload = bytes.subarray(HEADER_SIZE);
    const kind = replyPayload(messageByNumber(request));
    this.sink.write(this.message("back-end", request, view.getUint32(4, true), kind, payload));
  }

  /** The guest has broken a ring. */
  broken(ring: number, reason: string): void {
    this.sink.write({ ms: this.sink.now(), ring, event: "broken", reason });
  }

  closed(reason: string): void {
    this.sink.write({ ms: this.sink.now(), closed: reason });
  }

  private message(
    from: MessageLine["from"],
    request: number,
    flags: number,
    kind: PayloadKind | undefined,
    bytes: Uint8Array,
  ): MessageLine {
    const decoded = kind === undefined || kind === "opaque" ? undefined : decodePayload(kind, bytes);
    const { kind: _, ...fields } = decoded ?? { kind: "none" };
    const whole = decoded !== undefined && decoded.kind !== "bad" && decoded.kind !== "none";
    return {
      ms: this.sink.now(),
      from,
      request,
      name: requestLabel(request).replace(/ \(\d+\)$/, ""),
      flags,
      ...((flags & FLAG_NEED_REPLY) !== 0 ? { needReply: true } : {}),
      ...(whole ? { payload: plainValue(fields, () => null) } : {}),
      hex: hexOf(bytes),
    };
  }

  private ringEvent(effect: Effect, outcome: EffectOutcome): void {
    if (outcome.error !== undefined) return;
    const ms = this.sink.now();
    if (effect.kind === "startQueue") {
      this.sink.write({ ms, ring: effect.index, event: "started", at: effect.ring.nextAvail });
    } else if (effect.kind === "stopQueue") {
      this.sink.write({ ms, ring: effect.index, event: "stopped", at: outcome.nextAvail });
    }
    if (effect.kind === "setEnabled" || (effect.kind === "startQueue" && effect.enabled)) {
      this.sink.write({ ms, ring: effect.index, event: effect.enabled ? "enabled" : "disabled" });
    }
  }

  /** A descriptor has come: the number may have been another's before. */
  private name(fd: Fd): string {
    const name = `fd${++this.named}`;
    this.names.set(fd, name);
    return name;
  }

  private plain(value: object): Json {
    return plainValue(value, (fd) => this.names.get(fd) ?? "unknown");
  }
}

/** Translations are told one by one in the messages: their whole list again with each would be most of the file. */
function shortened(effect: Effect): object {
  if (effect.kind !== "setTranslations") return effect;
  return { ...effect, entries: effect.entries.length };
}

function replyPayload(spec: MessageSpec | undefined): PayloadKind | undefined {
  if (spec === undefined || spec.reply === "other") return undefined;
  return spec.reply === "ack" ? "u64" : spec.reply;
}

/** A value as JSON can hold it. */
function plainValue(value: unknown, nameOf: (fd: Fd) => Json, key = ""): Json {
  if (typeof value === "bigint") return `0x${value.toString(16)}`;
  if (typeof value === "number" && FD_FIELDS.has(key)) return nameOf(value);
  if (value instanceof Uint8Array) return `hex:${hexOf(value)}`;
  if (Array.isArray(value)) return value.map((item) => plainValue(item, nameOf, key));
  if (typeof value !== "object" || value === null) return value as Json;
  const fields = Object.entries(value).filter(([, field]) => field !== undefined);
  return Object.fromEntries(fields.map(([name, field]) => [name, plainValue(field, nameOf, name)]));
}

/** The options of a session, to be kept in the head of its transcript. */
export function sessionToJson(options: SessionOptions): Json {
  return plainValue(options, (fd) => fd);
}

/** What sessionToJson was given. */
export function sessionFromJson(json: Json): SessionOptions {
  return JSON.parse(JSON.stringify(json), (_, value: unknown) => {
    if (typeof value !== "string") return value;
    if (/^0x[0-9a-f]+$/.test(value)) return BigInt(value);
    return value.startsWith("hex:") ? bytesOf(value.slice(4)) : value;
  }) as SessionOptions;
}

/** Bytes as hexadecimal digits. */
export function hexOf(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** The bytes that hexOf wrote. */
export function bytesOf(hex: string): Uint8Array {
  return Uint8Array.from(hex.match(/../g) ?? [], (digits) => Number.parseInt(digits, 16));
}

export interface ParsedTranscript {
  head: TranscriptHead;
  lines: TranscriptLine[];
  /** The last line is not whole: whoever wrote it was ended meanwhile. */
  torn: boolean;
}

/**
 * Reads a transcript.
 * @throws Error with a sentence that names the line which is none
 */
export function parseTranscript(text: string): ParsedTranscript {
  const texts = text.split("\n");
  const torn = texts.pop() !== "";
  const [head, ...lines] = texts.map((line, i) => parseLine(line, i + 1));
  if (head?.transcript === undefined) throw new Error("this is no transcript: its first line does not say so");
  if (head.transcript !== TRANSCRIPT_FORMAT) {
    throw new Error(`the transcript has format ${head.transcript}, this program reads format ${TRANSCRIPT_FORMAT}`);
  }
  const isLine = (line: object) => ["from", "effect", "ring", "closed", "cut"].some((key) => key in line);
  const bad = lines.findIndex((line) => typeof line.ms !== "number" || !isLine(line));
  if (bad >= 0) throw new Error(`line ${bad + 2} is no line of a transcript`);
  return {
    head: head as unknown as TranscriptHead,
    lines: lines as unknown as TranscriptLine[],
    torn,
  };
}

function parseLine(line: string, number: number): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(line);
    if (typeof value === "object" && value !== null) return value as Record<string, unknown>;
  } catch {
    // Said below.
  }
  throw new Error(`line ${number} is no JSON object`);
}
