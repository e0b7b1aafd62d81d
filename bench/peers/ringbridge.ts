// ringbridge itself as one of the peers, for a run in which DPDK's driver makes the traffic.

import { existsSync } from "node:fs";
import { join } from "node:path";
import { packageVersion } from "../../src/version.js";
import { type Peer, type PeerKind, type PeerOptions, shellLine } from "./peer.js";
import { PeerProcess, pinProcesses } from "./process.js";

const MAIN = "dist/src/cli/main.js";
const START_MS = 10_000;

export const ringbridge: PeerKind = {
  name: "ringbridge",
  hugePages: () => 0,
  async start({ folder, cpu }: PeerOptions): Promise<Peer> {
    const sockets: [string, string] = [join(folder, "a.sock"), join(folder, "b.sock")];
    const words = ["--control", join(folder, "control.sock"), "run", "--poll", "--workers", "1"];
    for (const [i, socket] of sockets.entries()) words.push("--port", `port${i}=listen:${socket}`);
    const started = new PeerProcess([process.execPath, MAIN, ...words], { name: "ringbridge", folder, cpu });
    try {
      await started.until(() => sockets.every(existsSync), "its sockets were there", START_MS);
    } catch (error) {
      await started.stop();
      throw error;
    }
    const pids = [started.pid];
    return {
      name: "ringbridge",
      description: `ringbridge ${packageVersion()}, 1 worker, --poll`,
      command: shellLine(["ringbridge", ...words]),
      sockets,
      role: "listens",
      pids,
      pin: (to) => pinProcesses(pids, to),
      stop: () => started.stop(),
    };
  },
};
