// What the files of commands (*-program.ts) need of the program around them.

import type { Io } from "./io.js";

export interface ProgramParts {
  io: Io;
  /** Runs a command and keeps its exit code. */
  perform(command: () => Promise<number>): Promise<void>;
  /** Path of the control socket: the one that was given, or the usual one. */
  control(): string;
  /** The one that was given. */
  givenControl(): string | undefined;
  /** Whether the stack of an error is to be printed. */
  debug(): boolean;
}
