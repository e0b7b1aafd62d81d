// Where things lie in a guest's RAM: the rings, the indirect tables, the buffers. Each kind has its own place for each of its
// numbers, so that an address alone tells what lies there.

import { VIRTQ_DESC_SIZE } from "../../../assembly/spec/virtio.js";
import { ringParts } from "../../core/ring-parts.js";
import type { GuestSetup } from "./setup.js";

export type PartKey = "desc" | "avail" | "used";

/** A number of equal rooms side by side, from a guest physical address on. */
export interface Rooms {
  base: number;
  count: number;
  bytes: number;
}

/** One virtqueue in guest physical addresses. */
export interface RingLayout {
  packed: boolean;
  size: number;
  desc: number;
  avail: number;
  used: number;
  bytes: Record<PartKey, number>;
}

export interface GuestLayout {
  /** Guest physical address of the first byte, and how many there are. */
  base: number;
  bytes: number;
  receiveq: RingLayout;
  transmitq: RingLayout;
  /** Indirect tables of the transmitq, by buffer; receive buffers; buffers of frames to be sent. */
  tables: Rooms;
  rxBuffers: Rooms;
  txBuffers: Rooms;
}

/** Where every guest's RAM begins, for itself: the same number in all of them, as in real ones. */
export const GUEST_BASE = 0x4000_0000;
export const TABLE_ENTRIES = 8;
/** Frames that a guest can have under way, and the bytes that each may have, header included. */
const TX_ROOMS = 16;
const TX_BYTES = 1600;
const TX_BYTES_OFFLOADED = 6144;
const CACHE_LINE = 64;
const PAGE = 4096;

export function layGuestOut({ ring, size, rxBufferBytes, offloads }: GuestSetup): GuestLayout {
  let at = GUEST_BASE;
  const take = (bytes: number): number => {
    const start = at;
    at = roundUp(at + bytes, CACHE_LINE);
    return start;
  };
  const rooms = (count: number, bytes: number): Rooms => ({ base: take(count * bytes), count, bytes });
  const queue = (): RingLayout => {
    const packed = ring === "packed";
    const parts = ringParts(size, packed).map(({ key, bytes }) => ({ key, bytes, base: take(bytes) }));
    const of = (key: PartKey) => parts.find((part) => part.key === key)!;
    const [desc, avail, used] = [of("desc"), of("avail"), of("used")];
    const bytes = { desc: desc.bytes, avail: avail.bytes, used: used.bytes };
    return { packed, size, desc: desc.base, avail: avail.base, used: used.base, bytes };
  };
  const receiveq = queue();
  const transmitq = queue();
  const txRooms = Math.min(size, TX_ROOMS);
  const tables = rooms(txRooms, TABLE_ENTRIES * VIRTQ_DESC_SIZE);
  const rxBuffers = rooms(size, roundUp(rxBufferBytes, CACHE_LINE));
  const txBuffers = rooms(txRooms, offloads ? TX_BYTES_OFFLOADED : TX_BYTES);
  return { base: GUEST_BASE, bytes: roundUp(at, PAGE) - GUEST_BASE, receiveq, transmitq, tables, rxBuffers, txBuffers };
}

export function roundUp(value: number, to: number): number {
  return Math.ceil(value / to) * to;
}
