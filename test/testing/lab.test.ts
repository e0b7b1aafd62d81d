// The lab: frames through the switch's own core, on rings of every kind; the books of what became of them.

import { describe, expect, test } from "vitest";
import "../../src/testing/vitest.js";
import {
  arpRequest,
  createLab,
  type GuestShape,
  Random,
  drawShape,
  tcp,
  udp,
  vlan,
  wrongChecksums,
} from "../../src/testing/index.js";
import { cases } from "../sample.js";

const SHAPES: [string, GuestShape][] = [
  ["split", {}],
  ["legacy", { legacy: true }],
  ["split, mergeable, indirect, event idx", { mergeable: true, indirect: true, eventIdx: true }],
  ["split of 8", { size: 8, eventIdx: true }],
  ["packed", { ring: "packed" }],
  [
    "packed of 13, everything",
    { ring: "packed", size: 13, mergeable: true, indirect: true, eventIdx: true, inOrder: true },
  ],
];

describe.each(cases(SHAPES))("%s", (_, shape) => {
  test("frames of all lengths arrive as they were sent, each once, in order", async () => {
    const lab = await createLab();
    const a = await lab.guest("a", { ...shape, pieces: [12, 7, 100], regions: 3 });
    const b = await lab.guest("b", { ...shape, regions: 2 });
    const sent: Uint8Array[] = [];
    for (let i = 0; i < 300; i++) {
      sent.push(udp({ from: a, to: b, payload: i * 4, sourcePort: i }));
      expect(a.send(sent[i]!)).toBe(true);
      await lab.settle();
    }
    expect(b).toHaveReceivedExactly(sent);
    expect(b).toHaveReceivedInOrder(sent);
    expect(b.received.every(({ frame }) => wrongChecksums(frame).length === 0)).toBe(true);
    expect(a.receive()).toEqual([]);
    expect(b.receive()).toEqual(sent);
    expect(b.receive()).toEqual([]);
    expect(lab).toConserveFrames();
    expect(lab.drops()).toEqual({});
  });
});

test("a flood reaches everybody else; addresses are learned from what is sent", async () => {
  const lab = await createLab();
  const a = await lab.guest("a", { announce: false });
  const [b, c] = [await lab.guest("b"), await lab.guest("c")];
  const question = arpRequest({ from: a, to: b });
  a.send(question);
  await lab.settle();
  for (const guest of [b, c]) expect(guest).toHaveReceivedExactly([question]);
  expect(a).toHaveReceivedExactly([]);
  expect(lab).toHaveLearned(a.mac, a);
  expect(lab).not.toHaveLearned(a.mac, b);
  expect(lab).toConserveFrames();
});

test("what cannot be delivered is counted under its cause", async () => {
  const lab = await createLab();
  const a = await lab.guest("a");
  const b = await lab.guest("b", { rxBuffers: 4 });
  for (let i = 0; i < 10; i++) a.send(udp({ from: a, to: b, sourcePort: i }));
  a.send(udp({ from: a, to: a }));
  a.send(udp({ from: a, to: b, payload: 3000 }));
  await lab.settle();
  expect(b).toHaveDroppedFor("no-rx-buffer", 7);
  expect(a).toHaveDroppedFor("hairpin");
  expect(lab).not.toHaveDroppedFor("tx-runt");
  expect(lab).toConserveFrames();
});

test("a full ring refuses frames, and says so", async () => {
  const lab = await createLab();
  const a = await lab.guest("a", { size: 4 });
  const b = await lab.guest("b");
  const results = Array.from({ length: 6 }, (_, i) => a.send(udp({ from: a, to: b, sourcePort: i })));
  expect(results).toEqual([true, true, true, true, false, false]);
  expect([a.sent, a.refused]).toEqual([4, 2]);
  await lab.settle();
  expect(a.send(udp({ from: a, to: b }))).toBe(true);
  await lab.settle();
  expect(b.received).toHaveLength(5);
  expect(lab).toConserveFrames();
});

test("checksums and segments left to the switch come out right at a guest that takes none", async () => {
  const lab = await createLab();
  const a = await lab.guest("a", { offloads: "send", size: 64, transmitBytes: 1 << 18 });
  const b = await lab.guest("b");
  a.send(vlan(udp({ from: a, to: b, ip: 6, payload: "hello" }), 7), { offload: "checksum" });
  a.send(tcp({ from: a, to: b, payload: 10_000 }), { offload: { segment: 1448 } });
  await lab.settle();
  const frames = b.receive();
  expect(frames).toHaveLength(1 + 7);
  expect(frames.flatMap(wrongChecksums)).toEqual([]);
  expect(frames[0]).toEqual(vlan(udp({ from: a, to: b, ip: 6, payload: "hello" }), 7));
  expect(lab).toConserveFrames();
});

test("drawn shapes can be had", async () => {
  const random = new Random(3);
  for (let i = 0; i < 20; i++) {
    const lab = await createLab({ memoryMiB: 16 });
    const [a, b] = [await lab.guest("a", drawShape(random)), await lab.guest("b", drawShape(random))];
    const frame = udp({ from: a, to: b, payload: 200 });
    a.send(frame);
    await lab.settle();
    expect(b).toHaveReceivedExactly([frame]);
  }
});
