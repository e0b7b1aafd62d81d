// The last messages between front-ends and the switch, for the live page: what --record writes into files, kept in memory
// and bounded. A line becomes text only when somebody looks.

import type { LiveMessage, MessagesSince } from "../web/live.js";
import type { TranscriptHead, TranscriptLine } from "../vhost-user/transcript.js";
import { effectText, messageText, printable, ringText } from "../vhost-user/transcript-text.js";
import type { Recorder, TranscriptTarget } from "./transcripts.js";

const LINES = 500;
/** A front-end that asks without end shall not push out what all others said within a moment. */
const LINES_PER_SECOND = 200;
const TEXT_MAX = 2000;

interface Kept {
  number: number;
  /** Milliseconds since 1970. */
  at: number;
  port: string;
  connection: number;
  line: TranscriptHead | TranscriptLine;
}

export interface MessageLogLimits {
  lines?: number;
  perSecond?: number;
  /** Milliseconds of any clock that does not go back. */
  now?: () => number;
}

export class MessageLog implements Recorder {
  private readonly kept: Kept[] = [];
  private readonly lines: number;
  private readonly perSecond: number;
  private readonly now: () => number;
  private number = 0;
  private connections = 0;
  private second = Number.NEGATIVE_INFINITY;
  private inSecond = 0;

  constructor(limits: MessageLogLimits = {}) {
    this.lines = limits.lines ?? LINES;
    this.perSecond = limits.perSecond ?? LINES_PER_SECOND;
    this.now = limits.now ?? (() => performance.now());
  }

  begin({ port }: TranscriptHead): TranscriptTarget {
    const connection = ++this.connections;
    return { write: (line) => this.keep(port, connection, line), end: () => {} };
  }

  /** What came after line `number`, oldest first; 0: all that there is. */
  since(number: number): MessagesSince {
    const first = Math.max(
      this.kept.findIndex((line) => line.number > number),
      0,
    );
    const lines = this.number > number ? this.kept.slice(first) : [];
    return {
      messages: lines.map(shown),
      last: this.number,
      missed: number === 0 ? 0 : this.number - number - lines.length,
    };
  }

  private keep(port: string, connection: number, line: TranscriptHead | TranscriptLine): void {
    // What was done for a message is told by the message, unless it went wrong.
    if ("effect" in line && line.outcome.error === undefined) return;
    this.number++;
    const now = this.now();
    if (now - this.second >= 1000) {
      this.second = now;
      this.inSecond = 0;
    }
    if (++this.inSecond > this.perSecond) return;
    this.kept.push({ number: this.number, at: Date.now(), port, connection, line });
    if (this.kept.length > this.lines) this.kept.shift();
  }
}

function shown({ number, at, port, connection, line }: Kept): LiveMessage {
  const message = { number, at, port, connection };
  const text = (words: string) => {
    const plain = printable(words);
    return plain.length > TEXT_MAX ? `${plain.slice(0, TEXT_MAX)}…` : plain;
  };
  if ("from" in line) {
    const { from, name, needReply } = line;
    return { ...message, kind: from, name, text: text(messageText(line)), ...(needReply && { needReply }) };
  }
  if ("effect" in line) return { ...message, kind: "failed", name: line.effect.kind, text: text(effectText(line)) };
  if ("ring" in line) return { ...message, kind: "ring", name: line.event, text: text(ringText(line)) };
  if ("closed" in line) return { ...message, kind: "closed", name: "closed", text: text(line.closed) };
  if ("cut" in line) return { ...message, kind: "closed", name: "cut", text: text(line.cut) };
  const who = `${line.program ?? "a front-end"}${line.pid === undefined ? "" : ` (pid ${line.pid})`}`;
  return { ...message, kind: "opened", name: "connected", text: text(who) };
}
