// Many seeds find what is wrong, and what is left of it in the end is the least that is needed.

import { expect, test } from "vitest";
import { type LoadedScenario, loadScenario, scenarioText, shrink, simulate, swarm } from "../../src/sim/index.js";
import { mutatedCore } from "../mutants/mutated-core.js";
import { readScenario } from "./files.js";
import { runs } from "../sample.js";

const FALSE = `
about: Nobody gets more than two frames, it says.
duration: 10
guests:
  g: { count: 6, shape: drawn, transmit-bytes: 16384 }
traffic:
  load: { from: all, to: all, flows: [2, 6], kind: poisson, rate: [2000, 9000], count: [1, 30], sizes: drawn, burst: [1, 3] }
faults:
  - draw: { count: [0, 4] }
expect:
  - { that: sent, at-least: 0 }
  - { that: received, guest: g3, at-most: 2 }
`;

/** The first seed that fails, cut down; and that the file made of it fails likewise. */
async function findLeast(text: string, wasm?: Uint8Array<ArrayBuffer>) {
  const loaded = loadScenario(text, "x.yaml");
  const { failure, passed } = await swarm(loaded, { runs: 60, first: 1, wasm });
  expect(failure?.seed).toBe(passed + 1);
  const shrunk = await shrink(loaded, failure!, { wasm });
  const again = loadScenario(scenarioText(shrunk!.scenario), "least.yaml");
  const { result } = await simulate(again, { wasm });
  expect(result.checks.filter(({ pass }) => !pass)).toEqual([shrunk!.check]);
  return { ...shrunk!, again };
}

test("a claim that is false: two guests, one flow, one frame too many, no fault", async () => {
  const { scenario, check } = await findLeast(FALSE);
  expect(check).toMatchObject({ what: "received of guest g3", expected: "at most 2", came: "3" });
  expect(Object.keys(scenario.guests)).toHaveLength(2);
  expect(Object.keys(scenario.guests)).toContain("g3");
  const [flow, ...more] = Object.values(scenario.traffic!);
  expect(more).toEqual([]);
  expect(flow).toMatchObject({ to: "g3", count: 3 });
  expect(scenario.faults).toEqual([]);
  // No setting is left that does not matter.
  expect(Object.values(scenario.guests)).toEqual([{}, {}]);
});

const FULL_RING = `
about: A guest that stands still has four buffers.
duration: 20
guests:
  other: { count: 3, shape: drawn }
  small: { rx-buffers: 4 }
traffic:
  load: { from: other, to: all, flows: [2, 5], kind: poisson, rate: [1000, 5000], count: [1, 40] }
faults:
  - draw: { count: [0, 5], kinds: [stall, late-calls, reset, clock-jump] }
`;

test("a core that does not count what finds no buffer: five frames for a guest with four that stands still", async () => {
  const broken = await mutatedCore({
    file: "assembly/bridge/stats.ts",
    text: "store<u64>(counter,",
    by: "if (cause != 0) store<u64>(counter,",
  });
  const { scenario, check, again } = await findLeast(FULL_RING, broken);
  expect(check.came).toContain("1 frames were taken from their senders, and neither delivered nor counted");
  expect(Object.keys(scenario.guests)).toHaveLength(2);
  expect(scenario.guests.small).toEqual({ "rx-buffers": 4 });
  const flows = Object.values(scenario.traffic!);
  expect(flows).toHaveLength(1);
  expect(flows[0]).toMatchObject({ to: "small", count: 5 });
  expect(scenario.faults).toHaveLength(1);
  expect(scenario.faults![0]).toMatchObject({ guest: "small" });
  // The core as it is passes.
  expect((await simulate(again)).result.pass).toBe(true);
  expect((await swarm(loadScenario(FULL_RING, "x.yaml"), { runs: 5, first: 1 })).failure).toBeUndefined();
});

const COMPARED = `
about: A short ring loses no more than a long one, it says.
duration: 20
guests:
  sender: { count: 3, size: 1024, event-idx: true }
  receiver: { rate: 40, event-idx: true }
  bystander: { count: 2, shape: drawn }
traffic:
  load: { from: sender, to: receiver, rate: 40000, burst: 96, count: [180, 220] }
  noise: { from: bystander, to: next, rate: 5000 }
faults:
  - draw: { count: 4, guest: bystander }
variants:
  middle: { guests: { receiver: { size: 128 } } }
  short: { guests: { receiver: { size: 32, rx-buffers: 32 } } }
  long: { guests: { receiver: { size: 256, rx-buffers: 256 } } }
expect:
  - { that: sent, flow: load, at-least: 1 }
  - { that: received, flow: load, variant: short, at-least: 1, times: { variant: long } }
`;

test("a comparison of two variants: they are left, with two guests, a burst, and in what they differ", async () => {
  const { scenario, check, left, again } = await findLeast(COMPARED);
  expect(check).toMatchObject({ what: expect.stringMatching(/^received of flow load\.\d$/), variant: "short" });
  expect(check).toMatchObject({ came: "32", times: 33 });
  expect(Object.keys(scenario.variants!)).toEqual(["short", "long"]);
  expect(left).toEqual({ guests: 2, flows: 1, faults: 0, variants: 2 });
  const flow = Object.values(scenario.traffic!)[0]!;
  expect(Object.keys(scenario.guests).sort()).toEqual(["receiver", flow.from]);
  // 33 frames at once are one more than the short ring has room for.
  expect(flow).toMatchObject({ to: "receiver", burst: 96, count: 33 });
  const [short, long] = [...again.variants.values()];
  expect([short!.guests.receiver, long!.guests.receiver]).toEqual([{ "rx-buffers": 32 }, {}]);
  expect(short!.traffic).toEqual(long!.traffic);
});

const OTHER_GUESTS = `
about: More senders lose no more of what they send, it says.
duration: 10
guests:
  receiver: { rx-buffers: 8 }
  sender: { count: 1 }
traffic:
  load: { from: sender, to: receiver, rate: 10000, burst: 6, count: 12 }
faults:
  - { kind: reset, guest: sender, at: 9 }
variants:
  few: {}
  many: { guests: { sender: { count: 4 } } }
expect:
  - { that: received-share, flow: load, variant: many, at-least: 1, times: { variant: few } }
`;

test("variants with other guests: each is compared with those of its own that are left", async () => {
  const { check, left, again } = await findLeast(OTHER_GUESTS);
  // Nine frames at once are one more than there are buffers, and two senders' bursts.
  expect(check).toMatchObject({ came: "0.888889", times: 1 });
  expect(left).toEqual({ guests: 4, flows: 3, faults: 0, variants: 2 });
  const [many, few] = [...again.variants.values()];
  expect(Object.keys(few!.guests)).toEqual(["receiver", "sender1"]);
  // Who sends in one of them is a guest of both.
  expect(Object.keys(many!.guests)).toHaveLength(4);
  expect(Object.values(many!.traffic!).map(({ from }) => from)).not.toContain("sender1");
});

test("a variant compared with itself is one network", async () => {
  const text = COMPARED.replace("{ variant: long }", "{ variant: short, that: sent }");
  const { scenario, check } = await findLeast(text);
  expect(check.variant).toBeUndefined();
  expect(scenario.variants).toBeUndefined();
  expect(scenario.guests.receiver).toEqual({ "rx-buffers": 32 });
});

test("the swarm of the examples", async () => {
  const loaded: LoadedScenario = readScenario("swarm");
  const told: number[] = [];
  const before = (passed: number) => void told.push(passed);
  const { passed, frames, failure } = await swarm(loaded, { runs: runs(25), first: 1, before });
  expect(failure).toBeUndefined();
  expect([passed, told.length]).toEqual([runs(25), runs(25)]);
  expect(frames).toBeGreaterThan(runs(500));
});

test("the swarm of the examples, every ring judged", async () => {
  const loaded: LoadedScenario = readScenario("swarm");
  const scenario = { ...loaded.scenario, judge: "rings" as const };
  expect((await swarm({ ...loaded, scenario }, { runs: runs(8), first: 100 })).failure).toBeUndefined();
});
