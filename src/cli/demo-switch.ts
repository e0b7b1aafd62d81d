// The process in which the demo's switch runs: `ringbridge run` as it is, but it also ends when its parent has gone,
// and Ctrl-C, which the terminal sends to parent and children alike, is left to the parent.

import { EventEmitter } from "node:events";
import { processIo } from "./io.js";
import { main } from "./program.js";

const signals = new EventEmitter();
const end = () => {
  // Before the switch listens there is nothing to put in order.
  if (!signals.emit("SIGTERM")) process.exit(0);
};
process.on("disconnect", end);
process.on("SIGTERM", end);
process.on("SIGINT", () => {});

process.exitCode = await main(process.argv.slice(2), { ...processIo(), signals });
// A parent that is still there would keep the channel, and so this process.
if (process.connected) process.disconnect();
