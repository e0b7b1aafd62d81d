// `ringbridge agent`: keeps the ports of a running switch equal to a source, until a signal ends it. The ports stay then.

import { accessSync, constants, existsSync } from "node:fs";
import { hostname } from "node:os";
import { dirname, isAbsolute, resolve } from "node:path";
import { ControlClient } from "../api/control-client.js";
import { Agent, type AgentEvent } from "../agent/agent.js";
import { FolderSource } from "../agent/folder-source.js";
import { ListSource } from "../agent/list-source.js";
import { SnabbSource } from "../agent/snabb-source.js";
import type { PortSource } from "../agent/source.js";
import { StateFile } from "../agent/state-file.js";
import { type Io, UsageError } from "./io.js";

/** As written on the command line. */
export interface AgentFlags {
  control: string;
  folder?: string;
  list?: string;
  snabb?: string;
  host?: string;
  state?: string;
  owner: string;
  interval?: number;
  socketMode?: string;
  socketGroup?: string;
  socketFolder?: string[];
  once?: boolean;
}

const INTERVAL_SECONDS = 1;

/** Runs the command. With `once` one round, and exit code 1 when not all that is wanted is there. */
export async function agentCommand(flags: AgentFlags, io: Io): Promise<number> {
  const stop = new AbortController();
  const agent = new Agent({
    source: sourceOf(flags),
    switch: new ControlClient(flags.control),
    owner: flags.owner,
    state: stateOf(flags.state),
    emit: (event: AgentEvent) => io.stdout.write(`${JSON.stringify({ time: new Date().toISOString(), ...event })}\n`),
    intervalMs: (flags.interval ?? INTERVAL_SECONDS) * 1000,
    access: {
      ...(flags.socketMode !== undefined && { mode: flags.socketMode }),
      ...(flags.socketGroup !== undefined && { group: flags.socketGroup }),
    },
    folders: (flags.socketFolder ?? []).map(absoluteFolder),
  });
  if (flags.once) return (await agent.round()).converged ? 0 : 1;
  const end = () => stop.abort();
  const again = () => agent.poke();
  io.signals.on("SIGTERM", end);
  io.signals.on("SIGINT", end);
  io.signals.on("SIGHUP", again);
  // Nobody wants to know any more.
  io.stdout.on?.("error", end);
  try {
    await agent.run(stop.signal);
    return 0;
  } finally {
    io.signals.off("SIGTERM", end);
    io.signals.off("SIGINT", end);
    io.signals.off("SIGHUP", again);
    io.stdout.off?.("error", end);
  }
}

function sourceOf({ folder, list, snabb, host }: AgentFlags): PortSource {
  const given = [folder, list, snabb].filter((path) => path !== undefined);
  if (given.length !== 1) {
    throw new UsageError("an agent needs one source of ports: --folder DIR, --list FILE or --snabb DIR");
  }
  if (host !== undefined && snabb === undefined) throw new UsageError("--host goes with --snabb: leave it away");
  if (folder !== undefined) return new FolderSource(resolve(folder));
  if (list !== undefined) return new ListSource(resolve(list));
  return new SnabbSource(resolve(snabb!), host ?? hostname());
}

function stateOf(path: string | undefined): StateFile | undefined {
  if (path === undefined) return undefined;
  const full = resolve(path);
  const folder = dirname(full);
  if (!existsSync(folder)) throw new UsageError(`--state ${path}: the folder ${folder} does not exist; create it`);
  try {
    accessSync(folder, constants.W_OK);
  } catch {
    throw new UsageError(`--state ${path}: this user may not write in ${folder}: choose another path`);
  }
  return new StateFile(full);
}

function absoluteFolder(path: string): string {
  if (!isAbsolute(path)) throw new UsageError(`--socket-folder ${path}: must be absolute, as sockets are`);
  return path;
}
