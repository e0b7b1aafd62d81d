// A thread that may wait: it touches pages that come late, so that the main thread finds them there.

import { parentPort, workerData } from "node:worker_threads";

export interface PageWaiterOptions {
  memory: WebAssembly.Memory;
}

const { memory } = workerData as PageWaiterOptions;
const bytes = new Uint8Array(memory.buffer);

parentPort!.on("message", (offsets: readonly number[]) => {
  for (const offset of offsets) Atomics.load(bytes, offset);
  parentPort!.postMessage(offsets.length);
});
