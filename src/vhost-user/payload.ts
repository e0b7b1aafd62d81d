// The payloads of vhost-user's messages on the wire, for both roles. Source: QEMU docs/interop/vhost-user.rst. Every number is in
// native byte order, which here is little endian; sizes are checked exactly, so that a decoded payload is whole.

import type { MemoryRegion } from "./effects.js";

/** VHOST_USER_MAX_RAM_SLOTS of the baseline: regions in one SET_MEM_TABLE. */
export const MEM_TABLE_REGIONS_MAX = 8;
/** VHOST_USER_MAX_CONFIG_SIZE. */
export const CONFIG_SIZE_MAX = 256;

/** In the u64 of SET_VRING_KICK/CALL/ERR: bits 0-7 the vring index, bit 8 "no descriptor comes with this". */
const VRING_FD_INDEX_MASK = 0xffn;
const VRING_FD_NOFD = 0x100n;

const REGION_SIZE = 32;
const MEM_TABLE_HEADER_SIZE = 8;
const CONFIG_HEADER_SIZE = 12;
const INFLIGHT_SIZE = 20;
const INFLIGHT_SIZE_PADDED = 24;

export type PayloadKind =
  | "none"
  | "u64"
  | "vringState"
  | "vringAddr"
  | "vringFd"
  | "memTable"
  | "memRegion"
  | "config"
  | "log"
  | "deviceState"
  | "inflight"
  | "iotlb"
  /** Not decoded: the message is not supported. */
  | "opaque";

/** A decoded payload. Addresses and sizes in bytes; vringAddr addresses are the front-end's (UVA). */
export type Payload =
  | { kind: "none" }
  | { kind: "u64"; value: bigint }
  | { kind: "vringState"; index: number; num: number }
  | { kind: "vringAddr"; index: number; flags: number; desc: bigint; used: bigint; avail: bigint; log: bigint }
  /** `reserved` holds the bits that have no meaning: nonzero is for the session to refuse (M4). */
  | { kind: "vringFd"; index: number; noFd: boolean; reserved: bigint }
  | { kind: "memTable"; regions: MemoryRegion[] }
  /** `region` null: eight bytes, all zero, by which a postcopy migration's front-end says that pages will be brought. */
  | { kind: "memRegion"; region: MemoryRegion | null }
  | { kind: "config"; offset: number; flags: number; data: Uint8Array }
  /** The dirty log in the file that comes with it, in bytes. */
  | { kind: "log"; mmapSize: bigint; mmapOffset: bigint }
  | { kind: "deviceState"; direction: number; phase: number }
  /** `permission` and `type`: IOTLB_* of iotlb.ts. */
  | { kind: "iotlb"; iova: bigint; size: bigint; userAddress: bigint; permission: number; type: number }
  /** `padded`: as C lays the struct out, with four bytes behind it; QEMU sends it so, others do not. */
  | {
      kind: "inflight";
      mmapSize: bigint;
      mmapOffset: bigint;
      queues: number;
      queueSize: number;
      padded: boolean;
    };

/** The payload with this kind. */
export type PayloadOf<K extends Payload["kind"]> = Extract<Payload, { kind: K }>;

/**
 * A payload that does not decode. `closes`: its size is not that of the message, so nothing the connection says can
 * be trusted (M26); otherwise only this message is refused (M22).
 */
export interface BadPayload {
  kind: "bad";
  reason: string;
  closes: boolean;
}

const FIXED_SIZE: Partial<Record<PayloadKind, number>> = {
  none: 0,
  u64: 8,
  vringState: 8,
  vringAddr: 40,
  vringFd: 8,
  memRegion: 40,
  log: 16,
  deviceState: 8,
  iotlb: 32,
};

/** Decode the bytes after the header as the given kind, or say why they are not one. */
export function decodePayload(kind: Exclude<PayloadKind, "opaque">, bytes: Uint8Array): Payload | BadPayload {
  const want = FIXED_SIZE[kind];
  if (want !== undefined && bytes.length !== want) {
    if (kind === "log" && bytes.length === 8) return logWithoutFile();
    if (kind === "memRegion" && bytes.length === 8 && bytes.every((byte) => byte === 0)) return { kind, region: null };
    return wrongSize(bytes.length, `${want}`);
  }
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  switch (kind) {
    case "none":
      return { kind };
    case "u64":
      return { kind, value: view.getBigUint64(0, true) };
    case "vringState":
      return { kind, index: view.getUint32(0, true), num: view.getUint32(4, true) };
    case "vringAddr":
      return {
        kind,
        index: view.getUint32(0, true),
        flags: view.getUint32(4, true),
        desc: view.getBigUint64(8, true),
        used: view.getBigUint64(16, true),
        avail: view.getBigUint64(24, true),
        log: view.getBigUint64(32, true),
      };
    case "vringFd": {
      const value = view.getBigUint64(0, true);
      const reserved = value & ~(VRING_FD_INDEX_MASK | VRING_FD_NOFD);
      return { kind, index: Number(value & VRING_FD_INDEX_MASK), noFd: (value & VRING_FD_NOFD) !== 0n, reserved };
    }
    case "memRegion":
      return { kind, region: decodeRegion(view, 8) };
    case "memTable":
      return decodeMemTable(view);
    case "config":
      return decodeConfig(view, bytes);
    case "log":
      return { kind, mmapSize: view.getBigUint64(0, true), mmapOffset: view.getBigUint64(8, true) };
    case "deviceState":
      return { kind, direction: view.getUint32(0, true), phase: view.getUint32(4, true) };
    case "iotlb":
      return {
        kind,
        iova: view.getBigUint64(0, true),
        size: view.getBigUint64(8, true),
        userAddress: view.getBigUint64(16, true),
        permission: view.getUint8(24),
        type: view.getUint8(25),
      };
    case "inflight":
      if (bytes.length !== INFLIGHT_SIZE && bytes.length !== INFLIGHT_SIZE_PADDED) {
        return wrongSize(bytes.length, `${INFLIGHT_SIZE} or ${INFLIGHT_SIZE_PADDED}`);
      }
      return {
        kind,
        mmapSize: view.getBigUint64(0, true),
        mmapOffset: view.getBigUint64(8, true),
        queues: view.getUint16(16, true),
        queueSize: view.getUint16(18, true),
        padded: bytes.length === INFLIGHT_SIZE_PADDED,
      };
  }
}

/** SET_LOG_BASE of a front-end that has not negotiated LOG_SHMFD: a u64. */
function logWithoutFile(): BadPayload {
  const reason =
    "it gives an address of the front-end's own memory; a log is shared with VHOST_USER_PROTOCOL_F_LOG_SHMFD";
  return { kind: "bad", reason, closes: false };
}

function wrongSize(have: number, want: string): BadPayload {
  return { kind: "bad", reason: `its payload has ${have} bytes where ${want} belong`, closes: true };
}

function decodeMemTable(view: DataView): Payload | BadPayload {
  if (view.byteLength < MEM_TABLE_HEADER_SIZE) return wrongSize(view.byteLength, `at least ${MEM_TABLE_HEADER_SIZE}`);
  const count = view.getUint32(0, true);
  if (count > MEM_TABLE_REGIONS_MAX) {
    const reason = `it lists ${count} memory regions, at most ${MEM_TABLE_REGIONS_MAX} fit in one table`;
    return { kind: "bad", reason, closes: false };
  }
  const want = MEM_TABLE_HEADER_SIZE + count * REGION_SIZE;
  if (view.byteLength !== want) {
    const reason = `its payload has ${view.byteLength} bytes where ${count} memory regions take ${want}`;
    return { kind: "bad", reason, closes: false };
  }
  const regions = Array.from({ length: count }, (_, i) => decodeRegion(view, MEM_TABLE_HEADER_SIZE + i * REGION_SIZE));
  return { kind: "memTable", regions };
}

function decodeRegion(view: DataView, at: number): MemoryRegion {
  return {
    guestAddress: view.getBigUint64(at, true),
    size: view.getBigUint64(at + 8, true),
    userAddress: view.getBigUint64(at + 16, true),
    mmapOffset: view.getBigUint64(at + 24, true),
  };
}

function decodeConfig(view: DataView, bytes: Uint8Array): Payload | BadPayload {
  if (bytes.length < CONFIG_HEADER_SIZE) return wrongSize(bytes.length, `at least ${CONFIG_HEADER_SIZE}`);
  const size = view.getUint32(4, true);
  if (size > CONFIG_SIZE_MAX || bytes.length !== CONFIG_HEADER_SIZE + size) {
    return wrongSize(bytes.length, `${CONFIG_HEADER_SIZE} + ${size} (at most ${CONFIG_SIZE_MAX})`);
  }
  const data = bytes.slice(CONFIG_HEADER_SIZE);
  return { kind: "config", offset: view.getUint32(0, true), flags: view.getUint32(8, true), data };
}

/** The bytes of a payload, padding zeroed. */
export function encodePayload(payload: Payload): Uint8Array {
  const bytes = new Uint8Array(encodedSize(payload));
  const view = new DataView(bytes.buffer);
  switch (payload.kind) {
    case "none":
      break;
    case "u64":
      view.setBigUint64(0, payload.value, true);
      break;
    case "vringState":
      view.setUint32(0, payload.index, true);
      view.setUint32(4, payload.num, true);
      break;
    case "vringAddr":
      view.setUint32(0, payload.index, true);
      view.setUint32(4, payload.flags, true);
      view.setBigUint64(8, payload.desc, true);
      view.setBigUint64(16, payload.used, true);
      view.setBigUint64(24, payload.avail, true);
      view.setBigUint64(32, payload.log, true);
      break;
    case "vringFd":
      view.setBigUint64(0, BigInt(payload.index) | (payload.noFd ? VRING_FD_NOFD : 0n) | payload.reserved, true);
      break;
    case "memRegion":
      if (payload.region !== null) encodeRegion(view, 8, payload.region);
      break;
    case "memTable":
      view.setUint32(0, payload.regions.length, true);
      payload.regions.forEach((region, i) => {
        encodeRegion(view, MEM_TABLE_HEADER_SIZE + i * REGION_SIZE, region);
      });
      break;
    case "config":
      view.setUint32(0, payload.offset, true);
      view.setUint32(4, payload.data.length, true);
      view.setUint32(8, payload.flags, true);
      bytes.set(payload.data, CONFIG_HEADER_SIZE);
      break;
    case "log":
      view.setBigUint64(0, payload.mmapSize, true);
      view.setBigUint64(8, payload.mmapOffset, true);
      break;
    case "deviceState":
      view.setUint32(0, payload.direction, true);
      view.setUint32(4, payload.phase, true);
      break;
    case "iotlb":
      view.setBigUint64(0, payload.iova, true);
      view.setBigUint64(8, payload.size, true);
      view.setBigUint64(16, payload.userAddress, true);
      view.setUint8(24, payload.permission);
      view.setUint8(25, payload.type);
      break;
    case "inflight":
      view.setBigUint64(0, payload.mmapSize, true);
      view.setBigUint64(8, payload.mmapOffset, true);
      view.setUint16(16, payload.queues, true);
      view.setUint16(18, payload.queueSize, true);
      break;
  }
  return bytes;
}

function encodedSize(payload: Payload): number {
  if (payload.kind === "memTable") return MEM_TABLE_HEADER_SIZE + payload.regions.length * REGION_SIZE;
  if (payload.kind === "memRegion" && payload.region === null) return 8;
  if (payload.kind === "inflight") return payload.padded ? INFLIGHT_SIZE_PADDED : INFLIGHT_SIZE;
  if (payload.kind === "config") return CONFIG_HEADER_SIZE + payload.data.length;
  return FIXED_SIZE[payload.kind]!;
}

function encodeRegion(view: DataView, at: number, region: MemoryRegion): void {
  view.setBigUint64(at, region.guestAddress, true);
  view.setBigUint64(at + 8, region.size, true);
  view.setBigUint64(at + 16, region.userAddress, true);
  view.setBigUint64(at + 24, region.mmapOffset, true);
}
