// The workers of a test's switch in threads of their own.

import { once } from "node:events";
import { Worker } from "node:worker_threads";
import * as layout from "../../../src/core/layout.js";
import { loadModule } from "../../../src/core/wasm-files.js";
import type { Target, TestSwitch } from "./test-switch.js";

export class WorkerThreads {
  /** 1 to stop, 1 to hold. */
  private readonly control = new Int32Array(new SharedArrayBuffer(8));
  private readonly threads: Worker[];
  private failure: unknown;

  constructor(
    private readonly sw: TestSwitch,
    target: Target,
    /** The file of src/switch/chunk-mapper.js, for tests with chunks. */
    mapper?: string,
  ) {
    const { module } = loadModule("core", target);
    const { parked, callCount, calls } = layout.Worker.fields;
    const offsets = {
      parked: parked.offset,
      callCount: callCount.offset,
      calls: calls.offset,
      callPending: layout.Queue.fields.callPending.offset,
    };
    const { memory, bridge } = sw;
    this.threads = bridge.workers.map(({ at }) => {
      const workerData = {
        mapper,
        memory,
        module,
        core: bridge.core.at,
        worker: at,
        offsets,
        control: this.control.buffer,
      };
      const thread = new Worker(new URL("./poll-worker.mjs", import.meta.url), { workerData });
      thread.once("error", (error) => {
        this.failure = error;
      });
      return thread;
    });
  }

  /** Waits until something has become true; throws what a thread has died of. */
  async until(condition: () => boolean): Promise<void> {
    while (!condition()) {
      if (this.failure) throw this.failure;
      await new Promise(setImmediate);
    }
  }

  /** Waits until every worker has polled `polls` times from now on. */
  async rounds(polls: number): Promise<void> {
    for (const worker of this.sw.bridge.workers) {
      const start = worker.load("epoch");
      await this.until(() => (worker.load("epoch") - start) >>> 0 >= polls);
    }
  }

  /** Holds all workers between two polls, until `release`; no grace period ends meanwhile. */
  hold(): void {
    Atomics.store(this.control, 1, 1);
  }

  /** Lets all workers go at once, and leaves the processor to them for a moment. */
  release(): void {
    Atomics.store(this.control, 1, 0);
    Atomics.notify(this.control, 1);
    Atomics.wait(this.control, 1, 0, 0.5);
  }

  async stop(): Promise<void> {
    Atomics.store(this.control, 0, 1);
    await Promise.all(this.threads.map((thread) => once(thread, "exit")));
  }
}
