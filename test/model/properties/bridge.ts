// The core and the plain bridge of test/model/bridge.ts do the same with the same frames, the rings being judged meanwhile
// (src/testing/judge).

import assert from "node:assert/strict";
import fc from "fast-check";
import { PACKED_WRAP } from "../../../src/core/packed-ring.js";
import type { ModelShape } from "../guest.js";
import { Match } from "../match.js";
import { property } from "../property.js";

export const FDB = { ageingSeconds: 30, limit: 7, portLimit: 4 };
/** Few addresses, so that they move, age and meet. */
const ADDRESSES = Array.from({ length: 9 }, (_, i) => `02:00:00:00:00:0${i}`);
const MULTICAST = "33:33:00:00:00:01";

const port = fc.nat(3);
const lengths = fc.oneof(
  { weight: 3, arbitrary: fc.integer({ min: 18, max: 130 }) },
  { weight: 1, arbitrary: fc.integer({ min: 18, max: 1600 }) },
  // The longest that the MTUs below let pass, and some buffers hold, and one byte more.
  { weight: 1, arbitrary: fc.constantFrom(64, 65, 74, 75, 114, 115) },
);
const buffer = fc.oneof(
  { weight: 4, arbitrary: fc.integer({ min: 100, max: 400 }).map((length) => [length]) },
  { weight: 1, arbitrary: fc.constantFrom(76, 77, 126, 127).map((length) => [length]) },
  { weight: 1, arbitrary: fc.array(fc.integer({ min: 1, max: 300 }), { minLength: 1, maxLength: 5 }) },
);

const shape: fc.Arbitrary<ModelShape> = fc
  .record({
    packed: fc.boolean(),
    power: fc.integer({ min: 1, max: 6 }),
    odd: fc.nat(40),
    legacy: fc.integer({ min: 0, max: 5 }).map((n) => n === 0),
    mergeable: fc.boolean(),
    indirect: fc.boolean(),
    eventIdx: fc.boolean(),
    inOrder: fc.boolean(),
    inflight: fc.boolean(),
    sendsFromEnd: fc.boolean(),
    position: fc.constantFrom(0, 1, 65_500, 65_533, 65_535),
    buffers: fc.array(buffer, { maxLength: 70 }),
  })
  .map(({ packed, power, odd, legacy, position, inflight, ...rest }) => ({
    ...rest,
    ring: packed ? "packed" : "split",
    size: packed ? 2 ** power + odd : 2 ** power,
    legacy: legacy && !packed,
    inflight: inflight && packed,
    firstIndex: packed ? (position & 0x7fff) | (position & 1 ? PACKED_WRAP : 0) : position,
  }));

const operation = fc.oneof(
  {
    weight: 24,
    arbitrary: fc.record({
      send: port,
      source: fc.oneof(
        { weight: 20, arbitrary: fc.constantFrom(...ADDRESSES) },
        { weight: 1, arbitrary: fc.constantFrom(MULTICAST, "00:00:00:00:00:00") },
      ),
      destination: fc.oneof(
        { weight: 8, arbitrary: fc.constantFrom(...ADDRESSES) },
        {
          weight: 2,
          arbitrary: fc.constantFrom("ff:ff:ff:ff:ff:ff", MULTICAST, "02:ff:00:00:00:01", "01:80:c2:00:00:0e"),
        },
      ),
      length: lengths,
      pieces: fc.oneof(
        { weight: 2, arbitrary: fc.constant([]) },
        { weight: 1, arbitrary: fc.array(fc.integer({ min: 1, max: 60 }), { maxLength: 30 }) },
      ),
      indirect: fc.boolean(),
      times: fc.oneof(
        { weight: 5, arbitrary: fc.constant(1) },
        { weight: 1, arbitrary: fc.integer({ min: 2, max: 20 }) },
      ),
    }),
  },
  { weight: 4, arbitrary: fc.record({ take: port }) },
  { weight: 3, arbitrary: fc.constant({ poll: true as const }) },
  { weight: 3, arbitrary: fc.constant({ sleep: true as const }) },
  { weight: 3, arbitrary: fc.record({ wish: port, queue: fc.nat(1), wanted: fc.boolean() }) },
  { weight: 1, arbitrary: fc.record({ pass: fc.constantFrom(1, 5, 29, 30, 31) }) },
  { weight: 1, arbitrary: fc.constant({ age: true as const }) },
  { weight: 1, arbitrary: fc.record({ flush: port }) },
  { weight: 1, arbitrary: fc.record({ stop: port, queue: fc.nat(1) }) },
  { weight: 1, arbitrary: fc.record({ enable: port, queue: fc.nat(1) }) },
  { weight: 1, arbitrary: fc.record({ mtu: port, bytes: fc.constantFrom(0, 50, 60, 100) }) },
  { weight: 1, arbitrary: fc.record({ log: port }) },
  {
    weight: 2,
    arbitrary: fc.record({
      bad: port,
      kind: fc.constantFrom(
        ...(["runt", "direction", "outside", "past-end", "nested", "odd-table", "far-next", "oversize"] as const),
      ),
    }),
  },
  { weight: 1, arbitrary: fc.record({ spoil: port, writable: fc.boolean() }) },
  { weight: 1, arbitrary: fc.record({ break: port, kind: fc.constantFrom("jump", "head", "next", "loop") }) },
);

export type Operation = typeof operation extends fc.Arbitrary<infer T> ? T : never;

function drawn(guests: number, operations: number) {
  return fc.record({
    shapes: fc.array(shape, { minLength: 2, maxLength: guests }),
    operations: fc.array(operation, { maxLength: operations, size: "max" }),
  });
}

/** For properties that take their time. */
export const smallDrawn = drawn(3, 25);

/** Does all operations, and lets everybody take what there is. */
export async function play(match: Match, operations: readonly Operation[], played: () => void): Promise<void> {
  for (const each of operations) {
    played();
    await match.play(each);
  }
  await match.settle();
  for (const number of match.guests.keys()) await match.take(number);
  assert.ok(match.judge.judged >= match.returned, "the judge has seen fewer chains than came back");
}

export const bridgeProperty = property(
  "the core is the plain bridge, and its rings keep the rules",
  drawn(4, 100),
  async ({ shapes, operations }, { core, memory }, played) => {
    await play(await Match.create({ module: core.module, memory }, shapes, FDB), operations, played);
  },
);
