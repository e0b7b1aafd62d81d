// The release core's whole poll, a burst at a time between two guests: alone, with the rings put back after each, and
// in turn with the load driver that sends and receives. All in one thread and in its caches: what two cores cost each
// other is for `ringbridge bench` to say.

import * as layout from "../../src/core/layout.js";
import { FEATURES, pair } from "../../test/guest/support/driver-guest.js";
import { type Case, expect } from "./lab.js";

const BURSTS = [1, 4, 16, 32, 64];
const FRAMES = 1024;
const MOVED = ["nextAvail", "nextUsed"] as const;

export async function polls(): Promise<Case[]> {
  const cases: Case[] = [];
  for (const bytes of [64, 1518]) {
    for (const burst of BURSTS) {
      cases.push(await alone(bytes, burst), await withDriver(bytes, burst));
    }
  }
  return cases.sort((a, b) => a.group.localeCompare(b.group));
}

type Acquainted = Awaited<ReturnType<typeof acquainted>>;

/** Two guests that the switch knows, with frames of one length to send. */
export async function acquainted(bytes: number) {
  const { sw, a, b } = await pair({ target: "release", features: FEATURES.inOrder, frameBytes: 1518 });
  for (const guest of [a, b]) {
    guest.tx.setTraffic([bytes], false);
    guest.tx.send(1);
    sw.settle();
  }
  for (const guest of [a, b]) guest.rx.receive(64, "sequence");
  return { sw, a, b };
}

/** One burst from the first guest to the second, each time anew: the rings are put back after it. It returns the frames moved. */
export function again({ sw, a, b }: Acquainted, burst: number): () => number {
  const { core, bridge } = sw;
  const { u32 } = bridge.views;
  const queues = [a.port.queues.get(1)!, b.port.queues.get(0)!];
  const places = queues.flatMap(({ struct }) =>
    MOVED.map((field) => (struct.at + layout.Queue.fields[field].offset) >>> 2),
  );
  const before = places.map((place) => u32[place]!);
  a.tx.send(burst);
  const worker = bridge.workers[0]!.at;
  return () => {
    const frames = core.poll(bridge.core.at, worker, 1);
    for (let p = 0; p < places.length; p++) u32[places[p]!] = before[p]!;
    return frames;
  };
}

async function alone(bytes: number, burst: number): Promise<Case> {
  const once = again(await acquainted(bytes), burst);
  const times = FRAMES / burst;
  return {
    group: "poll alone",
    name: `${bytes} B, burst of ${burst}`,
    operations: FRAMES,
    run() {
      let frames = 0;
      for (let i = 0; i < times; i++) frames += once();
      expect("frames", frames, FRAMES);
    },
  };
}

async function withDriver(bytes: number, burst: number): Promise<Case> {
  const { sw, a, b } = await acquainted(bytes);
  const times = FRAMES / burst;
  return {
    group: "send, poll, receive",
    name: `${bytes} B, burst of ${burst}`,
    operations: FRAMES,
    run() {
      let frames = 0;
      for (let i = 0; i < times; i++) {
        a.tx.send(burst);
        sw.poll();
        frames += b.rx.receive(burst, "sequence") >>> 1;
      }
      expect("frames", frames, FRAMES);
    },
  };
}
