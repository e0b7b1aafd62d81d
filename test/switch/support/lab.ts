// A real switch in a process of its own, in a folder that goes with it, and what the kernel says about that process.

import { type ChildProcess, fork } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, readlinkSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { ControlClient } from "../../../src/api/control-client.js";
import type { PortStatus } from "../../../src/api/status.js";
import { builtFile } from "../../../src/guest/children.js";

/** Far more than anything waited for takes, so that only what never comes fails. */
const LIMIT_MS = 12_000;
const LOOK_MS = 2;
/** What comes at once is seen at once: so many looks before the first sleep. */
const QUICK_LOOKS = 10;

/** Looks again and again until `look` gives something; `what` is what never came, for the error. */
export async function until<T>(what: string, look: () => T | undefined | Promise<T | undefined>): Promise<T> {
  const end = performance.now() + LIMIT_MS;
  for (let looks = 0; ; looks++) {
    const found = await look();
    if (found !== undefined) return found;
    if (performance.now() > end) throw new Error(`never came: ${what}`);
    await (looks < QUICK_LOOKS ? new Promise(setImmediate) : sleep(LOOK_MS));
  }
}

export class Lab {
  readonly path = mkdtempSync(join(tmpdir(), "ringbridge-switch-"));
  readonly control = new ControlClient(this.file("control"));
  /** What the switch has written to its log. */
  log = "";
  private child: ChildProcess | undefined;
  private ended: Promise<number | null> | undefined;

  file(name: string): string {
    return join(this.path, name);
  }

  /**
   * Starts a switch with ports written as "vm1=listen" or "vm1=connect", with options as in "vm1=listen,iommu=true"; their
   * sockets are files of those names.
   */
  async start(ports: string[], words: string[] = []): Promise<void> {
    const flags = ports.flatMap((port) => {
      const [role, ...options] = port.split(",");
      return ["--port", [`${role}:${this.file(port.split("=")[0]!)}`, ...options].join()];
    });
    // It ends with this process, however that ends.
    await this.launch("src/cli/demo-switch.js", [...flags, ...words]);
  }

  /** Starts a switch with a configuration file, which SIGHUP makes it read again. */
  async startFile(file: string): Promise<void> {
    await this.launch("src/cli/main.js", [file]);
  }

  get pid(): number {
    return this.child!.pid!;
  }

  /** Ends the switch; a sudden end leaves its sockets behind. */
  async stop(signal: NodeJS.Signals = "SIGTERM"): Promise<void> {
    if (!this.child) return;
    this.child.kill(signal);
    const code = await this.ended;
    this.child = undefined;
    if (signal === "SIGTERM" && code !== 0) throw new Error(`the switch ended with exit code ${code}: ${this.log}`);
  }

  /** Ends what still runs and removes the folder. Throws when the switch had not lived, or not ended, as it should. */
  async close(): Promise<void> {
    try {
      await this.stop();
    } finally {
      rmSync(this.path, { recursive: true, force: true });
    }
  }

  async port(name: string): Promise<PortStatus> {
    const port = (await this.control.status()).ports.find((port) => port.name === name);
    if (port === undefined) throw new Error(`there is no port ${name}`);
    return port;
  }

  /** The port's status as soon as it is so. */
  async when(name: string, so: (port: PortStatus) => boolean): Promise<PortStatus> {
    let last: PortStatus | undefined;
    try {
      return await until(`a state of port ${name}`, async () => {
        last = await this.port(name);
        return so(last) ? last : undefined;
      });
    } catch (error) {
      throw new Error(`${(error as Error).message}; it is ${JSON.stringify(last)}`);
    }
  }

  /** The port's last error, once it has one that matches. */
  async error(name: string, pattern: RegExp): Promise<string> {
    return (await this.when(name, ({ lastError }) => lastError !== undefined && pattern.test(lastError))).lastError!;
  }

  /** The port once its front-end has gone. */
  vacant(name: string): Promise<PortStatus> {
    return this.when(name, ({ state }) => state === "waiting");
  }

  /** Descriptors that the switch has open, by what they are. The sockets of control connections come and go. */
  descriptors(): Record<string, number> {
    const folder = `/proc/${this.pid}/fd`;
    const kinds: Record<string, number> = {};
    for (const fd of readdirSync(folder)) {
      const kind = readlink(`${folder}/${fd}`)?.replace(/:\[\d+\]$/, "");
      if (kind !== undefined) kinds[kind] = (kinds[kind] ?? 0) + 1;
    }
    return kinds;
  }

  /** Waits until the switch has no more descriptors than it had, of any kind. */
  async noMoreDescriptors(than: Record<string, number>): Promise<void> {
    let more: string[] = [];
    await until("the number of descriptors of before", () => {
      const now = Object.entries(this.descriptors());
      more = now.filter(([kind, count]) => count > (than[kind] ?? 0)).map(([kind, count]) => `${count} ${kind}`);
      return more.length === 0 || undefined;
    }).catch((error: Error) => {
      throw new Error(`${error.message}: now ${more.join(", ")}, before ${JSON.stringify(than)}`);
    });
  }

  /** How many mappings of memory files the switch has. */
  guestMappings(): number {
    return this.mappings().filter(({ name }) => name.includes("/memfd:")).length;
  }

  /** How many mappings make up its linear memory, guests' and others. At least one region must be mapped. */
  async linearMappings(): Promise<number> {
    const { ports } = await this.control.status();
    const windows = ports.flatMap(({ regions }) => regions.flatMap(({ window }) => window ?? []));
    const mappings = this.mappings();
    const first = mappings.find(({ name }) => name.includes("/memfd:"))!.from;
    const start = first - BigInt(Math.min(...windows));
    return mappings.filter(({ from }) => from >= start && from < start + (1n << 32n)).length;
  }

  private mappings(): { from: bigint; name: string }[] {
    const lines = readFileSync(`/proc/${this.pid}/maps`, "latin1").trimEnd().split("\n");
    return lines.map((line) => ({ from: BigInt(`0x${line.slice(0, line.indexOf("-"))}`), name: line.slice(49) }));
  }

  private async launch(program: string, words: string[]): Promise<void> {
    const argv = ["--control", this.control.path, "run", "--log-level", "warn", ...words];
    const child = fork(builtFile(program), argv, { stdio: ["ignore", "pipe", "pipe", "ipc"] });
    this.child = child;
    this.ended = new Promise((resolve) => child.once("exit", resolve));
    let output = "";
    child.stderr!.setEncoding("utf8").on("data", (text: string) => {
      this.log += text;
    });
    await new Promise<void>((resolve, reject) => {
      child.stdout!.setEncoding("utf8").on("data", (text: string) => {
        output += text;
        if (output.includes(" is ready")) resolve();
      });
      void this.ended!.then(() => reject(new Error(`the switch did not start: ${output}${this.log}`)));
    });
  }
}

/** Undefined when it was closed meanwhile. */
function readlink(path: string): string | undefined {
  try {
    return readlinkSync(path);
  } catch {
    return undefined;
  }
}
