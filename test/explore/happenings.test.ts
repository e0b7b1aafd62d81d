// What is seen of the machine beside its memory: breakpoints, frames and their capture, cache lines, names of places.

import { expect, test } from "vitest";
import { readCapture } from "../../src/capture/read.js";
import type { Machine, SetupOptions } from "../../src/explore/machine/index.js";
import { machineOf } from "./support/build.js";

async function sent(options: SetupOptions, frames = 1): Promise<Machine> {
  const machine = await machineOf({ learned: [0, 1], ...options });
  for (let i = 0; i < frames; i++) machine.operate(0, { do: "send", to: 1, payload: 200, pieces: [12, 50] });
  return machine;
}

test("a run stops where a field changes, at a kick, a call, a line of the sources", async () => {
  const machine = await sent({});
  expect(machine.runUntil([{ on: "kick" }]).hit).toEqual({ on: "kick" });
  expect(machine.event(machine.position).text).toBe("a kicks");
  machine.runUntil([
    { on: "change", place: "b.receiveq.used.idx" },
    { on: "call", guest: 1 },
  ]);
  expect(machine.event(machine.position).text).toBe("device writes b.receiveq.used.idx = 1");
  const site = machine.event(machine.position).site!;
  expect(machine.runUntil([{ on: "call", guest: 0 }]).hit).toEqual({ on: "call", guest: 0 });
  machine.seek(0);
  expect(machine.runUntil([{ on: "line", file: site.file, line: site.line }]).hit).toBeUndefined();
  machine.operate(0, { do: "send", to: 1, payload: 20 });
  machine.runUntil([{ on: "line", file: site.file, line: site.line }]);
  expect(machine.event(machine.position)).toMatchObject({
    actor: "device",
    site: { line: site.line, file: site.file },
  });
  const { first, last, hit } = machine.runUntil([{ on: "drop" }]);
  expect(hit).toBeUndefined();
  expect(last).toBeGreaterThan(first);
  expect(machine.runUntil([{ on: "drop" }])).toEqual({ first: last + 1, last });
});

test.each(["split", "packed"] as const)(
  "the frames of a %s machine are seen at both ports, merged ones whole",
  async (ring) => {
    const machine = await sent({ guests: [{ ring }, { ring, mergeable: true, rxBufferBytes: 64, rxBuffers: 8 }] });
    machine.runUntil([]);
    const [from, to] = machine.frames;
    expect(machine.frames.length).toBe(2);
    expect(from).toMatchObject({ guest: 0, direction: "in" });
    expect(to).toMatchObject({ guest: 1, direction: "out" });
    expect(from!.bytes.length).toBe(242);
    expect(Buffer.from(to!.bytes).equals(Buffer.from(from!.bytes))).toBe(true);
    const capture = readCapture(machine.pcapng());
    expect(capture.map(({ bytes }) => bytes.length)).toEqual([242, 242]);
    machine.operate(1, { do: "receive" });
    machine.runUntil([]);
    expect(machine.view().guests[1]!.received).toMatchObject([{ bytes: 242, buffers: [0, 1, 2, 3] }]);
  },
);

test("on the same traffic the lines of packed rings change hands less often than those of split ones", async () => {
  const counts = [];
  for (const ring of ["split", "packed"] as const) {
    const machine = await machineOf({ guests: [{ ring }, { ring }], learned: [0, 1] });
    for (let i = 0; i < 3; i++) {
      machine.operate(0, { do: "send", to: 1, payload: 26 });
      machine.runUntil([]);
      machine.operate(1, { do: "receive", again: true });
      machine.operate(0, { do: "reclaim" });
      machine.runUntil([]);
    }
    const { ring: rings, buffer, lines } = machine.cacheLines();
    expect(lines.every(({ transfers }) => transfers >= 0)).toBe(true);
    expect(machine.cacheLines(1, 1).lines).toEqual([]);
    counts.push({ rings, buffer });
  }
  const [split, packed] = counts;
  expect(packed!.rings.transfers).toBeLessThan(split!.rings.transfers);
  expect(packed!.buffer.transfers).toBe(split!.buffer.transfers);
});

test("an address that is not seen for 300 seconds is forgotten, and learned anew", async () => {
  const machine = await machineOf();
  machine.operate(0, { do: "send", to: 1, payload: 26 });
  machine.runUntil([]);
  expect(machine.view().fdb).toMatchObject([{ mac: "02:00:00:00:00:0a", guest: 0, seen: 1 }]);
  expect(machine.passTime(300).flatMap(({ notes }) => notes)).toEqual([]);
  const before = machine.position;
  const memory = Buffer.from(machine.memory);
  expect(machine.passTime(1).flatMap(({ notes }) => notes)).toEqual([
    { note: "forgotten", mac: "02:00:00:00:00:0a", guest: 0 },
  ]);
  expect(machine.view().fdb).toEqual([]);
  machine.seek(before);
  expect(Buffer.from(machine.memory).equals(memory)).toBe(true);
  machine.forward();
  machine.operate(0, { do: "send", to: 1, payload: 26 });
  machine.runUntil([{ on: "learned" }]);
  expect(machine.passTime(1)).toEqual([]);
  expect(machine.view().fdb).toMatchObject([{ guest: 0, seen: 302 }]);
});

test("every place has one name, and lies where its name says", async () => {
  const machine = await machineOf({ guests: [{}, { ring: "packed", size: 6 }, { eventIdx: true }] });
  for (const name of [
    "a.transmitq.desc[7].next",
    "b.receiveq.device_event.flags",
    "c.receiveq.avail.used_event",
    "c.tx[2]",
  ]) {
    const place = machine.placeNamed(name)!;
    expect(place.name).toBe(name);
    expect(machine.place(place.address)).toEqual(place);
  }
  for (let at = 0; at < machine.memory.length; at += 7) {
    const place = machine.place(at);
    if (place.kind === "unused" || place.kind === "ram") continue;
    const named = machine.placeNamed(place.name);
    const inside = at >= place.address && at < place.address + place.length;
    if (!inside || (place.field !== undefined && named?.address !== place.address))
      throw new Error(`${place.name} at ${at}`);
  }
  expect(machine.placeNamed("a.transmitq.desc[8].next")).toBeUndefined();
  expect(machine.placeNamed("d.transmitq.desc[0].next")).toBeUndefined();
  expect(machine.placeNamed("core.a.transmitq.drops.no-rx-buffer")!.length).toBe(8);
});
