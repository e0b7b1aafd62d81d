// A thread that changes bytes of a guest's RAM to and fro for as long as it is let: a guest that changes a frame while it
// is sent. Plain JavaScript: threads are started by Node itself.
//
// workerData: the memory `buffer`; `bytes`, a list of [offset, one value, another value]; `control`, two shared 32-bit
// words: 1 to stop, and the rounds done.

import { workerData } from "node:worker_threads";

const { buffer, control, bytes } = workerData;
const words = new Int32Array(control);
const memory = new Uint8Array(buffer);

while (Atomics.load(words, 0) === 0) {
  for (const [offset, one, other] of bytes) {
    memory[offset] = one;
    memory[offset] = other;
  }
  Atomics.add(words, 1, 1);
}
