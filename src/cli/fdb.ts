// `ringbridge fdb`: the addresses that the switch has learned, and forgetting them.

import { ControlClient } from "../api/control-client.js";
import type { Io } from "./io.js";
import { formatDuration, renderTable } from "./table.js";

/** Shows the FDB, sorted by port and address; resolves to the exit code. */
export async function fdbCommand(options: { control: string; json?: boolean }, io: Io): Promise<number> {
  const entries = await new ControlClient(options.control).fdb();
  entries.sort((a, b) => a.port.localeCompare(b.port) || a.mac.localeCompare(b.mac));
  if (options.json) {
    io.stdout.write(`${JSON.stringify(entries, null, 2)}\n`);
  } else if (entries.length === 0) {
    io.stdout.write("no addresses learned\n");
  } else {
    const columns = [{ title: "MAC" }, { title: "PORT" }, { title: "AGE", align: "right" as const }];
    const rows = entries.map(({ mac, port, ageSeconds }) => [mac, port, formatDuration(ageSeconds * 1000)]);
    io.stdout.write(`${renderTable(columns, rows)}\n`);
  }
  return 0;
}

/** Forgets the addresses of one port, or all; resolves to the exit code. */
export async function fdbFlushCommand(
  options: { control: string; json?: boolean; port?: string },
  io: Io,
): Promise<number> {
  const flushed = await new ControlClient(options.control).flushFdb(options.port);
  if (options.json) io.stdout.write(`${JSON.stringify({ flushed })}\n`);
  else io.stdout.write(`forgot ${flushed} ${flushed === 1 ? "address" : "addresses"}\n`);
  return 0;
}
