// A worker thread that polls its share of a test's switch until it is told to stop, as the switch's own do.
// Plain JavaScript: threads are started by Node itself, without the test runner's compiler.
//
// Asks for workerData { memory, module, core, worker, stop }: `core` and `worker` are pointers, `stop` the index of a
// 32-bit word in `control`, a shared Int32Array; word `stop` + 1 counts the polls.

import { workerData } from "node:worker_threads";

const { memory, module, core, worker, control } = workerData;
const { poll } = new WebAssembly.Instance(module, { env: { memory } }).exports;
const words = new Int32Array(control);
const view = new DataView(memory.buffer);
const { parked, callCount, calls, callPending } = workerData.offsets;

Atomics.store(words, 1, 1);
while (Atomics.load(words, 0) === 0) {
  poll(core, worker, 1);
  // What the switch's workers do when they write the eventfds.
  const list = view.getUint32(worker + calls, true);
  for (let i = 0, count = view.getUint32(worker + callCount, true); i < count; i++) {
    const queue = view.getUint32(list + i * 4, true);
    Atomics.store(new Int32Array(memory.buffer), (queue + callPending) >>> 2, 0);
  }
}
Atomics.store(new Int32Array(memory.buffer), (worker + parked) >>> 2, 1);
