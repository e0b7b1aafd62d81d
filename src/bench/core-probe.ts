// Measures the round trip of a cache line between this thread's core and another one: a thread pinned there answers.

import { once } from "node:events";
import { Worker } from "node:worker_threads";
import { builtFile } from "../guest/children.js";
import { nowNs } from "./clock.js";

/** Words of the shared array, each on a cache line of its own: the ball, and whether the other thread shall watch it. */
export const BALL = 0;
export const AWAKE = 64;
const WORDS = 128;

const ROUND_TRIPS = 200;
const BATCHES = 9;
/** A batch that was interrupted says nothing: the quicker ones do. */
const QUANTILE = 1 / 3;
/** Until both threads' loops are compiled. */
const WARM_UPS = 20;

/** What the other end is told. */
export interface CoreProbeOptions {
  cpu: number;
  nice?: number;
}

export class CoreProbe {
  private readonly words = new Int32Array(new SharedArrayBuffer(WORDS * 4));
  private readonly thread: Worker;

  /** Starts the other end. Rejects when that core cannot be used. */
  static async start(options: CoreProbeOptions): Promise<CoreProbe> {
    const probe = new CoreProbe(options);
    await once(probe.thread, "message");
    for (let i = 0; i < WARM_UPS; i++) probe.roundTripNs();
    return probe;
  }

  private constructor(options: CoreProbeOptions) {
    const workerData = { words: this.words, ...options };
    this.thread = new Worker(builtFile("src/bench/core-probe-thread.js"), { workerData, name: "core probe" });
  }

  /** Nanoseconds of one round trip. Blocks for a millisecond or two; nothing else should run on the other core. */
  roundTripNs(): number {
    const { words } = this;
    Atomics.store(words, BALL, 0);
    Atomics.store(words, AWAKE, 1);
    Atomics.notify(words, AWAKE);
    const batches: number[] = [];
    let ball = 0;
    for (let batch = 0; batch < BATCHES; batch++) {
      const start = nowNs();
      for (let i = 0; i < ROUND_TRIPS; i++) {
        Atomics.store(words, BALL, ++ball);
        ++ball;
        while (Atomics.load(words, BALL) !== ball);
      }
      batches.push((nowNs() - start) / ROUND_TRIPS);
    }
    Atomics.store(words, AWAKE, 0);
    return batches.sort((a, b) => a - b)[Math.floor(BATCHES * QUANTILE)]!;
  }

  async close(): Promise<void> {
    await this.thread.terminate();
  }
}
