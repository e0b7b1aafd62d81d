#!/usr/bin/env node
// The `ringbridge` command.

import { main } from "./program.js";

// Whoever reads our output may stop reading, as `head` does. That is no failure, and no reason for a switch to end.
for (const stream of [process.stdout, process.stderr]) {
  stream.on("error", (error: NodeJS.ErrnoException) => {
    if (error.code !== "EPIPE") throw error;
  });
}

process.exitCode = await main(process.argv.slice(2));
