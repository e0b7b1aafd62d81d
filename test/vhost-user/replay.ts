// Plays a transcript's front-end to a session of today and writes that session's transcript. Effects have the outcomes
// that they had when it was recorded, so a session that has not changed writes what it was given, byte for byte.

import type { Effect, EffectOutcome, Fd } from "../../src/vhost-user/effects.js";
import { closeSession, createSession, settle, step } from "../../src/vhost-user/session.js";
import {
  bytesOf,
  type EffectLine,
  type FdDescription,
  type MessageLine,
  type ParsedTranscript,
  parseTranscript,
  sessionFromJson,
  Transcript,
  type TranscriptHead,
  type TranscriptLine,
} from "../../src/vhost-user/transcript.js";

/** A transcript's lines as a file has them. */
export function transcriptText(lines: readonly (TranscriptHead | TranscriptLine)[]): string {
  return lines.map((line) => `${JSON.stringify(line)}\n`).join("");
}

/** Replays a transcript; the answer is another. */
export function replay(text: string): string {
  return new Replay(parseTranscript(text)).run();
}

/** Header and payload of each reply, in order. */
export function repliesOf(text: string): string[] {
  return parseTranscript(text).lines.flatMap((line) =>
    "from" in line && line.from === "back-end" ? [`${line.request} ${line.flags} ${line.hex}`] : [],
  );
}

class Replay {
  private readonly out: TranscriptLine[] = [];
  private readonly descriptions = new Map<Fd, FdDescription>();
  private readonly outcomes: EffectLine[];
  private readonly transcript: Transcript;

  constructor(private readonly recorded: ParsedTranscript) {
    this.outcomes = recorded.lines.filter((line): line is EffectLine => "effect" in line);
    this.transcript = new Transcript({
      write: (line) => {
        this.out.push(line as TranscriptLine);
        this.takeBroken();
      },
      // What a session does has no time of its own: each line gets that of the line in whose place it is.
      now: () => recorded.lines[this.out.length]?.ms ?? recorded.lines.at(-1)!.ms,
      describe: (fd) => this.descriptions.get(fd)!,
    });
  }

  run(): string {
    const { head, lines } = this.recorded;
    const end = lines.at(-1);
    if (end === undefined || !("closed" in end)) throw new Error("only a whole transcript can be replayed");
    let state = createSession(sessionFromJson(head.session));
    for (const line of lines) {
      if (!("from" in line) || line.from !== "front-end") continue;
      const fds = (line.fds ?? []).map((description) => this.arrive(description));
      const message = { request: line.request, flags: line.flags, payload: bytesOf(line.hex), fds };
      this.transcript.request(message);
      let turn = step(state, message);
      while (!turn.done) turn = settle(turn, this.carryOut(turn.effects));
      state = turn.state;
      if (turn.reply !== null && turn.fault === undefined) this.transcript.reply(turn.reply);
    }
    this.carryOut(closeSession(state));
    this.transcript.closed(end.closed);
    return transcriptText([head, ...this.out]);
  }

  private arrive({ fd, ...description }: FdDescription): Fd {
    const number = numberOf(fd as string);
    this.descriptions.set(number, description as FdDescription);
    return number;
  }

  private carryOut(effects: readonly Effect[]): EffectOutcome[] {
    const outcomes = effects.map((effect) => {
      const same = (line: EffectLine) =>
        line.effect.kind === effect.kind && (!("index" in effect) || line.effect.index === effect.index);
      const at = this.outcomes.findIndex(same);
      return at < 0 ? {} : revive(this.outcomes.splice(at, 1)[0]!.outcome);
    });
    this.transcript.effects(effects, outcomes);
    return outcomes;
  }

  /** That a guest broke a ring is nothing the session does: such lines stay where they are. */
  private takeBroken(): void {
    for (let next = this.recorded.lines[this.out.length]; next !== undefined && isBroken(next); ) {
      this.out.push(next);
      next = this.recorded.lines[this.out.length];
    }
  }
}

function isBroken(line: TranscriptLine): boolean {
  return "ring" in line && line.event === "broken";
}

/** "fd7" as the number that stands for it here. */
function numberOf(name: string): Fd {
  return 1000 + Number(name.slice(2));
}

function revive(outcome: EffectLine["outcome"]): EffectOutcome {
  const fields = Object.entries(outcome).map(([key, value]) => [
    key,
    typeof value === "string" && /^fd\d+$/.test(value) ? numberOf(value) : value,
  ]);
  return Object.fromEntries(fields) as EffectOutcome;
}

/** The requests of a transcript, by name. */
export function requestNames(text: string): string[] {
  const lines = parseTranscript(text).lines;
  return lines.filter((line): line is MessageLine => "from" in line && line.from === "front-end").map((l) => l.name);
}
