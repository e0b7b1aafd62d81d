// What every command of this package begins with.

import { main } from "./program.js";

/** Runs a command line in this process; its exit code becomes the process's. */
export async function start(argv: string[]): Promise<void> {
  // Whoever reads our output may stop reading, as `head` does. That is no failure, and no reason for a switch to end.
  for (const stream of [process.stdout, process.stderr]) {
    stream.on("error", (error: NodeJS.ErrnoException) => {
      if (error.code !== "EPIPE") throw error;
    });
  }
  process.exitCode = await main(argv);
}
