// The command line: what all commands have in common, and how an error ends the process. The commands and their options
// stand in the files *-program.ts, by group; what a command does is loaded only when it runs, so that --help and --version
// are quick.
//
// Exit codes: 0 done; 1 it failed at run time; 2 the command line or the configuration is wrong.

import { Command, CommanderError } from "commander";
import { defaultControlPath } from "../config/control-path.js";
import { ConfigError } from "../config/problems.js";
import { addAgentCommand } from "./agent-program.js";
import { addBenchCommands } from "./bench-program.js";
import { addCaptureCommands } from "./capture-program.js";
import { type Io, processIo, UsageError } from "./io.js";
import type { ProgramParts } from "./program-parts.js";
import { addSwitchCommands } from "./switch-program.js";
import { addVifCommands } from "./vif-program.js";
import { packageVersion } from "../version.js";

/**
 * Runs one command line.
 * @param argv the arguments after the program's name
 * @returns the exit code; everything the user should read has been written to `io`
 */
export async function main(argv: readonly string[], io: Io = processIo()): Promise<number> {
  let code = 0;
  const program = createProgram(io, async (command) => {
    code = await command();
  });
  try {
    await program.parseAsync([...argv], { from: "user" });
    return code;
  } catch (error) {
    // commander has written its message itself.
    if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : 2;
    return report(error, wantsDebug(program, io), io);
  }
}

/** Writes an error, a line for each of its problems, and gives the exit code. */
function report(error: unknown, debug: boolean, io: Io): number {
  const lines = error instanceof ConfigError ? error.lines : [error instanceof Error ? error.message : String(error)];
  for (const line of lines) io.stderr.write(`ringbridge: ${line.replace(/\s*\n\s*/g, "; ")}\n`);
  if (debug && error instanceof Error) io.stderr.write(`${error.stack}\n`);
  return error instanceof ConfigError || error instanceof UsageError ? 2 : 1;
}

interface GlobalOptions {
  control?: string;
  debug?: boolean;
}

function wantsDebug(program: Command, io: Io): boolean {
  return program.opts<GlobalOptions>().debug === true || io.env.RINGBRIDGE_DEBUG === "1";
}

function createProgram(io: Io, perform: ProgramParts["perform"]): Command {
  const program = new Command("ringbridge");
  const globals = () => program.opts<GlobalOptions>();

  program
    .description("A vhost-user software switch: connects the virtio network cards of virtual machines.")
    .version(packageVersion(), "-V, --version", "print the version")
    .helpOption("-h, --help", "print help")
    .option("--control <path>", `the control socket (default: ${defaultControlPath(io.env)})`)
    .option("--debug", "print the stack of an error (also: RINGBRIDGE_DEBUG=1)")
    .exitOverride()
    .configureOutput({
      writeOut: (text) => io.stdout.write(text),
      writeErr: (text) => io.stderr.write(text),
      // One line, also with commander's "(Did you mean --port?)".
      outputError: (text, write) =>
        write(
          `ringbridge: ${text
            .replace(/^error: /, "")
            .trim()
            .replace(/\n+/g, " ")}\n`,
        ),
    });

  const parts: ProgramParts = {
    io,
    perform,
    control: () => globals().control ?? defaultControlPath(io.env),
    givenControl: () => globals().control,
    debug: () => wantsDebug(program, io),
  };
  addSwitchCommands(program, parts);
  addCaptureCommands(program, parts);
  addVifCommands(program, parts);
  addAgentCommand(program, parts);
  addBenchCommands(program, parts);
  return program;
}
