// The lessons: what their machines do is what their texts say, every exercise can be done and is not done before, and nothing that
// they name is missing.

import { describe, expect, test } from "vitest";
import { perform } from "../../src/explore/lessons/act.js";
import { clauseTitle } from "../../src/explore/lessons/clauses.js";
import { LESSONS, MACHINE_LESSONS } from "../../src/explore/lessons/index.js";
import type { Lesson, Moment, SessionLesson } from "../../src/explore/lessons/lesson.js";
import { parseProse } from "../../src/explore/lessons/prose.js";
import { QUIZ } from "../../src/explore/lessons/quiz.js";
import { TEACHING } from "../../src/explore/lessons/teach.js";
import { encodeState, Machine, makeSetup } from "../../src/explore/machine/index.js";
import { SESSION_MISTAKES, SessionSteps } from "../../src/explore/machine/session/index.js";
import { build } from "./support/build.js";

const ids = LESSONS.map(({ id }) => id);
const queuesOf = (machine: Machine) =>
  machine.view().guests.flatMap(({ receiveq, transmitq }) => [receiveq, transmitq]);

describe.each(MACHINE_LESSONS)("$title", (lesson) => {
  test("every piece can be shown, and is short", async () => {
    const machine = await Machine.create(makeSetup(lesson.setup), build);
    const names = queuesOf(machine).map(({ name }) => name);
    for (const name of lesson.shows) expect(names).toContain(name);
    for (const { text, predict, acts = [], after = "" } of lesson.beats) {
      const before = machine.position;
      perform(machine, acts);
      if (acts.length > 0) expect(machine.position).toBeGreaterThan(before);
      expect(`${text} ${after} ${predict?.why ?? ""}`.split(/\s+/).length).toBeLessThan(270);
    }
  });

  test("each question has one right answer among different ones", () => {
    expect(lesson.beats.some(({ predict }) => predict)).toBe(true);
    for (const { predict } of lesson.beats) {
      if (!predict) continue;
      expect(new Set(predict.choices).size).toBe(predict.choices.length);
      expect(predict.choices[predict.right]).toBeDefined();
    }
  });

  test("the exercise is not done at its start, and is done by its solution", async () => {
    const { exercise } = lesson;
    const machine = await Machine.create(makeSetup(exercise.setup ?? lesson.setup), build);
    perform(machine, exercise.acts ?? []);
    const start = machine.position;
    const moment = (): Moment => ({ view: machine.view(), events: machine.events(start + 1) });
    expect(exercise.done(moment())).toBe(false);
    expect(exercise.hint(moment()).length).toBeGreaterThan(5);
    perform(machine, exercise.solution);
    expect(exercise.done(moment())).toBe(true);
    expect(encodeState(machine.state).length).toBeLessThan(2000);
  });
});

describe("what the texts claim", () => {
  /** The machine at the end of a lesson's piece. */
  async function stateAfter(lesson: Lesson, beats: number): Promise<Machine> {
    const machine = await Machine.create(makeSetup(lesson.setup), build);
    for (const { acts } of lesson.beats.slice(0, beats)) perform(machine, acts ?? []);
    return machine;
  }
  const named = (id: string) => MACHINE_LESSONS.find((lesson) => lesson.id === id)!;
  const queue = (machine: Machine, name: string) => queuesOf(machine).find((each) => each.name === name)!;

  test("one descriptor: free, written, available, used, free", async () => {
    const states: string[] = [];
    for (const beats of [0, 1, 2, 3]) {
      const machine = await stateAfter(named("one-descriptor"), beats);
      states.push(queue(machine, "a.transmitq").split!.descriptors[0]!.state);
    }
    expect(states).toEqual(["free", "available", "used", "free"]);
  });

  test("two indices: they count on, and one store publishes a burst", async () => {
    const machine = await stateAfter(named("two-indices"), 2);
    const { avail, used } = queue(machine, "a.transmitq").split!;
    expect([avail.idx.value, used.idx.value]).toEqual([5, 4]);
    const start = machine.position;
    perform(machine, named("two-indices").beats[2]!.acts!);
    const stores = machine.events(start + 1).filter(({ text }) => text.includes("device writes a.transmitq.used.idx"));
    expect(stores).toHaveLength(1);
    expect(queue(machine, "a.transmitq").split!.used.idx.value).toBe(7);
  });

  test("a chain: three descriptors of 12, 42 and 26 bytes, one head, nothing written into it", async () => {
    const machine = await stateAfter(named("chain"), 2);
    const { descriptors, avail, used } = queue(machine, "a.transmitq").split!;
    expect(descriptors.slice(0, 3).map(({ len, names }) => [len.value, names.join()])).toEqual([
      [12, "NEXT"],
      [42, "NEXT"],
      [26, ""],
    ]);
    expect(avail.idx.value).toBe(1);
    expect([used.ring[0]!.id.value, used.ring[0]!.len.value]).toEqual([0, 0]);
  });

  test("indirect: the descriptor has the table's length", async () => {
    const machine = await stateAfter(named("indirect"), 1);
    const { descriptors } = queue(machine, "a.transmitq").split!;
    expect(descriptors[0]).toMatchObject({ names: ["INDIRECT"], len: { value: 80 } });
    expect(descriptors[0]!.table).toHaveLength(5);
  });

  test("suppression: one kick for two frames; after the wish for kicks comes another look", async () => {
    const machine = await stateAfter(named("suppression"), 1);
    expect(machine.events().filter(({ what }) => what === "kick")).toHaveLength(1);
    expect(queue(machine, "b.receiveq").counters.frames).toBe(2);
    perform(machine, named("suppression").beats[1]!.acts!);
    const ring = machine.events().filter(({ places }) => places[0]?.kind === "ring" && places[0].queue === "transmitq");
    const texts = ring.map(({ text }) => text);
    const wish = texts.lastIndexOf("device writes a.transmitq.used.flags = 0");
    expect(texts[wish + 1]).toContain("device reads a.transmitq.avail.idx");
  });

  test("mergeable: three buffers of 64, 64 and 26 bytes, num_buffers 3", async () => {
    const machine = await stateAfter(named("mergeable"), 2);
    const [frame] = machine.view().guests[1]!.received;
    expect(frame).toMatchObject({ bytes: 142, buffers: [0, 1, 2], header: { buffers: 3 } });
    const lengths = queue(machine, "b.receiveq")
      .split!.used.ring.slice(0, 3)
      .map(({ len }) => len.value);
    expect(lengths).toEqual([64, 64, 26]);
  });

  test("packed: the bits of each round", async () => {
    const bits: string[] = [];
    for (const beats of [1, 2, 3]) {
      const { descriptors, wrap } = queue(await stateAfter(named("packed"), beats), "a.transmitq").packed!;
      bits.push(`${Number(descriptors[0]!.availBit)}${Number(descriptors[0]!.usedBit)} wrap ${Number(wrap.driver)}`);
    }
    expect(bits).toEqual(["10 wrap 1", "11 wrap 0", "01 wrap 0"]);
  });

  test("offloads: an open checksum goes on, is finished for c, and a large frame stays one for b", async () => {
    const machine = await stateAfter(named("offloads"), 3);
    const [, b, c] = machine.view().guests;
    expect(b!.received[0]!.header).toMatchObject({ flags: 1, checksumStart: 34, checksumOffset: 6 });
    expect(c!.received[0]!.header).toMatchObject({ flags: 0, checksumStart: 0, checksumOffset: 0, buffers: 1 });
    expect(b!.received).toHaveLength(2);
    expect(b!.received[1]!.header.gsoSize).toBe(512);
  });

  test("learning: a flood, then one receiver", async () => {
    const machine = await stateAfter(named("learning"), 2);
    const frames = ["a.receiveq", "b.receiveq", "c.receiveq"].map((name) => queue(machine, name).counters.frames);
    expect(frames).toEqual([1, 1, 1]);
    expect(machine.view().fdb.map(({ guest }) => guest)).toEqual([0, 1]);
  });

  test("hostile: a bad buffer costs a frame, a bad ring its queue", async () => {
    const machine = await stateAfter(named("hostile"), 1);
    expect(queue(machine, "a.transmitq")).toMatchObject({
      status: { stopped: false },
      counters: { drops: { "tx-address": 1 } },
    });
    perform(machine, named("hostile").beats[1]!.acts!);
    expect(queue(machine, "a.transmitq").status.stopped).toBe(true);
  });

  test("one copy: reads of a's buffer and writes of b's take turns, with no memory between", async () => {
    const machine = await stateAfter(named("one-copy"), 2);
    const between = machine.events().filter(({ what, actor }) => what === "access" && actor === "device");
    const moved = between.filter(({ places, kind }) => kind === "write" && places[0]?.name === "b.rx[0]");
    expect(moved.reduce((sum, { length }) => sum + length, 0)).toBeGreaterThanOrEqual(12 + 106);
    expect(
      between.some(({ places }) => places[0]?.kind === "buffer" && !["a.tx[0]", "b.rx[0]"].includes(places[0].name)),
    ).toBe(false);
  });
});

test("the lesson on vhost-user: each message that a piece waits for comes, and every mistake is refused", () => {
  const lesson = LESSONS.find((each): each is SessionLesson => "session" in each)!;
  for (const { until, predict } of lesson.beats) {
    const steps = new SessionSteps(lesson.session);
    while (steps.step());
    const [name, wanted] = until.startsWith("second ") ? [until.slice(7), 2] : [until, 1];
    const count = steps.exchanges.filter((exchange) => exchange.name === name).length;
    expect([until, until === "end" || count >= wanted]).toEqual([until, true]);
    if (predict) expect(predict.choices[predict.right]).toBeDefined();
  }
  for (const mistake of SESSION_MISTAKES.slice(1)) {
    const steps = new SessionSteps({ ...lesson.session, mistake });
    while (steps.step());
    expect([mistake, steps.exchanges.some(({ refused }) => refused !== undefined)]).toEqual([mistake, true]);
  }
});

test("ten questions, each answered in a lesson that there is", () => {
  expect(QUIZ).toHaveLength(10);
  for (const { lesson, choices, right } of QUIZ) {
    expect(ids).toContain(lesson);
    expect(choices[right]).toBeDefined();
  }
});

test("links and clauses in the texts lead somewhere", () => {
  const texts = [
    ...LESSONS.flatMap(({ beats, exercise }) => [
      exercise.text,
      ...beats.flatMap(({ text, after, predict }) => [text, after ?? "", predict?.why ?? ""]),
    ]),
    ...TEACHING.map(({ text }) => text),
  ];
  const spans = texts.flatMap((text) => parseProse(text).flatMap(({ items }) => items.flat()));
  expect(spans.filter(({ kind }) => kind === "clause").length).toBeGreaterThan(15);
  for (const span of spans) {
    if (span.kind === "clause") expect([span.text, clauseTitle(span.text)]).not.toEqual([span.text, ""]);
    if (span.kind !== "link") continue;
    const [, page, lesson] = span.to.split("/");
    expect(["lesson", "lab", "quiz", "teach"]).toContain(page);
    if (page === "lesson") expect(ids).toContain(lesson);
  }
});
