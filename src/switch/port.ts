// One port: carries out the effects of its front-end's session on the bridge, the workers and the memory.

import type { Logger } from "pino";
import { VIRTIO_NET_F_MTU } from "../../assembly/spec/virtio.js";
import type { PortStatus } from "../api/status.js";
import type { PortConfig } from "../config/schema.js";
import type { Bridge } from "../core/bridge.js";
import type { BridgePort } from "../core/bridge-port.js";
import { hasBit } from "../core/feature-bits.js";
import { injectFrame } from "../core/inject.js";
import { closeFd } from "../sys/memfd.js";
import type { Reactor } from "../sys/reactor.js";
import type { Effect, EffectOutcome } from "../vhost-user/effects.js";
import type { Transcript } from "../vhost-user/transcript.js";
import type { GuestMemory } from "./guest-memory.js";
import { createInflight, PortInflight } from "./inflight.js";
import { PortIotlb } from "./port-iotlb.js";
import { PortMemory } from "./port-memory.js";
import { PortMigration } from "./port-migration.js";
import { PortPostcopy } from "./port-postcopy.js";
import { mustBeEventFd, PortRings } from "./port-rings.js";
import { rarpFrame } from "./rarp.js";
import type { WorkerPool } from "./worker-pool.js";

/** How long one warning is not repeated. */
const SAME_WARNING_MS = 10_000;

export class Port {
  readonly bridgePort: BridgePort;
  lastError: string | undefined;
  private warned = { text: "", at: 0 };
  /** Of the device, if it has one: the configuration's or the front-end's. */
  private mtu: number | undefined;
  /** Of the connection in hand, if it is recorded. */
  transcript: Transcript | undefined;
  /** Misses of its queues are its business. */
  readonly iotlb: PortIotlb;
  readonly rings: PortRings;
  readonly memory: PortMemory;
  private readonly migration: PortMigration;
  private readonly inflight: PortInflight;
  private readonly postcopy: PortPostcopy;

  constructor(
    /** What of it may change while the port lives: `reconfigure`. */
    public config: PortConfig,
    private readonly bridge: Bridge,
    private readonly pool: WorkerPool,
    guestMemory: GuestMemory,
    readonly log: Logger,
    reactor: Reactor,
  ) {
    this.bridgePort = bridge.addPort(config.adminStateUp !== false);
    this.mtu = config.mtu;
    this.inflight = new PortInflight(bridge.views, this.bridgePort, guestMemory);
    this.postcopy = new PortPostcopy(bridge);
    this.memory = new PortMemory(bridge, this.bridgePort, guestMemory, this.postcopy);
    const { memory, inflight, postcopy } = this;
    const fail = (text: string) => this.fail(text);
    const broken = (index: number, reason: string) => this.tellOfBroken(index, reason);
    this.rings = new PortRings({
      ...{ bridge, port: this.bridgePort, pool, memory, inflight, postcopy, log, fail, broken },
    });
    this.iotlb = new PortIotlb(bridge, this.bridgePort, memory.mappings, reactor, fail);
    this.migration = new PortMigration(bridge, this.bridgePort, guestMemory);
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

  /** Tells the front-end that workers have marked pages, where it wants to be told. */
  tellOfMarks(): void {
    if (this.bridgePort.takeMarks()) this.migration.tellOfOwnMarks();
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
        return { addresses: await this.memory.replace(effect.regions, effect.fds, effect.pages) };
      case "addRegion":
        return { addresses: await this.memory.add(effect.region, effect.fd, effect.pages) };
      case "removeRegion":
        await this.memory.remove(effect.region);
        return {};
      case "startQueue":
        await this.rings.start(effect.index, effect.ring, effect, effect.enabled);
        this.migration.tellOfOwnMarks();
        return {};
      case "stopQueue":
        return { nextAvail: await this.rings.stop(effect.index, effect.untranslated) };
      case "setEnabled":
        await this.bridge.setEnabled(this.bridgePort, effect.index, effect.enabled);
        return {};
      case "setCall":
        await this.rings.setCall(effect.index, effect.call);
        return {};
      case "setKick":
        this.rings.setKick(effect.index, effect.kick);
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
        this.rings.setErr(effect.index, effect.err);
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

  private tellOfBroken(index: number, reason: string): void {
    this.transcript?.broken(index, reason);
    this.fail(
      `the guest broke queue ${index}: ${reason}; the queue is stopped until the guest's driver sets it up again`,
    );
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
}
