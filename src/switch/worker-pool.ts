// The main thread's side of the dataplane workers: starts them, wakes them, tells them which descriptors to sleep on.

import { Worker } from "node:worker_threads";
import type { Bridge } from "../core/bridge.js";
import { EPOLLET, EPOLLIN, Epoll } from "../sys/epoll.js";
import { createEventFd, signal } from "../sys/eventfd.js";
import { closeFd } from "../sys/memfd.js";
import type { Fd } from "../vhost-user/effects.js";
import type { WorkerOptions } from "./worker-thread.js";

interface PoolWorker {
  thread: Worker;
  exited: Promise<void>;
  epoll: Epoll;
  wake: Fd;
  /** Transmitqs given to it, for balance. */
  queues: number;
}

export interface WorkerPoolOptions {
  bridge: Bridge;
  module: WebAssembly.Module;
  poll: boolean;
  spinUs: number;
  /** A worker died, which only a fault of ours can bring about: the switch cannot go on. */
  onDeath: (error: Error) => void;
}

export class WorkerPool {
  /** Eventfd: a worker has left misses with a queue (assembly/memory/iotlb.ts), or marks in a log that is watched. */
  readonly missed = createEventFd();
  private readonly workers: PoolWorker[];
  private stopping = false;
  private readonly lastEpochs: number[] = [];
  private readonly stalled: boolean[] = [];

  constructor(private readonly options: WorkerPoolOptions) {
    this.workers = options.bridge.workers.map((struct) => {
      const epoll = new Epoll();
      const wake = createEventFd();
      epoll.add(wake, 0, EPOLLIN | EPOLLET);
      // Main waits for it from here on, as if it were polling, until it says otherwise.
      struct.publish("parked", 0);
      const workerData: WorkerOptions = {
        memory: options.bridge.views.memory,
        module: options.module,
        core: options.bridge.core.at,
        worker: struct.at,
        epoll: epoll.fd,
        missed: this.missed,
        poll: options.poll,
        spinMs: options.spinUs / 1000,
      };
      const thread = new Worker(new URL("./worker-thread.js", import.meta.url), {
        workerData,
        name: `ringbridge worker ${struct.get("id")}`,
      });
      thread.on("error", (error) => options.onDeath(error as Error));
      const exited = new Promise<void>((resolve) =>
        thread.on("exit", () => {
          if (!this.stopping) options.onDeath(new Error("a dataplane worker has ended"));
          resolve();
        }),
      );
      return { thread, exited, epoll, wake, queues: 0 };
    });
    options.bridge.onTransmitqs = (worker) => this.wake(worker);
  }

  /** Ends a worker's sleep; one that polls notices nothing. */
  wake(worker: number): void {
    signal(this.workers[worker]!.wake);
  }

  /** True when a worker that does not sleep has not begun a new round since the last call: something holds it up. */
  hasStalled(): boolean {
    this.options.bridge.workers.forEach((struct, i) => {
      const epoch = struct.load("epoch");
      this.stalled[i] = struct.load("parked") === 0 && epoch === this.lastEpochs[i];
      this.lastEpochs[i] = epoch;
    });
    return this.stalled.includes(true);
  }

  /** Whether the last call of `hasStalled` found that of this worker, and it has not gone on since. */
  isStalled(worker: number): boolean {
    const struct = this.options.bridge.workers[worker]!;
    return this.stalled[worker] === true && struct.load("epoch") === this.lastEpochs[worker];
  }

  /** The worker with the fewest transmitqs takes one more. `kick` null: it must poll for it. Throws on a bad kick. */
  assign(kick: Fd | null): number {
    let worker = 0;
    this.workers.forEach(({ queues }, i) => {
      if (queues < this.workers[worker]!.queues) worker = i;
    });
    this.watch(worker, kick);
    this.workers[worker]!.queues++;
    return worker;
  }

  unassign(worker: number, kick: Fd | null): void {
    this.unwatch(worker, kick);
    this.workers[worker]!.queues--;
  }

  /** Lets the worker be woken by a kick eventfd, or keeps it awake where there is none. */
  watch(worker: number, kick: Fd | null): void {
    if (kick === null) this.addUnkickable(worker, 1);
    // Edge-triggered: every write is an event, and nobody needs to read the counter.
    else this.workers[worker]!.epoll.add(kick, 0, EPOLLIN | EPOLLET);
  }

  unwatch(worker: number, kick: Fd | null): void {
    if (kick === null) this.addUnkickable(worker, -1);
    else this.workers[worker]!.epoll.remove(kick);
  }

  /** Ends all threads and frees what they slept on. */
  async stop(): Promise<void> {
    this.stopping = true;
    this.options.bridge.workers.forEach((struct, i) => {
      struct.publish("stop", 1);
      this.wake(i);
    });
    await Promise.all(this.workers.map(({ exited }) => exited));
    for (const { epoll, wake } of this.workers) {
      epoll.close();
      closeFd(wake);
    }
    closeFd(this.missed);
  }

  private addUnkickable(worker: number, change: number): void {
    const struct = this.options.bridge.workers[worker]!;
    struct.publish("unkickable", struct.get("unkickable") + change);
    this.wake(worker);
  }
}
