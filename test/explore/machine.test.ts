// The machine steps the production core one access at a time, forward and back, and comes to the same memory each time.

import { expect, test } from "vitest";
import {
  type DeviceGrain,
  type Fault,
  Machine,
  makeSetup,
  type Move,
  type Operation,
  type SetupOptions,
} from "../../src/explore/machine/index.js";
import { Random } from "../../src/testing/random.js";
import { build, machineOf } from "./support/build.js";

const RINGS = ["split", "packed"] as const;

function copyOf({ memory }: Machine): Buffer {
  return Buffer.from(memory);
}

/** Lets everybody do what there is to do: drivers first. */
function settle(machine: Machine): void {
  for (let moved = true; moved; ) {
    moved = false;
    for (const { number } of machine.view().guests)
      if (machine.stepDriver(number, "operation").length > 0) moved = true;
    if (machine.stepDevice("burst").length > 0) moved = true;
  }
}

test.each(RINGS)("a frame goes through a switch of %s rings, one access at a time", async (ring) => {
  const machine = await machineOf({ guests: [{ ring }, { ring }] });
  machine.operate(0, { do: "send", to: 1, payload: 26 });
  const driver = [];
  while (machine.canMove(0)) driver.push(...machine.stepDriver(0));
  expect(driver.at(-1)).toMatchObject({ what: "kick", text: "a kicks" });
  const device = [];
  while (machine.canMove("device")) device.push(...machine.stepDevice());
  expect(device[0]!.text).toBe("device wakes: a kick has come");
  expect(device.flatMap(({ notes }) => notes.map(({ note }) => note)).filter((note) => note !== "returned")).toEqual([
    "awake",
    "learned",
    "call-wanted",
    "call-wanted",
    "call",
    "call",
    "asleep",
  ]);
  expect(machine.view().guests.map(({ called }) => called)).toEqual([
    { receiveq: false, transmitq: true },
    { receiveq: true, transmitq: false },
  ]);
  machine.operate(1, { do: "receive", again: true });
  machine.operate(0, { do: "reclaim" });
  settle(machine);
  expect(machine.view().guests.flatMap(({ called }) => Object.values(called))).not.toContain(true);
  const [a, b] = machine.view().guests;
  expect(b!.received).toMatchObject([{ text: expect.stringContaining("UDP over IPv4"), bytes: 68 }]);
  expect(a!.transmitq.counters.frames).toBe(1);
  expect(a!.tx.map(({ owner }) => owner)).not.toContain("device");
  expect(b!.rx.filter(({ owner }) => owner === "device").length).toBe(4);
});

test("each access says its field, its source line and its clause, the driver's too", async () => {
  const machine = await machineOf();
  machine.operate(0, { do: "send", to: 1, payload: 26 });
  const [, ...driver] = [machine.event(1), ...machine.stepDriver(0, "operation")];
  expect(driver.find(({ text }) => text === "a writes a.transmitq.avail.idx = 1")?.site).toMatchObject({
    file: "src/explore/machine/driver/split.ts",
    function: { name: "makeAvailable" },
    clauses: ["2.7.13.3"],
  });
  for (const { what, site } of driver) if (what === "access") expect(site?.clauses).not.toEqual([]);
  const device = machine.stepDevice("burst");
  for (const { what, site, places } of device) {
    if (what !== "access") continue;
    expect(site?.text).not.toBe("");
    expect(places.map(({ kind }) => kind)).not.toContain("unused");
  }
  expect(device.find(({ text }) => text === "device writes b.receiveq.used.idx = 1")?.site).toMatchObject({
    file: "assembly/virtq/split.ts",
    clauses: ["2.7.8"],
    atomic: true,
  });
});

test("the worker goes on by shared accesses, descriptors, frames and bursts", async () => {
  const stops = async (grain: DeviceGrain) => {
    const machine = await machineOf({ learned: [0, 1] });
    machine.operate(0, { do: "send", to: 1, payload: 26, pieces: [12] });
    machine.operate(0, { do: "send", to: 1, payload: 26 });
    machine.runUntil([], { actors: [0] });
    const texts = [];
    while (machine.canMove("device")) texts.push(machine.stepDevice(grain).at(-1)!.text);
    return texts.map((text) => text.replace(/^device /, ""));
  };
  const shared = await stops("shared");
  expect(shared.slice(0, 5)).toEqual([
    "wakes: a kick has come",
    "writes a.transmitq.used.flags = NO_NOTIFY",
    "writes b.transmitq.used.flags = NO_NOTIFY",
    "reads a.transmitq.avail.idx = 2",
    "reads a.transmitq.avail.ring[0] = 0",
  ]);
  const places = (await stops("descriptor")).map((text) => /(\w\.\w+\.desc\[\d\])/.exec(text)?.[1]).filter(Boolean);
  expect(places).toEqual(
    [0, 1, 2].map((i) => `a.transmitq.desc[${i}]`).concat([0, 1].map((i) => `b.receiveq.desc[${i}]`)),
  );
  expect(await stops("frame")).toEqual([
    "writes b.receiveq.used.idx = 2",
    "writes a.transmitq.used.idx = 2",
    expect.stringContaining("reads"),
  ]);
  // The poll that moves them with its calls, and the one that finds nothing.
  expect(await stops("burst")).toEqual(["calls a for its transmitq", expect.stringContaining("reads")]);
});

test("a move that makes no sense is refused, by hand and in a state", async () => {
  const machine = await machineOf();
  const send = { do: "send", to: 1, payload: 26 } as const;
  expect(() => machine.operate(2, send)).toThrow("there is no guest 2: there are a, b, from 0 on");
  expect(() => machine.operate(0, { ...send, to: 5 })).toThrow("there is no guest 5");
  expect(() => machine.operate(0, { ...send, payload: 5000 })).toThrow(
    "payload: 5000 is no whole number from 0 to 4096",
  );
  expect(() => machine.operate(0, { ...send, pieces: [0] })).toThrow("length of a buffer: 0");
  expect(() => machine.fault({ fault: "lose-kick", guest: 3 })).toThrow("there is no guest 3");
  expect(machine.position).toBe(0);
  const open = (moves: Move[]) => Machine.open({ setup: machine.setup, moves }, build);
  await expect(open([{ do: "device", steps: 1 }])).rejects.toThrow(
    "move 1 cannot be made: the switch has nothing to do",
  );
  await expect(open([{ do: "driver", guest: 1, steps: 1 }])).rejects.toThrow("guest 1 has nothing to do after 0 steps");
  await expect(open([{ do: "operation", guest: 0, operation: { ...send, to: 7 } }])).rejects.toThrow("no guest 7");
  expect(() => makeSetup({ guests: [{ size: 6 }, {}] })).toThrow(
    "guest a: a split ring has a power of two entries, not 6",
  );
  expect(() => makeSetup({ guests: [{}] })).toThrow("1 guests");
  expect(() => makeSetup({ guests: [{}, { size: 4, rxBuffers: 5 }] })).toThrow(
    "guest b: 5 receive buffers in a ring of 4",
  );
});

const OPERATIONS: Operation[] = [
  { do: "send", to: 1, payload: 26 },
  { do: "send", to: 0, payload: 100, pieces: [12, 30] },
  { do: "send", to: "broadcast", payload: 5, pieces: [5, 20], indirect: true },
  { do: "send", to: "unknown", payload: 600 },
  { do: "send", to: 1, payload: 300, leave: "checksum" },
  { do: "send", to: 2, payload: 1200, leave: "segments" },
  { do: "receive", again: true },
  { do: "receive" },
  { do: "reclaim" },
  { do: "post", buffers: 2 },
  { do: "calls", queue: "receiveq", wanted: true },
  { do: "calls", queue: "receiveq", wanted: false },
  { do: "send-bad", bad: "address" },
  { do: "send-bad", bad: "indirect" },
];

const SETUPS: SetupOptions[] = [
  { guests: [{}, {}, { ring: "packed" }], device: "polling" },
  {
    guests: [{ ring: "packed", size: 5, mergeable: true, rxBufferBytes: 128 }, { eventIdx: true, indirect: true }, {}],
  },
  {
    guests: [
      { indirect: true, offloads: true },
      { ring: "packed", eventIdx: true, offloads: true },
      { offloads: true },
    ],
  },
];

function faultsOf(guest: number): Fault[] {
  return [
    { fault: "hold-store", guest, accesses: 1 },
    { fault: "hold-store", guest, accesses: 40 },
    { fault: "let-go", guest },
    { fault: "lose-kick", guest },
    { fault: "lose-call", guest },
    { fault: "skip-recheck", skip: guest === 0 },
  ];
}

function randomMove(machine: Machine, random: Random): void {
  const guest = random.integer(0, 2);
  const kind = random.integer(0, 9);
  if (random.chance(0.05)) machine.fault(random.pick(faultsOf(guest)));
  else if (random.chance(0.02)) machine.passTime(200);
  else if (kind === 0) {
    const operation = random.pick(OPERATIONS);
    const indirect = operation.do === "send" && machine.setup.guests[guest]!.indirect && operation.indirect;
    machine.operate(guest, operation.do === "send" ? { ...operation, indirect } : operation);
  } else if (kind < 5) machine.stepDriver(guest);
  else machine.stepDevice(random.pick(["access", "access", "shared", "descriptor"] as const));
}

test.each(SETUPS)("any interleaving, forward and back: the same memory at each return", async (options) => {
  const random = new Random(7);
  const machine = await machineOf(options);
  const moments: { position: number; memory: Buffer; view: string }[] = [];
  const note = () => {
    const view = JSON.stringify(machine.view());
    moments.push({ position: machine.position, memory: copyOf(machine), view });
  };
  const check = ({ position, memory, view }: (typeof moments)[number]) => {
    expect(machine.seek(position)).toBe(position);
    expect(copyOf(machine).equals(memory)).toBe(true);
    expect(JSON.stringify(machine.view())).toBe(view);
  };
  note();
  for (let i = 0; i < 25; i++) {
    for (let moves = random.integer(1, 12); moves > 0; moves--) randomMove(machine, random);
    note();
    if (random.chance(0.3)) {
      const last = moments.at(-1)!;
      check(random.pick(moments));
      check(last);
    }
    if (random.chance(0.1)) {
      // Another way from there on.
      check(random.pick(moments));
      while (moments.at(-1)!.position > machine.position) moments.pop();
    }
  }
  for (const moment of [...moments].reverse()) check(moment);
  for (const moment of moments) check(moment);
  const again = await Machine.open(JSON.parse(JSON.stringify(machine.state)), build);
  expect(copyOf(again).equals(copyOf(machine))).toBe(true);
  expect(JSON.stringify(again.view())).toBe(JSON.stringify(machine.view()));
});
