// A command that starts the back-end, again and again: after it died, or for each connection when it serves only one.

import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { constants } from "node:os";
import { setTimeout as sleep } from "node:timers/promises";
import type { BackEndLog } from "./back-end-log.js";
import { within } from "./wait.js";

/** So long may a back-end take from its start until it answers. */
export const START_MS = 30_000;
const RETRY_MS = 100;
const END_MS = 3000;
/** A shell's exit code is this and the signal's number when its command was ended by a signal. */
const SHELL_SIGNAL = 128;

export class Restarter {
  private child: ChildProcess | undefined;

  /**
   * @param command a shell's; it may start a service and return, or be the back-end itself and stay
   * @param log gets what it writes
   */
  constructor(
    private readonly command: string,
    private readonly log: BackEndLog,
  ) {
    process.on("exit", this.kill);
  }

  /** Runs the command; what an earlier run of it left in the foreground is ended first. */
  async start(): Promise<void> {
    await this.end();
    // A process group of its own, so that all that it starts can be ended together.
    const stdio = ["ignore", this.log.fd, this.log.fd] as const;
    this.child = spawn("/bin/sh", ["-c", this.command], { stdio: [...stdio], detached: true });
    this.child.on("error", () => {});
  }

  /** Whether the command was ever run. */
  get started(): boolean {
    return this.child !== undefined;
  }

  /** How the command has ended, "exit code 0" or "SIGSEGV"; undefined while it runs, or was never run. */
  get ended(): string | undefined {
    const { exitCode, signalCode } = this.child ?? {};
    if (signalCode) return signalCode;
    if (exitCode === null || exitCode === undefined) return undefined;
    return signalName(exitCode - SHELL_SIGNAL) ?? `exit code ${exitCode}`;
  }

  /** How it ends within so many milliseconds; undefined when it does not. */
  untilEnded(ms: number): Promise<string | undefined> {
    return within(ms, () => this.ended);
  }

  /** What `attempt` resolves to, tried until it does. Throws its last error when that takes too long. */
  async untilReady<T>(attempt: () => Promise<T>): Promise<T> {
    const end = performance.now() + START_MS;
    for (;;) {
      try {
        return await attempt();
      } catch (error) {
        // One that has put itself into the background has ended well.
        const { ended } = this;
        if (ended !== undefined && ended !== "exit code 0") throw new Error(`--restart "${this.command}": ${ended}`);
        if (performance.now() > end) throw error;
      }
      await sleep(RETRY_MS);
    }
  }

  /** Ends what was started. */
  async stop(): Promise<void> {
    process.off("exit", this.kill);
    await this.end();
  }

  private readonly kill = () => this.signal("SIGKILL");

  /** Ends what still runs of it. */
  async end(): Promise<void> {
    const { child } = this;
    if (child === undefined || this.ended !== undefined || child.pid === undefined) return;
    const gone = once(child, "exit");
    this.signal("SIGTERM");
    await Promise.race([gone, sleep(END_MS, undefined, { ref: false })]);
    this.signal("SIGKILL");
    await gone;
  }

  private signal(signal: NodeJS.Signals): void {
    if (this.child?.pid === undefined || this.ended !== undefined) return;
    try {
      process.kill(-this.child.pid, signal);
    } catch {
      // It has just ended by itself.
    }
  }
}

function signalName(number: number): string | undefined {
  return Object.entries(constants.signals).find(([, value]) => value === number)?.[0];
}
