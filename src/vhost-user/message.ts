// The messages of vhost-user, for both roles: the MESSAGES table (protocol facts as data), headers and flags.
// Source: QEMU docs/interop/vhost-user.rst. Every number is in native byte order, which here is little endian.
// Nothing in this file knows what a message does; what is in one is in payload.ts.

import type { Fd } from "./effects.js";
import { encodePayload, type Payload, type PayloadKind, type PayloadOf } from "./payload.js";

export type { Payload, PayloadOf } from "./payload.js";

/** Header: u32 request, u32 flags, u32 payload size. */
export const HEADER_SIZE = 12;
/** Larger than every payload of every request; a larger size field can only be garbage (M26). */
export const PAYLOAD_SIZE_MAX = 4096;
/** Descriptors in one message, as many as regions in one SET_MEM_TABLE. */
export const FDS_MAX = 8;

export const FLAG_VERSION_MASK = 0x3;
export const FLAG_VERSION = 0x1;
export const FLAG_REPLY = 0x4;
export const FLAG_NEED_REPLY = 0x8;
export const FLAGS_KNOWN = FLAG_VERSION_MASK | FLAG_REPLY | FLAG_NEED_REPLY;
/** QEMU compares a reply's flags with exactly this: NEED_REPLY is not echoed. */
export const FLAGS_OF_REPLY = FLAG_VERSION | FLAG_REPLY;

/** Descriptors in SCM_RIGHTS. vringFd: one, or none when the NOFD bit is set. optional: tolerated and closed. */
export type FdsExpected = "none" | "one" | "optional" | "perRegion" | "vringFd";

/**
 * ack: a u64, 0 = done, only when REPLY_ACK was negotiated and NEED_REPLY is set. none: no bytes, but a descriptor. other:
 * a reply never made here. In a postcopy migration SET_MEM_TABLE and ADD_MEM_REG have another (handlers/postcopy.ts).
 */
export type ReplyKind = "ack" | "u64" | "none" | "vringState" | "config" | "inflight" | "other";

export interface MessageSpec {
  number: number;
  name: MessageName;
  payload: PayloadKind;
  fds: FdsExpected;
  reply: ReplyKind;
  /** False: listed so that logs can name it; the session refuses it. */
  supported: boolean;
  /** Why not, where that is more than that it was left out. */
  because?: string | undefined;
}

type Row = readonly [
  number: number,
  payload: PayloadKind,
  fds: FdsExpected,
  reply: ReplyKind,
  supported?: "unsupported",
];

const ROWS = {
  GET_FEATURES: [1, "none", "none", "u64"],
  SET_FEATURES: [2, "u64", "none", "ack"],
  SET_OWNER: [3, "none", "none", "ack"],
  RESET_OWNER: [4, "none", "none", "ack"],
  SET_MEM_TABLE: [5, "memTable", "perRegion", "ack"],
  SET_LOG_BASE: [6, "log", "optional", "u64"],
  SET_LOG_FD: [7, "none", "one", "ack"],
  SET_VRING_NUM: [8, "vringState", "none", "ack"],
  SET_VRING_ADDR: [9, "vringAddr", "none", "ack"],
  SET_VRING_BASE: [10, "vringState", "none", "ack"],
  GET_VRING_BASE: [11, "vringState", "none", "vringState"],
  SET_VRING_KICK: [12, "vringFd", "vringFd", "ack"],
  SET_VRING_CALL: [13, "vringFd", "vringFd", "ack"],
  SET_VRING_ERR: [14, "vringFd", "vringFd", "ack"],
  GET_PROTOCOL_FEATURES: [15, "none", "none", "u64"],
  SET_PROTOCOL_FEATURES: [16, "u64", "none", "ack"],
  GET_QUEUE_NUM: [17, "none", "none", "u64"],
  SET_VRING_ENABLE: [18, "vringState", "none", "ack"],
  SEND_RARP: [19, "u64", "none", "ack"],
  NET_SET_MTU: [20, "u64", "none", "ack"],
  SET_BACKEND_REQ_FD: [21, "none", "one", "ack"],
  IOTLB_MSG: [22, "iotlb", "none", "u64"],
  SET_VRING_ENDIAN: [23, "vringState", "none", "ack", "unsupported"],
  GET_CONFIG: [24, "config", "none", "config"],
  SET_CONFIG: [25, "config", "none", "ack"],
  CREATE_CRYPTO_SESSION: [26, "opaque", "none", "other", "unsupported"],
  CLOSE_CRYPTO_SESSION: [27, "opaque", "none", "ack", "unsupported"],
  POSTCOPY_ADVISE: [28, "none", "none", "none"],
  POSTCOPY_LISTEN: [29, "none", "none", "ack"],
  POSTCOPY_END: [30, "none", "none", "u64"],
  GET_INFLIGHT_FD: [31, "inflight", "none", "inflight"],
  SET_INFLIGHT_FD: [32, "inflight", "one", "ack"],
  GPU_SET_SOCKET: [33, "opaque", "one", "ack", "unsupported"],
  RESET_DEVICE: [34, "none", "none", "ack"],
  VRING_KICK: [35, "vringState", "none", "ack", "unsupported"],
  GET_MAX_MEM_SLOTS: [36, "none", "none", "u64"],
  ADD_MEM_REG: [37, "memRegion", "one", "ack"],
  REM_MEM_REG: [38, "memRegion", "optional", "ack"],
  SET_STATUS: [39, "u64", "none", "ack"],
  GET_STATUS: [40, "none", "none", "u64"],
  GET_SHARED_OBJECT: [41, "opaque", "none", "other", "unsupported"],
  SET_DEVICE_STATE_FD: [42, "deviceState", "optional", "u64"],
  CHECK_DEVICE_STATE: [43, "none", "none", "u64"],
  GET_SHMEM_CONFIG: [44, "opaque", "none", "other", "unsupported"],
  GET_VRING_BASE_SKIP_DRAIN: [45, "opaque", "none", "vringState", "unsupported"],
} as const satisfies Record<string, Row>;

export type MessageName = keyof typeof ROWS;

/** The decoded payload of the request with this name. */
export type MessagePayload<N extends MessageName> = PayloadOf<Extract<Payload["kind"], (typeof ROWS)[N][1]>>;

const NO_NET_DEVICE = "it has no meaning for a network device";
const BECAUSE: Partial<Record<MessageName, string>> = {
  SET_VRING_ENDIAN: "VHOST_USER_PROTOCOL_F_CROSS_ENDIAN is not offered, rings are little endian",
  CREATE_CRYPTO_SESSION: NO_NET_DEVICE,
  CLOSE_CRYPTO_SESSION: NO_NET_DEVICE,
  GPU_SET_SOCKET: NO_NET_DEVICE,
  VRING_KICK: "VHOST_USER_PROTOCOL_F_INBAND_NOTIFICATIONS is not offered, kicks come through an eventfd",
  GET_SHARED_OBJECT: NO_NET_DEVICE,
  GET_SHMEM_CONFIG: NO_NET_DEVICE,
  GET_VRING_BASE_SKIP_DRAIN: "nothing is ever in flight in a stopped ring: GET_VRING_BASE does the same",
};

/** All front-end requests of the specification by name. */
export const MESSAGES = Object.fromEntries(
  Object.entries(ROWS as Record<string, Row>).map(([name, [number, payload, fds, reply, supported]]) => [
    name,
    {
      number,
      name,
      payload,
      fds,
      reply,
      supported: supported !== "unsupported",
      because: BECAUSE[name as MessageName],
    },
  ]),
) as Record<MessageName, MessageSpec>;

const BY_NUMBER = new Map(Object.values(MESSAGES).map((spec) => [spec.number, spec]));

/** The request with this number, or undefined when the specification has none. */
export function messageByNumber(request: number): MessageSpec | undefined {
  return BY_NUMBER.get(request);
}

/** How logs name a request: "SET_MEM_TABLE (5)", or "request 4711" for one that the specification does not have. */
export function requestLabel(request: number): string {
  const spec = BY_NUMBER.get(request);
  return spec ? `${spec.name} (${request})` : `request ${request}`;
}

/** One whole message as it was on the wire, with the descriptors that came with its first byte. */
export interface WireMessage {
  request: number;
  flags: number;
  payload: Uint8Array;
  fds: Fd[];
}

/** Header and payload as they go on the wire. `flags` without the version, which is added here. */
export function encodeMessage(request: number, flags: number, payload: Payload): Uint8Array {
  const body = encodePayload(payload);
  const bytes = new Uint8Array(HEADER_SIZE + body.length);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, request, true);
  view.setUint32(4, FLAG_VERSION | flags, true);
  view.setUint32(8, body.length, true);
  bytes.set(body, HEADER_SIZE);
  return bytes;
}

/** A back-end's reply to `request`. */
export function encodeReply(request: number, payload: Payload): Uint8Array {
  return encodeMessage(request, FLAG_REPLY, payload);
}
