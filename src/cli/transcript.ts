// `ringbridge transcript FILE`: shows a recorded session as a sequence diagram in text.

import { readFileSync } from "node:fs";
import { type ParsedTranscript, parseTranscript } from "../vhost-user/transcript.js";
import { type Io, UsageError } from "./io.js";
import { renderTranscript } from "./transcript-view.js";

export interface TranscriptOptions {
  file: string;
  /** False: only the messages. */
  effects: boolean;
}

/** Runs the command; resolves to the exit code. */
export async function transcriptCommand({ file, effects }: TranscriptOptions, io: Io): Promise<number> {
  let parsed: ParsedTranscript;
  try {
    parsed = parseTranscript(readFileSync(file, "utf8"));
  } catch (error) {
    throw new UsageError(`${file}: ${(error as Error).message}`);
  }
  io.stdout.write(renderTranscript(parsed, { effects }));
  return 0;
}
