// What a guest costs that is not mapped whole: `poll` with one frame whose buffer lies in a chunk that is mapped, and in
// one that has to be mapped first (the mapping, and the page fault that comes with the first look at it).

import { VIRTIO_F_VERSION_1 } from "../../assembly/spec/virtio.js";
import { bits } from "../../src/core/feature-bits.js";
import * as layout from "../../src/core/layout.js";
import { chunkMapper } from "../../src/switch/chunk-mapper.js";
import { frame, TestGuest, TestSwitch } from "../../test/core/support/bench-guest.js";
import { BigRam } from "../../test/core/support/big-ram.js";
import { testMemory } from "../../test/core/support/test-switch.js";
import { type Case, expect } from "./lab.js";

const WINDOWS = 8;
const FRAMES = 64;
const HEADER = 12;
const MOVED = ["nextAvail", "nextUsed"] as const;

export async function chunks(): Promise<Case[]> {
  return [await oneByOne("mapped", 1), await oneByOne("to be mapped", FRAMES)];
}

/** Frames in so many chunks in turn, one polled at a time, to a receiver that is mapped whole. */
async function oneByOne(name: string, places: number): Promise<Case> {
  const memory = testMemory();
  const sw = new TestSwitch({ memory, chunkWindows: WINDOWS, mapChunk: chunkMapper(memory) });
  const features = bits(VIRTIO_F_VERSION_1);
  const sender = await TestGuest.create(sw, { features, rxBuffers: 0, ramBytes: 256 * 1024 });
  const receiver = await TestGuest.create(sw, { features });
  receiver.send(frame(9, 1, 60));
  sw.settle();
  const ram = await BigRam.add(sender);
  const bytes = new Uint8Array(HEADER + 64);
  bytes.set(frame(1, 2, 64), HEADER);
  const { core, bridge } = sw;
  const { u32, u16 } = { u32: bridge.views.u32, u16: new Uint16Array(memory.buffer) };
  for (let i = 0; i < FRAMES; i++) {
    const address = ram.chunk(i % places) + 4096n;
    ram.write(address, bytes);
    sender.tx[0]!.add([{ address, length: bytes.length }], []);
  }
  const queues = [sender.queue(1), receiver.queue(0)];
  const moved = queues.flatMap(({ struct }) =>
    MOVED.map((field) => (struct.at + layout.Queue.fields[field].offset) >>> 2),
  );
  const before = moved.map((place) => u32[place]!);
  const availIndex = (sender.memory.at(sender.tx[0]!.ring.avail) + 2) >>> 1;
  const worker = bridge.workers[0]!.at;
  return {
    group: "chunks",
    name: `64 B, one frame a poll, chunk ${name}`,
    operations: FRAMES,
    run() {
      let frames = 0;
      for (let i = 0; i < FRAMES; i++) {
        u16[availIndex] = i + 1;
        frames += core.poll(bridge.core.at, worker, 1);
        // The receive buffer is the same every time.
        u32[moved[2]!] = before[2]!;
        u32[moved[3]!] = before[3]!;
      }
      expect("frames", frames, FRAMES);
      for (const [p, place] of moved.entries()) u32[place] = before[p]!;
    },
  };
}
