// Drivers and device in any order, access by access: each frame arrives once, or is refused and counted.

import { expect, test } from "vitest";
import type { GuestSetup, Machine } from "../../src/explore/machine/index.js";
import { machineOf } from "./support/build.js";

const RINGS: Record<string, Partial<GuestSetup>> = {
  split: {},
  "split, event idx": { eventIdx: true },
  packed: { ring: "packed" },
  "packed, event idx, mergeable": { ring: "packed", eventIdx: true, mergeable: true, rxBufferBytes: 64 },
};
const FRAMES = 3;

/** Frames that a guest has received, by their source ports: the number of each among those sent. */
function portsOf(machine: Machine, guest: number): number[] {
  return machine.view().guests[guest]!.received.map(({ text }) => Number(/(\d+) > 9,/.exec(text)?.[1]) - 40_000);
}

test.each(Object.keys(RINGS))("%s rings: every frame once, or refused", async (name) => {
  for (let seed = 1; seed <= 3; seed++) {
    const ring = RINGS[name]!;
    const machine = await machineOf({ seed, guests: [ring, { ...ring, rxBuffers: 2 }], learned: [0, 1] });
    for (let i = 0; i < FRAMES; i++) {
      machine.operate(0, { do: "send", to: 1, payload: 26, pieces: i === 1 ? [12] : [] });
      machine.operate(1, { do: "calls", queue: "receiveq", wanted: i !== 1 });
      machine.operate(1, { do: "receive", again: true });
    }
    machine.runUntil([], { random: true });
    // What came while nobody looked.
    machine.operate(1, { do: "receive", again: true });
    machine.operate(0, { do: "reclaim" });
    machine.runUntil([], { random: true });
    const [a, b] = machine.view().guests;
    const ports = portsOf(machine, 1);
    const dropped = b!.receiveq.counters.drops["no-rx-buffer"] ?? 0;
    expect(new Set(ports).size, `seed ${seed}`).toBe(ports.length);
    expect([...ports].sort(), `seed ${seed}`).toEqual(ports);
    expect(ports.length + dropped, `seed ${seed}`).toBe(FRAMES);
    expect(a!.transmitq.counters).toMatchObject({ frames: FRAMES, drops: {} });
    expect(a!.tx.map(({ owner }) => owner)).not.toContain("device");
    expect(machine.frames.filter(({ direction }) => direction === "out").length).toBe(ports.length);
  }
});
