// `ringbridge run`: starts a switch and its control socket, and stays until a signal ends it.
//
//   SIGTERM, SIGINT   stop the switch, remove the sockets, exit 0; a second one ends the process at once
//   SIGHUP            read the configuration file again and apply what can be applied; a bad file changes nothing

import type { Logger } from "pino";
import type { ControlServer } from "../api/control-server.js";
import { type ChangeableSwitch, LivePorts } from "../api/live-ports.js";
import type { ReloadResult, SwitchControl } from "../api/status.js";
import { loadConfig } from "../config/load.js";
import { ConfigError } from "../config/problems.js";
import type { SwitchConfig } from "../config/schema.js";
import type { SwitchOptions } from "../switch/switch.js";
import type { LiveServer } from "../web/live-server.js";
import type { LiveSource } from "../web/live-source.js";
import { type Io, UsageError } from "./io.js";
import { packageVersion } from "../version.js";

export interface RunOptions {
  /** Path of the YAML file. */
  config?: string;
  /** Values of --port. */
  port?: string[];
  /** Values of --socket-path. */
  socketPath?: string[];
  /** Values of --fd. */
  fd?: string[];
  printCapabilities?: boolean;
  /** No ports are no mistake: they will be plugged. */
  empty?: boolean;
  control?: string;
  /** As written; the configuration's checks judge it. */
  workers?: unknown;
  poll?: boolean;
  /** Folder for transcripts of all connections. */
  record?: string;
  /** Values of --web and --web-token; the configuration's checks judge them. */
  web?: string;
  webToken?: string;
  logLevel: string;
  logJson?: boolean;
  debug?: boolean;
}

/** The switch as this command uses it. */
export interface RunningSwitch extends ChangeableSwitch, LiveSource {
  stop(): Promise<void>;
}

/** Starts a switch: the real one, or one of a test. */
export type StartSwitch = (config: SwitchConfig, log: Logger, options: SwitchOptions) => Promise<RunningSwitch>;

const startRealSwitch: StartSwitch = async (config, log, options) => {
  const { Switch } = await import("../switch/switch.js");
  return Switch.start(config, log, options);
};

/** Runs the command until a signal; resolves to the exit code. */
export async function runCommand(options: RunOptions, io: Io, startSwitch = startRealSwitch): Promise<number> {
  if (options.printCapabilities) {
    // QEMU docs/interop/vhost-user.rst, "Backend program conventions": whatever else is given is ignored.
    io.stdout.write(`${JSON.stringify({ type: "net" })}\n`);
    return 0;
  }
  const given = [options.port, options.socketPath, options.fd].some((list) => list?.length);
  if (options.config === undefined && !given && !options.empty) {
    throw new UsageError(
      "nothing to run: give a configuration file, or ports such as --port vm1=listen:/tmp/vm1.sock, or --empty",
    );
  }
  const load = () =>
    loadConfig({
      file: options.config,
      portFlags: options.port,
      socketPaths: options.socketPath,
      fds: options.fd,
      flags: { workers: options.workers, poll: options.poll, control: options.control, web: webFlags(options) },
      env: io.env,
    });
  const config = load();
  const { createLogger } = await import("./log.js");
  const log = createLogger({
    level: options.logLevel,
    json: options.logJson ?? false,
    debug: options.debug ?? false,
    output: io.stderr,
  });

  const ended = untilSignal(io, log);
  let server: ControlServer | undefined;
  let live: LiveServer | undefined;
  let running: RunningSwitch | undefined;
  try {
    const starting = startSwitch(config, log, { record: options.record });
    // HTTP is loaded while the workers come up: the ports need not wait for it.
    const serverModule = import("../api/control-server.js");
    running = await starting;
    const ports = new LivePorts(running, config, options.config === undefined ? undefined : load);
    const reload = () => loggedReload(ports, options.config, log);
    live = await startLive(config, running);
    const { startControlServer } = await serverModule;
    server = await startControlServer({ path: config.control, control: controlOf(running, ports, reload, live?.url) });
    ended.onHangup(() => void reload().catch(() => {}));
    announce(config, live, io);
    await ended.promise;
    log.info("stopping");
  } finally {
    await server?.close();
    await live?.close();
    await running?.stop();
    ended.forget();
  }
  log.info("stopped");
  return 0;
}

function webFlags({ web, webToken }: RunOptions) {
  return web === undefined && webToken === undefined ? undefined : { listen: web, token: webToken };
}

const DOING = { listen: "listening on", connect: "connecting to", inherit: "serving" } as const;

/** One line per port, so that whoever started the process knows when front-ends may come. */
function announce(config: SwitchConfig, live: LiveServer | undefined, io: Io): void {
  for (const port of config.ports) {
    io.stdout.write(`${port.name}: ${DOING[port.role]} ${port.path}\n`);
  }
  if (live !== undefined) {
    const withToken = config.web?.token === undefined ? "" : " (with the token that the switch was given)";
    io.stdout.write(`live page: ${live.urlToOpen}${withToken}\n`);
  }
  io.stdout.write(`ringbridge ${packageVersion()} is ready, control socket ${config.control}\n`);
}

interface UntilSignal {
  /** Resolves at the first SIGTERM or SIGINT. */
  promise: Promise<void>;
  onHangup(action: () => void): void;
  /** Gives the signals back. */
  forget(): void;
}

/** Listens to signals from before the switch starts, so that an early Ctrl-C also leaves no sockets behind. */
function untilSignal(io: Io, log: Logger): UntilSignal {
  let end: () => void = () => {};
  const promise = new Promise<void>((resolve) => {
    end = resolve;
  });
  let signalled = false;
  const onEnd = () => {
    if (signalled) {
      log.warn("ended by a second signal: sockets may be left over, the next start removes them");
      io.exit(1);
    }
    signalled = true;
    end();
  };
  let hangup = () => log.info("SIGHUP before the switch was ready: nothing done");
  const onHup = () => {
    if (!signalled) hangup();
  };
  io.signals.on("SIGTERM", onEnd);
  io.signals.on("SIGINT", onEnd);
  io.signals.on("SIGHUP", onHup);
  return {
    promise,
    onHangup: (action) => {
      hangup = action;
    },
    forget: () => {
      io.signals.off("SIGTERM", onEnd);
      io.signals.off("SIGINT", onEnd);
      io.signals.off("SIGHUP", onHup);
    },
  };
}

/** Reads the configuration again and applies it. Logs how it went, and rejects as well, for the control socket. */
async function loggedReload(ports: LivePorts, file: string | undefined, log: Logger): Promise<ReloadResult> {
  try {
    const result = await ports.reload();
    log.info(`read ${file} again: ${changes(result)}`);
    const { needsRestart = [] } = result;
    if (needsRestart.length > 0) {
      log.warn(`${needsRestart.join(", ")} changed in ${file}, but only a restart can apply that: still as before`);
    }
    return result;
  } catch (error) {
    const lines = error instanceof ConfigError ? error.lines : [(error as Error).message];
    for (const line of lines) log.error(`reload: ${line}`);
    if (error instanceof ConfigError) log.error("reload: nothing was changed, the old configuration stays");
    throw error;
  }
}

function changes(result: ReloadResult): string {
  const parts = (["added", "removed", "changed"] as const)
    .filter((kind) => result[kind].length > 0)
    .map((kind) => `${kind} ${result[kind].join(", ")}`);
  return parts.join("; ") || "no port changed";
}

/** The live page's server, if there is to be one; its code is loaded then only. */
async function startLive(config: SwitchConfig, source: LiveSource): Promise<LiveServer | undefined> {
  if (config.web === undefined) return undefined;
  const { startLiveServer } = await import("../web/live-server.js");
  return startLiveServer({ ...config.web, source });
}

function controlOf(
  running: RunningSwitch,
  ports: LivePorts,
  reload: () => Promise<ReloadResult>,
  web: string | undefined,
): SwitchControl {
  return {
    status: () => ({ ...ports.status(), web }),
    fdb: () => running.fdb(),
    flushFdb: (port) => running.flushFdb(port),
    capture: (options) => running.capture(options),
    stopCapture: (id) => running.stopCapture(id),
    plug: (name, port, owner) => ports.plug(name, port, owner),
    unplug: (name, owner) => ports.unplug(name, owner),
    reload,
  };
}
