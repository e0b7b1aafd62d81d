// A switch without threads: whoever has it polls its workers.

import { Bridge } from "../core/bridge.js";
import * as layout from "../core/layout.js";
import { type CoreExports, instantiateCore, type MapChunk } from "../core/module.js";
import type { GuestDevice } from "./device.js";

/** The calls of the core in which it may touch guests' memory. */
export type CoreCall = "poll" | "arm" | "disarm";

/** Who looks on (judge/judge.ts): told of rings that start, and around each call of the core. */
export interface CoreObserver {
  started(device: GuestDevice, index: number, nextAvail: number): void;
  before(): void;
  /** `result`: what the core has returned. */
  after(call: CoreCall, result: number): void;
}

export interface CoreSwitchOptions {
  /** A build of the core, and a memory that no living switch uses: shared unless it is the browser's build. */
  module: WebAssembly.Module;
  memory: WebAssembly.Memory;
  /** Nobody has used the memory: it is zero, and pages that nothing touches cost nothing. Default false. */
  fresh?: boolean;
  /** Default 1. */
  workers?: number;
  fdb?: Partial<{ limit: number; portLimit: number; ageingSeconds: number }>;
  /** Windows of each worker for regions that are not mapped whole, and what maps chunks over them. Default none. */
  chunkWindows?: number;
  mapChunk?: MapChunk;
  /** How the module becomes an instance, where it is one that imports more. */
  instantiate?: (module: WebAssembly.Module, memory: WebAssembly.Memory) => CoreExports;
  /** Where the guests' RAM begins in linear memory; below it is the core's. Default 8 MiB. */
  windowsStart?: number;
}

export class CoreSwitch {
  readonly memory: WebAssembly.Memory;
  readonly core: CoreExports;
  readonly bridge: Bridge;
  readonly windowsStart: number;
  /** Guests' RAM is zero before anybody empties it. */
  readonly fresh: boolean;
  /** The clock of `poll`, in seconds: any second may be the first. */
  now = 1;
  observer: CoreObserver | undefined;

  constructor({ module, memory, workers = 1, fdb, chunkWindows, mapChunk, ...options }: CoreSwitchOptions) {
    this.memory = memory;
    this.fresh = options.fresh ?? false;
    this.windowsStart = options.windowsStart ?? 8 * 1024 * 1024;
    this.core = options.instantiate?.(module, memory) ?? instantiateCore(module, memory, mapChunk);
    this.bridge = new Bridge({
      memory,
      core: this.core,
      workers,
      fdb: { limit: 1024, portLimit: 1024, ageingSeconds: 300, ...fdb },
      windowsStart: this.windowsStart,
      chunkWindows,
    });
  }

  /** One round of a worker. Returns frames moved. */
  poll(worker = 0): number {
    const { bridge } = this;
    this.observer?.before();
    const moved = this.core.poll(bridge.core.at, bridge.workers[worker]!.at, this.now);
    this.observer?.after("poll", moved);
    return moved;
  }

  /** Polls until nothing moves. */
  settle(): void {
    for (let i = 0; i < 10_000; i++) if (this.poll() === 0) return;
    throw new Error("the switch never comes to rest");
  }

  /** Asks worker 0's drivers for kicks. True when one has work already. */
  arm(): boolean {
    this.observer?.before();
    const busy = this.core.arm(this.bridge.workers[0]!.at);
    this.observer?.after("arm", busy);
    return busy === 1;
  }

  disarm(): void {
    this.observer?.before();
    this.core.disarm(this.bridge.workers[0]!.at);
    this.observer?.after("disarm", 0);
  }

  /** Port and queue number of each queue in a worker's call list after the last poll; they are marked as called. */
  takeCalls(worker = 0): { port: number; index: number }[] {
    const { workers, views } = this.bridge;
    const struct = workers[worker]!;
    const count = struct.get("callCount");
    if (count === 0) return [];
    const first = struct.get("calls") >>> 2;
    const calls: { port: number; index: number }[] = [];
    for (let i = first; i < first + count; i++) calls.push(this.takeCall(views.u32[i]!));
    return calls;
  }

  private takeCall(at: number): { port: number; index: number } {
    const { ports, views } = this.bridge;
    const portAt = views.u32[(at + layout.Queue.fields.port.offset) >>> 2]!;
    const port = ports.get(views.u32[(portAt + layout.Port.fields.id.offset) >>> 2]!);
    for (const { struct, index } of port?.queues.values() ?? []) {
      if (struct.at !== at) continue;
      struct.publish("callPending", 0);
      return { port: port!.id, index };
    }
    throw new Error(`no queue at ${at}`);
  }
}
