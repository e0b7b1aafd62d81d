// Where the transcripts of connections go: into files (recording.ts), into the live page's list (message-log.ts), or both.
// A connection makes its lines once, whoever wants them.

import { readFileSync } from "node:fs";
import { describeFd } from "../sys/describe-fd.js";
import { packageVersion } from "../version.js";
import type { SessionOptions } from "../vhost-user/session.js";
import {
  sessionToJson,
  TRANSCRIPT_FORMAT,
  Transcript,
  type TranscriptHead,
  type TranscriptLine,
} from "../vhost-user/transcript.js";

/** What the first line says of a connection. */
export interface RecordedConnection {
  port: string;
  role: string;
  pid: number | undefined;
  /** What the session was made with, defaults filled in. */
  session: SessionOptions;
}

/** Takes the lines of one connection. Must not throw. */
export interface TranscriptTarget {
  write(line: TranscriptHead | TranscriptLine): void;
  /** No line comes after this. */
  end(): void;
}

/** Gives each connection a target, or none. */
export interface Recorder {
  begin(head: TranscriptHead): TranscriptTarget | undefined;
}

/** One connection's transcript. */
export interface OpenTranscript {
  readonly transcript: Transcript;
  end(): void;
}

/** Begins the transcript of a connection for all who want it; undefined when nobody does. */
export function beginTranscript(
  recorders: readonly Recorder[],
  { port, role, pid, session }: RecordedConnection,
): OpenTranscript | undefined {
  if (recorders.length === 0) return undefined;
  const head: TranscriptHead = {
    transcript: TRANSCRIPT_FORMAT,
    version: packageVersion(),
    port,
    role,
    ...(pid === undefined ? {} : { program: programOf(pid), pid }),
    started: new Date().toISOString(),
    session: sessionToJson(session),
  };
  const targets = recorders.map((recorder) => recorder.begin(head)).filter((target) => target !== undefined);
  if (targets.length === 0) return undefined;
  const write = (line: TranscriptHead | TranscriptLine) => {
    for (const target of targets) target.write(line);
  };
  write(head);
  const begun = performance.now();
  const now = () => Math.round((performance.now() - begun) * 1000) / 1000;
  const transcript = new Transcript({ write, now, describe: describeFd });
  return {
    transcript,
    end: () => {
      for (const target of targets) target.end();
    },
  };
}

/** The name of a process's program, as the process has it. */
function programOf(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/comm`, "utf8").trimEnd();
  } catch {
    return "unknown";
  }
}
