// The thread of null-device.ts.

import { parentPort, workerData } from "node:worker_threads";
import { loadModule } from "../core/wasm-files.js";
import { instantiateDriver } from "../guest/driver.js";
import { pinThread, setThreadPriority } from "../sys/affinity.js";
import { type NullThreadData, RUNNING } from "./null-device.js";

/** Rounds between two looks at whether to go on. */
const ROUNDS = 16;

const { words, memory, ways, cpu, nice } = workerData as NullThreadData;
pinThread([cpu]);
if (nice !== undefined) setThreadPriority(nice);
const driver = instantiateDriver(loadModule("driver").module, memory);
parentPort!.postMessage("ready");
for (;;) {
  // terminate() ends the thread here, or anywhere else.
  Atomics.wait(words, RUNNING, 0);
  while (Atomics.load(words, RUNNING) === 1) {
    for (let i = 0; i < ROUNDS; i++) {
      for (const { transmitq, receiveq } of ways) driver.passOn(transmitq, receiveq);
    }
  }
}
