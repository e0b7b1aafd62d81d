// From what a switch says about itself to what the live page is told: all of it once, then what is different.

import { isDeepStrictEqual } from "node:util";
import type { PortStatus, SwitchStatus } from "../api/status.js";
import type { LiveSource } from "./live-source.js";
import { ADDRESSES_MAX, type LiveChange, type LivePort, type LivePortChange, type LiveState } from "./live.js";

/** When addresses came or went, and for their ages. Milliseconds. */
const ADDRESSES_SOON_MS = 1000;
const ADDRESSES_LATE_MS = 5000;

/** What the change before was made from. */
interface Known {
  ports: Map<string, LivePort>;
  workers: string;
  memory: string;
  fdb: string;
  message: number;
  addressesAt: number;
}

export class LiveStates {
  private known: Known | undefined;

  constructor(private readonly source: LiveSource) {}

  /** Everything, for one who has just come. Changes of before are of no harm to him, and may be in it. */
  state(): LiveState {
    const status = this.source.status();
    const { messages, missed } = this.source.messages.since(0);
    return {
      version: status.version,
      pid: status.pid,
      wasmHash: status.wasmHash,
      startedAt: Math.round(Date.now() - status.uptimeMs),
      takenAtMs: status.takenAtMs,
      ports: status.ports.map(livePort),
      workers: status.workers,
      memory: status.memory,
      fdb: status.fdb,
      addresses: this.source.fdb(ADDRESSES_MAX),
      messages,
      messagesMissed: missed,
    };
  }

  /** Begins anew: the next change is one since now. */
  restart(): void {
    this.known = knownOf(this.source.status(), this.source.messages.since(0).last, 0);
  }

  /** What is different since the last call, or since `restart`. */
  change(): LiveChange {
    const status = this.source.status();
    const before = this.known ?? knownOf(status, 0, 0);
    const { messages, missed, last } = this.source.messages.since(before.message);
    const now = knownOf(status, last, before.addressesAt);
    for (const [name, port] of now.ports) keepSince(port, before.ports.get(name));
    const change: LiveChange = { takenAtMs: status.takenAtMs };
    const ports = [...now.ports.values()].flatMap((port) => portChange(before.ports.get(port.name), port) ?? []);
    const gone = [...before.ports.keys()].filter((name) => !now.ports.has(name));
    if (ports.length > 0) change.ports = ports;
    if (gone.length > 0) change.portsGone = gone;
    if (now.workers !== before.workers) change.workers = status.workers;
    if (now.memory !== before.memory) change.memory = status.memory;
    if (now.fdb !== before.fdb) change.fdb = status.fdb;
    // Reading the table reads all of it.
    const age = status.takenAtMs - before.addressesAt;
    if (age >= ADDRESSES_LATE_MS || (change.fdb !== undefined && age >= ADDRESSES_SOON_MS)) {
      change.addresses = this.source.fdb(ADDRESSES_MAX);
      now.addressesAt = status.takenAtMs;
    }
    if (messages.length > 0) change.messages = messages;
    if (missed > 0) change.messagesMissed = missed;
    this.known = now;
    return change;
  }
}

function knownOf(status: SwitchStatus, message: number, addressesAt: number): Known {
  return {
    ports: new Map(status.ports.map((port) => [port.name, livePort(port)])),
    workers: JSON.stringify(status.workers),
    memory: JSON.stringify(status.memory),
    fdb: JSON.stringify(status.fdb),
    message,
    addressesAt,
  };
}

function livePort({ stateForMs, ...port }: PortStatus): LivePort {
  return { ...port, stateSince: Math.round(Date.now() - stateForMs) };
}

/** Two clocks that are read one after the other give a time anew that is not quite the same. */
function keepSince(now: LivePort, before: LivePort | undefined): void {
  if (before?.state === now.state && before.connections === now.connections) now.stateSince = before.stateSince;
}

/** The fields of a port that are different; undefined when none is. */
function portChange(before: LivePort | undefined, now: LivePort): LivePortChange | undefined {
  if (before === undefined || before.id !== now.id) return now;
  const change: Record<string, unknown> = {};
  for (const key of new Set([...Object.keys(before), ...Object.keys(now)]) as Set<keyof LivePort>) {
    if (!isDeepStrictEqual(before[key], now[key])) change[key] = now[key] ?? null;
  }
  return Object.keys(change).length > 0 ? { ...change, name: now.name } : undefined;
}
