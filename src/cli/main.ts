#!/usr/bin/env node
// The `ringbridge` command.

import { main } from "./program.js";

// Whoever reads our output may stop reading, as `head` does: that is no failure.
process.stdout.on("error", (error: NodeJS.ErrnoException) => {
  if (error.code !== "EPIPE") throw error;
  process.exit(0);
});

process.exitCode = await main(process.argv.slice(2));
