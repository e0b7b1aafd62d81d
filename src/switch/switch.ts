// The switch: a bridge over one linear memory, workers that run it, and the ports that front-ends attach to.

import type { Logger } from "pino";
import type {
  CaptureOptions,
  CaptureStream,
  FdbEntryStatus,
  PortChange,
  ReloadResult,
  SwitchControl,
  SwitchStatus,
} from "../api/status.js";
import { isDeepStrictEqual } from "node:util";
import { changesLive, diffConfig } from "../config/diff.js";
import type { PortConfig, SwitchConfig } from "../config/schema.js";
import { Bridge } from "../core/bridge.js";
import { ringView } from "../core/ring-snapshot.js";
import type { RingView } from "../core/ring-view.js";
import { createMemory, instantiateCore } from "../core/module.js";
import { parseMac } from "../core/mac.js";
import { loadModule } from "../core/wasm-files.js";
import { packageVersion } from "../version.js";
import type { LiveSource } from "../web/live-source.js";
import { drain } from "../sys/eventfd.js";
import { Reactor, type Watch } from "../sys/reactor.js";
import { userfaultFault } from "../sys/userfault.js";
import { Captures } from "./captures.js";
import { type Endpoint, openEndpoint } from "./endpoint.js";
import { GuestMemory } from "./guest-memory.js";
import { MessageLog } from "./message-log.js";
import { memoryPlan } from "./memory-plan.js";
import { Port } from "./port.js";
import { Recording } from "./recording.js";
import type { Recorder } from "./transcripts.js";
import { fdbStatus, portStatus, workerStatus } from "./snapshot.js";
import { WorkerPool } from "./worker-pool.js";

/** Between two looks at what nobody announces: aged addresses, rings that a guest broke. */
const TICK_MS = 250;

export interface SwitchOptions {
  /** Folder into which every connection is recorded. */
  record?: string;
}

interface RunningPort {
  port: Port;
  endpoint: Endpoint;
}

export class Switch implements Omit<SwitchControl, "reload" | "plug" | "unplug">, LiveSource {
  private readonly bridge: Bridge;
  private readonly pool: WorkerPool;
  private readonly memory: GuestMemory;
  private readonly reactor: Reactor;
  private readonly recorders: Recorder[] = [];
  /** Empty when there is no live page. */
  readonly messages = new MessageLog();
  private readonly captures: Captures;
  private readonly ports = new Map<string, RunningPort>();
  /** Ports on their way out. */
  private readonly closing = new Set<RunningPort>();
  private readonly timer: NodeJS.Timeout;
  private readonly misses: Watch;
  private readonly started = performance.now();
  private readonly wasmHash: string;
  /** Second at which the FDB was last aged, and how often it is: a sweep reads all of it, also when nothing moves. */
  private agedAt = 0;
  private readonly ageEvery: number;
  private stopping: Promise<void> | undefined;

  /**
   * Starts a switch with the ports of `config`. Throws, and leaves nothing behind, when a port's socket cannot be had:
   * the message names it and says what to do.
   */
  static async start(config: SwitchConfig, log: Logger, options: SwitchOptions = {}): Promise<Switch> {
    const running = new Switch(config, log, options);
    try {
      for (const port of config.ports) await running.openPort(port);
    } catch (error) {
      await running.stop();
      throw error;
    }
    return running;
  }

  private constructor(
    private config: SwitchConfig,
    private readonly log: Logger,
    options: SwitchOptions,
  ) {
    if (options.record !== undefined) this.recorders.push(new Recording(options.record, log));
    if (config.web !== undefined) this.recorders.push(this.messages);
    const { module, hash } = loadModule("core");
    const memory = createMemory();
    this.wasmHash = hash;
    this.ageEvery = Math.min(Math.max(Math.floor(config.fdb.ageing / 30), 1), 10);
    this.bridge = new Bridge({
      memory,
      core: instantiateCore(module, memory),
      workers: config.workers,
      ...memoryPlan(memory, config.workers),
      fdb: { limit: config.fdb.limit, portLimit: config.fdb.perPortLimit, ageingSeconds: config.fdb.ageing },
    });
    this.memory = new GuestMemory(memory, this.bridge);
    this.captures = new Captures(this.bridge);
    this.reactor = new Reactor((error) => this.die(error as Error));
    this.pool = new WorkerPool({
      bridge: this.bridge,
      module,
      poll: config.poll,
      spinUs: config.spinUs,
      onDeath: (error) => this.die(error),
    });
    this.misses = this.reactor.watch(this.pool.missed, { readable: () => this.hearWorkers() });
    this.timer = setInterval(() => this.tick(), TICK_MS);
  }

  status(): SwitchStatus {
    const { bridge } = this;
    return {
      version: packageVersion(),
      pid: process.pid,
      uptimeMs: performance.now() - this.started,
      wasmHash: this.wasmHash,
      memory: { totalBytes: bridge.windows.totalBytes, windowBytesUsed: bridge.windows.usedBytes },
      workers: bridge.workers.map((_, i) => workerStatus(bridge, this.pool, i)),
      fdb: fdbStatus(bridge),
      ports: [...this.ports.values()].map(({ port, endpoint }) => portStatus(bridge, port, endpoint)),
      takenAtMs: performance.now(),
    };
  }

  /** Learned addresses, at most so many. */
  fdb(limit?: number): FdbEntryStatus[] {
    const names = new Map([...this.ports.values()].map(({ port }) => [port.bridgePort.id, port.config.name]));
    const now = seconds();
    return this.bridge.fdbEntries(limit).map(({ mac, port, seen }) => ({
      mac,
      port: names.get(port) ?? String(port),
      ageSeconds: Math.max(0, now - seen),
    }));
  }

  /** A port's ring as it is now, or why there is none to be seen. Undefined: there is no such port. */
  ring(name: string, index: number): RingView | { absent: string } | undefined {
    const running = this.ports.get(name);
    if (running === undefined) return undefined;
    const queue = running.port.bridgePort.queues.get(index);
    return (queue && ringView(queue)) ?? { absent: `queue ${index} does not run` };
  }

  /** Forgets learned addresses, of one port or all. Throws when there is no such port. */
  flushFdb(name?: string): number {
    if (name === undefined) return this.bridge.flushFdb();
    return this.bridge.flushFdb(this.named(name).port.bridgePort);
  }

  /** Starts to capture the frames of ports. */
  async capture(options: CaptureOptions): Promise<CaptureStream> {
    const ports = new Map(options.ports.map((name) => [name, this.named(name).port.bridgePort]));
    return this.captures.open(options, ports);
  }

  stopCapture(id: number): boolean {
    return this.captures.stop(id);
  }

  /** Adds, removes and changes the ports that differ; the others notice nothing. */
  async applyConfig(config: SwitchConfig): Promise<ReloadResult> {
    const { added, removed, changed, unchanged } = diffConfig(this.config, config);
    const wanted = new Map(config.ports.map((port) => [port.name, port]));
    // What goes away first may have a socket that another is to have.
    for (const name of removed) await this.removePort(name);
    for (const name of changed) if (!this.changesLive(wanted.get(name)!)) await this.removePort(name);
    const failures: string[] = [];
    for (const port of config.ports) {
      try {
        await this.setPort(port);
      } catch (error) {
        failures.push(`${port.name}: ${(error as Error).message}`);
      }
    }
    if (failures.length > 0) throw new Error(failures.join("; "));
    return { added, removed, changed, unchanged };
  }

  /**
   * Makes one port be as it should be; the others notice nothing. When its socket cannot be had it rejects, and there is
   * no such port: the next time it is tried again.
   */
  async setPort(port: PortConfig): Promise<PortChange> {
    const old = this.configured(port.name);
    if (isDeepStrictEqual(old, port)) return "unchanged";
    if (this.changesLive(port)) {
      const { port: there, endpoint } = this.ports.get(port.name)!;
      endpoint.setMtu(port.mtu);
      await there.reconfigure(port);
    } else {
      await this.removePort(port.name);
      await this.openPort(port);
    }
    const others = this.config.ports.filter(({ name }) => name !== port.name);
    this.config = { ...this.config, ports: [...others, port] };
    return old === undefined ? "added" : "changed";
  }

  /** Disconnects a port's front-end and takes the port away; false when there is none. */
  async removePort(name: string): Promise<boolean> {
    const there = this.ports.has(name);
    this.config = { ...this.config, ports: this.config.ports.filter((port) => port.name !== name) };
    await this.closePort(name);
    return there;
  }

  private configured(name: string): PortConfig | undefined {
    return this.config.ports.find((port) => port.name === name);
  }

  private changesLive(port: PortConfig): boolean {
    const old = this.configured(port.name);
    return old !== undefined && changesLive(old, port);
  }

  /** Disconnects every front-end and frees sockets, memory and threads. */
  stop(): Promise<void> {
    this.stopping ??= this.stopOnce();
    return this.stopping;
  }

  private async stopOnce(): Promise<void> {
    // The timer goes on till then: a port that is closed may have to free a worker that it holds up.
    await this.captures.close();
    for (const name of [...this.ports.keys()]) await this.closePort(name);
    clearInterval(this.timer);
    this.misses.stop();
    await this.pool.stop();
    await this.reactor.close();
  }

  private named(name: string): RunningPort {
    const running = this.ports.get(name);
    if (running === undefined)
      throw new Error(`there is no port ${name}: the ports are ${[...this.ports.keys()].join(", ")}`);
    return running;
  }

  private async openPort(config: PortConfig): Promise<void> {
    const port = new Port(
      config,
      this.bridge,
      this.pool,
      this.memory,
      this.log.child({ port: config.name }),
      this.reactor,
    );
    try {
      const { queues: queuePairs, mtu, offloads, iommu } = config;
      const mac = config.mac === undefined ? undefined : parseMac(config.mac);
      const postcopy = config.postcopy === true && this.canPostcopy(config.name);
      const device = { queuePairs, mac, mtu, offloads, iommu, postcopy };
      const endpoint = openEndpoint(port, this.reactor, device, this.recorders);
      this.ports.set(config.name, { port, endpoint });
    } catch (error) {
      await port.remove();
      throw error;
    }
    try {
      await this.captures.attach(config.name, port.bridgePort);
    } catch (error) {
      port.log.warn(`a capture does not go on: ${(error as Error).message}`);
    }
  }

  private canPostcopy(name: string): boolean {
    const fault = userfaultFault();
    if (fault !== undefined) {
      this.log.warn(`port ${name}: postcopy migration is not offered: ${fault}: ringbridge doctor says what to do`);
    }
    return fault === undefined;
  }

  private async closePort(name: string): Promise<void> {
    const running = this.ports.get(name);
    if (running === undefined) return;
    this.ports.delete(name);
    this.closing.add(running);
    await running.endpoint.close();
    await this.captures.detach(name);
    await running.port.remove();
    this.closing.delete(running);
  }

  private tick(): void {
    const now = seconds();
    if (now - this.agedAt >= this.ageEvery) {
      this.bridge.ageFdb(now);
      this.agedAt = now;
    }
    const stalled = this.pool.hasStalled();
    for (const { port } of this.ports.values()) {
      port.rings.lookForBroken();
      void port.iotlb.tick();
      port.tellOfMarks();
    }
    if (!stalled) return;
    for (const { port } of [...this.ports.values(), ...this.closing]) port.rings.releaseBlockedCalls();
  }

  /** A worker has met addresses of which it lacks the translation, or has marked pages in a log that is watched. */
  private hearWorkers(): void {
    drain(this.pool.missed);
    for (const { port } of this.ports.values()) {
      port.iotlb.askForMisses();
      port.tellOfMarks();
    }
  }

  /** A fault of ours: nothing that the switch says can be trusted any more. */
  private die(error: Error): void {
    this.log.fatal({ err: error }, "the switch cannot go on");
    // A thread that stands still in a guest's memory would keep the process from ending.
    for (const { port } of [...this.ports.values(), ...this.closing]) port.abandonPages();
    process.exit(1);
  }
}

/** The FDB's clock, as the workers have it. */
function seconds(): number {
  return process.hrtime()[0];
}
