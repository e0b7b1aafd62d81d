// What a back-end session remembers between two messages: plain data, never changed in place.

import { VIRTIO_F_RING_PACKED } from "../../assembly/spec/virtio.js";
import { hasBit } from "../core/feature-bits.js";
import type { Effect, Fd, MemoryRegion, RingSetup } from "./effects.js";
import { ringParts } from "../core/ring-parts.js";
import { type RingAddresses, resolveRing } from "./regions.js";
import { type Iotlb, IOTLB_READ, IOTLB_WRITE, lookUp, usesIotlb } from "./iotlb.js";
import { baseProblem, sizeProblem, whereToGoOn } from "./ring-base.js";

/** The most queue pairs that GET_QUEUE_NUM answers: QEMU compares its own number of pairs with it. */
export const QUEUE_PAIRS_MAX = 128;
/** Vring indices 0 ... 255. An index is compared as the whole u32 that it is on the wire (M4). */
export const VRINGS_MAX = 2 * QUEUE_PAIRS_MAX;
/** GET_MAX_MEM_SLOTS: the number libvhost-user answers; it may never get smaller over reconnects. */
export const MEM_SLOTS_MAX = 509;
/** Texts one front-end may put in the log: a hostile one must not be able to fill the disk. */
export const LOG_TEXTS_MAX = 64;

/** One virtqueue as its front-end has described it so far. */
export interface Ring {
  /** Entries; 0 until SET_VRING_NUM. */
  size: number;
  /** What SET_VRING_BASE said, or GET_VRING_BASE would answer: see ring-base.ts. */
  base: number;
  /** SET_STATUS 0 came since: `base` is where the ring stood then, which may be asked for; it starts from the beginning. */
  wasReset: boolean;
  /** Front-end addresses (UVA), or I/O virtual ones (iotlb.ts), resolved when the ring is to run; null until SET_VRING_ADDR and after a stop. */
  addresses: RingAddresses | null;
  kick: Fd | null;
  call: Fd | null;
  err: Fd | null;
  /** SET_VRING_ENABLE. Independent of started. */
  enabled: boolean;
  /** The specification's word: SET_VRING_KICK came and GET_VRING_BASE has not. */
  started: boolean;
  /** The switch runs it. A started ring does not run while something that it needs is missing. */
  running: boolean;
}

export interface SessionState {
  readonly offeredFeatures: bigint;
  readonly offeredProtocolFeatures: bigint;
  /** What GET_QUEUE_NUM answers. */
  readonly queuePairs: number;
  /** Acked virtio features; null until SET_FEATURES. */
  readonly features: bigint | null;
  /** The last SET_FEATURES was refused: FEATURES_OK must not stand in the device status. */
  readonly featuresRefused: boolean;
  readonly protocolFeatures: bigint;
  /** Virtio device status, SET_STATUS. */
  readonly status: number;
  readonly regions: readonly MemoryRegion[];
  /** Regions that were added once more, each as often: their removals will come as often. See handlers/memory.ts. */
  readonly repeatedRegions: readonly MemoryRegion[];
  /** By vring index; an index nobody has spoken of is absent. */
  readonly rings: Readonly<Record<number, Readonly<Ring>>>;
  /** A ring nobody has spoken of is enabled: SET_FEATURES came without VHOST_USER_F_PROTOCOL_FEATURES. */
  readonly enabledByDefault: boolean;
  /** The dirty log of SET_LOG_BASE. refused: the last one could not be had, so no writes can be tracked. */
  readonly log: "none" | "mapped" | "refused";
  /** SET_LOG_FD: signalled when something was marked. */
  readonly logFd: Fd | null;
  /** running: SET_DEVICE_STATE_FD came and CHECK_DEVICE_STATE has not. failed: what the last of them found. */
  readonly transfer: "none" | "running" | "failed";
  readonly postcopy: Postcopy;
  /** The front-end has several queue pairs as QEMU has them, and can not do it (handlers/postcopy.ts). */
  readonly postcopyWithheld: boolean;
  /** SET_INFLIGHT_FD gave an area that could be used. */
  readonly inflight: boolean;
  /** What is known of I/O virtual addresses. */
  readonly iotlb: Iotlb;
  /** SET_BACKEND_REQ_FD. */
  readonly backendSocket: Fd | null;
  /** Fields of the device's configuration space; null where nobody has said anything. */
  readonly mac: bigint | null;
  readonly mtu: number | null;
  /** What has been written to the operator's log. */
  readonly logged: readonly string[];
}

/**
 * A postcopy migration to this port. advised: POSTCOPY_ADVISE came. listening: POSTCOPY_LISTEN came, and the pages of
 * memory that is given from now on come late. unconfirmed: there is such memory, and the front-end has yet to say that
 * it will bring pages. confirmed: it has. none again with POSTCOPY_END.
 */
export type Postcopy = "none" | "advised" | "listening" | "unconfirmed" | "confirmed";

/** The ring at an index below VRINGS_MAX, as it is before anything was said about it if need be. */
export function ringAt(state: SessionState, index: number): Readonly<Ring> {
  return (
    state.rings[index] ?? {
      size: 0,
      base: 0,
      wasReset: false,
      addresses: null,
      kick: null,
      call: null,
      err: null,
      enabled: state.enabledByDefault,
      started: false,
      running: false,
    }
  );
}

/** The state with some of a ring's fields replaced. */
export function withRing(state: SessionState, index: number, change: Partial<Ring>): SessionState {
  return { ...state, rings: { ...state.rings, [index]: { ...ringAt(state, index), ...change } } };
}

/** The state with the same change made to every ring that it knows. */
export function withEveryRing(state: SessionState, change: Partial<Ring>): SessionState {
  const rings = Object.fromEntries(Object.entries(state.rings).map(([i, ring]) => [i, { ...ring, ...change }]));
  return { ...state, rings };
}

/** Indices of the rings for which the test holds, ascending. */
export function ringsWhere(state: SessionState, test: (ring: Readonly<Ring>) => boolean): number[] {
  return Object.entries(state.rings)
    .filter(([, ring]) => test(ring))
    .map(([index]) => Number(index));
}

/** The descriptors that the session owns. */
export function ownedFds(state: SessionState): Fd[] {
  const fds = Object.values(state.rings).flatMap(({ kick, call, err }) => [kick, call, err]);
  return [...fds, state.logFd, state.backendSocket].filter((fd) => fd !== null);
}

/**
 * Whether a ring can run now. waiting: something that it needs has not come yet, which is no mistake (M42).
 * missing: nobody has said where these I/O virtual addresses of it lie. bad: everything is there and does not fit.
 */
export type Readiness =
  | { kind: "ready"; ring: RingSetup }
  | { kind: "waiting" | "bad"; reason: string }
  | { kind: "missing"; reason: string; addresses: { iova: bigint; permission: number }[] };

/** See Readiness. */
export function readiness(state: SessionState, index: number): Readiness {
  const { started, size, addresses, wasReset, ...ring } = ringAt(state, index);
  const base = wasReset ? 0 : ring.base;
  if (!started) return { kind: "waiting", reason: "no SET_VRING_KICK has come" };
  if (size === 0) return { kind: "waiting", reason: "no SET_VRING_NUM has come" };
  if (addresses === null) return { kind: "waiting", reason: "no SET_VRING_ADDR has come" };
  if (state.regions.length === 0) return { kind: "waiting", reason: "there is no guest memory" };
  if (state.postcopy === "unconfirmed") return { kind: "waiting", reason: "nobody brings pages of guest memory yet" };
  const packed = isPacked(state);
  const problem = sizeProblem(size, packed) ?? baseProblem(base, size, packed);
  if (problem !== undefined) return { kind: "bad", reason: problem };
  const translated = usesIotlb(state) ? translateRing(state.iotlb, addresses, size, packed) : { addresses };
  if ("kind" in translated) return translated;
  const resolved = resolveRing(translated.addresses, size, packed, state.regions);
  if (!resolved.ok) return { kind: "bad", reason: resolved.reason };
  const { desc, avail, used } = resolved;
  return { kind: "ready", ring: { size, packed, desc, avail, used, nextAvail: whereToGoOn(base, packed) } };
}

/** The front-end addresses of a ring given by I/O virtual ones: each part must lie in one piece. */
function translateRing(
  iotlb: Iotlb,
  addresses: RingAddresses,
  size: number,
  packed: boolean,
): { addresses: RingAddresses } | Readiness {
  const found = { ...addresses };
  const missing: { iova: bigint; permission: number }[] = [];
  for (const { key, name, bytes } of ringParts(size, packed)) {
    const written = key === "used" || (packed && key === "desc");
    const permission = written ? IOTLB_READ | IOTLB_WRITE : IOTLB_READ;
    const part = lookUp(iotlb.entries, addresses[key], BigInt(bytes), permission);
    if (part.kind === "scattered") return { kind: "bad", reason: `its ${name} does not lie in one piece of memory` };
    if (part.kind === "missing") missing.push({ iova: part.iova, permission });
    else found[key] = part.userAddress;
  }
  if (missing.length === 0) return { addresses: found };
  const first = missing[0]!.iova.toString(16);
  return { kind: "missing", reason: `the translation of 0x${first} is awaited`, addresses: missing };
}

/** The effect by which the inflight area forgets these rings, which are told to the front-end or reset. */
export function clearedInflight(state: SessionState, indices: readonly number[]): Effect[] {
  return state.inflight && indices.length > 0 ? [{ kind: "clearInflight", indices }] : [];
}

/** Whether the rings are packed ones, as far as is known. */
export function isPacked(state: SessionState): boolean {
  return state.features !== null && hasBit(state.features, VIRTIO_F_RING_PACKED);
}
