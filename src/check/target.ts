// The back-end under test: its sockets, how one gets a connection to each, and what can be seen of its process.

import { readdirSync, readFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { PROTOCOL_F_CONFIGURE_MEM_SLOTS, PROTOCOL_F_MQ } from "../vhost-user/features.js";
import { hasBit } from "../core/feature-bits.js";
import { VHOST_USER_F_PROTOCOL_FEATURES } from "../../assembly/spec/virtio.js";
import { closeFd } from "../sys/memfd.js";
import { acceptUnix, connectUnix, listenUnix } from "../sys/socket.js";
import { claimSocketPath } from "../sys/stale.js";
import { isSystemError } from "../sys/system-error.js";
import type { Fd } from "../vhost-user/effects.js";
import { u64 } from "./payloads.js";
import { Link } from "./link.js";
import type { OneByOne } from "./once.js";
import { START_MS } from "./restart.js";
import { Failure } from "./verdict.js";
import { within } from "./wait.js";

const RETRY_MS = 20;

export interface Target {
  /** One socket, or two between which the back-end passes frames. */
  sockets: string[];
  /** "connect": the back-end listens on them. "listen": it connects to sockets that are made here. */
  role: "connect" | "listen";
}

/** What a back-end says of itself. */
export interface Offer {
  features: bigint;
  protocolFeatures: bigint;
  /** Of GET_QUEUE_NUM; 1 without VHOST_USER_PROTOCOL_F_MQ. */
  queuePairs: number;
  /** Of GET_MAX_MEM_SLOTS; 8 without CONFIGURE_MEM_SLOTS. */
  memSlots: number;
}

export class Sockets {
  private readonly listeners = new Map<string, Fd>();
  /** The process that answered last, where the kernel tells. */
  pid: number | undefined;

  constructor(
    readonly target: Target,
    readonly timeoutMs: number,
    /** Of a back-end that serves one connection at each socket and ends. */
    readonly once?: OneByOne,
  ) {}

  /** Makes the sockets, where that is ours to do. Throws a SystemError when a path cannot be had. */
  prepare(): void {
    if (this.target.role === "connect") return;
    for (const path of this.target.sockets) {
      claimSocketPath(path);
      this.listeners.set(path, listenUnix(path));
    }
  }

  /** A new connection to one of the sockets. Throws a Failure when there is none to be had within the time limit. */
  async connect(port: number): Promise<Link> {
    await this.once?.prepare(port);
    const fd = this.target.role === "listen" ? await this.accept(port) : await this.dial(port);
    this.once?.opened(port);
    const link = new Link(fd, this.timeoutMs, () => this.once?.closed(port));
    this.pid = link.pid ?? this.pid;
    return link;
  }

  /** Asks for all that is offered. Throws a Failure when the back-end does not answer. */
  async offer(port = 0): Promise<Offer> {
    const link = await this.connect(port);
    try {
      const features = await link.number("GET_FEATURES");
      const none = { features, protocolFeatures: 0n, queuePairs: 1, memSlots: 8 };
      if (!hasBit(features, VHOST_USER_F_PROTOCOL_FEATURES)) return none;
      const protocolFeatures = await link.number("GET_PROTOCOL_FEATURES");
      const wanted = [PROTOCOL_F_MQ, PROTOCOL_F_CONFIGURE_MEM_SLOTS].reduce(
        (set, bit) => set | (1n << BigInt(bit)),
        0n,
      );
      await link.say("SET_PROTOCOL_FEATURES", u64(protocolFeatures & wanted));
      const queuePairs = hasBit(protocolFeatures, PROTOCOL_F_MQ) ? Number(await link.number("GET_QUEUE_NUM")) : 1;
      const slots = hasBit(protocolFeatures, PROTOCOL_F_CONFIGURE_MEM_SLOTS);
      const memSlots = slots ? Number(await link.number("GET_MAX_MEM_SLOTS")) : none.memSlots;
      return { features, protocolFeatures, queuePairs, memSlots };
    } finally {
      link.close();
    }
  }

  /** Descriptors that the back-end's process has open; undefined where that cannot be seen. */
  descriptors(): number | undefined {
    if (this.pid === undefined) return undefined;
    try {
      return readdirSync(`/proc/${this.pid}/fd`).length;
    } catch {
      return undefined;
    }
  }

  /** Mappings of the back-end's process; undefined where they cannot be seen. */
  mappings(): number | undefined {
    if (this.pid === undefined) return undefined;
    try {
      return readFileSync(`/proc/${this.pid}/maps`, "latin1").split("\n").length;
    } catch {
      return undefined;
    }
  }

  /** True when the process is known to have ended, also when nobody has asked yet how. */
  isGone(pid: number | undefined): boolean {
    if (pid === undefined) return false;
    try {
      // The state follows the program's name, which stands in brackets and may have any in it (proc(5)).
      return /^[ZX]/.test(readFileSync(`/proc/${pid}/stat`, "latin1").split(") ").at(-1)!);
    } catch {
      return true;
    }
  }

  close(): void {
    for (const [path, fd] of this.listeners) {
      closeFd(fd);
      claimSocketPath(path);
    }
    this.listeners.clear();
  }

  private async dial(port: number): Promise<Fd> {
    const path = this.target.sockets[port]!;
    const end = performance.now() + this.patienceMs;
    for (;;) {
      try {
        return connectUnix(path);
      } catch (error) {
        if (!isSystemError(error, "ENOENT", "ECONNREFUSED", "EAGAIN")) throw error;
        this.demandAlive(port);
        if (performance.now() >= end) throw new Failure(`nobody listens on ${path} (${error.code})`);
      }
      await sleep(RETRY_MS);
    }
  }

  private async accept(port: number): Promise<Fd> {
    const path = this.target.sockets[port]!;
    const listener = this.listeners.get(path)!;
    const fd = await within(this.patienceMs, () => {
      const accepted = acceptUnix(listener) ?? undefined;
      if (accepted === undefined) this.demandAlive(port);
      return accepted;
    });
    if (fd === undefined) throw new Failure(`nobody connected to ${path} within ${this.patienceMs / 1000} s`);
    return fd;
  }

  /** How long a connection may take to be had: a process may have to start first. */
  private get patienceMs(): number {
    return this.once ? START_MS : this.timeoutMs;
  }

  private demandAlive(port: number): void {
    const ended = this.once?.ended(port);
    if (ended !== undefined)
      throw new Failure(`${this.target.sockets[port]}: its command ended before a connection (${ended})`);
  }
}
