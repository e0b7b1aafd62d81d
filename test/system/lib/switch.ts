// The switch under test, as an operator runs it: the built program in a process of its own, asked over its control
// socket, and looked at from outside through /proc.
import { execFile } from "node:child_process";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { basename, join } from "node:path";
import { promisify } from "node:util";
import { ControlClient } from "../../../src/api/control-client.js";
import type { PortStatus, SwitchStatus } from "../../../src/api/status.js";
import { cliFile } from "./needs.js";
import { type Child, type Credentials, scratch, start, waitFor } from "./process.js";

const execute = promisify(execFile);
let switches = 0;

export interface SwitchPort {
  name: string;
  /** listen: the switch makes the socket; connect: the front-end does. */
  role: "listen" | "connect";
  path: string;
  /** More of the port: "postcopy=true". */
  options?: string;
}

export interface RunningSwitch {
  readonly process: Child;
  readonly pid: number;
  /** Path of its control socket. */
  readonly control: string;
  status(): Promise<SwitchStatus>;
  /** Status of one port; throws when the switch has no such port. */
  port(name: string): Promise<PortStatus>;
  /** Waits until the ports are in this state. */
  waitForState(state: PortStatus["state"], names: readonly string[], limitMs?: number): Promise<void>;
  /** Waits until the switch has sent so many more frames to the guest at this port: there is traffic now. */
  waitForFramesTo(name: string, frames: number, limitMs?: number): Promise<void>;
  /** Open file descriptors. */
  descriptors(): number;
  /** Mappings of memory files, which is what guest RAM is. */
  memoryMappings(): number;
  /** All mappings, the engine's own included. */
  mappings(): number;
  /** CPU time used so far by all threads, in nanoseconds. */
  cpuNanoseconds(): bigint;
  /** Ends it as an operator does, with SIGTERM, and returns how it ended. */
  stop(): Promise<string | undefined>;
  kill(): Promise<void>;
}

/** A port with a socket of its own in the scratch folder. */
export function socketPort(name: string, role: SwitchPort["role"] = "listen"): SwitchPort {
  return { name, role, path: join(scratch, `${name}.sock`) };
}

/** A path for a control socket in the scratch folder. */
function newControl(): string {
  return join(scratch, `control${++switches}.sock`);
}

export interface SwitchOptions {
  /** Path of its control socket; default one of its own. */
  control?: string;
  /** The user that runs it. */
  as?: Credentials;
}

/** Starts a switch and waits until it answers and listens. `words` are further words for `ringbridge run`. */
export async function startSwitch(
  ports: readonly SwitchPort[],
  words: readonly string[] = [],
  { control = newControl(), as }: SwitchOptions = {},
): Promise<RunningSwitch> {
  const portArguments = ports.flatMap(({ name, role, path, options }) => [
    "--port",
    [`${name}=${role}:${path}`, ...(options === undefined ? [] : [options])].join(","),
  ]);
  const child = start(
    basename(control, ".sock").replace("control", "switch"),
    process.execPath,
    [cliFile, "run", ...portArguments, ...words, "--control", control],
    as,
  );

  const client = new ControlClient(control, 20_000);
  const status = (): Promise<SwitchStatus> => client.status();
  const port = async (name: string): Promise<PortStatus> => {
    const found = (await status()).ports.find((candidate) => candidate.name === name);
    if (found === undefined) throw new Error(`the switch has no port ${name}`);
    return found;
  };
  // The file of a predecessor that was killed may still be there.
  const answers = () =>
    status().then(
      () => true,
      () => false,
    );
  const listening = async () =>
    existsSync(control) && (await answers()) && ports.every(({ role, path }) => role === "connect" || existsSync(path));
  await waitFor("the switch to listen", 20_000, listening, [child]);
  // Once as an operator asks; later on without a process for each question.
  await execute(process.execPath, [cliFile, "status", "--json", "--control", control], { timeout: 20_000 });

  const proc = (file: string): string => readFileSync(`/proc/${child.pid}/${file}`, "utf8");
  return {
    process: child,
    pid: child.pid,
    control,
    status,
    port,
    async waitForState(state, names, limitMs = 60_000) {
      const reached = async () => {
        const found = (await status()).ports.filter((candidate) => names.includes(candidate.name));
        return found.length === names.length && found.every((candidate) => candidate.state === state);
      };
      await waitFor(`port ${names.join(", ")} to be ${state}`, limitMs, reached, [child]);
    },
    async waitForFramesTo(name, frames, limitMs = 60_000) {
      const before = (await port(name)).txFrames;
      const grown = async () => (await port(name)).txFrames - before >= frames;
      await waitFor(`${frames} frames to port ${name}`, limitMs, grown, [child]);
    },
    descriptors: () => readdirSync(`/proc/${child.pid}/fd`).length,
    memoryMappings: () =>
      proc("maps")
        .split("\n")
        .filter((line) => / \/memfd:| \/dev\/(shm|hugepages)\//.test(line)).length,
    mappings: () => proc("maps").trim().split("\n").length,
    cpuNanoseconds: () =>
      readdirSync(`/proc/${child.pid}/task`)
        .map((thread) => BigInt(proc(`task/${thread}/schedstat`).split(" ")[0]!))
        .reduce((sum, share) => sum + share, 0n),
    async stop() {
      await child.end("SIGTERM");
      return child.ended;
    },
    kill: () => child.end("SIGKILL"),
  };
}
