// The back-ends that docs/CONFORMANCE.md has results of: how `ringbridge check` gets at each of them, and how it is started.

import { createSocket } from "node:dgram";
import { once } from "node:events";
import { existsSync, readFileSync } from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";
import { packageVersion } from "../../src/version.js";
import { openVswitch } from "../peers/ovs.js";
import { type PeerKind, shellLine } from "../peers/peer.js";
import { testpmd } from "../peers/testpmd.js";

const MAIN = "dist/src/cli/main.js";
const STARTER = "dist/bench/conformance/back-end.js";
/** Queue pairs of each port, for those that have to be told. */
const QUEUES = 2;

export interface Examined {
  name: string;
  /** Title of its column. */
  title: string;
  /** How it is set up, in a few words for a table. */
  how: string;
  /** Seconds for one answer. */
  timeout: number;
  /** What `ringbridge check` is told of it. Throws an Error with what is missing on this machine. */
  words(folder: string): Promise<string[]>;
  /** Program and version, for a run in this folder. */
  version(folder: string): string;
}

/** It makes its port anew when the number of queues changes, and looks for a server once a second; in seconds. */
const OVS_TIMEOUT = 3;

/** Peers that are started by a process of their own, `back-end.ts`, into a folder that it empties first. */
export const STARTED: Record<string, { kind: PeerKind; connects: boolean }> = {
  testpmd: { kind: testpmd("io"), connects: false },
  "ovs-dpdk": { kind: openVswitch("normal"), connects: false },
  "ovs-dpdk-client": { kind: openVswitch("normal"), connects: true },
};

/** Where a started peer works, and the file in which it says what it is. */
export const runFolder = (folder: string) => join(folder, "run");
export const versionFile = (folder: string) => join(folder, "version");
/** Sockets that are made for a peer that connects. */
export const socketsFor = (folder: string): [string, string] => [join(folder, "a.sock"), join(folder, "b.sock")];

function started(name: string, title: string, how: string, timeout: number, sockets?: [string, string]): Examined {
  return {
    name,
    title,
    how,
    timeout,
    words: async (folder) => {
      const at = sockets ? sockets.map((file) => join(runFolder(folder), file)).join(",") : undefined;
      const backEnd = at ?? `${socketsFor(folder).join(",")}:listen`;
      return ["--backend", backEnd, "--restart", `exec ${shellLine([process.execPath, STARTER, name, folder])}`];
    },
    version: (folder) => readFileSync(versionFile(folder), "utf8").trim(),
  };
}

function ourselves(name: string, title: string, role: "listen" | "connect"): Examined {
  return {
    name,
    title,
    how: role === "listen" ? "two ports, listening" : "two ports, connecting",
    timeout: 1,
    words: async (folder) => {
      const sockets = socketsFor(folder);
      const ports = sockets.flatMap((socket, i) => ["--port", `vm${i + 1}=${role}:${socket}`]);
      const run = [process.execPath, MAIN, "--control", join(folder, "control.sock"), "run", ...ports];
      const backEnd = `${sockets.join(",")}${role === "connect" ? ":listen" : ""}`;
      return ["--backend", backEnd, "--restart", `exec ${shellLine(run)}`];
    },
    version: () => `ringbridge ${packageVersion()}`,
  };
}

const bridge = join(process.env.XDG_CACHE_HOME ?? join(homedir(), ".cache"), "ringbridge", "vhost-user-bridge");

/** Two processes with a UDP "cable" between them; each serves one connection and ends. */
const vhostUserBridge: Examined = {
  name: "vhost-user-bridge",
  title: "vhost-user-bridge",
  how: "two of them, over UDP; each ends with its connection (`--once`)",
  timeout: 1,
  words: async (folder) => {
    const program = join(bridge, "vhost-user-bridge");
    if (!existsSync(program)) throw new Error(`there is no ${program}: tools/vhost-user-bridge.sh makes it`);
    const sockets = socketsFor(folder);
    const ends = await freePorts(2);
    const starts = sockets.flatMap((socket, i) => {
      const [here, there] = [ends[i], ends[1 - i]].map((port) => `127.0.0.1:${port}`);
      return ["--restart", `exec ${shellLine([program, "-u", socket, "-l", here!, "-r", there!])}`];
    });
    return ["--backend", sockets.join(","), "--once", ...starts];
  },
  version: () => readFileSync(join(bridge, "version"), "utf8").trim(),
};

export const BACK_ENDS: readonly Examined[] = [
  ourselves("ringbridge", "ringbridge", "listen"),
  ourselves("ringbridge-connect", "ringbridge, connecting", "connect"),
  started("testpmd", "testpmd", `\`io\`, two net_vhost of ${QUEUES} queue pairs, \`--no-huge\``, 1, [
    "a.sock",
    "b.sock",
  ]),
  started("ovs-dpdk", "OVS-DPDK", "two dpdkvhostuser ports", OVS_TIMEOUT, ["vhost0", "vhost1"]),
  started("ovs-dpdk-client", "OVS-DPDK, connecting", "two dpdkvhostuserclient ports", OVS_TIMEOUT),
  vhostUserBridge,
];

/** Starts a peer for `back-end.ts`. Throws an Error with what is missing. */
export function startPeer(name: string, folder: string): ReturnType<PeerKind["start"]> {
  const it = STARTED[name];
  if (it === undefined) throw new Error(`there is no back-end "${name}": ${Object.keys(STARTED).join(", ")}`);
  const connectTo = it.connects ? { connectTo: socketsFor(folder) } : {};
  return it.kind.start({
    ...{ folder: runFolder(folder), cpu: 0, spread: true, hugePages: false, frameBytes: 1518, queues: QUEUES },
    ...connectTo,
  });
}

/** UDP ports of loopback that nobody has at the moment. */
async function freePorts(count: number): Promise<number[]> {
  const sockets = await Promise.all(
    Array.from({ length: count }, async () => {
      const socket = createSocket("udp4");
      socket.bind(0, "127.0.0.1");
      await once(socket, "listening");
      return socket;
    }),
  );
  const ports = sockets.map((socket) => socket.address().port);
  for (const socket of sockets) socket.close();
  return ports;
}
