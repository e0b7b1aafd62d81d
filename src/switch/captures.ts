// The captures that run: each is a stream of pcapng for one client. Nothing here waits for a client or grows with what it
// leaves unread: what it does not take stays in the rings of the core, and when they are full frames are counted as missed.

import { setImmediate as nextTurn, setTimeout as sleep } from "node:timers/promises";
import type { CaptureOptions, CaptureStream } from "../api/status.js";
import { type Filter, parseFilter } from "../capture/filter.js";
import { readPacket } from "../capture/packet.js";
import { type Nanoseconds, PcapngWriter } from "../capture/pcapng.js";
import type { Bridge } from "../core/bridge.js";
import type { BridgePort } from "../core/bridge-port.js";
import { type CaptureRecord, CaptureRings } from "../core/capture-rings.js";
import { DROP_CAUSE_NAMES } from "../core/causes.js";
import { FRAME_MAX } from "../core/layout.js";

/** Each has its rings: so many fit linear memory beside all else. */
const CAPTURES_MAX = 4;
/** Between two looks at the rings while nothing comes. */
const LOOK_MS = 5;
/** A piece of the stream ends when it has so many bytes, or so many frames were looked at: the main thread has other work. */
const PIECE_BYTES = 256 * 1024;
const PIECE_FRAMES = 4096;
/** With several workers records are left that long, for what another worker saw before. Nanoseconds. */
const ORDER_NS = 1_000_000;
/** A filter gets to see so much of a frame, also when less is kept. */
const FILTER_BYTES = 256;

export class Captures {
  private readonly running = new Map<number, Capture>();
  private lastId = 0;

  constructor(private readonly bridge: Bridge) {}

  /** Starts a capture of ports that exist. Throws when the filter is none (FilterError), or there are too many captures. */
  async open(options: CaptureOptions, ports: ReadonlyMap<string, BridgePort>): Promise<CaptureStream> {
    if (this.running.size >= CAPTURES_MAX) throw new Error(`${CAPTURES_MAX} captures run already: end one of them`);
    const id = ++this.lastId;
    const capture = new Capture(id, this.bridge, options, () => this.running.delete(id));
    this.running.set(id, capture);
    await Promise.all([...ports].map(([name, port]) => capture.attach(name, port)));
    return capture;
  }

  /** Ends a capture: its stream comes to its end. False when there is none of that number. */
  stop(id: number): boolean {
    const capture = this.running.get(id);
    capture?.stop();
    return capture !== undefined;
  }

  /** A port of this name has come: captures that had one of this name go on with it. */
  async attach(name: string, port: BridgePort): Promise<void> {
    for (const capture of this.running.values()) await capture.attach(name, port);
  }

  /** A port goes away: when this is done no capture has a hand on it. */
  async detach(name: string): Promise<void> {
    for (const capture of this.running.values()) await capture.detach(name);
  }

  async close(): Promise<void> {
    for (const capture of [...this.running.values()]) await capture.abandon();
  }
}

class Capture implements CaptureStream {
  private readonly rings: CaptureRings;
  private readonly writer = new PcapngWriter();
  private readonly filter: Filter | undefined;
  private readonly written: number[];
  private readonly started: Nanoseconds;
  /** What makes wall-clock time of the workers' clock. */
  private readonly offset: bigint;
  private readonly severalWorkers: boolean;
  private state: "begun" | "running" | "stopping" | "ended" = "begun";
  private readonly stopped = new AbortController();
  private closing: Promise<void> | undefined;

  constructor(
    readonly id: number,
    bridge: Bridge,
    private readonly options: CaptureOptions,
    private readonly forget: () => void,
  ) {
    const { ports, filter, snapLength = FRAME_MAX } = options;
    this.filter = filter === undefined ? undefined : parseFilter(filter);
    this.written = ports.map(() => 0);
    const wall = BigInt(Math.round((performance.timeOrigin + performance.now()) * 1000)) * 1000n;
    this.offset = wall - process.hrtime.bigint();
    this.started = this.now();
    this.severalWorkers = bridge.workers.length > 1;
    this.rings = new CaptureRings(bridge, this.filter ? Math.max(snapLength, FILTER_BYTES) : snapLength);
    this.writer.section();
    for (const port of ports) this.writer.interface(port, { snapLength: options.snapLength, filter });
  }

  async attach(name: string, port: BridgePort): Promise<void> {
    const number = this.options.ports.indexOf(name);
    if (number >= 0 && (this.state === "begun" || this.state === "running")) await this.rings.attach(port, number);
  }

  async detach(name: string): Promise<void> {
    await this.rings.detach(this.options.ports.indexOf(name));
  }

  stop(): void {
    if (this.state !== "ended") this.state = "stopping";
    this.stopped.abort();
  }

  async next(): Promise<Uint8Array<ArrayBuffer> | null> {
    if (this.state === "begun") this.state = "running";
    while (this.state !== "ended") {
      // What is there already comes before the end, up to the moment in which no tap is left.
      const stopping = this.state === "stopping";
      if (stopping) await this.detachAll();
      const found = this.drain(stopping);
      if (stopping && found === 0) {
        await this.end();
        this.statistics();
      }
      if (this.writer.length > 0) return this.writer.take();
      if (found > 0) await nextTurn();
      else if (!stopping) await sleep(LOOK_MS, undefined, { signal: this.stopped.signal }).catch(() => {});
    }
    return null;
  }

  async abandon(): Promise<void> {
    this.stop();
    await this.end();
  }

  private detachAll(): Promise<unknown> {
    return Promise.all(this.options.ports.map((_, number) => this.rings.detach(number)));
  }

  /** Gives the rings back; the counts stay. */
  private end(): Promise<void> {
    this.state = "ended";
    this.forget();
    this.closing ??= this.rings.close();
    return this.closing;
  }

  /** Writes what the rings have, one piece at most. Returns how many records were read. */
  private drain(all: boolean): number {
    const { writer, options } = this;
    const most = options.count ?? Number.POSITIVE_INFINITY;
    let left = most - this.written.reduce((sum, count) => sum + count, 0);
    const until = all || !this.severalWorkers ? undefined : Number(process.hrtime.bigint()) - ORDER_NS;
    let looks = 0;
    const take = (record: CaptureRecord) => {
      looks++;
      if (left > 0 && this.write(record)) left--;
    };
    const enough = () => writer.length >= PIECE_BYTES || looks >= PIECE_FRAMES;
    const found = this.rings.read(take, enough, until);
    if (left <= 0) this.stop();
    return found;
  }

  /** True when the frame matched and was written. */
  private write({ tap, direction, dropped, length, bytes, timeHigh, timeLow }: CaptureRecord): boolean {
    const comment = dropped === undefined ? undefined : `dropped: ${DROP_CAUSE_NAMES[dropped] ?? dropped}`;
    if (this.filter && !this.filter(readPacket({ bytes, length, direction, comment }))) return false;
    this.written[tap]!++;
    const { snapLength = FRAME_MAX } = this.options;
    const kept = bytes.length > snapLength ? bytes.subarray(0, snapLength) : bytes;
    const time = this.wall((BigInt(timeHigh) << 32n) | BigInt(timeLow));
    this.writer.packet({ interface: tap, direction, time, bytes: kept, length, comment });
    return true;
  }

  private statistics(): void {
    const end = this.now();
    for (const number of this.options.ports.keys()) {
      const { frames, missed } = this.rings.counts(number);
      const written = this.written[number]!;
      const counts = { received: frames, dropped: missed, accepted: written, delivered: written };
      this.writer.statistics(number, counts, this.started, end);
    }
  }

  private now(): Nanoseconds {
    return this.wall(process.hrtime.bigint());
  }

  private wall(time: bigint): Nanoseconds {
    const sum = time + this.offset;
    return { high: Number(sum >> 32n), low: Number(sum & 0xffff_ffffn) };
  }
}
