// The host's view of a port and its virtqueues on the bridge: what is set up, and what the core counts.

import { DROP_CAUSES } from "../../assembly/spec/status.js";
import { headerSize } from "./feature-bits.js";
import * as layout from "./layout.js";
import type { TranslationLists } from "./translation-lists.js";
import type { Struct } from "./views.js";

/** Where in a queue's memory its misses lie: behind the drop counters, on a cache line of their own. */
export const MISSES_OFFSET = Math.ceil((layout.Queue.fields.drops.offset + DROP_CAUSES * 8) / 64) * 64;

/** A piece of guest memory, mapped whole at `window`, or known to the bridge's chunk pools. In bytes. */
export interface MappedRegion {
  guestAddress: bigint;
  size: bigint;
  /** Meaningless with `chunks`. */
  window: number;
  /** What `ChunkPools.add` gave; absent for a region that is mapped whole. */
  chunks?: number;
}

/** A ring to run: offsets in linear memory, checked and aligned by whoever resolved them. */
export interface RingInMemory {
  size: number;
  /** Descriptor table; packed: the descriptor ring. */
  desc: number;
  /** Avail ring; packed: the driver's event suppression area. */
  avail: number;
  /** Used ring; packed: the device's event suppression area. */
  used: number;
  /** Packed: position in bits 0-14, wrap counter in bit 15. */
  nextAvail: number;
  /** VIRTIO_F_RING_PACKED; default false. */
  packed?: boolean;
  /** Parts that lie in windows of their own, in none of the port's regions that are mapped whole. */
  apart?: readonly MappedRegion[];
  /** Offset of its part of the inflight area; default none. */
  inflight?: number;
}

export interface QueueCounters {
  frames: number;
  bytes: number;
  calls: number;
  drops: number[];
}

/** What the switch did because the receiver's driver does not take it as it came. */
export interface SoftwareOffloads {
  segmented: number;
  segments: number;
  checksums: number;
}

/** A running or stopped virtqueue; counters outlive restarts of the ring. */
export class BridgeQueue {
  running = false;
  /** A receiveq that does not run, but whose frames wait for it: see Bridge.pauseQueue. */
  paused = false;
  /** Since when, performance.now(). */
  pausedAt = 0;
  enabled = false;
  worker: number | undefined;
  /** Those of the ring that runs. */
  apart: readonly MappedRegion[] = [];
  /** Of a receiveq behind an IOMMU. */
  backlog: Struct<typeof layout.Backlog> | undefined;
  constructor(
    readonly index: number,
    readonly struct: Struct<typeof layout.Queue>,
  ) {}

  /** Pages of which the core lacks the translation, IOTLB_* in the low bits; taken once. */
  takeMisses(): bigint[] {
    const { struct } = this;
    const count = Math.min(struct.load("missCount"), layout.MISSES);
    if (count === 0) return [];
    const first = (struct.at + MISSES_OFFSET) >>> 3;
    const misses = Array.from(struct.views.u64.subarray(first, first + count));
    struct.publish("missCount", 0);
    return misses;
  }

  /** Frames may be sent to it. */
  get takesFrames(): boolean {
    return this.isReceiveq && this.enabled && (this.running || this.paused);
  }

  get isReceiveq(): boolean {
    return this.index % 2 === 0;
  }

  get status(): number {
    return this.struct.load("status");
  }

  get statusDescriptor(): number {
    return this.struct.load("statusDescriptor");
  }

  /** Frames that the switch has taken from a transmitq, or put into a receiveq. */
  get frames(): number {
    return this.struct.get("frames");
  }

  counters(): QueueCounters {
    const { struct } = this;
    const drops = Array.from(this.dropCounters, Number);
    return { frames: struct.get("frames"), bytes: struct.get("bytes"), calls: struct.get("calls"), drops };
  }

  /** Of a receiveq: frames cut for it, the segments made of them, and frames whose checksum was finished for it. */
  get softwareOffloads(): SoftwareOffloads {
    const { struct } = this;
    return {
      segmented: struct.get("segmented"),
      segments: struct.get("segments"),
      checksums: struct.get("checksums"),
    };
  }

  /** Counts what another switch has counted for the same queue. The queue must not run. */
  addCounters({ drops, ...counters }: QueueCounters): void {
    for (const field of ["frames", "bytes", "calls"] as const) {
      this.struct.set(field, this.struct.get(field) + counters[field]);
    }
    const { dropCounters } = this;
    for (const [cause, count] of drops.entries()) dropCounters[cause] = dropCounters[cause]! + BigInt(count);
  }

  /** Counts frames that were dropped of a queue that no worker has. */
  countDrops(cause: number, count: number): void {
    const { dropCounters } = this;
    dropCounters[cause] = dropCounters[cause]! + BigInt(count);
  }

  private get dropCounters(): BigUint64Array {
    const { struct } = this;
    const first = (struct.at + layout.Queue.fields.drops.offset) >>> 3;
    return struct.views.u64.subarray(first, first + DROP_CAUSES);
  }
}

export class BridgePort {
  readonly queues = new Map<number, BridgeQueue>();
  features = 0n;
  regions: MappedRegion[] = [];
  /** With an IOTLB: where I/O virtual addresses lie, as far as is known; `regions` then matter to the dirty log alone. */
  translations: TranslationLists | undefined;
  /** The switch's own, beside those of the guest (inject.ts). */
  ownRegions: readonly MappedRegion[] = [];
  /** The dirty log in use: where its bitmap lies and how many bytes it has; and the core's view of it. */
  log: { window: number; size: bigint } | undefined;
  logStruct: Struct<typeof layout.DirtyLog> | undefined;
  /** Workers are to say when they have made marks in it, see `takeMarks`. It holds from the next `Bridge.setLog` on. */
  logWatched = false;
  /** False: the operator has put it out of use. What its front-end has enabled stays known in its queues. */
  adminUp = true;
  /** The change of its receiveqs that is under way, if any. */
  publishing: Promise<void> = Promise.resolve();
  /** Offsets of the Tap structs in use. */
  taps: readonly number[] = [];
  constructor(
    readonly id: number,
    readonly struct: Struct<typeof layout.Port>,
  ) {}

  /** Bytes in front of each frame: 12 with VERSION_1 or MRG_RXBUF, else 10 (virtio 1.3, 5.1.6). */
  get headerBytes(): number {
    return headerSize(this.features);
  }

  /** Whether workers have made marks in the dirty log since they were last asked. Whoever asks tells the front-end then. */
  takeMarks(): boolean {
    if (this.logStruct === undefined || this.logStruct.load("unheard") === 0) return false;
    this.logStruct.publish("unheard", 0);
    return true;
  }
}
