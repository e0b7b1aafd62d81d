// Verdicts can say no: each is shown a lab in which what it asks for is not so.

import { afterEach, expect, test, vi } from "vitest";
import "../../src/testing/vitest.js";
import {
  accountOf,
  assertThat,
  conservesFrames,
  createLab,
  droppedFor,
  fairShare,
  forEachSeed,
  type Lab,
  type LabGuest,
  latencyAtMost,
  learned,
  percentile,
  receivedExactly,
  receivedInOrder,
  udp,
} from "../../src/testing/index.js";

async function sent(count: number): Promise<{ lab: Lab; a: LabGuest; b: LabGuest; frames: Uint8Array[] }> {
  const lab = await createLab({ seed: 9 });
  const [a, b] = [await lab.guest("a"), await lab.guest("b")];
  const frames = Array.from({ length: count }, (_, i) => udp({ from: a, to: b, payload: i }));
  for (const frame of frames) a.send(frame);
  await lab.settle();
  return { lab, a, b, frames };
}

afterEach(() => vi.unstubAllEnvs());

test("received exactly, in order", async () => {
  const { b, frames } = await sent(4);
  const other = udp({ from: b, to: b, payload: 999 });
  expect(receivedExactly(b, [...frames].reverse()).pass).toBe(true);
  expect(receivedExactly(b, [...frames, other]).message).toContain("not received: 02:00:00:00:00:02");
  expect(receivedExactly(b, frames.slice(1)).message).toContain("received besides:");
  expect(receivedExactly(b, frames.slice(1)).pass).toBe(false);
  expect(receivedInOrder(b, [frames[0]!, frames[2]!]).pass).toBe(true);
  expect(receivedInOrder(b, [frames[2]!, frames[0]!]).pass).toBe(false);
  expect(receivedInOrder(b, [frames[2]!, frames[0]!]).message).toContain("number 1 did not come after the 1 before it");
});

test("drops, addresses, latencies, shares", async () => {
  const { lab, a, b } = await sent(1);
  expect(droppedFor(lab, "hairpin").pass).toBe(false);
  a.send(udp({ from: a, to: a }));
  await lab.settle();
  expect([droppedFor(a, "hairpin").pass, droppedFor(a, "hairpin", 2).pass]).toEqual([true, false]);
  expect(learned(lab, a.mac, b).message).toContain("02:00:00:00:00:01 is behind a, expected behind b");
  expect(learned(lab, "02:00:00:00:00:99", b).message).toContain("is unknown");
  expect(latencyAtMost({ latencies: [], lab }, 0.5, 1).message).toContain("no frame was received");
  expect(latencyAtMost({ latencies: [1, 2, 3, 4], lab }, 0.75, 3).pass).toBe(true);
  expect(latencyAtMost({ latencies: [1, 2, 3, 4], lab }, 0.76, 3).pass).toBe(false);
  expect(fairShare([{ received: 0, lab }], 1).pass).toBe(false);
  expect([percentile([], 0.5), percentile([3, 1, 2], 0), percentile([3, 1, 2], 1)]).toEqual([undefined, 1, 3]);
  expect(() => assertThat(droppedFor(a, "tx-runt"))).toThrow("0 drops for tx-runt");
});

test.each<[string, (scene: Awaited<ReturnType<typeof sent>>) => void, string]>([
  ["a drop that was not counted", ({ b }) => b.device.queue(0).struct.set("frames", 2), "taken from their senders"],
  ["a frame counted twice", ({ b }) => b.device.queue(0).struct.set("frames", 4), "more were delivered or counted"],
  ["a frame taken twice", ({ a }) => a.device.queue(1).struct.set("frames", 4), "more were taken than sent"],
  ["a frame nobody sent", ({ lab, b }) => void lab.ledger.received(Uint8Array.of(1), b, 0), "nobody sent"],
  ["a frame twice", ({ lab, b, frames }) => void lab.ledger.received(frames[0]!, b, 0), "2 of 1 sent"],
  ["a lost frame made up for by another", ({ lab, frames }) => lab.ledger.sent(frames[0]!, 0), "in nobody's hands"],
  ["a driver that was not called", ({ b }) => void b.receivedCount--, "wait for a driver that was not called"],
  ["a switch that does not come", ({ a }) => void a.sent++, "wait for a switch that does not come"],
])("conservation notices %s", async (_, spoil, message) => {
  const scene = await sent(3);
  expect(conservesFrames(scene.lab).pass).toBe(true);
  expect(accountOf(scene.lab)).toMatchObject({ sent: 3, taken: 3, delivered: 3, received: 3, waiting: 0, unseen: 0 });
  spoil(scene);
  const verdict = conservesFrames(scene.lab);
  expect(verdict.pass).toBe(false);
  expect(verdict.message).toContain(message);
  expect(verdict.message).toContain('createLab({"seed":9})');
});

test("a seed that fails is named with the command that runs it again", async () => {
  const seen: number[] = [];
  const scenario = async (lab: Lab) => {
    seen.push(lab.seed);
    if (lab.seed === 6) expect(lab).toHaveDroppedFor("hairpin");
  };
  const failure = forEachSeed({ runs: 9, first: 4, memoryMiB: 16 }, scenario);
  await expect(failure).rejects.toThrow(/^seed 6 fails: 0 drops for hairpin/);
  await expect(failure).rejects.toThrow(
    /RINGBRIDGE_SEED=6 npx vitest run test\/testing\/verdicts.test.ts -t 'a seed that fails is/,
  );
  expect(seen).toEqual([4, 5, 6]);
  vi.stubEnv("RINGBRIDGE_SEED", "8");
  await forEachSeed({ runs: 9, memoryMiB: 16 }, scenario);
  expect(seen).toEqual([4, 5, 6, 8]);
  expect((await createLab()).seed).toBe(8);
  vi.stubEnv("RINGBRIDGE_SEED", "x");
  await expect(createLab()).rejects.toThrow('RINGBRIDGE_SEED is "x", not a number');
});

test("a clock that runs cannot be run again, and mistakes have messages", async () => {
  const { lab, a } = await sent(1);
  a.onFrame = () => {};
  lab.clock.after(0, async () => {
    await expect(lab.run(1)).rejects.toThrow("runs already");
  });
  await lab.settle();
  await expect(lab.guest("a")).rejects.toThrow('a guest "a" already');
  await expect(lab.guest("c", { size: 3 })).rejects.toThrow("power of two");
  await expect(lab.guest("d", { ring: "packed", legacy: true })).rejects.toThrow("legacy");
  expect(() => lab.named("z")).toThrow('no guest "z"');
  await expect(lab.guest("big", { transmitBytes: 1 << 27 })).rejects.toThrow("raise memoryMiB");
});
