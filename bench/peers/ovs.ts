// Open vSwitch with its DPDK data path: a private ovsdb-server and ovs-vswitchd, data base, sockets and logs in one
// folder, in a network name space of their own (they make tap devices). Two variants: NORMAL, a learning switch; and
// two fixed flows, which is the least that OVS can do for a frame.

import { existsSync } from "node:fs";
import { join } from "node:path";
import { type Peer, type PeerKind, type PeerOptions, shellLine } from "./peer.js";
import { PeerProcess, pinProcesses, runTool } from "./process.js";

export type OvsRules = "normal" | "flow";

/** Debian's own name for it: the alternative /usr/sbin/ovs-vswitchd may be the one without DPDK. */
const VSWITCHD = "/usr/lib/openvswitch-switch-dpdk/ovs-vswitchd-dpdk";
const SCHEMA = "/usr/share/openvswitch/vswitch.ovsschema";
const PACKAGE = "Debian's package openvswitch-switch-dpdk, put there by tools/bench-packages.sh";
const START_MS = 20_000;
const BRIDGE = "br0";
const PORTS = ["vhost0", "vhost1"] as const;
/** Bytes of an Ethernet header and check sequence, which an MTU does not count. */
const FRAME_OVERHEAD = 18;
const STANDARD_MTU = 1500;
/** For so long what OVS has learned outlives a pause, in seconds: while others are measured, no frame comes. */
const MEMORY_S = 3600;

/** Ordinary memory, in MiB: a pool for each port, and a second one while a port changes its number of queues. */
const ORDINARY_MEGABYTES = 1024;

/** Memory for the data path in huge pages, in MiB; its buffers are as long as its MTU. */
function megabytes(frameBytes: number): number {
  return isJumbo(frameBytes) ? 512 : 256;
}

function isJumbo(frameBytes: number): boolean {
  return frameBytes > STANDARD_MTU + FRAME_OVERHEAD;
}

/** Start-up settings, as words of ovs-vsctl: one poll-mode thread on one CPU. */
export function openVswitchSettings({ cpu, hugePages, frameBytes }: PeerOptions): string[] {
  const mask = `0x${(1n << BigInt(cpu)).toString(16)}`;
  const amount = hugePages ? megabytes(frameBytes) : ORDINARY_MEGABYTES;
  // Without huge pages the amount is an option of DPDK, and the words that OVS would add by itself contradict it.
  const extra = hugePages ? "--no-pci --no-telemetry" : `--no-huge --legacy-mem -m ${amount} --no-pci --no-telemetry`;
  return [
    ...["set", "Open_vSwitch", ".", `other_config:max-idle=${MEMORY_S * 1000}`],
    ...["other_config:dpdk-init=true", `other_config:dpdk-lcore-mask=${mask}`],
    ...[`other_config:pmd-cpu-mask=${mask}`, `other_config:dpdk-extra="${extra}"`],
    ...(hugePages
      ? [`other_config:dpdk-socket-mem=${amount}`, `other_config:dpdk-socket-limit=${amount}`]
      : // A pool for all ports would have 262144 buffers, and ordinary memory that is too small for it is an error.
        ["other_config:per-port-memory=true"]),
  ];
}

/** A bridge with two vhost-user ports on which OVS listens, or which connect to these sockets, as words of ovs-vsctl. */
export function bridgeWords(frameBytes: number, connectTo?: readonly [string, string]): string[] {
  const mtu = isJumbo(frameBytes) ? [`mtu_request=${frameBytes}`] : [];
  return [
    ...["--", "add-br", BRIDGE, "--", "set", "bridge", BRIDGE, "datapath_type=netdev"],
    `other_config:mac-aging-time=${MEMORY_S}`,
    ...PORTS.flatMap((port, i) => [
      ...["--", "add-port", BRIDGE, port, "--", "set", "Interface", port],
      ...(connectTo
        ? ["type=dpdkvhostuserclient", `options:vhost-server-path=${connectTo[i]}`]
        : ["type=dpdkvhostuser"]),
      ...mtu,
    ]),
  ];
}

/** The two fixed flows, as ovs-ofctl writes them. */
export function fixedFlows(): string[] {
  const [a, b] = PORTS;
  return [`in_port=${a},actions=output:${b}`, `in_port=${b},actions=output:${a}`];
}

export function openVswitch(rules: OvsRules): PeerKind {
  const name = `ovs-${rules}`;
  return {
    name,
    hugePages: (frameBytes) => megabytes(frameBytes) / 2 + 2,
    async start(options: PeerOptions): Promise<Peer> {
      if (!existsSync(VSWITCHD) || !existsSync(SCHEMA)) throw new Error(`OVS-DPDK is not here (${PACKAGE})`);
      const processes: PeerProcess[] = [];
      const stop = async () => {
        // The switch first: it would complain about a data base that has gone.
        for (const process of [...processes].reverse()) await process.stop();
      };
      try {
        const words = await start(name, rules, options, processes);
        // The switch first, which does the work; its data base has nothing to do.
        const pids = processes.map(({ pid }) => pid).reverse();
        return {
          name,
          description: `${version()} ${rules === "normal" ? "NORMAL" : "fixed flow"}`,
          command: words,
          sockets: options.connectTo ?? [join(options.folder, PORTS[0]), join(options.folder, PORTS[1])],
          role: options.connectTo ? "connects" : "listens",
          pids,
          pin: (cpu) => pinProcesses(pids, cpu),
          stop,
        };
      } catch (error) {
        await stop();
        throw error;
      }
    },
  };
}

/** "OVS-DPDK 3.1.0 (DPDK 22.11.11)" */
function version(): string {
  const text = runTool([VSWITCHD, "--version"]);
  const ovs = /Open vSwitch\) (\S+)/.exec(text)?.[1] ?? "of unknown version";
  const dpdk = /DPDK (\S+)/.exec(text)?.[1];
  return `OVS-DPDK ${ovs}${dpdk ? ` (DPDK ${dpdk})` : ""}`;
}

/** Starts both programs and makes the bridge; what was started stands in `processes`, also when this throws. */
async function start(name: string, rules: OvsRules, options: PeerOptions, processes: PeerProcess[]): Promise<string> {
  const { folder } = options;
  const cpu = options.spread ? undefined : options.cpu;
  // All three programs look for each other's files there, and DPDK for its own.
  const env = { OVS_RUNDIR: folder, OVS_LOGDIR: folder, OVS_DBDIR: folder, RUNTIME_DIRECTORY: folder };
  const database = join(folder, "conf.db");
  const socket = join(folder, "db.sock");
  const launch = (process: string, words: string[]) => {
    const started = new PeerProcess(words, { name: `${name}-${process}`, folder, cpu, env, ownNetwork: true });
    processes.push(started);
    return started;
  };
  const vsctl = (...words: string[]) => runTool(["ovs-vsctl", `--db=unix:${socket}`, ...words], env);

  runTool(["ovsdb-tool", "create", database, SCHEMA], env);
  const server = launch("db", ["ovsdb-server", database, `--remote=punix:${socket}`, "--no-chdir"]);
  await server.until(() => existsSync(socket), "its socket was there", START_MS);
  vsctl("--no-wait", "init");
  vsctl("--no-wait", ...openVswitchSettings(options));
  const words = [VSWITCHD, `unix:${socket}`, "--no-chdir"];
  const vswitchd = launch("vswitchd", words);
  // The configuration is asked for at once and acted upon when DPDK has started.
  vsctl("--no-wait", ...bridgeWords(options.frameBytes, options.connectTo));
  const made = options.connectTo ? [] : PORTS;
  const needed = [...made, `${BRIDGE}.mgmt`].map((file) => join(folder, file));
  await vswitchd.until(() => needed.every(existsSync), "its ports were there", START_MS);
  // A port has its number once it is in the data path, and -1 when it cannot be.
  const numbers = () => PORTS.map((port) => vsctl("--if-exists", "get", "Interface", port, "ofport").trim());
  await vswitchd.until(() => numbers().every((number) => /^-?\d+$/.test(number)), "its ports had numbers", START_MS);
  const problems = vsctl("--bare", "--columns=error", "list", "Interface", ...PORTS).trim();
  if (problems) throw new Error(`${name}: ${problems}`);
  if (rules === "flow") {
    const management = `unix:${join(folder, `${BRIDGE}.mgmt`)}`;
    runTool(["ovs-ofctl", "del-flows", management], env);
    for (const flow of fixedFlows()) runTool(["ovs-ofctl", "--names", "add-flow", management, flow], env);
  }
  return shellLine(words);
}
