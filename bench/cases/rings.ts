// The split ring from both sides: walking chains, a burst out of a transmitq, a burst into a receiveq (with its copy).

import { VIRTIO_F_INDIRECT_DESC, VIRTIO_F_VERSION_1 } from "../../assembly/spec/virtio.js";
import * as layout from "../../src/core/layout.js";
import { frame, TestGuest } from "../../test/core/support/bench-guest.js";
import { TestSwitch } from "../../test/core/support/test-switch.js";
import { type Case, expect, partsOf } from "./lab.js";

const FEATURES = (1n << BigInt(VIRTIO_F_VERSION_1)) | (1n << BigInt(VIRTIO_F_INDIRECT_DESC));
const HEADER = 12;
const FRAME = 640;
const CHAINS = 64;
const TIMES = 64;
const BURSTS = [1, 4, 16, 32, 64];

const SHAPES = [
  { name: "1 descriptor", pieces: [], indirect: false, segments: 1 },
  { name: "2 descriptors, header alone", pieces: [HEADER], indirect: false, segments: 2 },
  { name: "4 descriptors", pieces: [HEADER + 100, 100, 100], indirect: false, segments: 4 },
  { name: "indirect, 1 descriptor", pieces: [], indirect: true, segments: 1 },
  { name: "indirect, 4 descriptors", pieces: [HEADER + 100, 100, 100], indirect: true, segments: 4 },
];

async function guestWithFrames(sw: TestSwitch, count: number, bytes: number, shape = SHAPES[0]!): Promise<TestGuest> {
  const guest = await TestGuest.create(sw, { features: FEATURES, ramBytes: 2 * 1024 * 1024, rxBuffers: CHAINS });
  for (let i = 0; i < count; i++) guest.send(frame(2, 1, bytes), { pieces: shape.pieces, indirect: shape.indirect });
  return guest;
}

export async function chains(): Promise<Case[]> {
  const cases: Case[] = [];
  for (const shape of SHAPES) {
    const sw = new TestSwitch();
    // A ring of 256 descriptors holds no more than 64 chains of four.
    const guest = await guestWithFrames(sw, CHAINS, FRAME, shape);
    const parts = partsOf(sw);
    const words = [sw.bridge.workers[0]!.at, guest.queue(1).struct.at, CHAINS] as const;
    expect("segments", parts.walkChains(...words, 1), CHAINS * shape.segments);
    const run = () => void parts.walkChains(...words, TIMES);
    cases.push({ group: "chain walk", name: shape.name, operations: CHAINS * TIMES, run });
  }
  return cases;
}

export async function dequeues(): Promise<Case[]> {
  const cases: Case[] = [];
  for (const burst of BURSTS) {
    const sw = new TestSwitch();
    const guest = await guestWithFrames(sw, burst, FRAME);
    const parts = partsOf(sw);
    const words = [sw.bridge.workers[0]!.at, guest.queue(1).struct.at] as const;
    expect("frames", parts.dequeueBursts(...words, 1), burst);
    const times = TIMES * (CHAINS / burst);
    const run = () => void parts.dequeueBursts(...words, times);
    cases.push({
      group: "split ring, dequeue and complete",
      name: `burst of ${burst}`,
      operations: burst * times,
      run,
    });
  }
  return cases;
}

export async function enqueues(): Promise<Case[]> {
  const cases: Case[] = [];
  for (const bytes of [64, 1518]) {
    for (const burst of BURSTS) {
      const sw = new TestSwitch();
      const from = await guestWithFrames(sw, burst, bytes);
      const to = await guestWithFrames(sw, 0, bytes);
      const parts = partsOf(sw);
      const group = sw.bridge.control.allocate(64);
      sw.bridge.views.u32[(group + layout.Group.fields.port.offset) >>> 2] = to.port.struct.at;
      const queues = [from.queue(1).struct.at, to.queue(0).struct.at] as const;
      const words = [sw.bridge.workers[0]!.at, ...queues, group] as const;
      parts.enqueueBursts(...words, 1);
      expect("frames", to.queue(0).counters().frames, burst);
      const times = TIMES * (CHAINS / burst);
      const run = () => void parts.enqueueBursts(...words, times);
      const name = `${bytes} B, burst of ${burst}`;
      cases.push({ group: "split ring, enqueue with copy", name, operations: burst * times, run });
    }
  }
  return cases;
}
