// What the live page is told: the documents and events of its server, as plain data. The page and the server share it.
//
//   GET /v1/state                       LiveState
//   GET /v1/live                        server-sent events: "state" LiveState first, then "change" LiveChange
//   GET /v1/ring?port=NAME&queue=N      server-sent events: "ring" LiveRing

import type { FdbEntryStatus, FdbStatus, PortStatus, WorkerStatus } from "../api/status.js";
import type { RingView } from "../core/ring-view.js";

/** A port without what changes all the time by itself. */
export type LivePort = Omit<PortStatus, "stateForMs"> & {
  /** Milliseconds since 1970 at which the port came into its state. */
  stateSince: number;
};

/** Where an address was learned. */
export type LiveAddress = FdbEntryStatus;

/** One thing that front-end and switch said to each other, or that came of it. */
export interface LiveMessage {
  /** Counts up; some may be missing. */
  number: number;
  /** Milliseconds since 1970. */
  at: number;
  port: string;
  /** Counts the connections of all ports. */
  connection: number;
  kind: "front-end" | "back-end" | "ring" | "failed" | "opened" | "closed";
  /** Name of the request, or of what happened. */
  name: string;
  /** Fields as "name=value". */
  text: string;
  needReply?: true;
}

/** Lines behind one that is known already. */
export interface MessagesSince {
  messages: LiveMessage[];
  /** The number of the last line: where to go on. */
  last: number;
  /** Lines that came and are gone already, or were too many in their second. */
  missed: number;
}

/** Everything at one moment. */
export interface LiveState {
  version: string;
  pid: number;
  wasmHash: string;
  /** Milliseconds since 1970 at which the switch was started. */
  startedAt: number;
  /** Monotonic milliseconds at which it was taken: rates are differences of two. */
  takenAtMs: number;
  ports: LivePort[];
  workers: WorkerStatus[];
  memory: { totalBytes: number; windowBytesUsed: number };
  fdb: FdbStatus;
  addresses: LiveAddress[];
  messages: LiveMessage[];
  messagesMissed: number;
}

/** What is different from the event before. A field that is absent is as it was. */
export interface LiveChange {
  takenAtMs: number;
  /** Ports that are new come whole, others with what changed of them; a field of null is there no more. */
  ports?: LivePortChange[];
  /** Names of ports that are gone. */
  portsGone?: string[];
  workers?: WorkerStatus[];
  memory?: LiveState["memory"];
  fdb?: FdbStatus;
  /** The whole list, at most ADDRESSES_MAX of it, every few seconds and when addresses came or went. */
  addresses?: LiveAddress[];
  /** New ones. */
  messages?: LiveMessage[];
  messagesMissed?: number;
}

export type LivePortChange = { name: string } & { [Key in keyof LivePort]?: LivePort[Key] | null };

/** The longest list of addresses that is sent; `fdb.entries` says how many there are. */
export const ADDRESSES_MAX = 1000;

/** A ring, or why there is none to be seen. */
export type LiveRing = { port: string; queue: number; takenAtMs: number } & (
  | { ring: RingView; absent?: undefined }
  | { ring?: undefined; absent: string }
);
