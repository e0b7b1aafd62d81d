// What a flooded frame costs beside one that has an address: a burst of broadcasts to 31 ports, for each copy, and
// bursts that go to the same 31 ports one frame each.

import * as layout from "../../src/core/layout.js";
import { BROADCAST, frame, TestGuest, TestSwitch } from "../../test/core/support/bench-guest.js";
import { type Case, expect } from "./lab.js";

const GUESTS = 32;
const BURST = 31;
const TIMES = 8;
const MOVED = ["nextAvail", "nextUsed"] as const;
const VERSION_1 = 1n << 32n;

export async function floods(): Promise<Case[]> {
  return [
    await floodCase("flooded to 31 ports, for each copy", 64, () => BROADCAST, BURST * (GUESTS - 1)),
    await floodCase("to 31 ports in turn, for each frame", 64, (i) => [2, 0, 0, 0, 0, i + 2], BURST),
    await floodCase("flooded to 31 ports, for each copy", 1518, () => BROADCAST, BURST * (GUESTS - 1)),
    await floodCase("to 31 ports in turn, for each frame", 1518, (i) => [2, 0, 0, 0, 0, i + 2], BURST),
  ];
}

/** One burst from the first of 32 guests, over and over; `copies` is what all receive of it. */
async function floodCase(
  name: string,
  bytes: number,
  destination: (i: number) => number[],
  copies: number,
): Promise<Case> {
  const sw = new TestSwitch();
  const guests: TestGuest[] = [];
  for (let i = 0; i < GUESTS; i++) {
    const guest = await TestGuest.create(sw, { features: VERSION_1, ramBytes: 512 * 1024, rxBuffers: 64, size: 64 });
    guest.send(frame(BROADCAST, [2, 0, 0, 0, 0, i + 1], 64));
    sw.settle();
    guests.push(guest);
  }
  for (const guest of guests) {
    guest.receive(0, true);
    guest.reclaim();
  }
  const queues = [guests[0]!.queue(1), ...guests.slice(1).map((guest) => guest.queue(0))];
  const { u32 } = sw.bridge.views;
  const places = queues.flatMap(({ struct }) =>
    MOVED.map((field) => (struct.at + layout.Queue.fields[field].offset) >>> 2),
  );
  for (let i = 0; i < BURST; i++) guests[0]!.send(frame(destination(i), [2, 0, 0, 0, 0, 1], bytes));
  const before = places.map((place) => u32[place]!);
  const worker = sw.bridge.workers[0]!.at;
  const delivered = () => queues.slice(1).reduce((sum, queue) => sum + queue.counters().frames, 0);
  return {
    group: "flood",
    name: `${bytes} B, ${name}`,
    operations: copies * TIMES,
    run() {
      const had = delivered();
      for (let i = 0; i < TIMES; i++) {
        sw.core.poll(sw.bridge.core.at, worker, 1);
        for (let p = 0; p < places.length; p++) u32[places[p]!] = before[p]!;
      }
      expect("copies", delivered() - had, copies * TIMES);
    },
  };
}
