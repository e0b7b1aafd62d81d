// What a switch is configured with: the type the switch takes, the limits, and the zod schema of the file's sections.
// The file's keys are kebab-case, the type's are camelCase. Rules that join several keys are in check.ts.

import { z } from "zod";
import { isInterfaceMac, parseMac } from "../core/mac.js";
import { describeValue } from "./problems.js";
import { type WebConfig, WebSchema } from "./web.js";

/** One port of the switch: one vhost-user socket. */
export interface PortConfig {
  name: string;
  /**
   * listen: the switch makes the socket and the front-end connects; connect: the other way round. inherit: whoever
   * started the switch gave it the socket, connected or listening, as a descriptor.
   */
  role: "listen" | "connect" | "inherit";
  /** Absolute path of the socket, at most SOCKET_PATH_MAX bytes; what stands for it where it is inherited. */
  path: string;
  /** Number of an inherited descriptor. */
  fd?: number;
  /** Permission bits of a listening socket; absent: what the umask leaves. */
  mode?: number;
  /** Group that owns a listening socket as the operator wrote it, and its number. Both or neither are there. */
  group?: string;
  gid?: number;
  /** Queue pairs offered to the front-end. */
  queues: number;
  /** What the guest's driver may read in the device's configuration space. */
  mac?: string;
  mtu?: number;
  /** Checksums and segmentation may be left to the device; absent: they may. */
  offloads?: boolean;
  /** The guest may have a virtual IOMMU before its card; absent: none is offered. */
  iommu?: boolean;
  /** Postcopy migration to the port is offered: its front-end gets power over all of the switch's memory. */
  postcopy?: boolean;
  /** False: it passes no frames, though its front-end may attach and stays attached; absent: it passes them. */
  adminStateUp?: boolean;
}

export interface FdbConfig {
  /** Seconds without a frame after which an address is forgotten. */
  ageing: number;
  /** Addresses the table holds, and how many of them one port may take. */
  limit: number;
  perPortLimit: number;
}

/** A checked configuration with every default applied. */
export interface SwitchConfig {
  workers: number;
  /** True: workers never park. */
  poll: boolean;
  /** Microseconds a worker polls without finding work before it parks. */
  spinUs: number;
  /** Absolute path of the control socket. */
  control: string;
  /** Absent: there is no live page. */
  web?: WebConfig;
  fdb: FdbConfig;
  ports: PortConfig[];
}

/** sockaddr_un.sun_path has 108 bytes, the last of which ends the string (unix(7)). */
export const SOCKET_PATH_MAX = 107;
export const WORKERS_MAX = 16;
/** PORTS_MAX of assembly/abi.ts. */
export const PORTS_MAX = 1024;
/** Half a second: beyond it `poll: true` is meant. */
export const SPIN_US_MAX = 500_000;
/** Queue pairs of one port: what the vhost-user session can have at most (src/vhost-user/state.ts). */
export const QUEUE_PAIRS_MAX = 128;
export const QUEUE_PAIRS_DEFAULT = 8;
/** virtio 1.3 section 5.1.4.1. */
export const MTU_MIN = 68;
export const MTU_MAX = 65_535;
export const AGEING_DEFAULT = 300;
/** The longest ageing time IEEE 802.1Q allows, in seconds. */
export const AGEING_MAX = 1_000_000;
export const FDB_LIMIT_MAX = 65_536;
export const FDB_LIMIT_DEFAULT = 65_536;
export const FDB_PER_PORT_DEFAULT = 16_384;
export const PORT_NAME = /^[A-Za-z0-9._-]{1,32}$/;

function wholeNumber(min: number, max: number) {
  return z.custom<number>((value) => Number.isInteger(value) && (value as number) >= min && (value as number) <= max, {
    error: (issue) => `must be a whole number from ${min} to ${max}, not ${describeValue(issue.input)}`,
  });
}

function trueOrFalse() {
  return z.boolean({ error: (issue) => `must be true or false, not ${describeValue(issue.input)}` });
}

/** Why a value cannot be a socket path, or undefined. The length is checked after the path was made absolute. */
function pathFault(value: unknown): string | undefined {
  if (typeof value !== "string") return `must be the path of a unix socket, not ${describeValue(value)}`;
  if (value === "") return "is empty: give the path of a unix socket";
  if (value.includes("\0")) return "has a NUL character, which no path can have";
  if (value.endsWith("/")) return `"${value}" names a folder: add the socket's file name`;
  return undefined;
}

function socketPath() {
  return z.custom<string>((value) => pathFault(value) === undefined, {
    error: (issue) => pathFault(issue.input) ?? "",
  });
}

const MODE = /^(0o?)?[0-7]{3}$/;

function fileMode() {
  return z
    .custom<string>((value) => typeof value === "string" && MODE.test(value), {
      error: (issue) => `must be three octal digits such as "0660", not ${describeValue(issue.input)}`,
    })
    .transform((text) => Number.parseInt(text.slice(-3), 8));
}

const GROUP = /^[A-Za-z0-9_][A-Za-z0-9_.@-]{0,63}\$?$/;

function groupName() {
  return z.custom<string>((value) => typeof value === "string" && GROUP.test(value), {
    error: (issue) => `must be the name or number of a group, not ${describeValue(issue.input)}`,
  });
}

function macAddress() {
  const valid = (value: unknown) => typeof value === "string" && isInterfaceMac(parseMac(value) ?? 0n);
  return z
    .custom<string>(valid, {
      error: (issue) =>
        `must be the MAC address of one interface such as "52:54:00:12:34:56", not ${describeValue(issue.input)}`,
    })
    .transform((text) => text.toLowerCase());
}

/** The file without its ports, which are checked one by one so that a fault in one hides none in another. */
export const FileSchema = z.strictObject({
  workers: wholeNumber(1, WORKERS_MAX).optional(),
  poll: trueOrFalse().optional(),
  "spin-us": wholeNumber(0, SPIN_US_MAX).optional(),
  control: socketPath().optional(),
  fdb: z
    .strictObject(
      {
        ageing: wholeNumber(1, AGEING_MAX).optional(),
        limit: wholeNumber(1, FDB_LIMIT_MAX).optional(),
        "per-port-limit": wholeNumber(1, FDB_LIMIT_MAX).optional(),
      },
      { error: (issue) => `must be a map of ageing, limit, per-port-limit, not ${describeValue(issue.input)}` },
    )
    .optional(),
  web: WebSchema.optional(),
  ports: z.unknown().optional(),
});

export const PortSchema = z.strictObject({
  listen: socketPath().optional(),
  connect: socketPath().optional(),
  mode: fileMode().optional(),
  group: groupName().optional(),
  queues: wholeNumber(1, QUEUE_PAIRS_MAX).optional(),
  mac: macAddress().optional(),
  mtu: wholeNumber(MTU_MIN, MTU_MAX).optional(),
  offloads: trueOrFalse().optional(),
  iommu: trueOrFalse().optional(),
  postcopy: trueOrFalse().optional(),
  "admin-state-up": trueOrFalse().optional(),
});

/** The keys that may stand in each section, for "did you mean". */
export const FILE_KEYS = Object.keys(FileSchema.shape);
export const FDB_KEYS = ["ageing", "limit", "per-port-limit"];
export const PORT_KEYS = Object.keys(PortSchema.shape);
