// The host's end of a capture (assembly/capture.ts): rings in linear memory that the workers fill and this empties, and a
// tap for each port that is captured. It knows linear memory and nothing of files or clients.

import type { Bridge } from "./bridge.js";
import type { BridgePort } from "./bridge-port.js";
import * as layout from "./layout.js";
import { Struct } from "./views.js";

const RECORD = layout.CaptureRecord.fields;
/** Bytes of a capture's rings in all, and of one ring; the longest record takes a quarter of the shortest ring. */
const TOTAL_BYTES = 8 * 1024 * 1024;
const RING_MOST = 4 * 1024 * 1024;
const RING_LEAST = 256 * 1024;

/** What passed a port while it was captured: all frames, and those of them that found no room in a ring. */
export interface TapCounts {
  frames: number;
  missed: number;
}

/** A record, valid until the call that gave it returns. `bytes` is a view of linear memory. */
export interface CaptureRecord {
  tap: number;
  direction: "in" | "out";
  length: number;
  /** Index of the DROP_* cause of a frame from the guest that went nowhere. */
  dropped: number | undefined;
  /** Nanoseconds of the workers' clock, in halves. */
  timeHigh: number;
  timeLow: number;
  bytes: Uint8Array;
}

interface Tap {
  port: BridgePort;
  struct: Struct<typeof layout.Tap>;
}

export class CaptureRings {
  private readonly rings: Struct<typeof layout.CaptureRing>[] = [];
  /** One block: the structs of the rings, then for each ring its table of records and the records. */
  private readonly block: number;
  private readonly blockBytes: number;
  private readonly taps = new Map<number, Tap>();
  /** Of taps that are gone. */
  private readonly past = new Map<number, TapCounts>();
  /** Changes of taps, one after the other. */
  private turn: Promise<void> = Promise.resolve();

  /**
   * Of each frame up to `snapLength` bytes are kept. `ringBytes` is what each worker's ring has: a power of two, of 256 KiB
   * or more. Throws when linear memory has no room for more rings.
   */
  constructor(
    private readonly bridge: Bridge,
    private readonly snapLength: number,
    ringBytes = defaultRingBytes(bridge.workers.length),
  ) {
    const workers = bridge.workers.length;
    const tableBytes = layout.BURST * 4;
    this.blockBytes = workers * (layout.CaptureRing.size + tableBytes + ringBytes);
    this.block = bridge.control.allocate(this.blockBytes);
    for (let i = 0; i < workers; i++) {
      const ring = new Struct(bridge.views, layout.CaptureRing, this.block + i * layout.CaptureRing.size);
      const records = this.block + workers * layout.CaptureRing.size + i * (tableBytes + ringBytes);
      ring.set("size", ringBytes);
      ring.set("records", records);
      ring.set("data", records + tableBytes);
      this.rings.push(ring);
    }
  }

  /** From now on frames of the port are recorded, as those of tap `number`. */
  attach(port: BridgePort, number: number): Promise<void> {
    return this.inTurn(async () => {
      const struct = new Struct(this.bridge.views, layout.Tap, this.bridge.control.allocate(this.tapBytes));
      struct.set("rings", this.block);
      struct.set("snapLength", this.snapLength);
      struct.set("number", number);
      this.taps.set(number, { port, struct });
      await this.bridge.setTaps(port, [...port.taps, struct.at]);
    });
  }

  /** When this is done nothing more is recorded for the tap; what was can still be read. */
  detach(number: number): Promise<void> {
    return this.inTurn(() => this.detachNow(number));
  }

  counts(number: number): TapCounts {
    const { frames, missed } = this.past.get(number) ?? { frames: 0, missed: 0 };
    const tap = this.taps.get(number);
    if (!tap) return { frames, missed };
    const now = this.countersOf(tap);
    return { frames: frames + now.frames, missed: missed + now.missed };
  }

  /**
   * Gives records to `take`, in the order of their times, until `enough` says so or there are none left that are older than
   * `until` (nanoseconds of the workers' clock): what another worker saw earlier may come later. Returns how many.
   */
  read(take: (record: CaptureRecord) => void, enough: () => boolean, until = Number.POSITIVE_INFINITY): number {
    const cursors = this.rings.map((ring) => new Cursor(ring));
    let count = 0;
    while (!enough()) {
      let oldest: Cursor | undefined;
      for (const cursor of cursors) {
        if (cursor.at !== 0 && (oldest === undefined || cursor.time < oldest.time)) oldest = cursor;
      }
      if (oldest === undefined || oldest.time > until) break;
      take(oldest.record());
      oldest.advance();
      count++;
    }
    for (const cursor of cursors) cursor.release();
    return count;
  }

  /** Detaches what is still attached and frees everything. */
  close(): Promise<void> {
    return this.inTurn(async () => {
      for (const number of [...this.taps.keys()]) await this.detachNow(number);
      if (this.rings.splice(0).length > 0) this.bridge.control.release(this.block, this.blockBytes);
    });
  }

  private async detachNow(number: number): Promise<void> {
    const tap = this.taps.get(number);
    if (!tap) return;
    const { port, struct } = tap;
    const taps = port.taps.filter((at) => at !== struct.at);
    await this.bridge.setTaps(port, taps);
    this.past.set(number, this.counts(number));
    this.taps.delete(number);
    this.bridge.control.release(struct.at, this.tapBytes);
  }

  private inTurn(change: () => Promise<void>): Promise<void> {
    const done = this.turn.then(change);
    this.turn = done.catch(() => {});
    return done;
  }

  private get tapBytes(): number {
    return layout.Tap.size + this.bridge.workers.length * layout.TapCounters.size;
  }

  private countersOf({ struct }: Tap): TapCounts {
    const sum = { frames: 0, missed: 0 };
    for (let i = 0; i < this.bridge.workers.length; i++) {
      const at = struct.at + layout.Tap.size + i * layout.TapCounters.size;
      const counters = new Struct(this.bridge.views, layout.TapCounters, at);
      sum.frames += counters.get("frames");
      sum.missed += counters.get("missed");
    }
    return sum;
  }
}

function defaultRingBytes(workers: number): number {
  const share = 2 ** Math.floor(Math.log2(TOTAL_BYTES / workers));
  return Math.min(Math.max(share, RING_LEAST), RING_MOST);
}

/** How far a ring has been read. */
class Cursor {
  /** Offset of the next record, 0 where there is none. */
  at = 0;
  /** Its time as a double: close enough to say which one is older. */
  time = 0;
  private tail: number;
  private readonly head: number;
  private readonly data: number;
  private readonly mask: number;

  constructor(private readonly ring: Struct<typeof layout.CaptureRing>) {
    this.head = ring.load("head");
    this.tail = ring.get("tail");
    this.data = ring.get("data");
    this.mask = ring.get("size") - 1;
    this.find();
  }

  record(): CaptureRecord {
    const { u32, bytes } = this.ring.views;
    const word = this.at >>> 2;
    const dropped = u32[word + (RECORD.dropped.offset >>> 2)]!;
    const start = this.at + layout.CaptureRecord.size;
    return {
      tap: u32[word + (RECORD.tap.offset >>> 2)]!,
      direction: u32[word + (RECORD.kind.offset >>> 2)] === layout.CAPTURE_IN ? "in" : "out",
      length: u32[word + (RECORD.length.offset >>> 2)]!,
      dropped: dropped === 0 ? undefined : dropped - 1,
      timeLow: u32[word + (RECORD.time.offset >>> 2)]!,
      timeHigh: u32[word + (RECORD.time.offset >>> 2) + 1]!,
      bytes: bytes.subarray(start, start + u32[word + (RECORD.captured.offset >>> 2)]!),
    };
  }

  advance(): void {
    this.tail = (this.tail + this.ring.views.u32[this.at >>> 2]!) >>> 0;
    this.find();
  }

  /** Lets the worker have the room of what was read. */
  release(): void {
    this.ring.publish("tail", this.tail);
  }

  private find(): void {
    const { u32 } = this.ring.views;
    this.at = 0;
    while (this.tail !== this.head) {
      const at = this.data + (this.tail & this.mask);
      if (u32[(at >>> 2) + (RECORD.kind.offset >>> 2)] !== layout.CAPTURE_SKIP) {
        const word = (at + RECORD.time.offset) >>> 2;
        this.at = at;
        this.time = u32[word + 1]! * 2 ** 32 + u32[word]!;
        return;
      }
      this.tail = (this.tail + u32[at >>> 2]!) >>> 0;
    }
  }
}
