// Where a port's front-ends come from: a socket that we listen on, or one that we connect to again and again.
// A port serves one front-end at a time, any number one after the other.

import { rmSync } from "node:fs";
import type { Reactor, Watch } from "../sys/reactor.js";
import { closeFd } from "../sys/memfd.js";
import { acceptUnix, connectUnix, listenUnix, peerPid, setNonBlocking, socketState } from "../sys/socket.js";
import { claimSocketPath } from "../sys/stale.js";
import { SystemError } from "../sys/system-error.js";
import type { Fd } from "../vhost-user/effects.js";
import type { SessionOptions } from "../vhost-user/session.js";
import { Connection } from "./connection.js";
import type { Port } from "./port.js";
import type { Recorder } from "./transcripts.js";

/** A newcomer waits this long for the front-end before it to go; QEMU's successor may be quicker than its death. */
const TAKEOVER_MS = 1000;
const RETRY_FIRST_MS = 50;
const RETRY_MAX_MS = 1000;

export interface Endpoint {
  readonly connection: Connection | undefined;
  /** Front-ends so far. */
  readonly connections: number;
  /** performance.now() at the last change between waiting and connected. */
  readonly since: number;
  /** The device has another MTU from now on, for the front-end that is there too. */
  setMtu(mtu: number | undefined): void;
  /** Disconnects, and frees the socket. */
  close(): Promise<void>;
}

/** Starts to listen or to connect, as the port's configuration says. Throws when the socket cannot be had. */
export function openEndpoint(
  port: Port,
  reactor: Reactor,
  options: SessionOptions,
  recorders: readonly Recorder[],
): Endpoint {
  const { role, fd } = port.config;
  if (role !== "inherit") {
    const Role = role === "listen" ? Listener : Connector;
    return new Role(port, reactor, options, recorders);
  }
  const Role = kindOfInherited(fd!) === "listening" ? Listener : Given;
  setNonBlocking(fd!, true);
  return new Role(port, reactor, options, recorders);
}

function kindOfInherited(fd: Fd): "listening" | "connected" {
  try {
    return socketState(fd);
  } catch (error) {
    const reason = (error as Error).message;
    throw new Error(`descriptor ${fd} is no open socket (${reason}): start the program with one there, as --fd asks`);
  }
}

/** What both roles share: the one connection of the port. */
abstract class Attachment implements Endpoint {
  connection: Connection | undefined;
  connections = 0;
  since = performance.now();
  protected closed = false;

  constructor(
    protected readonly port: Port,
    protected readonly reactor: Reactor,
    private options: SessionOptions,
    private readonly recorders: readonly Recorder[],
  ) {}

  setMtu(mtu: number | undefined): void {
    this.options = { ...this.options, mtu };
    this.connection?.setMtu(mtu ?? null);
  }

  abstract close(): Promise<void>;

  protected attach(fd: Fd): void {
    const connection = new Connection(fd, this.port, this.reactor, this.options, this.recorders);
    this.connection = connection;
    this.connections++;
    this.since = performance.now();
    this.port.lastError = undefined;
    const pid = connection.peerPid === undefined ? "" : ` (pid ${connection.peerPid})`;
    this.port.log.info(`front-end connected${pid}`);
    void connection.ended.then(() => {
      this.connection = undefined;
      this.since = performance.now();
      if (this.closed) return;
      this.port.log.info("front-end disconnected");
      this.detached();
    });
  }

  /** The connection has ended by itself. */
  protected abstract detached(): void;
}

class Listener extends Attachment {
  private readonly fd: Fd;
  private readonly watch: Watch;
  private newcomer: { fd: Fd; timer: NodeJS.Timeout } | undefined;

  constructor(port: Port, reactor: Reactor, options: SessionOptions, recorders: readonly Recorder[]) {
    super(port, reactor, options, recorders);
    const { path, mode, gid, fd } = port.config;
    if (fd === undefined) claimSocketPath(path);
    this.fd = fd ?? listenUnix(path, { mode, group: gid });
    this.watch = reactor.watch(this.fd, { readable: () => this.accept() });
  }

  async close(): Promise<void> {
    this.closed = true;
    this.watch.stop();
    closeFd(this.fd);
    if (this.port.config.fd === undefined) rmSync(this.port.config.path, { force: true });
    this.dismissNewcomer();
    await this.connection?.close();
  }

  protected detached(): void {
    if (this.newcomer === undefined) return;
    const { fd, timer } = this.newcomer;
    clearTimeout(timer);
    this.newcomer = undefined;
    this.attach(fd);
  }

  private accept(): void {
    const fd = acceptUnix(this.fd);
    if (fd === null) return;
    if (this.connection === undefined) {
      this.attach(fd);
      return;
    }
    this.dismissNewcomer();
    const timer = setTimeout(() => {
      this.newcomer = undefined;
      const pid = (value: number | undefined) => (value === undefined ? "" : ` (pid ${value})`);
      this.port.fail(
        `a second front-end${pid(peerPid(fd))} was turned away: ` +
          `the port already serves one${pid(this.connection?.peerPid)}; give each guest a port of its own`,
      );
      closeFd(fd);
    }, TAKEOVER_MS);
    this.newcomer = { fd, timer };
  }

  private dismissNewcomer(): void {
    if (this.newcomer === undefined) return;
    clearTimeout(this.newcomer.timer);
    closeFd(this.newcomer.fd);
    this.newcomer = undefined;
  }
}

/** A connection that was made before we were started; when it ends there is no way to another. */
class Given extends Attachment {
  constructor(port: Port, reactor: Reactor, options: SessionOptions, recorders: readonly Recorder[]) {
    super(port, reactor, options, recorders);
    this.attach(port.config.fd!);
  }

  async close(): Promise<void> {
    this.closed = true;
    await this.connection?.close();
  }

  protected detached(): void {
    this.port.log.info("the socket that this port was given is closed: it will serve nobody else");
  }
}

class Connector extends Attachment {
  private timer: NodeJS.Timeout | undefined;
  private delayMs = RETRY_FIRST_MS;
  private lastCode: string | undefined;

  constructor(port: Port, reactor: Reactor, options: SessionOptions, recorders: readonly Recorder[]) {
    super(port, reactor, options, recorders);
    this.connect();
  }

  async close(): Promise<void> {
    this.closed = true;
    clearTimeout(this.timer);
    await this.connection?.close();
  }

  protected detached(): void {
    this.delayMs = RETRY_FIRST_MS;
    this.retry();
  }

  private connect(): void {
    let fd: Fd;
    try {
      fd = connectUnix(this.port.config.path);
    } catch (error) {
      this.explain(error as Error);
      this.retry();
      return;
    }
    this.lastCode = undefined;
    this.delayMs = RETRY_FIRST_MS;
    this.attach(fd);
  }

  private retry(): void {
    this.timer = setTimeout(() => this.connect(), this.delayMs);
    this.delayMs = Math.min(this.delayMs * 2, RETRY_MAX_MS);
  }

  /** The same reason is told once; that nobody listens yet is normal, other reasons need the operator. */
  private explain(error: Error): void {
    const code = error instanceof SystemError ? error.code : error.message;
    if (code === this.lastCode) return;
    this.lastCode = code;
    const { path } = this.port.config;
    if (code === "ENOENT" || code === "ECONNREFUSED") {
      this.port.log.info(`nobody listens on ${path} yet (QEMU: -chardev socket,path=${path},server=on); trying on`);
      return;
    }
    const hint =
      code === "EACCES" ? "the switch's user needs write permission on the socket and search on its folders" : "";
    this.port.fail(`cannot connect: ${error.message}${hint && `: ${hint}`}; trying on`);
  }
}
