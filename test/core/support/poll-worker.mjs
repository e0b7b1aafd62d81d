// A thread that polls as one worker of a test's switch until it is told to stop, as the switch's own threads do.
// Plain JavaScript: threads are started by Node itself.
//
// workerData: `mapper`, the file of the function that maps chunks, if they are used; `memory` and `module` of the core; pointers `core` and `worker`; `offsets` of the fields it touches;
// `control`, two shared 32-bit words: 1 to stop, and 1 to hold between two polls.

import { workerData } from "node:worker_threads";

const { mapper, memory, module, core, worker, offsets, control } = workerData;
const clock = () => {
  const [seconds, nanoseconds] = process.hrtime();
  return seconds * 1e9 + nanoseconds;
};
const mapChunk = mapper === undefined ? () => 0 : (await import(mapper)).chunkMapper(memory);
const { poll } = new WebAssembly.Instance(module, { env: { memory, mapChunk, clock } }).exports;
const words = new Int32Array(memory.buffer);
const controls = new Int32Array(control);

Atomics.store(words, (worker + offsets.parked) >>> 2, 0);
while (Atomics.load(controls, 0) === 0) {
  Atomics.wait(controls, 1, 1);
  // Between bursts it leaves the processor to the test: there may be fewer of them than threads.
  if (poll(core, worker, 1) === 0) Atomics.wait(controls, 0, 0, 0.02);
  // Here the switch's workers write the eventfds.
  const list = words[(worker + offsets.calls) >>> 2] >>> 2;
  const count = words[(worker + offsets.callCount) >>> 2];
  for (let i = 0; i < count; i++) Atomics.store(words, (words[list + i] + offsets.callPending) >>> 2, 0);
}
Atomics.store(words, (worker + offsets.parked) >>> 2, 1);
