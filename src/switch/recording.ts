// `ringbridge run --record DIR`: one file of JSON lines for each connection (src/vhost-user/transcript.ts). Recording is
// for looking at front-ends, so it is never in the way of one: what cannot be written is said once and given up.

import { accessSync, closeSync, constants, mkdirSync, openSync, writeSync } from "node:fs";
import { join } from "node:path";
import type { Logger } from "pino";
import type { TranscriptHead, TranscriptLine } from "../vhost-user/transcript.js";
import type { Recorder, TranscriptTarget } from "./transcripts.js";

/** Bytes of one transcript: thousands of messages. A front-end that swaps call descriptors for ever gets no further. */
const TRANSCRIPT_BYTES_MAX = 4 << 20;
/** Connections of one run that are recorded: one that comes and goes for ever fills no folder. */
const TRANSCRIPTS_MAX = 1000;

export interface RecordingLimits {
  /** Bytes of one transcript, and number of transcripts. */
  bytes?: number;
  transcripts?: number;
}

/** A folder into which connections are recorded. */
export class Recording implements Recorder {
  private count = 0;
  private readonly bytesMax: number;
  private readonly transcriptsMax: number;

  /**
   * Makes the folder if it is not there.
   * @throws Error with a sentence for the operator when files cannot be made there
   */
  constructor(
    private readonly folder: string,
    private readonly log: Logger,
    limits: RecordingLimits = {},
  ) {
    this.bytesMax = limits.bytes ?? TRANSCRIPT_BYTES_MAX;
    this.transcriptsMax = limits.transcripts ?? TRANSCRIPTS_MAX;
    checkRecordFolder(folder);
  }

  /** A file for a connection's transcript; undefined, and said in the log, when there can be none. */
  begin({ port, started }: TranscriptHead): TranscriptTarget | undefined {
    if (this.count >= this.transcriptsMax) return undefined;
    this.count++;
    const stamp = started.replace(/[-:]|\.\d+/g, "");
    const path = join(this.folder, `${port}-${stamp}-${process.pid}-${this.count}.jsonl`);
    let fd: number;
    try {
      fd = openSync(path, "wx", 0o600);
    } catch (error) {
      this.log.warn(`not recorded: ${(error as Error).message}`);
      return undefined;
    }
    if (this.count === this.transcriptsMax) {
      this.log.warn(`${this.folder} has ${this.count} transcripts of this run: later connections are not recorded`);
    }
    return new TranscriptFile(fd, this.bytesMax, (why) => this.log.warn(`${path} is not continued: ${why}`));
  }
}

/**
 * Makes the folder for transcripts if need be.
 * @throws Error with a sentence for the operator when files cannot be made there
 */
export function checkRecordFolder(folder: string): void {
  try {
    mkdirSync(folder, { recursive: true });
    accessSync(folder, constants.W_OK | constants.X_OK);
  } catch (error) {
    throw new Error(
      `cannot record into ${folder}: ${(error as Error).message}: name a folder that the switch's user can write to`,
    );
  }
}

/** A file that takes lines up to a limit, and says in its last one that it has come to it. */
class TranscriptFile implements TranscriptTarget {
  private written = 0;
  private open = true;

  constructor(
    private readonly fd: number,
    private readonly bytesMax: number,
    private readonly onCut: (why: string) => void,
  ) {}

  write(line: TranscriptHead | TranscriptLine): void {
    if (!this.open) return;
    const text = `${JSON.stringify(line)}\n`;
    // All in the transcript but a payload's text is ASCII, and the limit is no matter of a few bytes.
    if (this.written + text.length > this.bytesMax) {
      const why = `it has reached its limit of ${this.bytesMax} bytes`;
      this.put(`${JSON.stringify({ ms: "ms" in line ? line.ms : 0, cut: why })}\n`);
      if (this.open) this.cut(why);
    } else {
      this.put(text);
    }
  }

  end(): void {
    if (!this.open) return;
    this.open = false;
    closeSync(this.fd);
  }

  private put(text: string): void {
    try {
      writeSync(this.fd, text);
      this.written += text.length;
    } catch (error) {
      this.cut((error as Error).message);
    }
  }

  private cut(why: string): void {
    this.end();
    this.onCut(why);
  }
}
