// The command that starts the back-end again after it died.

import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { setTimeout as sleep } from "node:timers/promises";

const START_MS = 30_000;
const RETRY_MS = 100;
const END_MS = 3000;

export class Restarter {
  private child: ChildProcess | undefined;

  /** @param command a shell's; it may start a service and return, or be the back-end itself and stay */
  constructor(private readonly command: string) {
    process.on("exit", this.kill);
  }

  /** Runs the command; what an earlier run of it left in the foreground is ended first. */
  async start(): Promise<void> {
    await this.end();
    // A process group of its own, so that all that it starts can be ended together.
    this.child = spawn("/bin/sh", ["-c", this.command], { stdio: "ignore", detached: true });
    this.child.on("error", () => {});
  }

  /** What `attempt` resolves to, tried until it does. Throws its last error when that takes too long. */
  async untilReady<T>(attempt: () => Promise<T>): Promise<T> {
    const end = performance.now() + START_MS;
    for (;;) {
      try {
        return await attempt();
      } catch (error) {
        const { exitCode } = this.child!;
        if (exitCode !== null && exitCode !== 0) throw new Error(`--restart ended with exit code ${exitCode}`);
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

  private async end(): Promise<void> {
    const { child } = this;
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
    const gone = once(child, "exit");
    this.signal("SIGTERM");
    await Promise.race([gone, sleep(END_MS, undefined, { ref: false })]);
    this.signal("SIGKILL");
    await gone;
  }

  private signal(signal: NodeJS.Signals): void {
    const { child } = this;
    if (child?.pid === undefined || child.exitCode !== null || child.signalCode !== null) return;
    try {
      process.kill(-child.pid, signal);
    } catch {
      // It has just ended by itself.
    }
  }
}
