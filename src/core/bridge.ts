// The host's hand on the core: builds and changes the structs that the workers read (assembly/abi.ts).
// It knows linear memory and nothing of sockets, threads or files, so the switch, the tests and a page use the same.
//
// Workers take no lock to read what is changed here: what they read is replaced, not edited (published-lists.ts, grace.ts),
// and a change is done when no worker holds any more what was there before.

import { askFew, giveBacklog, isHolding, takeBacklog } from "./backlogs.js";
import { BridgePort, BridgeQueue, type MappedRegion, MISSES_OFFSET, type RingInMemory } from "./bridge-port.js";
import { ChunkPools } from "./chunk-pools.js";
import { ControlMemory } from "./control-memory.js";
import { createFdb, fdbEntries, type FdbEntry, type FdbOptions } from "./fdb.js";
import { GracePeriods } from "./grace.js";
import * as layout from "./layout.js";
import { parseMac } from "./mac.js";
import type { CoreExports } from "./module.js";
import { PublishedLists } from "./published-lists.js";
import { QueueLists } from "./queue-lists.js";
import { RangeAllocator } from "./ranges.js";
import { RegionLists } from "./region-lists.js";
import { freeLane, NO_GENERATION, setUpRing } from "./ring-setup.js";
import { Struct, Views } from "./views.js";
import { createWorker } from "./worker-struct.js";

/** Linear memory: nothing below CONTROL_START, then the structs of the core, then the guests' windows. */
export const CONTROL_START = 64 * 1024;
export const WINDOWS_START = 64 * 1024 * 1024;

const QUEUE_BYTES = MISSES_OFFSET + layout.MISSES * 8;
const FLUSH_ALL = 0xffffffff;

export interface BridgeOptions {
  memory: WebAssembly.Memory;
  core: CoreExports;
  workers: number;
  fdb: FdbOptions;
  /** Where the windows begin; the lab's small memories have theirs nearer. Default WINDOWS_START. */
  windowsStart?: number;
  /** Windows for chunks that each worker has (chunk-pools.ts). Default none: all regions must be mapped whole. */
  chunkWindows?: number;
  /** Bytes set aside for rings in regions that are not mapped whole. Default 0. */
  ringWindowBytes?: number;
}

export class Bridge {
  readonly views: Views;
  /** The structs of the core, and what is allocated beside them. */
  readonly control: ControlMemory;
  /** Guests' memory, and rings in regions of it that are not mapped whole. */
  readonly windows: RangeAllocator;
  readonly ringWindows: RangeAllocator;
  readonly chunks: ChunkPools;
  readonly core: Struct<typeof layout.Core>;
  readonly fdb: Struct<typeof layout.Fdb>;
  readonly workers: readonly Struct<typeof layout.Worker>[];
  readonly ports = new Map<number, BridgePort>();
  readonly grace: GracePeriods;
  /** Told after a list of transmitqs was replaced: a sleeping worker must look at it. */
  onTransmitqs: (worker: number) => void = () => {};
  private readonly exports: CoreExports;
  private readonly lists: PublishedLists;
  private readonly regionLists: RegionLists;
  private readonly queueLists: QueueLists;
  private queueCount = 0;

  constructor(options: BridgeOptions) {
    const { memory, core, fdb } = options;
    const windowsStart = options.windowsStart ?? WINDOWS_START;
    this.views = new Views(memory);
    this.exports = core;
    this.control = new ControlMemory(this.views, CONTROL_START, windowsStart);
    const chunkWindows = options.chunkWindows ?? 0;
    const poolsEnd = windowsStart + ChunkPools.bytes(options.workers, chunkWindows);
    const ringsEnd = poolsEnd + (options.ringWindowBytes ?? 0);
    this.ringWindows = new RangeAllocator(poolsEnd, ringsEnd);
    this.windows = new RangeAllocator(ringsEnd, memory.buffer.byteLength);
    const { control } = this;
    const workers: Struct<typeof layout.Worker>[] = [];
    this.workers = workers;
    this.grace = new GracePeriods(workers);
    this.lists = new PublishedLists(control, this.grace);
    this.core = control.struct(layout.Core);
    this.fdb = control.struct(layout.Fdb);
    createFdb(this.fdb, control, fdb);
    this.core.set("abiVersion", layout.ABI_VERSION);
    this.core.set("workers", options.workers);
    this.core.set("fdb", this.fdb.at);
    this.core.set("ports", control.allocate(layout.PORTS_MAX * 4));
    this.core.set("floodList", this.lists.of([]));
    for (let id = 0; id < options.workers; id++) workers.push(createWorker(control, this.lists, id, options.workers));
    this.chunks = new ChunkPools(this.views, control, workers, windowsStart, chunkWindows);
    this.regionLists = new RegionLists(this.views, this.lists, this.grace);
    this.queueLists = new QueueLists(this.core, workers, this.ports, this.lists, this.grace);
  }

  /** Makes a port with no memory and no rings, in use or not (setAdminUp). Throws when all numbers are taken. */
  addPort(adminUp = true): BridgePort {
    let id = 0;
    while (this.ports.has(id)) id++;
    if (id >= layout.PORTS_MAX) throw new Error(`a switch has at most ${layout.PORTS_MAX} ports`);
    const struct = this.control.struct(layout.Port);
    struct.set("id", id);
    struct.set("regions", this.regionLists.of([]));
    struct.set("writable", struct.get("regions"));
    struct.set("receiveqs", this.lists.of([]));
    struct.set("adminDown", Number(!adminUp));
    const port = new BridgePort(id, struct);
    port.adminUp = adminUp;
    this.ports.set(id, port);
    Atomics.store(this.views.i32, (this.core.get("ports") >>> 2) + id, struct.at);
    return port;
  }

  /** Stops a port's rings, forgets its addresses and frees it. Its regions and taps must have been taken away. */
  async removePort(port: BridgePort): Promise<void> {
    for (const index of port.queues.keys()) await this.stopQueue(port, index);
    this.exports.fdbFlush(this.core.at, port.id);
    Atomics.store(this.views.i32, (this.core.get("ports") >>> 2) + port.id, 0);
    await this.grace.wait();
    // What was learned while the port was on its way out.
    this.exports.fdbFlush(this.core.at, port.id);
    for (const queue of port.queues.values()) {
      takeBacklog(queue, this.control);
      this.control.release(queue.struct.at, QUEUE_BYTES);
    }
    this.queueCount -= port.queues.size;
    this.regionLists.free(port);
    this.lists.free(port.struct.get("receiveqs"));
    if (port.logStruct !== undefined) this.freeLog(port.logStruct);
    this.control.release(port.struct.at, layout.Port.size);
    this.ports.delete(port.id);
  }

  /** Replaces the port's memory map. No ring of the port that needs a region that goes away may run. */
  async setRegions(port: BridgePort, regions: MappedRegion[]): Promise<void> {
    port.regions = [...regions];
    // First the log's: what a worker can write to it must know how to mark.
    if (port.log !== undefined) await this.setLog(port, port.log);
    await this.regionLists.publish(port);
  }

  /**
   * Where the port's I/O virtual addresses lie, as far as is known; undefined: its addresses are guest physical ones. It
   * begins and ends while no ring runs. `added`: nothing has gone or moved since the last call. Else what is no longer
   * listed is no longer used when this is done.
   */
  async setTranslations(
    port: BridgePort,
    translations: BridgePort["translations"],
    change: "added" | "any" = "any",
  ): Promise<void> {
    port.translations = translations;
    const queues = [...port.queues.values()];
    if (translations?.count === 0) for (const queue of queues) askFew(queue);
    const before = this.regionLists.numberOf(port);
    const published = this.regionLists.publish(port, change);
    // Transmitqs that waited for it, and whose workers may sleep; frames that wait for receiveqs are any worker's.
    for (const { running, worker, struct } of queues) {
      if (running && worker !== undefined && struct.load("missGeneration") === before) this.onTransmitqs(worker);
    }
    if (isHolding(queues)) this.wakeAll();
    await published;
  }

  /** Lets a queue that has waited for a translation ask for it once more. */
  askAgain(queue: BridgeQueue): void {
    const { struct, backlog, worker } = queue;
    if (backlog !== undefined && backlog.load("frames") > 0) {
      backlog.publish("generation", 0);
      this.wakeAll();
    }
    if (worker === undefined || struct.load("missGeneration") === NO_GENERATION) return;
    struct.publish("missGeneration", NO_GENERATION);
    this.onTransmitqs(worker);
  }

  /** Makes regions of the switch's own known to the port's rings, or none any more. */
  async setOwnRegions(port: BridgePort, regions: readonly MappedRegion[]): Promise<void> {
    port.ownRegions = regions;
    await this.regionLists.publish(port);
  }

  /** Frames to the port's guest with more bytes than this behind their Ethernet header are dropped; undefined: none. */
  setMtu(port: BridgePort, mtu: number | undefined): void {
    port.struct.publish("mtu", mtu ?? 0);
  }

  /**
   * From now on every write to the port's guest is marked in this bitmap, or none any more. When this is done the bitmap
   * before is no longer touched, and no write that is not marked is under way.
   */
  async setLog(port: BridgePort, log: { window: number; size: bigint } | undefined): Promise<void> {
    const old = port.logStruct;
    if (log === undefined && old === undefined) return;
    port.log = log;
    port.logStruct = undefined;
    if (log !== undefined) {
      port.logStruct = this.control.struct(layout.DirtyLog);
      port.logStruct.set("bytes", Number(log.size));
      port.logStruct.set("window", log.window);
      port.logStruct.set("watched", Number(port.logWatched));
      const apart = [...port.queues.values()].flatMap((queue) => queue.apart);
      port.logStruct.set("regions", this.regionLists.of([...port.regions, ...apart]));
    }
    port.struct.publish("log", port.logStruct?.at ?? 0);
    await this.grace.wait();
    if (old === undefined) return;
    if (old.load("unheard") === 1) port.logStruct?.publish("unheard", 1);
    this.freeLog(old);
  }

  /** From now on the port's frames are shown to these Tap structs; when done, to no others any more. */
  async setTaps(port: BridgePort, taps: readonly number[]): Promise<void> {
    port.taps = taps;
    const capturing = [...this.ports.values()].some((each) => each.taps.length > 0);
    for (const worker of this.workers) worker.publish("capturing", capturing ? 1 : 0);
    await this.lists.replace(port.struct, "captures", taps.length > 0 ? this.lists.of(taps) : 0);
  }

  /** Sets a ring up and lets workers at it. `callFd` -1: the driver polls. The queue must not run. */
  async startQueue(
    port: BridgePort,
    index: number,
    ring: RingInMemory,
    options: { callFd: number; enabled: boolean; worker: number },
  ): Promise<void> {
    const queue = this.queue(port, index);
    queue.apart = ring.apart ?? [];
    // What the log knows of rings must be there before anything is written to this one.
    if (port.log !== undefined && queue.apart.length > 0) await this.setLog(port, port.log);
    const { struct } = queue;
    const lane = queue.isReceiveq ? 0 : freeLane(port, queue, options.worker, this.workers.length);
    setUpRing(port, queue, ring, lane);
    const translated = queue.isReceiveq && port.translations !== undefined;
    // One that is paused is still in the hands of workers: they have its backlog, and its lock if there are several.
    if (!queue.paused) {
      struct.set("shared", Number(this.workers.length > 1));
      if (translated) giveBacklog(queue, this.control);
      else takeBacklog(queue, this.control);
    }
    struct.set("enabled", Number(options.enabled && port.adminUp));
    struct.set("callFd", options.callFd);
    this.exports.startQueue(struct.at);
    const listed = queue.takesFrames;
    queue.running = true;
    queue.paused = false;
    queue.enabled = options.enabled;
    struct.publish("waiting", 0);
    if (queue.isReceiveq) {
      if (listed !== queue.takesFrames) await this.queueLists.publishReceiveqs(port);
      if (translated) this.wakeAll();
    } else {
      queue.worker = options.worker;
      await this.publishTransmitqs(options.worker);
    }
  }

  /** Takes a ring from the workers and waits until none of them touches it. Returns the next avail index. */
  async stopQueue(port: BridgePort, index: number): Promise<number> {
    const queue = port.queues.get(index);
    if (!queue?.running && !queue?.paused) return queue ? queue.struct.get("nextAvail") : 0;
    queue.running = false;
    queue.paused = false;
    if (queue.isReceiveq) {
      await this.queueLists.publishReceiveqs(port);
      // Unless it has been started meanwhile, or its port has gone.
      if (!queue.takesFrames && this.ports.get(port.id) === port) takeBacklog(queue, this.control);
    } else {
      const worker = queue.worker!;
      queue.worker = undefined;
      await this.publishTransmitqs(worker);
    }
    queue.apart = [];
    return queue.struct.get("nextAvail");
  }

  /**
   * Stops a ring of which nobody knows any more where it lies. Frames for a receiveq wait in its backlog until it is
   * started or stopped; a transmitq just stops. Returns the next avail index.
   */
  async pauseQueue(port: BridgePort, index: number): Promise<number> {
    const queue = port.queues.get(index);
    if (!queue?.running || queue.backlog === undefined) return this.stopQueue(port, index);
    queue.struct.publish("waiting", 1);
    await this.grace.wait();
    queue.running = false;
    queue.paused = true;
    queue.pausedAt = performance.now();
    return queue.struct.get("nextAvail");
  }

  /** Stops a queue and forgets it with its counters. */
  async removeQueue(port: BridgePort, index: number): Promise<void> {
    const queue = port.queues.get(index);
    if (queue === undefined) return;
    await this.stopQueue(port, index);
    this.control.release(queue.struct.at, QUEUE_BYTES);
    port.queues.delete(index);
    this.queueCount--;
  }

  /**
   * SET_VRING_ENABLE. A disabled receiveq gets nothing; a disabled transmitq is drained and its frames discarded, but
   * for one that has not been enabled since it started: that keeps them for HOLD_SECONDS.
   */
  async setEnabled(port: BridgePort, index: number, enabled: boolean): Promise<void> {
    const queue = port.queues.get(index);
    if (!queue || queue.enabled === enabled) return;
    queue.enabled = enabled;
    if (!enabled) queue.struct.set("drainFrom", 0);
    queue.struct.publish("enabled", Number(enabled && port.adminUp));
    if (!queue.running && !queue.paused) return;
    if (!enabled && isHolding([queue])) this.wakeAll();
    if (queue.isReceiveq) await this.queueLists.publishReceiveqs(port);
    else await this.grace.wait();
  }

  /**
   * Puts a port out of use, or back: nothing is delivered to it, and its transmitqs are drained and their frames discarded
   * and counted, whatever its front-end enables. When this is done no frame of before is under way, and the addresses
   * behind a port that went down are forgotten.
   */
  async setAdminUp(port: BridgePort, up: boolean): Promise<void> {
    if (port.adminUp === up) return;
    port.adminUp = up;
    port.struct.publish("adminDown", Number(!up));
    for (const queue of port.queues.values()) queue.struct.publish("enabled", Number(queue.enabled && up));
    if (!up && isHolding(port.queues.values())) this.wakeAll();
    await this.queueLists.publishReceiveqs(port);
    await this.grace.wait();
    if (!up) this.flushFdb(port);
  }

  /** Swaps the call descriptor; when done the old one is no longer written to. */
  async setCallFd(port: BridgePort, index: number, callFd: number): Promise<void> {
    const queue = port.queues.get(index);
    if (!queue) return;
    queue.struct.publish("callFd", callFd);
    if (queue.running) await this.grace.wait();
  }

  /** Learned addresses, at most so many. */
  fdbEntries(limit = Number.POSITIVE_INFINITY): FdbEntry[] {
    return fdbEntries(this.fdb, limit);
  }

  /** Learns an address ("52:54:00:12:34:56") on a port, last seen at second `seen`, as if a frame had come from it. */
  learn(port: BridgePort, mac: string, seen: number): void {
    const address = parseMac(mac);
    if (address === undefined) throw new Error(`"${mac}" is no MAC address`);
    this.exports.fdbLearn(this.core.at, port.id, Number(address & 0xffff_ffffn), Number(address >> 32n), seen);
  }

  /** Forgets addresses not seen for the ageing time; `now` on the same clock as `poll`'s, in seconds. */
  ageFdb(now: number): number {
    return this.exports.fdbAge(this.core.at, now);
  }

  /** Forgets a port's addresses, or all. Returns how many. */
  flushFdb(port?: BridgePort): number {
    return this.exports.fdbFlush(this.core.at, port ? port.id : FLUSH_ALL);
  }

  /** The queue's struct, made when first needed; it lives as long as the port, so that its counters do. */
  queue(port: BridgePort, index: number): BridgeQueue {
    let queue = port.queues.get(index);
    if (!queue) {
      if (this.queueCount >= layout.CALLS_MAX) throw new Error(`a switch has at most ${layout.CALLS_MAX} virtqueues`);
      this.queueCount++;
      queue = new BridgeQueue(index, new Struct(this.views, layout.Queue, this.control.allocate(QUEUE_BYTES)));
      port.queues.set(index, queue);
    }
    return queue;
  }

  /** Any worker may take frames that wait to their receiver. */
  private wakeAll(): void {
    for (let worker = 0; worker < this.workers.length; worker++) this.onTransmitqs(worker);
  }

  private publishTransmitqs(worker: number): Promise<void> {
    return this.queueLists.publishTransmitqs(worker, () => this.onTransmitqs(worker));
  }

  private freeLog(log: Struct<typeof layout.DirtyLog>): void {
    this.lists.free(log.get("regions"));
    this.control.release(log.at, layout.DirtyLog.size);
  }
}
