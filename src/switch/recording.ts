// `ringbridge run --record DIR`: one file of JSON lines for each connection (src/vhost-user/transcript.ts). Recording is
// for looking at front-ends, so it is never in the way of one: what cannot be written is said once and given up.

import { accessSync, closeSync, constants, mkdirSync, openSync, readFileSync, writeSync } from "node:fs";
import { join } from "node:path";
import type { Logger } from "pino";
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

/** Bytes of one transcript: thousands of messages. A front-end that swaps call descriptors for ever gets no further. */
const TRANSCRIPT_BYTES_MAX = 4 << 20;
/** Connections of one run that are recorded: one that comes and goes for ever fills no folder. */
const TRANSCRIPTS_MAX = 1000;

export interface RecordingLimits {
  /** Bytes of one transcript, and number of transcripts. */
  bytes?: number;
  transcripts?: number;
}

/** What the first line says of a connection. */
export interface RecordedConnection {
  port: string;
  role: string;
  pid: number | undefined;
  /** What the session was made with, defaults filled in. */
  session: SessionOptions;
}

/** One connection's transcript. */
export interface OpenTranscript {
  readonly transcript: Transcript;
  /** Closes the file. */
  end(): void;
}

/** A folder into which connections are recorded. */
export class Recording {
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

  /** Begins the transcript of a connection; undefined, and said in the log, when there can be none. */
  begin(connection: RecordedConnection): OpenTranscript | undefined {
    if (this.count >= this.transcriptsMax) return undefined;
    this.count++;
    const started = new Date();
    const stamp = started.toISOString().replace(/[-:]|\.\d+/g, "");
    const path = join(this.folder, `${connection.port}-${stamp}-${process.pid}-${this.count}.jsonl`);
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
    const file = new TranscriptFile(fd, this.bytesMax, (why) => this.log.warn(`${path} is not continued: ${why}`));
    const { port, role, pid, session } = connection;
    file.write({
      transcript: TRANSCRIPT_FORMAT,
      version: packageVersion(),
      port,
      role,
      ...(pid === undefined ? {} : { program: programOf(pid), pid }),
      started: started.toISOString(),
      session: sessionToJson(session),
    });
    const begun = performance.now();
    const now = () => Math.round((performance.now() - begun) * 1000) / 1000;
    const transcript = new Transcript({ write: (line) => file.write(line), now, describe: describeFd });
    return { transcript, end: () => file.close() };
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
class TranscriptFile {
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

  close(): void {
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
    this.close();
    this.onCut(why);
  }
}

/** The name of a process's program, as the process has it. */
function programOf(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/comm`, "utf8").trimEnd();
  } catch {
    return "unknown";
  }
}
