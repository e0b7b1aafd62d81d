// `ringbridge status`: asks the switch at the control socket and shows what it says.

import { ControlClient } from "../api/control-client.js";
import type { SwitchStatus } from "../api/status.js";
import { didYouMean } from "../config/problems.js";
import type { Io } from "./io.js";
import { portRates, renderStatus } from "./status-view.js";

export interface StatusOptions {
  control: string;
  /** The SwitchStatus as JSON: indented once, or with `watch` one line per second. */
  json?: boolean;
  /** Again every second, until a signal comes or nobody reads. */
  watch?: boolean;
  /** Only this port. */
  port?: string;
  /** Milliseconds between two snapshots that make a rate, and between two pictures of `watch`. */
  sampleMs?: number;
  intervalMs?: number;
}

/** Runs the command; resolves to the exit code. */
export async function statusCommand(options: StatusOptions, io: Io): Promise<number> {
  const client = new ControlClient(options.control);
  const ask = async () => onlyPort(await client.status(), options.port);
  if (options.watch) return watch(ask, options, io);

  const first = await ask();
  if (options.json) {
    io.stdout.write(`${JSON.stringify(first, null, 2)}\n`);
    return 0;
  }
  await sleep(options.sampleMs ?? 300);
  const second = await ask();
  io.stdout.write(renderStatus(second, portRates(first, second)));
  return 0;
}

async function watch(ask: () => Promise<SwitchStatus>, options: StatusOptions, io: Io): Promise<number> {
  const stop = new AbortController();
  const end = () => stop.abort();
  for (const signal of ["SIGINT", "SIGTERM"] as const) io.signals.on(signal, end);
  // `ringbridge status --watch | head` has read enough.
  io.stdout.on?.("error", end);
  try {
    let before: SwitchStatus | undefined;
    while (!stop.signal.aborted) {
      const now = await ask();
      if (options.json) {
        io.stdout.write(`${JSON.stringify(now)}\n`);
      } else {
        // Home and clear: every terminal knows these two, also inside tmux and screen.
        const separator = io.stdout.isTTY ? "\x1b[H\x1b[2J" : before === undefined ? "" : "\n";
        io.stdout.write(separator + renderStatus(now, before === undefined ? new Map() : portRates(before, now)));
      }
      before = now;
      await sleep(options.intervalMs ?? 1000, stop.signal);
    }
    return 0;
  } finally {
    for (const signal of ["SIGINT", "SIGTERM"] as const) io.signals.off(signal, end);
    io.stdout.off?.("error", end);
  }
}

function onlyPort(status: SwitchStatus, name: string | undefined): SwitchStatus {
  if (name === undefined) return status;
  const ports = status.ports.filter((port) => port.name === name);
  if (ports.length === 0) {
    const names = status.ports.map((port) => port.name);
    const hint = didYouMean(name, names) || `: the ports are ${names.join(", ") || "none"}`;
    throw new Error(`the switch has no port "${name}"${hint}`);
  }
  return { ...status, ports };
}

/** Resolves after the time, or as soon as the signal aborts. */
function sleep(milliseconds: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const done = () => {
      clearTimeout(timer);
      signal?.removeEventListener("abort", done);
      resolve();
    };
    const timer = setTimeout(done, milliseconds);
    signal?.addEventListener("abort", done);
    if (signal?.aborted) done();
  });
}
