// A program that a benchmark has started: bounded in time, ended by its number, gone when we are.

import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { closeSync, existsSync, openSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";

/** Whatever else goes wrong, nothing that we started lives longer than this. */
const LIFETIME_MS = 4 * 60 * 60 * 1000;
const STOP_MS = 3000;

export interface ProcessOptions {
  /** Name of its log in `folder`. */
  name: string;
  folder: string;
  /** The CPU that all its threads are kept on until it says otherwise; default any. */
  cpu?: number;
  env?: Record<string, string>;
  /** A network name space of its own, so that network cards it makes are its own and vanish with it. Needs root. */
  ownNetwork?: boolean;
}

/** The whole command line: our bounds, each of which keeps the process number, in front of the program's own words. */
export function boundedCommand(
  words: readonly string[],
  options: Pick<ProcessOptions, "cpu" | "ownNetwork">,
): string[] {
  return [
    ...(options.ownNetwork ? ["unshare", "--net"] : []),
    ...(options.cpu === undefined ? [] : ["taskset", "-c", String(options.cpu)]),
    // The kernel ends it when we die, however we die.
    ...["setpriv", "--pdeathsig", "KILL", "--"],
    ...words,
  ];
}

export class PeerProcess {
  readonly pid: number;
  private readonly child: ChildProcess;
  private readonly log: string;
  private readonly gone: Promise<void>;
  private ended: string | undefined;

  /** Throws when the program is not there. */
  constructor(
    readonly words: readonly string[],
    private readonly options: ProcessOptions,
  ) {
    this.log = join(options.folder, `${options.name}.log`);
    const [command, ...rest] = boundedCommand(words, options);
    const log = openSync(this.log, "w");
    try {
      this.child = spawn(command!, rest, {
        // An open standard input: testpmd ends at its end.
        stdio: ["pipe", log, log],
        // A Ctrl-C is for us, who then stop it in our own order.
        detached: true,
        env: { ...process.env, ...options.env },
      });
    } finally {
      closeSync(log);
    }
    if (this.child.pid === undefined) throw new Error(`${command} cannot be started (util-linux is needed)`);
    this.pid = this.child.pid;
    this.gone = new Promise((resolve) => {
      this.child.once("error", (error) => this.finish(error.message, resolve));
      this.child.once("exit", (code, signal) => this.finish(signal ?? `exit code ${code}`, resolve));
    });
    // A line written to a program that has just ended is no news: `alive` tells.
    this.child.stdin!.on("error", () => {});
    setTimeout(() => this.kill("SIGKILL"), LIFETIME_MS).unref();
  }

  get alive(): boolean {
    return this.ended === undefined;
  }

  /** All that it has written so far. */
  output(): string {
    return readFileSync(this.log, "utf8");
  }

  /** A line for its standard input. */
  write(line: string): void {
    this.child.stdin!.write(`${line}\n`);
  }

  /** Waits until `ready`. Throws with the end of its log when it ends before, or takes longer than `ms`. */
  async until(ready: () => boolean, what: string, ms: number): Promise<void> {
    const deadline = Date.now() + ms;
    while (!ready()) {
      const why =
        this.ended !== undefined ? `ended (${this.ended})` : Date.now() > deadline ? `took over ${ms} ms` : "";
      if (why) throw new Error(`${this.options.name} ${why} before ${what}: ${this.lastWords()}`);
      await sleep(20);
    }
  }

  /** The lines of the log that say most about a failure. */
  private lastWords(): string {
    const lines = this.output()
      .split("\n")
      .filter((line) => line.trim() !== "");
    const telling = lines.filter((line) => /error|fatal|cannot|fail|invalid|ERR\|/i.test(line));
    return (telling.length > 0 ? telling : lines).slice(-3).join(" / ") || "it wrote nothing";
  }

  pause(): void {
    this.kill("SIGSTOP");
  }

  resume(): void {
    this.kill("SIGCONT");
  }

  private kill(signal: NodeJS.Signals): void {
    if (this.alive) this.child.kill(signal);
  }

  private finish(why: string, resolve: () => void): void {
    this.ended ??= why;
    resolve();
  }

  /** Asks it to end, then makes it. Resolves when it is gone. */
  async stop(): Promise<void> {
    this.resume();
    this.kill("SIGTERM");
    await Promise.race([this.gone, sleep(STOP_MS, undefined, { ref: false })]);
    this.kill("SIGKILL");
    await this.gone;
  }
}

/** Whether a program is in one of the folders of PATH. */
export function isInstalled(program: string): boolean {
  return (process.env.PATH ?? "").split(":").some((folder) => folder !== "" && existsSync(join(folder, program)));
}

/** Keeps all threads of some processes on one CPU. */
export function pinProcesses(pids: readonly number[], cpu: number): void {
  for (const pid of pids) {
    const { status, stderr } = spawnSync("taskset", ["-acp", String(cpu), String(pid)], { encoding: "utf8" });
    if (status !== 0) throw new Error(`process ${pid} cannot be kept on CPU ${cpu}: ${stderr.trim()}`);
  }
}

/** Runs a short command to its end. Throws with what it said when it fails or takes longer than ten seconds. */
export function runTool(words: readonly string[], env: Record<string, string> = {}): string {
  const [command, ...rest] = words;
  const { status, stdout, stderr, error } = spawnSync(command!, rest, {
    encoding: "utf8",
    timeout: 10_000,
    env: { ...process.env, ...env },
  });
  if (error) throw new Error(`${command}: ${error.message}`);
  if (status !== 0) throw new Error(`${words.join(" ")}: ${stderr.trim() || `exit code ${status}`}`);
  return stdout;
}
