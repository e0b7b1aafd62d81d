// A back-end under test: how it is written on the command line, how it is started when it is ours, and what is done to
// its process: held while another one is measured, bound to a core, its CPU time read.

import { type ChildProcess, fork } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ControlClient } from "../api/control-client.js";
import { FDB_LIMIT_MAX } from "../config/schema.js";
import { builtFile, endOf } from "../guest/children.js";
import { pinProcess, setProcessPriority, setSessionPriority } from "../sys/affinity.js";
import { packageVersion } from "../version.js";
import type { BackEndInfo } from "./result.js";
import { NullDevice, type NullDeviceOptions } from "./null-device.js";
import type { RigGuest, RigTarget } from "./rig.js";

const START_MS = 10_000;
const END_MS = 5000;

/** As asked for on the command line. */
export type BackEndSpec =
  | { kind: "ringbridge"; name: string }
  | { kind: "null"; name: string }
  | { kind: "sockets"; name: string; sockets: string[]; role: "connect" | "listen"; pid?: number };

const FORM =
  "write ringbridge, null, or NAME=/a.sock,/b.sock[:connect|:listen][@PID] (listen: the back-end connects to sockets " +
  "that the benchmark makes)";

/** Reads one value of --backend. Throws an Error with a sentence when it cannot be understood. */
export function parseBackEnd(text: string): BackEndSpec {
  if (text === "ringbridge" || text === "null") return { kind: text, name: text };
  const match = /^([^=]+)=(.+?)(?::(connect|listen))?(?:@(\d+))?$/.exec(text);
  if (!match) throw new Error(`--backend ${text}: ${FORM}`);
  const [, name, list, role = "connect", pid] = match;
  const sockets = list!.split(",");
  const bad = sockets.find((path) => !path.startsWith("/"));
  if (bad !== undefined) throw new Error(`--backend ${text}: "${bad}" is no absolute path: ${FORM}`);
  if (sockets.length < 2 || sockets.length % 2 !== 0) {
    throw new Error(`--backend ${text}: ${sockets.length} sockets: ports work in pairs, give two, four, ...`);
  }
  if (new Set(sockets).size < sockets.length) throw new Error(`--backend ${text}: a socket is given twice`);
  const spec: BackEndSpec = { kind: "sockets", name: name!, sockets, role: role as "connect" | "listen" };
  if (pid !== undefined) spec.pid = Number(pid);
  return spec;
}

export interface StartOptions {
  /** Most ports and queue pairs that any point needs, and addresses that one port has. */
  ports: number;
  pairs: number;
  addresses: number;
  workers: number;
  poll: boolean;
}

export class BackEnd {
  /** CPU seconds can be read, and the process held, only where the process is known. */
  readonly pid: number | undefined;
  private held = false;
  /** Of its session, before it was changed. */
  private sessionNice: number | undefined;
  private ended: string | undefined;
  private device: NullDevice | undefined;
  private readonly onExit = () => {
    this.release();
    this.own?.abandon();
  };

  /** Starts it, when it is ours. Rejects with a sentence when it does not come up. */
  static async start(spec: BackEndSpec, options: StartOptions): Promise<BackEnd> {
    if (spec.kind !== "ringbridge") return new BackEnd(spec, foreignInfo(spec), undefined);
    const own = await OwnSwitch.start(options);
    return new BackEnd(spec, own.info, own);
  }

  private constructor(
    readonly spec: BackEndSpec,
    readonly info: BackEndInfo,
    private readonly own: OwnSwitch | undefined,
  ) {
    this.pid = own?.pid ?? (spec.kind === "sockets" ? spec.pid : undefined);
    // However this process ends, it leaves nobody held and nothing lying about.
    process.on("exit", this.onExit);
    void own?.exited.then((how) => {
      this.ended = how;
    });
  }

  /** What has to be there once guests are attached to it: the null back-end's thread. */
  async attached(guests: readonly RigGuest[], options: NullDeviceOptions): Promise<void> {
    await this.detached();
    if (this.spec.kind === "null") this.device = await NullDevice.start(guests, options);
  }

  /** Before the guests' memory goes. */
  async detached(): Promise<void> {
    await this.device?.close();
    this.device = undefined;
  }

  get name(): string {
    return this.spec.name;
  }

  /** How many ports it has; undefined: as many as one likes. */
  get ports(): number | undefined {
    return this.spec.kind === "sockets" ? this.spec.sockets.length : this.own?.sockets.length;
  }

  target(ports: number): RigTarget {
    if (this.spec.kind === "null") return { sockets: [], role: "none" };
    const sockets = this.spec.kind === "sockets" ? this.spec.sockets : this.own!.sockets;
    return { sockets: sockets.slice(0, ports), role: this.spec.kind === "sockets" ? this.spec.role : "connect" };
  }

  /** Why it is no longer there, if it is not. */
  get fault(): string | undefined {
    return this.ended === undefined ? undefined : `${this.name} ended unexpectedly (${this.ended})`;
  }

  /** Keeps its process from running, so that another one has the core to itself. */
  hold(): void {
    this.device?.hold();
    if (this.pid === undefined || this.held) return;
    process.kill(this.pid, "SIGSTOP");
    this.held = true;
  }

  resume(): void {
    this.device?.resume();
    if (this.pid === undefined || !this.held) return;
    process.kill(this.pid, "SIGCONT");
    this.held = false;
  }

  /** Binds its threads to a core, and gives them a nice value. */
  place(cpu: number, nice: number | undefined): void {
    if (this.pid === undefined) return;
    pinProcess(this.pid, [cpu]);
    if (nice === undefined) return;
    setProcessPriority(this.pid, nice);
    this.sessionNice = setSessionPriority(this.pid, nice);
  }

  /** CPU seconds that its threads have used, where the process is known. */
  cpuSeconds(): number | undefined {
    return this.pid === undefined ? undefined : cpuSecondsOf(this.pid);
  }

  /** Frames it has dropped since it was started, by cause, where it says so. Must not be held. */
  async drops(): Promise<Record<string, number> | undefined> {
    if (!this.own) return undefined;
    const { ports } = await this.own.control.status();
    const drops: Record<string, number> = {};
    for (const port of ports) {
      for (const [cause, count] of Object.entries(port.drops)) drops[cause] = (drops[cause] ?? 0) + count;
    }
    return drops;
  }

  /** Leaves a foreign one running, as it was found; ends our own. Never rejects. */
  async close(): Promise<void> {
    process.off("exit", this.onExit);
    this.release();
    await this.detached();
    await this.own?.close();
  }

  /** Lets its process run as before, if it still does. */
  private release(): void {
    try {
      this.resume();
      if (this.sessionNice !== undefined) setSessionPriority(this.pid!, this.sessionNice);
    } catch {
      // It has ended by itself.
    }
  }
}

function foreignInfo(spec: BackEndSpec): BackEndInfo {
  const description =
    spec.kind === "null"
      ? "returns buffers and does not switch"
      : `back-end at ${(spec as { sockets: string[] }).sockets}`;
  return { name: spec.name, description };
}

/** Sum over all threads of a process; undefined where the kernel does not tell. */
export function cpuSecondsOf(pid: number): number | undefined {
  let nanoseconds = 0;
  try {
    for (const task of readdirSync(`/proc/${pid}/task`)) {
      nanoseconds += Number(readFileSync(`/proc/${pid}/task/${task}/schedstat`, "utf8").split(" ")[0]);
    }
  } catch {
    return undefined;
  }
  return nanoseconds / 1e9;
}

/** `ringbridge run` in a process of its own, in a folder that goes with it. */
class OwnSwitch {
  readonly sockets: string[];
  readonly control: ControlClient;
  readonly info: BackEndInfo;
  readonly exited: Promise<string>;

  static async start(options: StartOptions): Promise<OwnSwitch> {
    const folder = mkdtempSync(join(tmpdir(), "ringbridge-bench-"));
    const own = new OwnSwitch(folder, options);
    try {
      await own.ready();
    } catch (error) {
      await own.close();
      throw error;
    }
    return own;
  }

  private readonly child: ChildProcess;
  private output = "";

  private constructor(
    private readonly folder: string,
    { ports, pairs, addresses, workers, poll }: StartOptions,
  ) {
    this.sockets = Array.from({ length: ports }, (_, i) => join(folder, `port${i + 1}.sock`));
    this.control = new ControlClient(join(folder, "control.sock"));
    const config = join(folder, "ringbridge.yaml");
    const lines = this.sockets.map((path, i) => `  port${i + 1}: { listen: ${path}, queues: ${pairs} }`);
    const fdb = addresses > 4096 ? `fdb: { limit: ${FDB_LIMIT_MAX}, per-port-limit: ${FDB_LIMIT_MAX} }\n` : "";
    writeFileSync(config, `${fdb}ports:\n${lines.join("\n")}\n`);
    const flags = ["--workers", String(workers), ...(poll ? ["--poll"] : []), "--log-level", "warn"];
    const words = ["--control", this.control.path, "run", config, ...flags];
    this.child = fork(builtFile("src/cli/demo-switch.js"), words, { stdio: ["ignore", "pipe", "pipe", "ipc"] });
    this.exited = endOf(this.child);
    this.info = {
      name: "ringbridge",
      description: `ringbridge ${packageVersion()}, ${workers} worker${workers > 1 ? "s" : ""}${poll ? ", --poll" : ""}`,
      command: `ringbridge run ringbridge.yaml ${flags.slice(0, -2).join(" ")}`,
    };
    this.child.stdout!.setEncoding("utf8").on("data", (text: string) => {
      this.output += text;
    });
  }

  get pid(): number {
    return this.child.pid!;
  }

  private async ready(): Promise<void> {
    const end = performance.now() + START_MS;
    let how: string | undefined;
    void this.exited.then((text) => {
      how = text;
    });
    while (!this.output.includes(" is ready")) {
      if (how !== undefined) throw new Error(`the switch to be measured did not start (${how})`);
      if (performance.now() > end) throw new Error(`the switch was not ready within ${START_MS / 1000} s`);
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
  }

  /** When there is no time to wait for its end: it ends by itself, because its parent has gone. */
  abandon(): void {
    rmSync(this.folder, { recursive: true, force: true });
  }

  async close(): Promise<void> {
    if (this.child.connected) this.child.disconnect();
    const timer = setTimeout(() => this.child.kill("SIGKILL"), END_MS);
    await this.exited;
    clearTimeout(timer);
    this.abandon();
  }
}
