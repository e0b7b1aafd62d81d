// dpdk-testpmd with two net_vhost devices: DPDK's own back-end. `io` passes frames on without looking at them, `mac`
// writes new addresses into each; neither is a switch, so both say what vhost alone costs.

import { existsSync } from "node:fs";
import { join } from "node:path";
import { type Peer, type PeerKind, type PeerOptions, shellLine } from "./peer.js";
import { isInstalled, PeerProcess, pinProcesses } from "./process.js";

export type ForwardMode = "io" | "mac";

const PACKAGE = "Debian's package dpdk-dev, put there by tools/bench-packages.sh";
const START_MS = 20_000;
const MBUFS = 16_384;

/**
 * The station addresses that DPDK gives its first and second net_vhost device. In `mac` mode frames leave a device
 * with its address as their source.
 */
const DEVICE_MACS = ["56:48:4f:53:54:00", "56:48:4f:53:54:01"] as const;

/**
 * Who lives behind the two sockets, so that a `mac` forwarder writes into every frame what stands there already: then
 * the receiver can check every byte of it. Frames to the second guest leave device 1, so the first guest has the
 * address of device 1, and the other way round.
 */
export const MAC_FORWARD_GUESTS: readonly [string, string] = [DEVICE_MACS[1], DEVICE_MACS[0]];

/** Memory and threads, for every testpmd: both its threads on one CPU, nothing of it outside its own processes. */
export function ealWords(cpu: number, hugePages: boolean, megabytes: number): string[] {
  return [
    "dpdk-testpmd",
    ...["--lcores", `0@${cpu},1@${cpu}`],
    ...(hugePages ? ["--in-memory", "--single-file-segments"] : ["--no-huge"]),
    ...["-m", String(megabytes), "-v", "--no-pci", "--no-telemetry"],
  ];
}

/** Memory for a testpmd, in MiB: its buffers are a third of it, and some is lost where pages are not side by side. */
const MEGABYTES = 128;

/** testpmd's own words, for every use of it. */
export function applicationWords(mode: string, queues = 1): string[] {
  return [
    ...["--", "--interactive", `--forward-mode=${mode}`, "--nb-cores=1", `--rxq=${queues}`, `--txq=${queues}`],
    ...[`--total-num-mbufs=${MBUFS}`, "--disable-link-check", "--stats-period=0"],
  ];
}

/** The command line of a back-end with two sockets. */
export function testpmdWords(mode: ForwardMode, sockets: readonly [string, string], options: PeerOptions): string[] {
  const peers = mode === "mac" ? [...MAC_FORWARD_GUESTS].map((mac, i) => `--eth-peer=${i},${mac}`) : [];
  const { queues = 1 } = options;
  return [
    ...ealWords(options.cpu, options.hugePages, MEGABYTES),
    ...sockets.map((socket, i) => `--vdev=net_vhost${i},iface=${socket},queues=${queues},tso=1`),
    ...applicationWords(mode, queues),
    "--auto-start",
    ...peers,
  ];
}

/** Throws when this machine has no testpmd. */
export function needTestpmd(): void {
  if (!isInstalled("dpdk-testpmd")) throw new Error(`dpdk-testpmd is not here (${PACKAGE})`);
}

/** "22.11.11", from what a testpmd with -v wrote as it started. */
export function versionIn(output: string): string {
  return /RTE Version: 'DPDK ([^']+)'/.exec(output)?.[1] ?? "of unknown version";
}

export function testpmd(mode: ForwardMode): PeerKind {
  const name = `testpmd-${mode}`;
  return {
    name,
    rewrites: mode === "mac",
    hugePages: () => MEGABYTES / 2 + 2,
    async start(options: PeerOptions): Promise<Peer> {
      needTestpmd();
      const sockets: [string, string] = [join(options.folder, "a.sock"), join(options.folder, "b.sock")];
      const words = testpmdWords(mode, sockets, options);
      const { folder } = options;
      const process = new PeerProcess(words, { name, folder, cpu: options.cpu, env: { RUNTIME_DIRECTORY: folder } });
      try {
        await process.until(() => sockets.every(existsSync), "its sockets were there", START_MS);
      } catch (error) {
        await process.stop();
        throw error;
      }
      const pids = [process.pid];
      return {
        name,
        description: `dpdk-testpmd ${versionIn(process.output())} net_vhost ${mode}`,
        command: shellLine(words),
        sockets,
        role: "listens",
        pids,
        pin: (cpu) => pinProcesses(pids, cpu),
        stop: () => process.stop(),
      };
    },
  };
}
