// A dataplane worker: polls its transmitqs while there is work, sleeps in epoll when there is none.
//
// The thread never returns to its event loop. All it is told, it is told through linear memory (assembly/abi.ts):
// which queues to poll, when to stop. Its sleep ends with a kick, or with a write to the wake eventfd.

import { workerData } from "node:worker_threads";
import * as layout from "../core/layout.js";
import { instantiateCore } from "../core/module.js";
import { Struct, Views } from "../core/views.js";
import { Epoll } from "../sys/epoll.js";
import { signal } from "../sys/eventfd.js";
import { chunkMapper } from "./chunk-mapper.js";

export interface WorkerOptions {
  memory: WebAssembly.Memory;
  module: WebAssembly.Module;
  /** Pointers to Core and Worker. */
  core: number;
  worker: number;
  /** The epoll set with the kick eventfds and the wake eventfd; main adds and removes. */
  epoll: number;
  /** Eventfd by which main is told of misses, and of marks in logs that are watched. */
  missed: number;
  /** Never sleep. */
  poll: boolean;
  /** Polling without finding work goes on this long before a sleep, in milliseconds. */
  spinMs: number;
}

/** Rounds between two looks at the clock while there is work. */
const ROUNDS_PER_LOOK = 64;

run(workerData as WorkerOptions);

function run(options: WorkerOptions): void {
  const core = instantiateCore(options.module, options.memory, chunkMapper(options.memory), nanoseconds);
  const views = new Views(options.memory);
  const worker = new Struct(views, layout.Worker, options.worker);
  const sleep = new Epoll(8, options.epoll);
  const { u32, i32 } = views;
  // Word indices of the fields read in the loop.
  const stop = (worker.at + layout.Worker.fields.stop.offset) >>> 2;
  const unkickable = (worker.at + layout.Worker.fields.unkickable.offset) >>> 2;
  const missed = (worker.at + layout.Worker.fields.missed.offset) >>> 2;
  const callCount = (worker.at + layout.Worker.fields.callCount.offset) >>> 2;
  const calls = worker.get("calls") >>> 2;

  let now = seconds();
  let idleSince = -1;
  let rounds = 0;
  while (u32[stop] === 0) {
    const frames = core.poll(options.core, options.worker, now);
    const pending = u32[callCount]!;
    for (let i = 0; i < pending; i++) call(u32[calls + i]!);
    if (u32[missed] !== 0) tellMain();
    if (frames > 0) {
      idleSince = -1;
      if (++rounds % ROUNDS_PER_LOOK === 0) now = seconds();
      continue;
    }
    const time = performance.now();
    if (idleSince < 0) idleSince = time;
    if (options.poll || u32[unkickable]! > 0 || time - idleSince < options.spinMs) {
      if (++rounds % ROUNDS_PER_LOOK === 0) now = seconds();
      continue;
    }
    park();
    now = seconds();
    idleSince = -1;
  }
  worker.publish("parked", 1);

  /** Asks for kicks, looks once more, sleeps. While `parked` is set this thread holds nothing of the bridge. */
  function park(): void {
    const busy = core.arm(options.worker) !== 0;
    if (u32[missed] !== 0) tellMain();
    if (!busy) {
      worker.publish("parked", 1);
      // A stop or a new list published before this point has also written the wake eventfd: the sleep ends at once.
      sleep.wait(-1);
      worker.publish("parked", 0);
      worker.set("parks", worker.get("parks") + 1);
    }
    core.disarm(options.worker);
  }

  function tellMain(): void {
    u32[missed] = 0;
    signal(options.missed);
  }

  /** Tells a driver that its used ring has something new. */
  function call(queue: number): void {
    // First cleared, then written: who publishes in between puts the queue in his own list.
    Atomics.store(i32, (queue + layout.Queue.fields.callPending.offset) >>> 2, 0);
    const at = (queue + layout.Queue.fields.callFd.offset) >>> 2;
    const fd = Atomics.load(i32, at);
    if (fd < 0) return;
    const outcome = signal(fd);
    // A descriptor that will never notify anybody is not tried again; a full one has been heard or will be.
    if (outcome !== "ok" && outcome !== "full") Atomics.compareExchange(i32, at, fd, -1);
  }
}

/** Monotonic clock in whole seconds: the FDB's. */
function seconds(): number {
  return process.hrtime()[0];
}

/** The same clock in nanoseconds: that of captured frames. */
function nanoseconds(): number {
  const [whole, fraction] = process.hrtime();
  return whole * 1e9 + fraction;
}
