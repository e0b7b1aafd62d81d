// What is wrong with a scenario's file is said with its place, its key and what to do.

import { expect, test } from "vitest";
import { ConfigError } from "../../src/config/problems.js";
import { loadScenario } from "../../src/sim/index.js";

const GOOD = `about: x
guests: { a: {}, b: { count: 2 } }
traffic: { t: { from: a, to: b } }
`;

function linesOf(text: string): string[] {
  try {
    loadScenario(text, "x.yaml");
    return [];
  } catch (error) {
    if (error instanceof ConfigError) return error.lines;
    throw error;
  }
}

test("a scenario that is in order has no problem", () => {
  expect(linesOf(GOOD)).toEqual([]);
});

const BAD: [string, string, string][] = [
  ["an unknown key", `${GOOD}durration: 5`, 'x.yaml:4:1: durration: unknown key (did you mean "duration"?)'],
  ["no guests", "about: x", "x.yaml:1:1: guests: must be a map from names to guests"],
  ["no map", "- 1", 'x.yaml:1:1: the file must be a map with keys such as "about" and "guests", not a list'],
  ["broken YAML", "about: [", "x.yaml:1:9: not valid YAML: "],
  ["a number out of range", `${GOOD}duration: -1`, "x.yaml:4:11: duration: must be from 0.001 to 3600000, not -1"],
  [
    "a guest's key",
    "about: x\nguests:\n  a: { ringg: split }",
    'x.yaml:3:8: guests.a.ringg: unknown key (did you mean "ring"?)',
  ],
  [
    "a guest's value",
    "about: x\nguests:\n  a: { ring: pakked }",
    'x.yaml:3:14: guests.a.ring: must be one of split, packed, not "pakked" (did you mean "packed"?)',
  ],
  [
    "a ring's size",
    "about: x\nguests:\n  a: { size: 100 }",
    "x.yaml:3:14: guests.a.size: a split ring's size is a power of two, not 100",
  ],
  ["a name that is taken", "about: x\nguests:\n  all: {}", 'x.yaml:3:3: guests.all: "all" has a meaning of its own'],
  [
    "two guests of one name",
    "about: x\nguests:\n  a1: {}\n  a: { count: 2 }",
    'x.yaml:4:3: guests.a: its guest "a1" is there already, of "a1"',
  ],
  [
    "a guest that is not there",
    GOOD.replace("to: b", "to: bb"),
    'x.yaml:3:30: traffic.t.to: there is no guest "bb" (did you mean "b"?)',
  ],
  [
    "a key of another kind of traffic",
    GOOD.replace("to: b", "to: b, think: 1"),
    "x.yaml:3:33: traffic.t.think: belongs to traffic of kind requests, and this is constant",
  ],
  [
    "a fault's kind, in a list",
    `${GOOD}faults:\n  - { kind: stal, guest: a }`,
    "x.yaml:5:13: faults.0.kind: must be one of stall, slow,",
  ],
  [
    "a fault without what it needs",
    `${GOOD}faults: [{ kind: slow, guest: a }]`,
    'x.yaml:4:10: faults.0: slow needs "rate"',
  ],
  [
    "an expectation without a bound",
    `${GOOD}expect:\n  - { that: received, flow: t }`,
    'x.yaml:5:5: expect.0: expects nothing: add "is", "at-least" or "at-most"',
  ],
  [
    "an expectation of the wrong thing",
    `${GOOD}expect:\n  - { that: kicks, flow: t, is: 1 }`,
    "x.yaml:5:26: expect.0.flow: kicks is not of a flow: give one of guest, none",
  ],
  [
    "a variant's problem, where it stands",
    `${GOOD}variants:\n  one: { duration: 0 }`,
    "x.yaml:5:20: variants.one.duration: must be from 0.001",
  ],
  [
    "what variants may not change",
    `${GOOD}variants:\n  one: { seed: 5 }`,
    "x.yaml:5:10: variants.one.seed: is the same in all variants",
  ],
  [
    "a value that a flow has not",
    `${GOOD}expect:\n  - { that: round-trip, flow: t, is: 1 }`,
    'x.yaml:5:31: expect.0.flow: there is no round-trip of "t", which has no requests',
  ],
  [
    "links that make a loop",
    `${GOOD}switches: [one, two]\nlinks:\n  l: { between: [one, two] }\n  m: { between: [two, one] }`,
    "x.yaml:7:17: links.m.between: makes a loop with the links above",
  ],
  [
    "a link to nowhere",
    `${GOOD}links: { l: { between: [switch, two] } }`,
    'there is no switch "two"; there are switch',
  ],
];

test.each(BAD)("%s", (_, text, line) => {
  expect(linesOf(text).join("\n")).toContain(line);
});

const VARIANTS = `${GOOD}variants: { one: {}, two: { guests: { c: {} }, traffic: { u: { from: c, to: a } } } }
expect:
  - { that: received, at-least: 1, `;

test("an expectation names what is there in the variants that it is about", () => {
  expect(linesOf(`${VARIANTS}flow: u, variant: two }`)).toEqual([]);
  expect(linesOf(`${VARIANTS}flow: t, variant: one, times: { flow: u, variant: two } }`)).toEqual([]);
  const missing = (path: string) =>
    expect.stringMatching(new RegExp(`^x\\.yaml:6:\\d+: ${path}: there is no flow "u"`));
  expect(linesOf(`${VARIANTS}flow: u }`)).toEqual([missing("expect.0.flow")]);
  expect(linesOf(`${VARIANTS}flow: u, variant: one }`)).toEqual([missing("expect.0.flow")]);
  const times = linesOf(`${VARIANTS}flow: t, times: { flow: u, variant: one } }`);
  expect(times).toEqual([missing("expect.0.times.flow")]);
});

test("every problem of a file is found in one go", () => {
  expect(linesOf("guests: { a: { size: 3, mtu: 1 } }\nfalts: []\nseed: -1")).toHaveLength(4);
});
