// DPDK's testpmd, driven at its prompt: its virtio-user ports are the front-ends (and drivers) most in use after QEMU.
import { readFileSync } from "node:fs";
import { testpmdFile } from "./needs.js";
import { type Child, start, waitFor } from "./process.js";

let instances = 0;
const prompt = "testpmd> ";

export interface VirtioUserPort {
  mac: string;
  /** The vhost-user socket. */
  path: string;
  /** True: testpmd listens; false (default): it connects. */
  server?: boolean;
  /** Further virtio-user arguments, such as { mrg_rxbuf: 0, queue_size: 512 }. */
  options?: Record<string, number>;
}

/** Counters of one testpmd port, as its driver counts them. */
export interface TestpmdStats {
  rxPackets: number;
  txPackets: number;
  rxBytes: number;
  txBytes: number;
  rxMissed: number;
}

export interface Testpmd {
  readonly process: Child;
  /** Waits until the prompt is there, which is after all ports are attached. */
  ready(limitMs?: number): Promise<void>;
  /** Types a command and returns what it printed. */
  command(line: string, limitMs?: number): Promise<string>;
  /** Counters by port number. */
  stats(): Promise<TestpmdStats[]>;
  quit(): Promise<void>;
}

/** Huge pages that are free, in MiB. */
function freeHugeMb(): number {
  const info = readFileSync("/proc/meminfo", "utf8");
  const field = (name: string) => Number(new RegExp(`^${name}:\\s+(\\d+)`, "m").exec(info)?.[1] ?? 0);
  return (field("HugePages_Free") * field("Hugepagesize")) / 1024;
}

export interface TestpmdOptions {
  /** testpmd's whole memory. */
  memoryMb?: number;
  /** Devices whose ports come before and after the virtio-user ports, as --vdev takes them. */
  before?: readonly string[];
  after?: readonly string[];
  /** Queues of each port. */
  queues?: number;
  /** More arguments of DPDK's environment, such as "--force-max-simd-bitwidth=512". */
  environment?: readonly string[];
}

/** Starts testpmd with these ports, in interactive mode, forwarding stopped. */
export function startTestpmd(ports: readonly VirtioUserPort[], more: TestpmdOptions = {}): Testpmd {
  const { memoryMb = 256, before = [], after = [], queues = 1, environment = [] } = more;
  if (testpmdFile === undefined) throw new Error("dpdk-testpmd is missing; see describeNeeding");
  const name = `testpmd${++instances}`;
  const vdevs = ports.map(({ mac, path, server = false, options = {} }, index) => {
    const extra = Object.entries({ ...options, ...(server ? { server: 1 } : {}) });
    const fields = [["mac", mac], ["path", path], ["queues", queues], ...extra].map(
      ([key, value]) => `${key}=${value}`,
    );
    return `--vdev=net_virtio_user${index},${fields.join(",")}`;
  });
  // Without --single-file-segments huge pages would be more regions than a vhost-user back-end takes (8).
  const memory = freeHugeMb() >= memoryMb ? ["--in-memory", "--single-file-segments"] : ["--no-huge"];
  // stdbuf: without a terminal testpmd's answers would stay in its buffer while its prompt does not.
  const child = start(name, "stdbuf", [
    ...["-oL", testpmdFile, "-l", "0,1", "--no-pci", "--no-telemetry", `--file-prefix=${name}-${process.pid}`],
    ...[...memory, "-m", `${memoryMb}`],
    ...[...before.map((device) => `--vdev=${device}`), ...vdevs, ...after.map((device) => `--vdev=${device}`)],
    ...environment,
    // The driver says which of its paths it took.
    "--log-level=pmd.net.virtio.init:info",
    // Destination address of what a port sends: the other port of its pair (0-1, 2-3, ...).
    ...["--", "-i", "--disable-link-check", "--total-num-mbufs=16384"],
    // A capture file would be read and thrown away when forwarding starts.
    ...(before.length > 0 ? ["--no-flush-rx"] : []),
    ...[`--rxq=${queues}`, `--txq=${queues}`],
    ...ports.map((_, index) => `--eth-peer=${before.length + index},${ports[index ^ 1]?.mac ?? ports[index]!.mac}`),
  ]);

  const command = async (line: string, limitMs = 20_000): Promise<string> => {
    const from = child.output().length;
    const typedAt = child.stdout().length;
    child.process.stdin!.write(`${line}\n`);
    // The command line echoes what is typed, so the prompt that counts is the one after the echo. The driver's own words
    // (stderr) can stand in the middle of either.
    const answered = () => {
      const text = child.stdout().slice(typedAt);
      const echo = text.indexOf(line);
      return echo >= 0 && text.lastIndexOf(prompt) > echo ? child.output().slice(from) : undefined;
    };
    return await waitFor(`testpmd's answer to \`${line}\``, limitMs, answered, [child]);
  };
  return {
    process: child,
    command,
    async ready(limitMs = 60_000) {
      await waitFor("testpmd's prompt", limitMs, () => child.stdout().includes(prompt), [child]);
    },
    async stats() {
      const text = await command("show port stats all");
      return text
        .split("NIC statistics for port")
        .slice(1)
        .map((part) => {
          const number = (label: string) => Number(new RegExp(`${label}:\\s+(\\d+)`).exec(part)?.[1]);
          return {
            rxPackets: number("RX-packets"),
            txPackets: number("TX-packets"),
            rxBytes: number("RX-bytes"),
            txBytes: number("TX-bytes"),
            rxMissed: number("RX-missed"),
          };
        });
    },
    async quit() {
      child.process.stdin!.write("quit\n");
      await waitFor("testpmd to quit", 20_000, () => child.ended !== undefined);
    },
  };
}
