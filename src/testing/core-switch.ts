// A switch without threads: whoever has it polls its workers.

import { Bridge } from "../core/bridge.js";
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
  /** The clock of `poll`, in seconds: any second may be the first. */
  now = 1;
  observer: CoreObserver | undefined;

  constructor({ module, memory, workers = 1, fdb, chunkWindows, mapChunk, ...options }: CoreSwitchOptions) {
    this.memory = memory;
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
    const { core, bridge, now } = this;
    return this.observed("poll", () => core.poll(bridge.core.at, bridge.workers[worker]!.at, now));
  }

  /** Polls until nothing moves. */
  settle(): void {
    for (let i = 0; i < 10_000; i++) if (this.poll() === 0) return;
    throw new Error("the switch never comes to rest");
  }

  /** Asks worker 0's drivers for kicks. True when one has work already. */
  arm(): boolean {
    return this.observed("arm", () => this.core.arm(this.bridge.workers[0]!.at)) === 1;
  }

  disarm(): void {
    this.observed("disarm", () => {
      this.core.disarm(this.bridge.workers[0]!.at);
      return 0;
    });
  }

  private observed(call: CoreCall, run: () => number): number {
    this.observer?.before();
    const result = run();
    this.observer?.after(call, result);
    return result;
  }

  /** Port and queue number of each queue in a worker's call list after the last poll; they are marked as called. */
  takeCalls(worker = 0): { port: number; index: number }[] {
    const { bridge } = this;
    const struct = bridge.workers[worker]!;
    const list = struct.get("calls") >>> 2;
    const count = struct.get("callCount");
    if (count === 0) return [];
    const pointers = Array.from(bridge.views.u32.subarray(list, list + count));
    return pointers.map((at) => {
      for (const port of bridge.ports.values()) {
        for (const queue of port.queues.values()) {
          if (queue.struct.at !== at) continue;
          queue.struct.publish("callPending", 0);
          return { port: port.id, index: queue.index };
        }
      }
      throw new Error(`no queue at ${at}`);
    });
  }
}
