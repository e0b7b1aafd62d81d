// A thread that writes random things to parts of a guest's RAM for as long as it is let: a guest that changes its
// rings while they are read. Plain JavaScript: threads are started by Node itself.
//
// workerData: the guest's memory `buffer` and offsets in it, in bytes: `rings` (the receiveq's first) and `frames`, where
// the good buffers are; `addresses` and `lengths` to write to descriptors, the first address a good one; `seed`, not 0;
// `control`, two shared 32-bit words: 1 to stop, and the rounds done; `packed`, the form of the rings.

import { workerData } from "node:worker_threads";

const { buffer, control, seed, rings, frames, addresses, lengths, packed } = workerData;
const words = new Int32Array(control);
const view = new DataView(buffer);
const bytes = new Uint8Array(buffer);

// xorshift32: the same seed gives the same writes, though not at the same moments.
let state = seed;
function random(limit) {
  state ^= state << 13;
  state ^= state >>> 17;
  state ^= state << 5;
  return (state >>> 0) % limit;
}

function scrambleDescriptor({ desc, size }) {
  const at = desc + random(size) * 16;
  switch (random(5)) {
    case 0:
      view.setBigUint64(at, addresses[random(addresses.length)], true);
      break;
    case 1:
      view.setUint32(at + 8, lengths[random(lengths.length)], true);
      break;
    case 2:
      view.setUint16(at + 12, random(8), true);
      break;
    case 3:
      view.setUint16(at + 14, random(size + 1), true);
      break;
    default:
      // A plain good one, so that most chains are taken.
      view.setBigUint64(at, addresses[0], true);
      view.setUint32(at + 8, 100, true);
      view.setUint16(at + 12, rings.findIndex((ring) => ring.desc === desc) === 0 ? 2 : 0, true);
  }
}

/** The same for a packed ring: id and flags stand the other way round, and the flags say whose a descriptor is. */
function scramblePacked({ desc, size }, writable) {
  const at = desc + random(size) * 16;
  switch (random(6)) {
    case 0:
      view.setBigUint64(at, addresses[random(addresses.length)], true);
      break;
    case 1:
      view.setUint32(at + 8, lengths[random(lengths.length)], true);
      break;
    case 2:
      view.setUint16(at + 12, random(65536), true);
      break;
    case 3:
      // Rarely with NEXT and INDIRECT both, or without end all round the ring.
      view.setUint16(at + 14, random(8) | (random(2) * 0x80) | (random(2) * 0x8000), true);
      break;
    default:
      view.setBigUint64(at, addresses[0], true);
      view.setUint32(at + 8, 100, true);
      view.setUint16(at + 14, writable | (random(2) === 0 ? 0x80 : 0x8000), true);
  }
}

while (Atomics.load(words, 0) === 0) {
  for (const ring of rings) {
    if (packed) {
      for (let i = 0; i < 8; i++) scramblePacked(ring, ring === rings[0] ? 2 : 0);
      // Now and then every descriptor says that there is a next one.
      if (random(300) === 0) for (let i = 0; i < ring.size; i++) view.setUint16(ring.desc + i * 16 + 14, 0x81, true);
      view.setUint32(ring.avail, random(0x4_0000), true);
      continue;
    }
    for (let i = 0; i < 8; i++) scrambleDescriptor(ring);
    view.setUint16(ring.avail + 4 + random(ring.size) * 2, random(200) === 0 ? random(65536) : random(ring.size), true);
    // The index moves on by a few, now and then by anything.
    const index = random(500) === 0 ? random(65536) : view.getUint16(ring.used + 2, true) + random(ring.size + 1);
    Atomics.store(new Uint16Array(buffer), (ring.avail + 2) >>> 1, index & 0xffff);
  }
  bytes[frames + random(64)] = random(4);
  Atomics.add(words, 1, 1);
}
