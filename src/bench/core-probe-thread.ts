// The other end of core-probe.ts: returns the ball while it is awake, sleeps else.

import { parentPort, workerData } from "node:worker_threads";
import { pinThread, setThreadPriority } from "../sys/affinity.js";
import { AWAKE, BALL, type CoreProbeOptions } from "./core-probe.js";

const { words, cpu, nice } = workerData as CoreProbeOptions & { words: Int32Array };
pinThread([cpu]);
if (nice !== undefined) setThreadPriority(nice);
parentPort!.postMessage("ready");
for (;;) {
  // terminate() ends the thread here.
  Atomics.wait(words, AWAKE, 0);
  while (Atomics.load(words, AWAKE) === 1) {
    const ball = Atomics.load(words, BALL);
    if ((ball & 1) === 1) Atomics.store(words, BALL, ball + 1);
  }
}
