// What a command may touch of its process. Tests hand in their own, and so run every command inside theirs.

/** Somewhere to write text; a terminal says so. */
export interface Output {
  write(text: string): unknown;
  isTTY?: boolean;
  /** Tells when nobody reads any more. */
  on?(event: "error", listener: (error: Error) => void): unknown;
  off?(event: "error", listener: (error: Error) => void): unknown;
}

export interface Io {
  /** What is given to the command; looked at only by those that read it. */
  readonly stdin: AsyncIterable<Uint8Array | string>;
  stdout: Output;
  stderr: Output;
  env: Record<string, string | undefined>;
  /** Where SIGINT, SIGTERM and SIGHUP are heard: the process. */
  signals: {
    on(signal: NodeJS.Signals, listener: () => void): unknown;
    off(signal: NodeJS.Signals, listener: () => void): unknown;
  };
  /** Ends the process at once, for the second Ctrl-C. */
  exit(code: number): void;
}

/** The real thing. */
export function processIo(): Io {
  return {
    // Only who reads it may open it: an open standard input keeps the process alive.
    stdin: { [Symbol.asyncIterator]: () => process.stdin[Symbol.asyncIterator]() },
    stdout: process.stdout,
    stderr: process.stderr,
    env: process.env,
    signals: process,
    exit: (code) => process.exit(code),
  };
}

/** A mistake in the command line: ends with exit code 2. */
export class UsageError extends Error {}
