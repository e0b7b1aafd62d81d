// The back-end under test: its sockets, how one gets a connection to each, and what can be seen of its process.

import { existsSync, readdirSync, readFileSync } from "node:fs";
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
    const path = this.target.sockets[port]!;
    const fd = this.target.role === "listen" ? await this.accept(path) : await this.dial(path);
    const link = new Link(fd, this.timeoutMs);
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

  /** True when the process is known to have ended. */
  isGone(pid: number | undefined): boolean {
    return pid !== undefined && !existsSync(`/proc/${pid}`);
  }

  close(): void {
    for (const [path, fd] of this.listeners) {
      closeFd(fd);
      claimSocketPath(path);
    }
    this.listeners.clear();
  }

  private async dial(path: string): Promise<Fd> {
    const end = performance.now() + this.timeoutMs;
    for (;;) {
      try {
        return connectUnix(path);
      } catch (error) {
        if (!isSystemError(error, "ENOENT", "ECONNREFUSED", "EAGAIN")) throw error;
        if (performance.now() >= end) throw new Failure(`nobody listens on ${path} (${error.code})`);
      }
      await sleep(RETRY_MS);
    }
  }

  private async accept(path: string): Promise<Fd> {
    const listener = this.listeners.get(path)!;
    const fd = await within(this.timeoutMs, () => acceptUnix(listener) ?? undefined);
    if (fd === undefined) throw new Failure(`nobody connected to ${path} within ${this.timeoutMs / 1000} s`);
    return fd;
  }
}
