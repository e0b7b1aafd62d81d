// A driver on a processor of its own: as soon as the first buffer of a frame is used it wants all of them.
// Plain JavaScript: threads are started by Node itself.
//
// workerData: the memory `buffer`; `desc`, offset of a packed ring of two frames with `chains` buffers each; `frames` to
// come; `control`, two shared 32-bit words: frames seen, and those of which a buffer was missing.

import { workerData } from "node:worker_threads";

const { buffer, control, desc, chains, frames } = workerData;
const words = new Int32Array(control);
const seconds = new BigInt64Array(buffer);
const AVAIL_USED = (1n << 55n) | (1n << 63n);

for (let number = 0; number < frames; number++) {
  const used = BigInt.asIntN(64, (number >> 1) % 2 === 0 ? AVAIL_USED : 0n);
  const first = (desc >>> 3) + (number % 2) * chains * 2 + 1;
  const isUsed = (at) => (Atomics.load(seconds, at) & BigInt.asIntN(64, AVAIL_USED)) === used;
  while (!isUsed(first));
  for (let i = chains - 1; i > 0; i--) {
    if (isUsed(first + 2 * i)) continue;
    Atomics.add(words, 1, 1);
    break;
  }
  Atomics.add(words, 0, 1);
  Atomics.notify(words, 0);
}
