// The host's hand on the core: builds and changes the structs that the workers read (assembly/abi.ts).
// It knows linear memory and nothing of sockets, threads or files, so the switch, the tests and a page use the same.
//
// Workers take no lock to read what is changed here. Lists are replaced, not edited: publish the new one, wait for a
// grace period (every worker has been between two bursts, where it holds nothing), then free what was replaced.

import * as features from "../../assembly/spec/virtio.js";
import { askFew, giveBacklog, isHolding, takeBacklog } from "./backlogs.js";
import { receiveOffloads, transmitOffloads } from "./offloads.js";
import { BridgePort, BridgeQueue, type MappedRegion, MISSES_OFFSET, type RingInMemory } from "./bridge-port.js";
import { hasBit } from "./feature-bits.js";
import { ChunkPools } from "./chunk-pools.js";
import * as layout from "./layout.js";
import { formatMac } from "./mac.js";
import type { CoreExports } from "./module.js";
import { RangeAllocator } from "./ranges.js";
import { Struct, Views } from "./views.js";

/** Linear memory: nothing below CONTROL_START, then the structs of the core, then the guests' windows. */
export const CONTROL_START = 64 * 1024;
export const WINDOWS_START = 64 * 1024 * 1024;

const FDB_BUCKET_ENTRIES = 4;
const QUEUE_BYTES = MISSES_OFFSET + layout.MISSES * 8;
/** The generation of no region list: they count from 1 on. */
const NO_GENERATION = 0xffffffff;
const FLUSH_ALL = 0xffffffff;
/** What a worker has for a poll, and how often it is looked at when it may take longer. */
const GRACE_MS = 5000;
const LATE_LOOK_MS = 1;

export interface BridgeOptions {
  memory: WebAssembly.Memory;
  core: CoreExports;
  workers: number;
  fdb: { limit: number; portLimit: number; ageingSeconds: number };
  /** Where the windows begin; the lab's small memories have theirs nearer. Default WINDOWS_START. */
  windowsStart?: number;
  /** Windows for chunks that each worker has (chunk-pools.ts). Default none: all regions must be mapped whole. */
  chunkWindows?: number;
  /** Bytes set aside for rings in regions that are not mapped whole. Default 0. */
  ringWindowBytes?: number;
}

export class Bridge {
  readonly views: Views;
  readonly control: RangeAllocator;
  readonly windows: RangeAllocator;
  readonly ringWindows: RangeAllocator;
  readonly chunks: ChunkPools;
  readonly core: Struct<typeof layout.Core>;
  readonly fdb: Struct<typeof layout.Fdb>;
  readonly workers: Struct<typeof layout.Worker>[] = [];
  readonly ports = new Map<number, BridgePort>();
  private readonly exports: CoreExports;
  private readonly fdbBytes: number;
  private queueCount = 0;
  /** Ports with memory of which pages come late (postcopy migration): a worker may stand still in it, and for long. */
  lateMemory = 0;
  /** Region lists ever published: each has its number (assembly/memory/regions.ts). */
  private regionLists = 0;
  /** Lists on their way out, and who frees them. */
  private readonly retired: number[] = [];
  private retiring: Promise<void> | undefined;
  private readonly listSizes = new Map<number, number>();
  /** Queue structs on the workers' lists of backlogs. */
  private backlogged: number[] = [];
  /** Told after a list of transmitqs was replaced: a sleeping worker must look at it. */
  onTransmitqs: (worker: number) => void = () => {};

  constructor(options: BridgeOptions) {
    const { memory, core, workers, fdb } = options;
    const windowsStart = options.windowsStart ?? WINDOWS_START;
    this.views = new Views(memory);
    this.exports = core;
    this.control = new RangeAllocator(CONTROL_START, windowsStart);
    const chunkWindows = options.chunkWindows ?? 0;
    const poolsEnd = windowsStart + ChunkPools.bytes(workers, chunkWindows);
    const ringsEnd = poolsEnd + (options.ringWindowBytes ?? 0);
    this.ringWindows = new RangeAllocator(poolsEnd, ringsEnd);
    this.windows = new RangeAllocator(ringsEnd, memory.buffer.byteLength);
    this.core = this.struct(layout.Core);
    this.fdb = this.struct(layout.Fdb);
    // Twice as many entries as may be used: then one of an address's two buckets has room (assembly/bridge/fdb.ts).
    const buckets = powerOfTwo(Math.ceil((fdb.limit * 2) / FDB_BUCKET_ENTRIES));
    this.fdbBytes = buckets * FDB_BUCKET_ENTRIES * layout.FdbEntry.size;
    this.fdb.set("entries", this.allocate(this.fdbBytes));
    this.fdb.set("bucketMask", buckets - 1);
    this.fdb.set("limit", fdb.limit);
    this.fdb.set("portLimit", fdb.portLimit);
    this.fdb.set("ageing", fdb.ageingSeconds);
    this.fdb.set("portEntries", this.allocate(layout.PORTS_MAX * 4));
    this.core.set("abiVersion", layout.ABI_VERSION);
    this.core.set("workers", workers);
    this.core.set("fdb", this.fdb.at);
    this.core.set("ports", this.allocate(layout.PORTS_MAX * 4));
    this.core.set("floodList", this.list([]));
    for (let id = 0; id < workers; id++) this.workers.push(this.createWorker(id, workers));
    const control = {
      allocate: (bytes: number) => this.allocate(bytes),
      release: (at: number, bytes: number) => this.release(at, bytes),
    };
    this.chunks = new ChunkPools(this.views, control, this.workers, windowsStart, chunkWindows);
  }

  /** Makes a port with no memory and no rings, in use or not (setAdminUp). Throws when all numbers are taken. */
  addPort(adminUp = true): BridgePort {
    let id = 0;
    while (this.ports.has(id)) id++;
    if (id >= layout.PORTS_MAX) throw new Error(`a switch has at most ${layout.PORTS_MAX} ports`);
    const struct = this.struct(layout.Port);
    struct.set("id", id);
    struct.set("regions", this.list([], 8));
    struct.set("writable", struct.get("regions"));
    struct.set("receiveqs", this.list([]));
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
    await this.grace();
    // What was learned while the port was on its way out.
    this.exports.fdbFlush(this.core.at, port.id);
    for (const queue of port.queues.values()) {
      takeBacklog(queue, this);
      this.release(queue.struct.at, QUEUE_BYTES);
    }
    this.queueCount -= port.queues.size;
    for (const list of this.regionListsOf(port)) this.freeList(list);
    this.freeList(port.struct.get("receiveqs"));
    if (port.logStruct !== undefined) this.freeLog(port.logStruct);
    this.release(port.struct.at, layout.Port.size);
    this.ports.delete(port.id);
  }

  /** Replaces the port's memory map. No ring of the port that needs a region that goes away may run. */
  async setRegions(port: BridgePort, regions: MappedRegion[]): Promise<void> {
    port.regions = [...regions].sort(byAddress);
    // First the log's: what a worker can write to it must know how to mark.
    if (port.log !== undefined) await this.setLog(port, port.log);
    await this.publishRegions(port);
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
    const before = this.views.u32[(port.struct.get("regions") + 4) >>> 2];
    const published = this.publishRegions(port, change);
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

  /** Any worker may take frames that wait to their receiver. */
  private wakeAll(): void {
    for (let worker = 0; worker < this.workers.length; worker++) this.onTransmitqs(worker);
  }

  /** Makes regions of the switch's own known to the port's rings, or none any more. */
  async setOwnRegions(port: BridgePort, regions: readonly MappedRegion[]): Promise<void> {
    port.ownRegions = regions;
    await this.publishRegions(port);
  }

  private async publishRegions(port: BridgePort, change: "added" | "any" = "any"): Promise<void> {
    const { struct, translations, ownRegions } = port;
    const old = [...this.regionListsOf(port)];
    const readable =
      translations !== undefined && ownRegions.length === 0
        ? this.translationList(translations.readableWords)
        : this.regionList([...(translations?.readable ?? port.regions), ...ownRegions].sort(byAddress));
    struct.publish("translated", Number(translations !== undefined));
    struct.publish("regions", readable);
    struct.publish(
      "writable",
      translations === undefined ? readable : this.translationList(translations.writableWords),
    );
    if (change === "added") {
      this.retired.push(...old);
      this.retiring ??= this.freeRetired();
    } else {
      await this.grace();
      for (const list of old) this.freeList(list);
    }
  }

  /** Frees lists that nobody waits for, when no worker can hold them any more. */
  private async freeRetired(): Promise<void> {
    while (this.retired.length > 0) {
      const lists = this.retired.splice(0);
      await this.grace();
      for (const list of lists) this.freeList(list);
    }
    this.retiring = undefined;
  }

  private regionListsOf({ struct }: BridgePort): Set<number> {
    return new Set([struct.get("regions"), struct.get("writable")]);
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
      port.logStruct = this.struct(layout.DirtyLog);
      port.logStruct.set("bytes", Number(log.size));
      port.logStruct.set("window", log.window);
      port.logStruct.set("watched", Number(port.logWatched));
      const apart = [...port.queues.values()].flatMap((queue) => queue.apart);
      port.logStruct.set("regions", this.regionList([...port.regions, ...apart]));
    }
    port.struct.publish("log", port.logStruct?.at ?? 0);
    await this.grace();
    if (old === undefined) return;
    if (old.load("unheard") === 1) port.logStruct?.publish("unheard", 1);
    this.freeLog(old);
  }

  /** From now on the port's frames are shown to these Tap structs; when done, to no others any more. */
  async setTaps(port: BridgePort, taps: readonly number[]): Promise<void> {
    const old = port.struct.get("captures");
    port.taps = taps;
    port.struct.publish("captures", taps.length > 0 ? this.list([...taps]) : 0);
    await this.grace();
    if (old !== 0) this.freeList(old);
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
    struct.set("desc", ring.desc);
    struct.set("avail", ring.avail);
    struct.set("used", ring.used);
    struct.set("size", ring.size);
    struct.set("port", port.struct.at);
    struct.set("lane", queue.isReceiveq ? 0 : this.freeLane(port, queue, options.worker));
    struct.set("headerSize", port.headerBytes);
    struct.set("mergeable", Number(hasBit(port.features, features.VIRTIO_NET_F_MRG_RXBUF)));
    struct.set("eventIdx", Number(hasBit(port.features, features.VIRTIO_F_EVENT_IDX)));
    struct.set("indirect", Number(hasBit(port.features, features.VIRTIO_F_INDIRECT_DESC)));
    struct.set("packed", Number(ring.packed ?? false));
    struct.set("offloads", queue.isReceiveq ? receiveOffloads(port.features) : transmitOffloads(port.features));
    struct.set("inflight", ring.packed ? (ring.inflight ?? 0) : 0);
    const translated = queue.isReceiveq && port.translations !== undefined;
    // One that is paused is still in the hands of workers: they have its backlog, and its lock if there are several.
    if (!queue.paused) {
      struct.set("shared", Number(this.workers.length > 1));
      if (translated) giveBacklog(queue, this);
      else takeBacklog(queue, this);
    }
    struct.set("enabled", Number(options.enabled && port.adminUp));
    struct.set("callFd", options.callFd);
    struct.set("nextAvail", ring.nextAvail & 0xffff);
    struct.set("callPending", 0);
    struct.set("missCount", 0);
    struct.set("missGeneration", NO_GENERATION);
    this.exports.startQueue(struct.at);
    const listed = queue.takesFrames;
    queue.running = true;
    queue.paused = false;
    queue.enabled = options.enabled;
    struct.publish("waiting", 0);
    if (queue.isReceiveq) {
      if (listed !== queue.takesFrames) await this.publishReceiveqs(port);
      if (translated) this.wakeAll();
    } else {
      queue.worker = options.worker;
      await this.publishTransmitqs(options.worker);
    }
  }

  /** With one worker, and started in their order, the pair's number: frames go to the receiveq that belongs to them. */
  private freeLane(port: BridgePort, queue: BridgeQueue, worker: number): number {
    if (this.workers.length === 1) return queue.index >>> 1;
    const others = [...port.queues.values()].filter((other) => other.running && other.worker === worker);
    const taken = new Set(others.map(({ struct }) => struct.get("lane")));
    let lane = 0;
    while (taken.has(lane)) lane++;
    return lane;
  }

  /** Takes a ring from the workers and waits until none of them touches it. Returns the next avail index. */
  async stopQueue(port: BridgePort, index: number): Promise<number> {
    const queue = port.queues.get(index);
    if (!queue?.running && !queue?.paused) return queue ? queue.struct.get("nextAvail") : 0;
    queue.running = false;
    queue.paused = false;
    if (queue.isReceiveq) {
      await this.publishReceiveqs(port);
      // Unless it has been started meanwhile, or its port has gone.
      if (!queue.takesFrames && this.ports.get(port.id) === port) takeBacklog(queue, this);
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
    await this.grace();
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
    this.release(queue.struct.at, QUEUE_BYTES);
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
    if (queue.isReceiveq) await this.publishReceiveqs(port);
    else await this.grace();
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
    await this.publishReceiveqs(port);
    await this.grace();
    if (!up) this.flushFdb(port);
  }

  /** Swaps the call descriptor; when done the old one is no longer written to. */
  async setCallFd(port: BridgePort, index: number, callFd: number): Promise<void> {
    const queue = port.queues.get(index);
    if (!queue) return;
    queue.struct.publish("callFd", callFd);
    if (queue.running) await this.grace();
  }

  /** Learned addresses, at most so many: [MAC as 12 hex digits with colons, port number, second last seen]. */
  fdbEntries(limit = Number.POSITIVE_INFINITY): { mac: string; port: number; seen: number }[] {
    const entries: { mac: string; port: number; seen: number }[] = [];
    const start = this.fdb.get("entries");
    for (let at = start; at < start + this.fdbBytes && entries.length < limit; at += layout.FdbEntry.size) {
      // Most are free, and a half is read much faster than the whole.
      if (this.views.u32[at >>> 2] === 0 && this.views.u32[(at >>> 2) + 1] === 0) continue;
      const key = this.views.u64[at >>> 3]!;
      if (key === 0n) continue;
      entries.push({ mac: formatMac(key), port: Number(key >> 48n) - 1, seen: this.views.u32[(at + 8) >>> 2]! });
    }
    return entries;
  }

  /** Learns an address ("52:54:00:12:34:56") on a port, last seen at second `seen`, as if a frame had come from it. */
  learn(port: BridgePort, mac: string, seen: number): void {
    const octets = mac.split(":").map((octet) => Number.parseInt(octet, 16));
    const word = (first: number, count: number) =>
      octets.slice(first, first + count).reduce((value, octet, i) => value | (octet << (8 * i)), 0);
    this.exports.fdbLearn(this.core.at, port.id, word(0, 4), word(4, 2), seen);
  }

  /** Forgets addresses not seen for the ageing time; `now` on the same clock as `poll`'s, in seconds. */
  ageFdb(now: number): number {
    return this.exports.fdbAge(this.core.at, now);
  }

  /** Forgets a port's addresses, or all. Returns how many. */
  flushFdb(port?: BridgePort): number {
    return this.exports.fdbFlush(this.core.at, port ? port.id : FLUSH_ALL);
  }

  /**
   * Waits until every worker has let go of what it held when this was called: it sleeps, or a new poll has begun.
   * Throws when a worker does not come round within five seconds and waits for no page that comes late: it has died, and
   * so has the switch.
   */
  async grace(): Promise<void> {
    let deadline = Date.now() + GRACE_MS;
    const waiting = this.workers.map((worker) => ({ worker, epoch: worker.load("epoch") }));
    for (const { worker, epoch } of waiting) {
      while (worker.load("parked") === 0 && worker.load("epoch") === epoch) {
        if (this.lateMemory > 0) {
          deadline = Date.now() + GRACE_MS;
          await new Promise((resolve) => setTimeout(resolve, LATE_LOOK_MS));
        } else {
          if (Date.now() > deadline) throw new Error(`worker ${worker.get("id")} does not answer any more`);
          await new Promise(setImmediate);
        }
      }
    }
  }

  /** The queue's struct, made when first needed; it lives as long as the port, so that its counters do. */
  queue(port: BridgePort, index: number): BridgeQueue {
    let queue = port.queues.get(index);
    if (!queue) {
      if (this.queueCount >= layout.CALLS_MAX) throw new Error(`a switch has at most ${layout.CALLS_MAX} virtqueues`);
      this.queueCount++;
      queue = new BridgeQueue(index, new Struct(this.views, layout.Queue, this.allocate(QUEUE_BYTES)));
      port.queues.set(index, queue);
    }
    return queue;
  }

  /**
   * New lists of where frames may be delivered on this port, and of ports that take floods. With several workers the
   * queues are locked during the change; they are not, afterwards, when there are enough for each worker to have its own.
   */
  private publishReceiveqs(port: BridgePort): Promise<void> {
    // The operator and the front-end may change the same port: one after the other.
    port.publishing = port.publishing.then(() => this.publishReceiveqsNow(port));
    return port.publishing;
  }

  private async publishReceiveqsNow(port: BridgePort): Promise<void> {
    const several = this.workers.length > 1;
    if (several) {
      for (const queue of port.queues.values()) if (queue.isReceiveq) queue.struct.publish("shared", 1);
      await this.grace();
    }
    const running = [...port.queues.values()]
      .filter((queue) => port.adminUp && queue.takesFrames)
      .sort((a, b) => a.index - b.index);
    await this.replace(port.struct, "receiveqs", this.list(running.map((queue) => queue.struct.at)));
    if (several && running.length >= this.workers.length) {
      // What waits in a backlog may be taken to its ring by any of them.
      for (const queue of running) if (queue.backlog === undefined) queue.struct.publish("shared", 0);
    }
    const flooded = [...this.ports.values()].filter(
      (p) => p.adminUp && [...p.queues.values()].some((queue) => queue.takesFrames),
    );
    await this.replace(this.core, "floodList", this.list(flooded.map((p) => p.struct.at)));
    await this.publishBacklogs();
  }

  /** A new list of receiveqs with backlogs, if it is another. */
  private async publishBacklogs(): Promise<void> {
    const queues = [...this.ports.values()].flatMap((port) => [...port.queues.values()]);
    // Disabled ones too: the workers drop what waits there.
    const holding = queues.filter(({ running, paused, backlog }) => backlog !== undefined && (running || paused));
    const pointers = holding.map(({ struct }) => struct.at);
    if (pointers.join() === this.backlogged.join()) return;
    this.backlogged = pointers;
    const old = this.workers[0]!.get("backlogs");
    const list = pointers.length > 0 ? this.list(pointers) : 0;
    for (const worker of this.workers) worker.publish("backlogs", list);
    await this.grace();
    if (old !== 0) this.freeList(old);
  }

  private async publishTransmitqs(worker: number): Promise<void> {
    const queues: number[] = [];
    for (const port of this.ports.values()) {
      for (const queue of port.queues.values()) {
        if (queue.running && !queue.isReceiveq && queue.worker === worker) queues.push(queue.struct.at);
      }
    }
    await this.replace(this.workers[worker]!, "transmitqs", this.list(queues), () => this.onTransmitqs(worker));
  }

  /** Publishes a list and frees the one it replaces when no worker can hold it any more. */
  private async replace<L extends { size: number; fields: Record<string, { offset: number; type: string }> }>(
    struct: Struct<L>,
    field: keyof L["fields"] & string,
    list: number,
    published: () => void = () => {},
  ): Promise<void> {
    const old = struct.get(field);
    struct.publish(field, list);
    published();
    await this.grace();
    this.freeList(old);
  }

  private list(items: number[], headerBytes = 4): number {
    const at = this.allocateList(headerBytes + items.length * 4);
    this.views.u32[at >>> 2] = items.length;
    items.forEach((item, i) => {
      this.views.u32[((at + headerBytes) >>> 2) + i] = item;
    });
    return at;
  }

  private allocateList(bytes: number): number {
    const at = this.allocate(bytes);
    this.listSizes.set(at, bytes);
    return at;
  }

  /** A list of the port's regions as the core reads it. */
  private regionList(regions: readonly MappedRegion[]): number {
    const { fields, size } = layout.Region;
    const at = this.list([], 8 + regions.length * size);
    this.views.u32[at >>> 2] = regions.length;
    // Its number, by which queues know that it is the same one; none when pieces of it move (assembly/memory/regions.ts).
    const whole = regions.every(({ chunks }) => chunks === undefined);
    this.views.u32[(at + 4) >>> 2] = whole ? ++this.regionLists : 0;
    regions.forEach((region, i) => {
      const entry = at + 8 + i * size;
      this.views.u64[(entry + fields.guestAddress.offset) >>> 3] = region.guestAddress;
      this.views.u64[(entry + fields.size.offset) >>> 3] = region.size;
      this.views.u32[(entry + fields.window.offset) >>> 2] = region.window;
      this.views.u32[(entry + fields.chunks.offset) >>> 2] = region.chunks ?? 0;
    });
    return at;
  }

  /** The same of what is known of I/O virtual addresses, which is all mapped whole. */
  private translationList(words: BigUint64Array): number {
    const at = this.allocateList(8 + words.byteLength);
    this.views.u32[at >>> 2] = words.byteLength / layout.Region.size;
    this.views.u32[(at + 4) >>> 2] = ++this.regionLists;
    this.views.u64.set(words, (at + 8) >>> 3);
    return at;
  }

  private freeLog(log: Struct<typeof layout.DirtyLog>): void {
    this.freeList(log.get("regions"));
    this.release(log.at, layout.DirtyLog.size);
  }

  private freeList(at: number): void {
    this.release(at, this.listSizes.get(at)!);
    this.listSizes.delete(at);
  }

  private createWorker(id: number, workers: number): Struct<typeof layout.Worker> {
    const worker = this.struct(layout.Worker);
    worker.set("id", id);
    worker.set("workers", workers);
    worker.set("parked", 1);
    worker.set("transmitqs", this.list([]));
    worker.set("frameTable", this.allocate(layout.BURST * layout.Frame.size));
    worker.set("txSegmentTable", this.allocate(layout.SEGMENTS * layout.Segment.size));
    worker.set("rxSegmentTable", this.allocate(layout.SEGMENTS * layout.Segment.size));
    worker.set("placements", this.allocate(layout.BURST * layout.Placement.size));
    worker.set("calls", this.allocate(layout.CALLS_MAX * 4));
    worker.set("groupTable", this.allocate(layout.BURST * layout.Group.size));
    worker.set("groupOf", this.allocate(layout.PORTS_MAX));
    worker.set("headerScratch", this.allocate(64));
    worker.set("headerCopies", this.allocate(layout.BURST * layout.HEADER_COPY));
    worker.set("offloadTable", this.allocate(layout.BURST * layout.Offload.size));
    worker.set("packet", this.allocate(layout.Packet.size));
    worker.set("packetHeaders", this.allocate(layout.HEADERS_MAX));
    worker.set("fragmentId", Math.floor(Math.random() * 2 ** 32));
    worker.set("txNoteTable", this.allocate(layout.BURST * layout.Reserved.size));
    worker.set("rxNoteTable", this.allocate(layout.RX_NOTES * layout.Reserved.size));
    worker.set("reservedTable", this.allocate(layout.CHAIN_SEGMENTS * layout.Reserved.size));
    worker.set("trace", this.allocate(layout.TRACE_EVENTS * layout.TraceEvent.size));
    return worker;
  }

  private struct<L extends { size: number; fields: Record<string, { offset: number; type: string }> }>(
    of: L,
  ): Struct<L> {
    return new Struct(this.views, of, this.allocate(of.size));
  }

  /** Control memory, zeroed, on cache lines of its own. */
  allocate(bytes: number): number {
    const size = roundUp(bytes, 64);
    const at = this.control.allocate(size, 64);
    if (at === null) throw new Error("the switch's own tables do not fit: lower fdb.limit or the number of ports");
    this.views.bytes.fill(0, at, at + size);
    return at;
  }

  /** Gives back what `allocate` gave; nothing may use it any more. */
  release(at: number, bytes: number): void {
    this.control.release(at, roundUp(bytes, 64));
  }
}

function byAddress(a: MappedRegion, b: MappedRegion): number {
  return a.guestAddress < b.guestAddress ? -1 : 1;
}

function roundUp(value: number, to: number): number {
  return Math.ceil(value / to) * to;
}

function powerOfTwo(least: number): number {
  let size = 1;
  while (size < least) size *= 2;
  return size;
}
