// The load driver (assembly/driver/) as an object: lays its structs out in linear memory and reads its counters.
// It knows rings and buffers, and nothing of sockets: tests run it in the switch's own memory, guests over vhost-user.

import { VIRTQ_DESC_SIZE } from "../../assembly/spec/virtio.js";
import { instantiate } from "../core/module.js";
import { isUsed, packedAfter, packedSlot } from "../core/packed-ring.js";
import type { RangeAllocator } from "../core/ranges.js";
import { Struct, type Views } from "../core/views.js";
import * as layout from "./driver-layout.js";
import { type FrameSizes, macOctets, SEGMENT_SIZE, type TrafficFlow } from "./traffic.js";

/** The functions of assembly/driver/index.ts. Pointers and results are u32. */
export interface DriverExports {
  startReceive(queue: number): number;
  startTransmit(queue: number): void;
  send(queue: number, count: number, stamp: number): number;
  reclaim(queue: number): number;
  receive(queue: number, budget: number, verify: number, now: number): number;
  passOn(transmitq: number, receiveq: number): number;
  arm(queue: number): number;
  disarm(queue: number): void;
}

/** How closely received frames are looked at. "sequence": our header and numbers; "payload": every byte as well. */
export type Verify = "nothing" | "sequence" | "payload";

const VERIFY: Record<Verify, number> = {
  nothing: layout.VERIFY_NOTHING,
  sequence: layout.VERIFY_SEQUENCE,
  payload: layout.VERIFY_PAYLOAD,
};

/** Longest frame that a merged one is checked up to, with its virtio_net header and to spare. */
const SCRATCH_BYTES = 66 * 1024;
const CACHE_LINE = 64;
/** Of a descriptor in a packed ring: who wrote it last. */
const ETHERTYPE = [0x88, 0xb5];

/** A ring and its buffers: offsets in linear memory, but `buffersAddress`, which is the guest's. */
export interface RingPlace {
  size: number;
  desc: number;
  avail: number;
  used: number;
  buffers: number;
  buffersAddress: bigint;
  /** Bytes from one buffer to the next: `bufferBytesFor` the longest frame, or less with merged receive buffers. */
  bufferBytes: number;
}

/** What was negotiated that the driver must keep to. */
export interface DriverFeatures {
  headerBytes: number;
  mergeable: boolean;
  eventIdx: boolean;
  inOrder: boolean;
  packed: boolean;
  /** Frames longer than a segment are sent as TCP to be segmented, and arrive so (SEGMENTATION_FEATURES). */
  segmentation: boolean;
}

/** All that a queue has counted since it was made; frames and bytes without virtio_net header. */
export interface DriverCounters {
  frames: number;
  bytes: number;
  /** Of received ones: ours but changed; not ours or not for us; numbers never seen; seen twice; late; too late. */
  corrupt: number;
  foreign: number;
  lost: number;
  duplicates: number;
  reordered: number;
  stale: number;
}

export const COUNTER_NAMES = [
  ...(["frames", "bytes", "corrupt", "foreign"] as const),
  ...(["lost", "duplicates", "reordered", "stale"] as const),
];

/** An instance of the driver over `memory`. Throws when it was built from other sources than the host. */
export function instantiateDriver(module: WebAssembly.Module, memory: WebAssembly.Memory): DriverExports {
  const exports = instantiate<DriverExports & { DRIVER_ABI_VERSION: WebAssembly.Global }>(module, memory);
  const version = exports.DRIVER_ABI_VERSION.value;
  if (version !== layout.DRIVER_ABI_VERSION) {
    throw new Error(
      `the driver has ABI version ${version}, the host has ${layout.DRIVER_ABI_VERSION}: build both anew`,
    );
  }
  return exports;
}

/**
 * Bytes for a buffer that takes a whole frame: an odd number of cache lines, because with a power of two the starts of
 * all buffers would share a few sets of the cache.
 */
export function bufferBytesFor(frameBytes: number, headerBytes = 12): number {
  const lines = Math.ceil((headerBytes + frameBytes + layout.FRAME_SLACK) / CACHE_LINE);
  return (lines | 1) * CACHE_LINE;
}

/** Bytes that the buffers of a ring take, with what is read behind the last one. */
export function buffersBytes(size: number, bufferBytes: number): number {
  return size * bufferBytes + CACHE_LINE;
}

/** The flows of a network, as one guest keeps them: one table, in which all its queues count. */
export class FlowTable {
  private readonly at: number;

  /** `expected` says which of the flows are for this guest; frames of others count as foreign. */
  constructor(
    private readonly views: Views,
    control: RangeAllocator,
    readonly flows: readonly TrafficFlow[],
    expected: (flow: TrafficFlow, number: number) => boolean,
  ) {
    if (flows.length < 1 || flows.length > 0xffff) throw new Error(`1 to 65535 flows, not ${flows.length}`);
    this.at = allocate(views, control, flows.length * layout.FLOW_BYTES);
    for (const [number, flow] of flows.entries()) {
      const struct = new Struct(views, layout.Flow, this.pointer(number));
      const header = [...macOctets(flow.to), ...macOctets(flow.from), ...ETHERTYPE, number >> 8, number & 0xff];
      views.bytes.set(header, struct.at);
      struct.set("number", number);
      struct.set("expected", Number(expected(flow, number)));
    }
  }

  /** Offset of a flow's struct. */
  pointer(number: number): number {
    return this.at + number * layout.FLOW_BYTES;
  }

  /** Frames of a flow sent so far, modulo 2^32. */
  sent(number: number): number {
    return this.views.u32[(this.pointer(number) + layout.Flow.fields.nextSend.offset) >>> 2]!;
  }

  /** One more than the highest sequence number received, modulo 2^32. */
  seen(number: number): number {
    return this.views.u32[(this.pointer(number) + layout.Flow.fields.nextReceive.offset) >>> 2]!;
  }
}

/** One virtqueue with its driver. Either all calls are for a receiveq, or all are for a transmitq. */
export class DriverQueue {
  readonly struct: Struct<typeof layout.DriverQueue>;
  /** Offset of the struct, which the driver's functions take. */
  readonly pointer: number;
  private readonly latency: number;

  constructor(
    private readonly driver: DriverExports,
    private readonly views: Views,
    private readonly control: RangeAllocator,
    readonly place: RingPlace,
    features: DriverFeatures,
  ) {
    const { size } = place;
    this.pointer = allocate(views, control, layout.DriverQueue.size);
    this.latency = allocate(views, control, layout.LATENCY_BUCKETS * 8);
    this.struct = new Struct(views, layout.DriverQueue, this.pointer);
    for (const field of ["desc", "avail", "used", "size", "buffers", "bufferBytes"] as const) {
      this.struct.set(field, place[field]);
    }
    views.u64[(this.pointer + layout.DriverQueue.fields.buffersAddress.offset) >>> 3] = place.buffersAddress;
    this.struct.set("headerSize", features.headerBytes);
    this.struct.set("mergeable", Number(features.mergeable));
    this.struct.set("eventIdx", Number(features.eventIdx));
    this.struct.set("inOrder", Number(features.inOrder));
    this.struct.set("packed", Number(features.packed));
    this.struct.set("segmentSize", features.segmentation ? SEGMENT_SIZE : 0);
    this.struct.set("free", allocate(views, control, size * 2));
    this.struct.set("held", allocate(views, control, size));
    this.struct.set("latency", this.latency);
  }

  /** Makes it a receiveq and gives the device all buffers. Call before the device starts the ring. */
  startReceive(flows: FlowTable): void {
    this.struct.set("flows", flows.pointer(0));
    this.struct.set("flowCount", flows.flows.length);
    if (this.struct.get("mergeable") === 1 && this.struct.get("scratch") === 0) {
      this.struct.set("scratch", allocate(this.views, this.control, SCRATCH_BYTES));
      this.struct.set("scratchBytes", SCRATCH_BYTES);
    }
    this.driver.startReceive(this.pointer);
  }

  /** Makes it a transmitq that sends `count` flows from number `first` on in turn. Call before the device starts it. */
  startTransmit(flows: FlowTable, first: number, count: number): void {
    this.struct.set("flows", flows.pointer(first));
    this.struct.set("flowCount", count);
    this.setTraffic([layout.FRAME_MIN], true);
    this.driver.startTransmit(this.pointer);
  }

  /**
   * What to send from now on. `payload` false leaves in the buffer what was there: cheaper, and only the sequence can
   * be checked. Throws for a length that does not fit the buffers.
   */
  setTraffic(sizes: FrameSizes, payload: boolean): void {
    const longest = this.place.bufferBytes - this.struct.get("headerSize") - layout.FRAME_SLACK;
    for (const length of sizes) {
      if (!Number.isInteger(length) || length < layout.FRAME_MIN || length > longest) {
        throw new Error(`frames of ${length} bytes: this queue sends ${layout.FRAME_MIN} to ${longest}`);
      }
    }
    if (sizes.length === 0) throw new Error("a list of frame lengths has at least one");
    const old = this.struct.get("sizes");
    if (old !== 0) this.control.release(old, roundUp(this.struct.get("sizeCount") * 4));
    const at = allocate(this.views, this.control, sizes.length * 4);
    this.views.u32.set(sizes, at >>> 2);
    this.struct.set("sizes", at);
    this.struct.set("sizeCount", sizes.length);
    this.struct.set("sizeIndex", 0);
    this.struct.set("payload", Number(payload));
  }

  /** Sends up to `count` frames. Returns twice the number sent, plus 1 when the device wants a kick. */
  send(count: number, stamp = 0): number {
    return this.driver.send(this.pointer, count, stamp);
  }

  /** Takes sent buffers back. Returns how many frames the device still has. */
  reclaim(): number {
    return this.driver.reclaim(this.pointer);
  }

  /** Receives from up to `budget` buffers. Returns twice the number of frames, plus 1 when the device wants a kick. */
  receive(budget: number, verify: Verify = "payload", now = 0): number {
    return this.driver.receive(this.pointer, budget, VERIFY[verify], now);
  }

  /** Asks for a call. True when used buffers are there already: then the guest must not sleep. */
  arm(): boolean {
    return this.driver.arm(this.pointer) !== 0;
  }

  disarm(): void {
    this.driver.disarm(this.pointer);
  }

  /** How far the device has come, as SET_VRING_BASE has it: where a ring goes on after the back-end was lost. */
  get position(): number {
    const { data } = this.views;
    const { desc, used, size } = this.place;
    if (this.struct.get("packed") === 0) return data.getUint16(used + 2, true);
    let cursor = this.struct.get("nextUsed");
    // No more than a round: the driver has not written the slots again that it has not found used.
    for (let i = 0; i < size; i++, cursor = packedAfter(cursor, 1, size)) {
      const flags = data.getUint16(desc + packedSlot(cursor) * VIRTQ_DESC_SIZE + 14, true);
      if (!isUsed(flags, cursor)) break;
    }
    return cursor;
  }

  /** What the device did wrong, as a sentence; the queue does not move any more. Undefined while all is well. */
  get fault(): string | undefined {
    const at = this.struct.get("faultAt");
    switch (this.struct.get("fault")) {
      case layout.FAULT_USED_INDEX:
        return `the device gave back more buffers than it had (used index or num_buffers ${at})`;
      case layout.FAULT_USED_ID:
        return `the device gave back buffer ${at}, which it did not have`;
      default:
        return undefined;
    }
  }

  counters(): DriverCounters {
    return Object.fromEntries(COUNTER_NAMES.map((name) => [name, this.struct.get(name)])) as Record<
      (typeof COUNTER_NAMES)[number],
      number
    >;
  }

  /** Frames by how long they were under way (see `latencyQuantile`). */
  latencies(): number[] {
    const first = this.latency >>> 3;
    return Array.from(this.views.u64.subarray(first, first + layout.LATENCY_BUCKETS), Number);
  }
}

/**
 * The value that the share `quantile` (0 to 1) of a histogram's frames does not exceed, to within 3 %, in the
 * unit of the stamps; undefined when it holds none.
 */
export function latencyQuantile(histogram: readonly number[], quantile: number): number | undefined {
  const total = histogram.reduce((sum, count) => sum + count, 0);
  if (total === 0) return undefined;
  let seen = 0;
  for (const [bucket, count] of histogram.entries()) {
    seen += count;
    if (seen >= quantile * total && count > 0) return bucketEnd(bucket);
  }
  return undefined;
}

/** Highest value of a histogram's bucket (assembly/driver/receive.ts). */
function bucketEnd(bucket: number): number {
  if (bucket < 32) return bucket;
  const exponent = (bucket >>> 5) + 4;
  return 2 ** exponent + ((bucket & 31) + 1) * 2 ** (exponent - 5) - 1;
}

/** Zeroed bytes on cache lines of their own. */
function allocate(views: Views, control: RangeAllocator, bytes: number): number {
  const size = roundUp(bytes);
  const at = control.allocate(size, CACHE_LINE);
  if (at === null) throw new Error(`the driver's own tables do not fit: ${size} more bytes are needed`);
  views.bytes.fill(0, at, at + size);
  return at;
}

function roundUp(bytes: number): number {
  return Math.ceil(bytes / CACHE_LINE) * CACHE_LINE;
}
