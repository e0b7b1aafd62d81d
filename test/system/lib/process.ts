// Child processes of the system tests: started with a log file of their own, ended by pid whatever happens to the test.
// Three nets hold them: the end of the test file (setup.ts), the exit of this process, and the kernel's parent-death
// signal (through setpriv), which also covers a SIGKILLed test runner.
import { type ChildProcess, spawn } from "node:child_process";
import { createWriteStream, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";

/** A folder for the sockets and logs of one test file. Short, because a unix socket path holds 107 bytes. */
export const scratch = mkdtempSync(join(tmpdir(), "rb-"));

const children = new Set<Child>();
let started = 0;

/** A started process and its log. */
export interface Child {
  readonly name: string;
  readonly pid: number;
  readonly process: ChildProcess;
  /** File that stdout and stderr go to. */
  readonly log: string;
  /** How it ended, in words; undefined while it runs. */
  readonly ended: string | undefined;
  /** Everything written so far (from the start of the process). */
  output(): string;
  /** The same of stdout alone. */
  stdout(): string;
  /** Calls `listener` with every piece of output from now on. */
  onOutput(listener: (text: string) => void): void;
  /** Sends a signal and waits until the process is gone; SIGKILL after `limitMs`. Does nothing when it already is. */
  end(signal?: NodeJS.Signals, limitMs?: number): Promise<void>;
}

/** Another user, for which this process must be root: numbers of user and groups, and the umask. */
export interface Credentials {
  uid: number;
  gid: number;
  groups: readonly number[];
  umask: number;
}

/** The words that start a program as another user. */
function asUser({ uid, gid, groups, umask }: Credentials, command: readonly string[]): string[] {
  const others = groups.length > 0 ? [`--groups=${groups.join(",")}`] : ["--clear-groups"];
  // With another user the kernel forgets the parent-death signal: it is set again.
  const user = ["setpriv", `--reuid=${uid}`, `--regid=${gid}`, ...others, "--pdeathsig", "KILL"];
  return ["sh", "-c", `umask ${umask.toString(8)}; exec "$@"`, "sh", ...user, ...command];
}

/**
 * Starts a process. `name` is what messages and the log file call it. The environment is this process's own.
 * Throws when the file cannot be executed.
 */
export function start(name: string, file: string, args: readonly string[], as?: Credentials): Child {
  const log = join(scratch, `${++started}-${name}.log`);
  const file_ = createWriteStream(log);
  const command = as === undefined ? [file, ...args] : asUser(as, [file, ...args]);
  const process_ = spawn("setpriv", ["--pdeathsig", "KILL", ...command], { stdio: ["pipe", "pipe", "pipe"] });
  let output = `$ ${file} ${args.join(" ")}\n`;
  let ended: string | undefined;
  const listeners: ((text: string) => void)[] = [];
  file_.write(output);
  let stdout = "";
  for (const stream of [process_.stdout, process_.stderr]) {
    stream.setEncoding("utf8");
    stream.on("data", (text: string) => {
      output += text;
      if (stream === process_.stdout) stdout += text;
      file_.write(text);
      for (const listener of listeners) listener(text);
    });
  }
  // A process that is gone cannot read its stdin; that it is gone is what `ended` says.
  process_.stdin.on("error", () => {});
  const gone = new Promise<void>((resolve) => {
    process_.once("error", (error) => {
      ended = `could not be started: ${error.message}`;
      resolve();
    });
    process_.once("exit", (code, signal) => {
      ended = signal === null ? `exited with status ${code}` : `was ended by ${signal}`;
      file_.write(`\n[${ended}]\n`);
      resolve();
    });
  });
  const child: Child = {
    name,
    pid: process_.pid ?? 0,
    process: process_,
    log,
    get ended() {
      return ended;
    },
    output: () => output,
    stdout: () => stdout,
    onOutput: (listener) => listeners.push(listener),
    async end(signal = "SIGTERM", limitMs = 10_000) {
      if (ended === undefined) {
        process_.kill(signal);
        const timer = setTimeout(() => process_.kill("SIGKILL"), limitMs);
        await gone;
        clearTimeout(timer);
      }
    },
  };
  children.add(child);
  return child;
}

/** Ends every process that still runs, the youngest first (a guest before the switch it is plugged into). */
export async function endAll(): Promise<void> {
  for (const child of [...children].reverse()) await child.end("SIGKILL");
}

/** The last lines of every log, for the report of a failed test. */
export function logTails(lines = 15): string {
  return [...children]
    .map((child) => {
      const tail = readFileSync(child.log, "utf8").trimEnd().split("\n").slice(-lines).join("\n");
      return `--- ${child.log} (${child.ended ?? "running"})\n${tail}`;
    })
    .join("\n");
}

/** Removes sockets and logs. */
export function removeScratch(): void {
  rmSync(scratch, { recursive: true, force: true });
}

/**
 * Waits until `probe` gives something else than undefined or false, and returns it.
 * Throws when `limitMs` is over, or at once when one of `needed` has ended: it would never come.
 */
export async function waitFor<T>(
  what: string,
  limitMs: number,
  probe: () => T | undefined | false | Promise<T | undefined | false>,
  needed: readonly Child[] = [],
): Promise<T> {
  const end = performance.now() + limitMs;
  for (;;) {
    const found = await probe();
    if (found !== undefined && found !== false) return found;
    for (const child of needed) {
      if (child.ended !== undefined) {
        throw new Error(`waiting for ${what}: ${child.name} ${child.ended}; see ${child.log}`);
      }
    }
    if (performance.now() > end) throw new Error(`waited ${limitMs / 1000} s in vain for ${what}`);
    await sleep(50);
  }
}

/** One line about what goes on, so that a suite of minutes does not look dead. */
export function progress(text: string): void {
  process.stderr.write(`  · ${text}\n`);
}

function killAllNow(): void {
  for (const child of children) if (child.ended === undefined) child.process.kill("SIGKILL");
}
process.once("exit", () => {
  killAllNow();
  // Where every test was skipped nothing was put there, and no afterAll ran.
  if (children.size === 0) removeScratch();
});
// An interrupted runner leaves at once and its worker, which this is, would go on until its test is over.
process.once("disconnect", () => process.exit(1));
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) {
  process.once(signal, () => {
    killAllNow();
    process.exit(1);
  });
}
