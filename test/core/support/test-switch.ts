// A switch without threads: the test polls its workers.

import { Bridge } from "../../../src/core/bridge.js";
import { type CoreExports, createMemory, instantiateCore, type MapChunk } from "../../../src/core/module.js";
import { loadModule } from "../../../src/core/wasm-files.js";

export const TARGETS = ["release", "checked"] as const;
export type Target = (typeof TARGETS)[number];

/** The memory of a test switch: 32 MiB. Tests that make many switches, one after the other, share one. */
export function testMemory(): WebAssembly.Memory {
  return createMemory(32 * 16);
}

export interface SwitchOptions {
  target?: Target;
  workers?: number;
  fdb?: Partial<{ limit: number; portLimit: number; ageingSeconds: number }>;
  /** One that no living switch uses; default a new one. */
  memory?: WebAssembly.Memory;
  /** Windows of each worker for regions that are not mapped whole, and what maps chunks over them. Default none. */
  chunkWindows?: number;
  mapChunk?: MapChunk;
}

export class TestSwitch {
  readonly memory: WebAssembly.Memory;
  readonly core: CoreExports;
  readonly bridge: Bridge;
  readonly windowsStart = 8 * 1024 * 1024;
  now = 1;

  constructor(options: SwitchOptions = {}) {
    this.memory = options.memory ?? testMemory();
    this.core = instantiateCore(loadModule("core", options.target ?? "release").module, this.memory, options.mapChunk);
    this.bridge = new Bridge({
      memory: this.memory,
      core: this.core,
      workers: options.workers ?? 1,
      fdb: { limit: 1024, portLimit: 1024, ageingSeconds: 300, ...options.fdb },
      windowsStart: this.windowsStart,
      chunkWindows: options.chunkWindows,
    });
  }

  /** One round of a worker. Returns frames moved. */
  poll(worker = 0): number {
    return this.core.poll(this.bridge.core.at, this.bridge.workers[worker]!.at, this.now);
  }

  /** Polls until nothing moves. */
  settle(): void {
    for (let i = 0; i < 10_000; i++) if (this.poll() === 0) return;
    throw new Error("the switch never comes to rest");
  }

  /** Asks worker 0's drivers for kicks. True when one has work already. */
  arm(): boolean {
    return this.core.arm(this.bridge.workers[0]!.at) === 1;
  }

  disarm(): void {
    this.core.disarm(this.bridge.workers[0]!.at);
  }

  /** Queues in a worker's call list after the last poll, as "port/index"; they are marked as called. */
  calls(worker = 0): string[] {
    const { bridge } = this;
    const struct = bridge.workers[worker]!;
    const list = struct.get("calls") >>> 2;
    const pointers = Array.from(bridge.views.u32.subarray(list, list + struct.get("callCount")));
    return pointers.map((at) => {
      for (const port of bridge.ports.values()) {
        for (const queue of port.queues.values()) {
          if (queue.struct.at === at) {
            queue.struct.publish("callPending", 0);
            return `${port.id}/${queue.index}`;
          }
        }
      }
      throw new Error(`no queue at ${at}`);
    });
  }
}
