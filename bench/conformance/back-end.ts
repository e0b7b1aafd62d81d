// `node dist/bench/conformance/back-end.js NAME FOLDER`: one of the back-ends that docs/CONFORMANCE.md has results of, in the
// foreground until a signal ends it or it ends by itself; `ringbridge check --restart` gets this command. Its own folder is
// emptied first: what has crashed leaves sockets and data bases behind.

import { existsSync, mkdirSync, rmSync, writeFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { runFolder, startPeer, versionFile } from "./back-ends.js";

const LOOK_MS = 100;

const [name = "", folder = ""] = process.argv.slice(2);
let ended = false;
for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, () => (ended = true));

try {
  rmSync(runFolder(folder), { recursive: true, force: true });
  mkdirSync(runFolder(folder), { recursive: true });
  const peer = await startPeer(name, folder);
  writeFileSync(versionFile(folder), `${peer.description}\n`);
  process.stdout.write(`${peer.command}\n`);
  const [pid] = peer.pids;
  while (!ended && existsSync(`/proc/${pid}`)) await sleep(LOOK_MS);
  if (!ended) {
    process.stderr.write(`conformance: ${peer.description} has ended by itself\n`);
    process.exitCode = 1;
  }
  await peer.stop();
} catch (error) {
  process.stderr.write(`conformance: ${name}: ${(error as Error).message}\n`);
  process.exitCode = 1;
}
