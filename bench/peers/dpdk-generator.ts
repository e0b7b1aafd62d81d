// DPDK's own driver as the generator: one testpmd for each back-end, with two virtio-user ports that attach to its two
// sockets. It sends a number of frames from each port to the other and, in `io` mode, sends on whatever comes back, so
// that the frames go round for ever: through the back-end, out of one port of testpmd and in at the other.

import { setTimeout as sleep } from "node:timers/promises";
import { MAC_FORWARD_GUESTS, applicationWords, ealWords, needTestpmd } from "./testpmd.js";
import { PeerProcess } from "./process.js";
import type { Peer } from "./peer.js";

/** MiB of memory of one generator, which is the guests' RAM as well, and that in 2 MiB pages, with some to spare. */
const MEGABYTES = 256;
export const GENERATOR_PAGES = MEGABYTES / 2 + 2;
/** Both ends of every message share a core with a thread that polls. */
const START_MS = 60_000;
const STATS_MS = 3000;
const ATTEMPTS = 5;
const SETTLE_MS = 20;
const QUEUE_SIZE = 256;
/** Bursts of 32 frames that each port sends to begin with: half of what a ring holds. */
const FIRST_BURSTS = 4;
/** testpmd's default, and what it keeps free in front of a frame. */
const MBUF_BYTES = 2176;
const MBUF_HEADROOM = 128;

export interface PortStats {
  rxPackets: number;
  txPackets: number;
  /** Since the last time they were shown, by testpmd's own clock. */
  rxPerSecond: number;
  txPerSecond: number;
}

/** The ports in the last answer to `show port stats all`, in order. Empty until the answer is whole. */
export function parsePortStats(output: string): PortStats[] {
  const answers = output.split("NIC statistics for port 0 ");
  const last = answers.at(-1)!;
  if (answers.length < 2) return [];
  return last.split(/NIC statistics for port \d+ /).flatMap((text) => {
    const field = (name: string) => Number(new RegExp(`${name}:\\s+(\\d+)`).exec(text)?.[1] ?? Number.NaN);
    const stats = {
      rxPackets: field("RX-packets"),
      txPackets: field("TX-packets"),
      rxPerSecond: field("Rx-pps"),
      txPerSecond: field("Tx-pps"),
    };
    return Object.values(stats).some(Number.isNaN) ? [] : [stats];
  });
}

/** The command line of a generator for one back-end. */
export function generatorWords(
  peer: Pick<Peer, "sockets" | "role">,
  options: { cpu: number; hugePages: boolean; frameBytes: number },
): string[] {
  const server = peer.role === "connects" ? ",server=1" : "";
  const device = (i: number) => {
    const guest = `mac=${MAC_FORWARD_GUESTS[i]},path=${peer.sockets[i]}`;
    return `--vdev=net_virtio_user${i},${guest},queues=1,queue_size=${QUEUE_SIZE}${server}`;
  };
  return [
    // Its answers go to a file, which testpmd would write in blocks.
    ...["stdbuf", "-oL"],
    ...ealWords(options.cpu, options.hugePages, MEGABYTES),
    ...[device(0), device(1)],
    ...applicationWords("io"),
    `--mbuf-size=${Math.max(MBUF_BYTES, options.frameBytes + MBUF_HEADROOM + 64)}`,
    // Each port's frames are addressed to the other one.
    ...[`--eth-peer=0,${MAC_FORWARD_GUESTS[1]}`, `--eth-peer=1,${MAC_FORWARD_GUESTS[0]}`],
  ];
}

export class DpdkGenerator {
  /** Starts a testpmd that has attached to both sockets. The back-end must be running. */
  static async start(
    peer: Peer,
    options: { folder: string; cpu: number; hugePages: boolean; frameBytes: number },
  ): Promise<DpdkGenerator> {
    needTestpmd();
    const process = new PeerProcess(generatorWords(peer, options), {
      name: `generator-of-${peer.name}`,
      folder: options.folder,
      cpu: options.cpu,
      env: { RUNTIME_DIRECTORY: options.folder },
    });
    try {
      await process.until(() => process.output().includes("testpmd> "), "it took commands", START_MS);
    } catch (error) {
      await process.stop();
      throw error;
    }
    return new DpdkGenerator(process);
  }

  private constructor(private readonly process: PeerProcess) {}

  get pid(): number {
    return this.process.pid;
  }

  /**
   * Has frames of `bytes` go round, instead of those before. A switch that sees them for the first time may lose them
   * all, so they are sent again; when that does not help the counters will tell.
   */
  async setFrames(bytes: number): Promise<void> {
    const { process } = this;
    for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
      process.write("stop");
      process.write(`set txpkts ${bytes}`);
      process.write(`start tx_first ${FIRST_BURSTS}`);
      await sleep(SETTLE_MS);
      await this.stats();
      await sleep(SETTLE_MS);
      if ((await this.stats()).every(({ rxPerSecond }) => rxPerSecond > 0)) return;
    }
  }

  /** Both ports' counters, and their rates since the last call. */
  async stats(): Promise<PortStats[]> {
    const { process } = this;
    const before = process.output().length;
    process.write("show port stats all");
    let stats: PortStats[] = [];
    const answered = () => {
      stats = parsePortStats(process.output().slice(before));
      return stats.length === 2;
    };
    await process.until(answered, "it showed its counters", STATS_MS);
    return stats;
  }

  pause(): void {
    this.process.pause();
  }

  resume(): void {
    this.process.resume();
  }

  async stop(): Promise<void> {
    await this.process.stop();
  }
}
