// What goes wrong by hand: the bug is seen, and the core refuses as it does in production.

import { expect, test } from "vitest";
import { BAD_CHAINS, type BadChain, type Machine, type Note } from "../../src/explore/machine/index.js";
import { machineOf } from "./support/build.js";

/** All happenings of a run to its end. */
function run(machine: Machine): Note[] {
  const { first } = machine.runUntil([]);
  return machine.events(first).flatMap(({ notes }) => notes);
}

/** A frame lies in a's transmitq, and nobody will come for it: the switch sleeps, and has not been kicked. */
function isStuck(machine: Machine): boolean {
  const { device, guests } = machine.view();
  const { split, device: switched } = guests[0]!.transmitq;
  return !device.canMove && !machine.canMove(0) && split!.avail.idx.value !== switched.nextAvail.value;
}

/** Frames that a guest's driver has taken. */
function received(machine: Machine, guest: number): number {
  return machine.view().guests[guest]!.received.length;
}

test("a store of avail.idx that overtakes the descriptor lets the switch read an old one", async () => {
  const machine = await machineOf({ learned: [0, 1] });
  machine.operate(0, { do: "send", to: 1, payload: 26 });
  machine.stepDriver(0);
  machine.stepDriver(0);
  machine.fault({ fault: "hold-store", guest: 0, accesses: 300 });
  const [held] = machine.stepDriver(0);
  expect(held!.text).toBe("a writes a.transmitq.desc[0].addr = 0x40000e80, which nobody else sees yet");
  expect(machine.field("a.transmitq.desc[0].addr")!.value).toBe(0);
  const notes = run(machine);
  expect(notes).toContainEqual(expect.objectContaining({ note: "drop", cause: "tx-address", guest: 0 }));
  expect(notes.map(({ note }) => note)).toContain("visible");
  expect(machine.field("a.transmitq.desc[0].addr")!.value).toBe(0x40000e80);
  expect(machine.view().held).toEqual([]);
  expect(machine.frames).toEqual([]);
});

test("a driver sees its own held stores, and they can be let go", async () => {
  const machine = await machineOf({ guests: [{}, { rxBuffers: 0 }] });
  machine.operate(1, { do: "post", buffers: 1 });
  for (let i = 0; i < 5; i++) machine.stepDriver(1);
  machine.fault({ fault: "hold-store", guest: 1, accesses: 1000 });
  machine.stepDriver(1);
  expect(machine.field("b.receiveq.avail.idx")!.value).toBe(0);
  machine.fault({ fault: "let-go", guest: 1 });
  expect(machine.field("b.receiveq.avail.idx")!.value).toBe(1);
});

test("a lost kick leaves the frame where it is, till the next one", async () => {
  const machine = await machineOf({ learned: [0, 1] });
  machine.fault({ fault: "lose-kick", guest: 0 });
  machine.operate(0, { do: "send", to: 1, payload: 26 });
  expect(run(machine)).toContainEqual({ note: "kick", guest: 0, queue: "transmitq", lost: true });
  expect(isStuck(machine)).toBe(true);
  machine.operate(0, { do: "send", to: 1, payload: 26 });
  run(machine);
  machine.operate(1, { do: "receive" });
  run(machine);
  expect(received(machine, 1)).toBe(2);
});

test("a lost call leaves the frame in the receiver's used ring", async () => {
  const machine = await machineOf({ learned: [0, 1] });
  machine.fault({ fault: "lose-call", guest: 1 });
  machine.operate(0, { do: "send", to: 1, payload: 26 });
  expect(run(machine)).toContainEqual({ note: "call", guest: 1, queue: "receiveq", lost: true });
  expect(machine.view().guests[1]!.called.receiveq).toBe(false);
  expect(machine.field("b.receiveq.used.idx")!.value).toBe(1);
});

test.each([false, true])(
  "a frame given between poll and arm: without the second look (%s) nobody comes for it",
  async (skip) => {
    const machine = await machineOf({ device: "polling", learned: [0, 1] });
    machine.fault({ fault: "skip-recheck", skip });
    // Up to where the worker has polled in vain, and is about to ask for kicks.
    machine.runUntil([{ on: "line", file: "assembly/index.ts", line: arming() }], { actors: ["device"] });
    expect(machine.view().device.phase).toBe("arm");
    machine.operate(0, { do: "send", to: 1, payload: 26 });
    machine.stepDriver(0, "operation");
    machine.runUntil([]);
    expect(isStuck(machine)).toBe(skip);
    expect(machine.field("b.receiveq.used.idx")!.value).toBe(skip ? 0 : 1);

    function arming(): number {
      const events = machine.runUntil([], { actors: ["device"] });
      const arm = machine.events(events.first).find(({ call }) => call === "arm")!;
      machine.seek(0);
      machine.fault({ fault: "skip-recheck", skip });
      return arm.site!.line;
    }
  },
);

test("without receive buffers a frame is dropped and counted, and the next one arrives", async () => {
  const machine = await machineOf({ guests: [{}, { rxBuffers: 1 }], learned: [0, 1] });
  for (let i = 0; i < 2; i++) machine.operate(0, { do: "send", to: 1, payload: 26 });
  expect(run(machine)).toContainEqual(expect.objectContaining({ note: "drop", cause: "no-rx-buffer", guest: 1 }));
  machine.operate(1, { do: "receive", again: true });
  run(machine);
  machine.operate(0, { do: "send", to: 1, payload: 26 });
  machine.operate(0, { do: "reclaim" });
  run(machine);
  machine.operate(1, { do: "receive" });
  run(machine);
  expect(received(machine, 1)).toBe(2);
});

const REFUSALS: Record<BadChain, { split: string; packed: string }> = {
  address: { split: "tx-address", packed: "tx-address" },
  length: { split: "tx-oversize", packed: "tx-oversize" },
  direction: { split: "tx-direction", packed: "tx-direction" },
  indirect: { split: "tx-indirect", packed: "tx-indirect" },
  loop: { split: "a descriptor chain of the guest is longer than its ring: it loops", packed: "it loops" },
  runt: { split: "tx-runt", packed: "tx-runt" },
  next: { split: "a descriptor of the guest points on to one outside of its table", packed: "" },
  head: { split: "the guest's avail ring names a descriptor that the table does not have", packed: "" },
  index: { split: "the guest's avail index ran ahead by more entries than the ring has", packed: "" },
};

test.each(
  BAD_CHAINS.flatMap((bad) => [
    { bad, ring: "split" as const },
    { bad, ring: "packed" as const },
  ]),
)("a bad chain in a $ring ring ($bad) is refused, and others go on", async ({ bad, ring }) => {
  const guests = [{ ring, indirect: true }, { ring }, { ring }];
  const machine = await machineOf({ guests, learned: [0, 1, 2] });
  machine.operate(0, { do: "send-bad", bad });
  const notes = run(machine);
  const said = notes
    .map((note) => (note.note === "drop" ? note.cause : note.note === "stopped" ? note.reason : ""))
    .join();
  expect(said).toContain(REFUSALS[bad][ring]);
  if (REFUSALS[bad][ring] !== "") expect(said).not.toBe("");
  machine.operate(1, { do: "send", to: 2, payload: 26 });
  run(machine);
  machine.operate(2, { do: "receive" });
  run(machine);
  expect(received(machine, 2)).toBe(1);
});
