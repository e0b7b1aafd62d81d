// One port: carries out the effects of its front-end's session on the bridge, the workers and the memory.

import type { Bridge } from "../core/bridge.js";
import type { BridgePort, MappedRegion, RingInMemory } from "../core/bridge-port.js";
import { queueStatusText } from "../core/causes.js";
import { type RingPart, ringParts } from "../core/ring-parts.js";
import { QUEUE_OK } from "../../assembly/spec/status.js";
import { VIRTIO_NET_F_MTU } from "../../assembly/spec/virtio.js";
import { hasBit } from "../core/feature-bits.js";
import { injectFrame } from "../core/inject.js";
import type { PortStatus } from "../api/status.js";
import type { PortConfig } from "../config/schema.js";
import { adoptNotifier, drain, isFull, signal } from "../sys/eventfd.js";
import { closeFd } from "../sys/memfd.js";
import type { Reactor } from "../sys/reactor.js";
import type { Transcript } from "../vhost-user/transcript.js";
import type { Effect, EffectOutcome, Fd, MemoryRegion, RingFds, RingSetup } from "../vhost-user/effects.js";
import type { GuestMemory, Mapping } from "./guest-memory.js";
import type { RingPlace } from "./ring-windows.js";
import { createInflight, PortInflight } from "./inflight.js";
import { PortIotlb } from "./port-iotlb.js";
import { PortMigration } from "./port-migration.js";
import { PortPostcopy } from "./port-postcopy.js";
import type { Logger } from "pino";
import { rarpFrame } from "./rarp.js";
import type { WorkerPool } from "./worker-pool.js";

/** What a running ring has of its front-end. */
interface RunningQueue {
  kick: Fd | null;
  /** Signalled when the guest breaks the ring. */
  err: Fd | null;
  /** Only transmitqs have one. */
  worker?: number;
  /** Where its parts lie. */
  places: readonly RingPlace[];
}

const NO_CALL = -1;
/** How long one warning is not repeated. */
const SAME_WARNING_MS = 10_000;

export class Port {
  readonly bridgePort: BridgePort;
  readonly mappings: Mapping[] = [];
  lastError: string | undefined;
  private warned = { text: "", at: 0 };
  /** Of the device, if it has one: the configuration's or the front-end's. */
  private mtu: number | undefined;
  /** Of the connection in hand, if it is recorded. */
  transcript: Transcript | undefined;
  /** Misses of its queues are its business. */
  readonly iotlb: PortIotlb;
  private readonly migration: PortMigration;
  private readonly inflight: PortInflight;
  private readonly postcopy: PortPostcopy;
  private readonly running = new Map<number, RunningQueue>();
  private readonly reportedBroken = new Set<number>();

  constructor(
    /** What of it may change while the port lives: `reconfigure`. */
    public config: PortConfig,
    private readonly bridge: Bridge,
    private readonly pool: WorkerPool,
    private readonly memory: GuestMemory,
    readonly log: Logger,
    reactor: Reactor,
  ) {
    this.bridgePort = bridge.addPort(config.adminStateUp !== false);
    this.mtu = config.mtu;
    this.inflight = new PortInflight(bridge.views, this.bridgePort, memory);
    this.iotlb = new PortIotlb(bridge, this.bridgePort, this.mappings, reactor, (text) => this.fail(text));
    this.migration = new PortMigration(bridge, this.bridgePort, memory);
    this.postcopy = new PortPostcopy(bridge);
  }

  /** True while at least one ring runs. */
  get isRunning(): boolean {
    return this.running.size > 0;
  }

  /** See PortStatus. */
  get underMigration(): PortStatus["migration"] {
    if (this.postcopy.isUnderWay) return { role: "postcopy", lateBytes: this.postcopy.lateBytes };
    return this.bridgePort.log === undefined ? undefined : { role: "source" };
  }

  /** Whether what the front-end asks may have to wait for pages that the front-end brings. */
  get waitsForPages(): boolean {
    return this.postcopy.isUnderWay;
  }

  /** The front-end brings no more pages: whatever waits for one goes on without it, before the session is closed. */
  abandonPages(): void {
    this.postcopy.abandon();
  }

  /** Frees the port. Its session must be closed. */
  async remove(): Promise<void> {
    await this.bridge.removePort(this.bridgePort);
  }

  /** Forgets what was learned on the port and what its front-end has set: its guest has gone. */
  forgetGuest(): void {
    this.bridge.flushFdb(this.bridgePort);
    this.mtu = this.config.mtu;
  }

  /** Takes what a port that runs can of a changed configuration: its MTU and whether it is in use. */
  async reconfigure(config: PortConfig): Promise<void> {
    if (config.mtu !== this.config.mtu) {
      this.mtu = config.mtu;
      this.publishMtu();
    }
    this.config = config;
    await this.bridge.setAdminUp(this.bridgePort, config.adminStateUp !== false);
  }

  /** Runs effects in order. What goes wrong is an outcome, not an exception: the session decides what it means. */
  async run(effects: readonly Effect[]): Promise<EffectOutcome[]> {
    const outcomes: EffectOutcome[] = [];
    for (const effect of effects) {
      try {
        outcomes.push(await this.runOne(effect));
      } catch (error) {
        outcomes.push({ error: (error as Error).message });
      }
    }
    return outcomes;
  }

  /** Says what has gone wrong on this port, where an operator will look. */
  fail(text: string): void {
    this.lastError = text;
    // A front-end that tries again and again, hundreds of times a second, would fill the log.
    const now = performance.now();
    if (text === this.warned.text && now - this.warned.at < SAME_WARNING_MS) return;
    this.warned = { text, at: now };
    this.log.warn(text);
  }

  /** Reports, once each, rings that the guest has broken since the last look. */
  lookForBrokenQueues(): void {
    for (const [index, queue] of this.bridgePort.queues) {
      if (!queue.running || queue.status === QUEUE_OK || this.reportedBroken.has(index)) continue;
      this.reportedBroken.add(index);
      const reason = `${queueStatusText(queue.status)} (at ${queue.statusDescriptor})`;
      this.transcript?.broken(index, reason);
      this.fail(
        `the guest broke queue ${index}: ${reason}; the queue is stopped until the guest's driver sets it up again`,
      );
      const err = this.running.get(index)?.err ?? null;
      if (err !== null) signal(err);
    }
  }

  /** Tells the front-end that workers have marked pages, where it wants to be told. */
  tellOfMarks(): void {
    if (this.bridgePort.takeMarks()) this.migration.tellOfOwnMarks();
  }

  /**
   * A front-end shares its call eventfds with us, and so the flag that keeps a write to a full one from waiting. When a
   * worker stands still, this ends its wait and uses such a descriptor no more.
   */
  releaseBlockedCalls(): void {
    for (const [index, queue] of this.bridgePort.queues) {
      const fd = queue.struct.get("callFd");
      if (!queue.running || fd < 0 || !isFull(fd)) continue;
      queue.struct.publish("callFd", NO_CALL);
      adoptNotifier(fd);
      drain(fd);
      this.fail(`the call eventfd of queue ${index} blocked a worker: it is not used any more; the guest must poll`);
    }
  }

  private async runOne(effect: Effect): Promise<EffectOutcome> {
    switch (effect.kind) {
      case "setFeatures":
        this.bridgePort.features = effect.features;
        this.publishMtu();
        await this.iotlb.setTranslated(effect.translated ?? false);
        await this.migration.publishLog();
        return {};
      case "setMtu":
        this.mtu = effect.mtu ?? undefined;
        this.publishMtu();
        return {};
      case "setMemory":
        return this.setMemory(effect.regions, effect.fds, effect.pages);
      case "addRegion": {
        const addresses = [await this.mapRegion(effect.region, effect.fd, effect.pages)].filter(
          (at) => at !== undefined,
        );
        await this.bridge.setRegions(this.bridgePort, this.mappings);
        return { addresses };
      }
      case "removeRegion":
        await this.removeRegion(effect.region);
        return {};
      case "startQueue":
        await this.startQueue(effect.index, effect.ring, effect, effect.enabled);
        return {};
      case "stopQueue":
        return { nextAvail: await this.stopQueue(effect.index, effect.untranslated) };
      case "setEnabled":
        await this.bridge.setEnabled(this.bridgePort, effect.index, effect.enabled);
        return {};
      case "setCall":
        await this.setCall(effect.index, effect.call);
        return {};
      case "setKick":
        await this.setKick(effect.index, effect.kick);
        return {};
      case "setLog":
        await this.migration.setLog(effect.log);
        return {};
      case "setLogging":
        await this.migration.setLogging(effect.enabled);
        return {};
      case "setLogFd":
        mustBeEventFd(effect.fd, "the descriptor of SET_LOG_FD");
        await this.migration.setLogFd(effect.fd);
        return {};
      case "transferState":
        this.migration.transferState(effect.direction, effect.fd);
        return {};
      case "finishTransfer":
        await this.migration.finishTransfer();
        return {};
      case "abortTransfer":
        this.migration.abortTransfer();
        return {};
      case "setErr":
        this.setErr(effect.index, effect.err);
        return {};
      case "sendRarp":
        await this.inject(rarpFrame(effect.mac));
        return {};
      case "createInflight":
        return { fd: createInflight(effect.bytes) };
      case "setInflight":
        await this.inflight.set(effect.file);
        return {};
      case "clearInflight":
        this.inflight.clear(effect.indices);
        return {};
      case "setTranslations":
        await this.iotlb.setTranslations(effect.entries);
        return {};
      case "askTranslation":
        this.iotlb.askFor(effect.iova, effect.permission);
        return {};
      case "setBackendSocket":
        this.iotlb.setSocket(effect.fd, effect.needReply);
        return {};
      case "openUserfault":
        return { fd: this.postcopy.open() };
      case "endPostcopy":
        this.postcopy.end();
        return {};
      case "abandonPostcopy":
        this.postcopy.abandon();
        return {};
      case "close":
        for (const fd of effect.fds) closeFd(fd);
        return {};
      case "log":
        if (effect.level === "warn") this.fail(effect.text);
        else this.log.info(effect.text);
        return {};
    }
  }

  /** A driver that has not agreed to an MTU knows of none, and may take what it likes. */
  private publishMtu(): void {
    const agreed = hasBit(this.bridgePort.features, VIRTIO_NET_F_MTU);
    this.bridge.setMtu(this.bridgePort, agreed ? this.mtu : undefined);
  }

  private async setMemory(regions: MemoryRegion[], fds: Fd[], pages?: "late"): Promise<EffectOutcome> {
    const old = this.mappings.splice(0);
    await this.bridge.setRegions(this.bridgePort, []);
    for (const mapping of old) await this.unmap(mapping);
    const left = [...fds];
    const addresses: bigint[] = [];
    try {
      for (const region of regions) {
        const address = await this.mapRegion(region, left.shift()!, pages);
        if (address !== undefined) addresses.push(address);
      }
    } catch (error) {
      for (const fd of left) closeFd(fd);
      for (const mapping of this.mappings.splice(0)) await this.unmap(mapping);
      throw error;
    }
    await this.bridge.setRegions(this.bridgePort, this.mappings);
    return { addresses };
  }

  /** Returns where the region is mapped when its pages come late. */
  private async mapRegion(region: MemoryRegion, fd: Fd, pages?: "late"): Promise<bigint | undefined> {
    const mapping = this.memory.map(region, fd, pages === "late" ? "whole" : undefined);
    this.mappings.push(mapping);
    if (pages !== "late") return undefined;
    try {
      return this.postcopy.add(mapping);
    } catch (error) {
      await this.memory.unmap(this.mappings.pop()!);
      throw error;
    }
  }

  /** The mapping is on no list any more, and nobody is in it. */
  private async unmap(mapping: Mapping): Promise<void> {
    this.postcopy.remove(mapping);
    await this.memory.unmap(mapping);
  }

  private async removeRegion(region: MemoryRegion): Promise<void> {
    const index = this.mappings.findIndex(
      (mapping) =>
        mapping.guestAddress === region.guestAddress &&
        mapping.userAddress === region.userAddress &&
        mapping.size === region.size,
    );
    if (index < 0) throw new Error(`region 0x${region.guestAddress.toString(16)} is not mapped`);
    const [mapping] = this.mappings.splice(index, 1);
    await this.bridge.setRegions(this.bridgePort, this.mappings);
    await this.unmap(mapping!);
  }

  private async startQueue(index: number, setup: RingSetup, fds: RingFds, enabled: boolean): Promise<void> {
    const { kick, call, err } = fds;
    for (const [name, fd] of Object.entries({ kick, call, err }))
      mustBeEventFd(fd, `the ${name} descriptor of queue ${index}`);
    const { ring, places } = this.placeRing(index, setup);
    // From here on this thread reads and writes the ring's parts.
    const parts = ringParts(setup.size, setup.packed);
    await this.postcopy.wait(parts.map(({ key, bytes }) => ({ offset: ring[key], bytes })));
    const isTransmitq = index % 2 === 1;
    let worker: number | undefined;
    try {
      if (isTransmitq) worker = this.pool.assign(kick);
    } catch (error) {
      for (const place of places) place.release();
      throw error;
    }
    this.running.set(index, { kick, err, worker, places });
    this.reportedBroken.delete(index);
    const from = this.inflight.open(index, ring);
    await this.bridge.startQueue(this.bridgePort, index, from, {
      callFd: call ?? NO_CALL,
      enabled,
      worker: worker ?? 0,
    });
    this.migration.tellOfOwnMarks();
    // What a switch before us completed and could not tell any more.
    if (call !== null) signal(call);
    this.log.debug(`queue ${index} runs, ${setup.size} entries from ${from.nextAvail}`);
  }

  private async stopQueue(index: number, untranslated = false): Promise<number> {
    const queue = this.running.get(index);
    if (queue?.worker !== undefined) this.pool.unassign(queue.worker, queue.kick);
    this.running.delete(index);
    const nextAvail = await (untranslated
      ? this.bridge.pauseQueue(this.bridgePort, index)
      : this.bridge.stopQueue(this.bridgePort, index));
    for (const place of queue?.places ?? []) place.release();
    this.inflight.close(index, nextAvail);
    this.log.debug(`queue ${index} stopped at ${nextAvail}`);
    return nextAvail;
  }

  private async setCall(index: number, call: Fd | null): Promise<void> {
    mustBeEventFd(call, `the call descriptor of queue ${index}`);
    await this.bridge.setCallFd(this.bridgePort, index, call ?? NO_CALL);
    // What was completed before the driver could be told through this descriptor.
    if (call !== null && this.running.has(index)) signal(call);
  }

  private async setKick(index: number, kick: Fd | null): Promise<void> {
    mustBeEventFd(kick, `the kick descriptor of queue ${index}`);
    const queue = this.running.get(index);
    if (queue === undefined) return;
    if (queue.worker !== undefined) {
      this.pool.unwatch(queue.worker, queue.kick);
      this.pool.watch(queue.worker, kick);
      // A kick that went to the old descriptor must not be waited for.
      this.pool.wake(queue.worker);
    }
    queue.kick = kick;
  }

  private setErr(index: number, err: Fd | null): void {
    mustBeEventFd(err, `the err descriptor of queue ${index}`);
    const queue = this.running.get(index);
    if (queue === undefined) return;
    queue.err = err;
    // It is told at once of what the one before it was told, or nobody.
    if (err !== null && this.reportedBroken.has(index)) signal(err);
  }

  /** Sends a frame as if the guest had sent it. */
  private async inject(frame: Uint8Array): Promise<void> {
    const worker = this.pool.assign(null);
    try {
      await injectFrame(this.bridge, this.bridgePort, frame, worker);
    } finally {
      this.pool.unassign(worker, null);
    }
  }

  /** The ring's parts as offsets in linear memory. The core's atomic accesses trap when they are misaligned. */
  private placeRing(index: number, setup: RingSetup): { ring: RingInMemory; places: RingPlace[] } {
    const { size, packed, nextAvail } = setup;
    const places: RingPlace[] = [];
    const apart: MappedRegion[] = [];
    try {
      const [desc, avail, used] = ringParts(size, packed).map(({ key, name, bytes, align }: RingPart): number => {
        const place = this.memory.placeRing(this.mappings, setup[key], bytes);
        if (place === null) throw new Error(`the ${name} of queue ${index} lies outside the mapped memory`);
        places.push(place);
        if (place.apart) apart.push({ guestAddress: setup[key], size: BigInt(bytes), window: place.offset });
        if (place.offset % align !== 0)
          throw new Error(`the ${name} of queue ${index} is not aligned to ${align} bytes`);
        return place.offset;
      });
      return { ring: { size, packed, desc: desc!, avail: avail!, used: used!, nextAvail, apart }, places };
    } catch (error) {
      for (const place of places) place.release();
      throw error;
    }
  }
}

/** A worker writes to it and sleeps on it: anything but an eventfd could block it, or wake it for ever. */
function mustBeEventFd(fd: Fd | null, what: string): void {
  if (fd === null) return;
  const { kind, target } = adoptNotifier(fd);
  if (kind !== "eventfd") throw new Error(`${what} is no eventfd but ${target}`);
}
