// The runner and its cases against a back-end that does right, and against ones with one fault each: every fault is caught
// by the cases that are about it, and by no other.

import { existsSync } from "node:fs";
import { afterEach, expect, test } from "vitest";
import { chooseCases } from "../../src/check/cases.js";
import type { CheckReport } from "../../src/check/report.js";
import { runCheck } from "../../src/check/run.js";
import { describeLinux, useFolders } from "../sys/linux.js";
import { FakeBackEnd, type Faults } from "./fake-back-end.js";

const folder = useFolders();
const TIMEOUT_MS = 300;

/** All that the fake back-end does right. */
const ASKED = [
  ...[
    "F12a",
    "F12b",
    "F5",
    "M42a",
    "N3",
    "N4",
    "N5",
    "M25",
    "R2",
    "R3",
    "R8",
    "M43a",
    "M43b",
    "M4",
    "T1",
    "T11",
    "M46",
  ],
  ...["M29a", "F23", "M21a", "M22a", "M22b", "F13a", "F13b", "M26a", "M27a", "M24a", "M24b", "M31a", "F3", "F1"],
  ...["M5", "M32", "M35a", "M35b", "M37", "M49b", "M50"],
];

interface Fault {
  faults: Faults;
  /** Cases that fail by it. */
  caught: string[];
  /** What one of them says. */
  says: RegExp;
  /** Cases to be run; default all. */
  only?: string[];
}

const FAULTS: Record<string, Fault> = {
  "acknowledges nothing": {
    faults: { forgetsAcks: true },
    caught: ["N3"],
    says: /reply to SET_FEATURES/,
    only: ["N3", "N5"],
  },
  "acknowledges what nobody asked to": {
    faults: { acksAll: true },
    caught: ["N4"],
    says: /reply to SET_OWNER/,
    only: ["N4", "N5", "F12a"],
  },
  "refuses nothing": {
    faults: { refusesNothing: true },
    caught: ["M42a", "M25", "M5a", "M5b", "M43a", "M43b", "M4", "M21a", "M22a", "M22b", "M24b"],
    says: /acknowledged as done|all of it was taken|was acked/,
  },
  "says 0 in used.len of received frames": {
    faults: { usedLengthZero: true },
    caught: ["M46"],
    says: /used\.len is 0, less than the header/,
    only: ["M46", "N3"],
  },
  "says a length of sent frames": {
    faults: { usedLengthOfSent: true },
    caught: ["M46"],
    says: /of a sent buffer it is 60/,
  },
  "changes a byte": {
    faults: { corrupts: true },
    caught: ["R2", "R8", "T1", "T11", "M46", "M29a", "F23", "M37", "M49b", "M50", "F3", "F1", "F1b"],
    says: /byte 50 arrived as/,
  },
  "sets no num_buffers": { faults: { noNumBuffers: true }, caught: ["T11"], says: /num_buffers is 0/ },
  "calls nobody": { faults: { callsNobody: true }, caught: ["R8"], says: /no call came/ },
  "keeps the descriptors of what it refuses": {
    faults: { keepsRefused: true },
    caught: ["M35a"],
    says: /2\d\d more descriptors after 100 of them/,
  },
  "serves the first guest first": {
    faults: { starves: true },
    caught: ["M32"],
    says: /frame \d+ of the other guest did not arrive, beside \d+ of the greedy one/,
  },
  "learns group addresses": { faults: { learnsGroups: true }, caught: ["M49b"], says: /did not arrive/ },
  "goes on after GET_VRING_BASE": { faults: { goesOn: true }, caught: ["R3"], says: /stopped ring/ },
};

describeLinux("ringbridge check", () => {
  const fakes: FakeBackEnd[] = [];
  afterEach(() => {
    for (const fake of fakes.splice(0)) fake.close();
  });

  function fake(faults: Faults = {}, ports = 2): FakeBackEnd {
    const at = folder();
    const made = new FakeBackEnd(
      ["a.sock", "b.sock"].slice(0, ports).map((name) => `${at}/${name}`),
      faults,
    );
    fakes.push(made);
    return made;
  }

  function check({ sockets }: FakeBackEnd, only: string[] = ASKED, restart?: string): Promise<CheckReport> {
    return runCheck(
      { sockets, role: "connect", timeoutMs: TIMEOUT_MS, restart: restart === undefined ? [] : [restart] },
      chooseCases(only),
    );
  }

  const bad = ({ cases }: CheckReport) => cases.filter(({ verdict }) => verdict !== "pass").map(({ id }) => id);

  test("nothing is wrong with a back-end that does right", async () => {
    const report = await check(fake());
    expect(report.cases.filter(({ verdict }) => verdict !== "pass")).toEqual([]);
    expect(report.cases).toHaveLength(chooseCases(ASKED).length);
    expect(report.offer).toEqual({
      features: (1n << 32n) | (1n << 30n),
      protocolFeatures: 8n,
      queuePairs: 1,
      memSlots: 8,
    });
  });

  test.each(Object.entries(FAULTS))("one that %s", async (_, { faults, caught, says, only }) => {
    const report = await check(fake(faults), only);
    expect(new Set(bad(report))).toEqual(new Set(caught));
    for (const { verdict } of report.cases) expect(["pass", "fail"]).toContain(verdict);
    expect(report.cases.map(({ came }) => came).join("\n")).toMatch(says);
  });

  test.each([
    ["wrong flags in replies", { replyFlags: 0xd }, /header flags 0xd instead of 0x5/],
    ["replies that are too short", { shortReplies: true }, /has 4 bytes of payload/],
    ["no reply", { hangsOn: "GET_FEATURES" }, /did not come within 0\.3 s/],
  ] as const)("one with %s is no back-end to begin with", async (_, faults, says) => {
    await expect(check(fake(faults))).rejects.toThrow(says);
  });

  test("one that refuses drivers without VERSION_1 does not offer them, which it need not", async () => {
    const report = await check(fake({ modernOnly: true }), ["T1", "F31", "F43"]);
    expect(report.cases.map(({ id, verdict }) => [id, verdict])).toEqual([
      ["T1", "pass"],
      ["F31", "not-offered"],
      ["F43", "not-offered"],
    ]);
    expect(report.cases[1]!.came).toBe("SET_FEATURES without VIRTIO_F_VERSION_1: the connection was closed");
  });

  test("whoever acknowledges what it refuses as done, and leaves, has refused it", async () => {
    const report = await check(fake({ leaves: true }), ["M42a", "M21a", "M22b", "M24a", "N3"]);
    expect(bad(report)).toEqual([]);
  });

  test("a warning says at the beginning when no frame passes", async () => {
    const [one, other] = [fake({}, 1), fake({}, 1)];
    const warnings: string[] = [];
    const sockets = [one.sockets[0]!, other.sockets[0]!];
    const report = await runCheck({ sockets, role: "connect", timeoutMs: TIMEOUT_MS }, chooseCases(["N3", "T1"]), {
      warns: (text) => warnings.push(text),
    });
    expect(warnings).toEqual(["no frame came from socket 2 to socket 1 within 0.9 s"]);
    expect(report.cases.map(({ verdict }) => verdict)).toEqual(["pass", "fail"]);
  });

  test("other features every time", async () => {
    const report = await check(fake({ changesFeatures: true }, 1), ["F12a", "F5", "N3"]);
    expect(bad(report)).toContain("F12a");
  });

  test("a crash: the case is named, and the rest is skipped with the reason", async () => {
    const report = await check(fake({ crashesOn: 46 }), ["N3", "M25", "T1"]);
    expect(report.cases.map(({ id, verdict }) => [id, verdict])).toEqual([
      ["N3", "pass"],
      ["M25", "crashed"],
      ["T1", "skipped"],
    ]);
    expect(report.cases[1]!.came).toMatch(/^it answers no more: nobody listens on /);
    expect(report.cases[2]!.came).toMatch(/has gone, and --restart was not given/);
  });

  test("one that hangs counts as crashed", async () => {
    const report = await check(fake({ hangsOn: "SET_VRING_ERR" }, 1), ["N3", "M31b"]);
    expect(report.cases.map(({ verdict }) => verdict)).toEqual(["pass", "crashed"]);
    expect(report.cases[1]!.came).toMatch(/^it answers no more: the reply to GET_FEATURES did not come/);
  });

  test("after a crash the back-end is started again, and the run goes on", async () => {
    const first = fake({ crashesOn: 46 }, 1);
    const asked = `${first.sockets[0]}.asked`;
    // The command leaves a note; who reads it is this process, which is the back-end.
    const timer = setInterval(() => {
      if (fakes.length === 1 && existsSync(asked)) fakes.push(new FakeBackEnd(first.sockets));
    }, 10);
    try {
      const report = await check(first, ["N3", "M25", "F5", "M31a"], `touch ${asked}`);
      expect(report.cases.map(({ id, verdict }) => [id, verdict])).toEqual([
        ["F5", "pass"],
        ["N3", "pass"],
        ["M25", "crashed"],
        ["M31a", "pass"],
      ]);
    } finally {
      clearInterval(timer);
    }
  });

  test("one socket: what needs two is skipped; what is not offered is named", async () => {
    const report = await check(fake({}, 1), ["T1", "T6", "F9", "N3"]);
    const came = Object.fromEntries(report.cases.map(({ id, verdict, came }) => [id, [verdict, came]]));
    expect(came).toEqual({
      N3: ["pass", ""],
      T1: ["skipped", "it needs two sockets"],
      T6: ["skipped", "it needs two sockets"],
      F9: ["skipped", "it needs two sockets"],
    });
    const two = await check(fake(), ["T6", "F9"]);
    expect(two.cases.map(({ verdict, came }) => [verdict, came])).toEqual([
      ["not-offered", "VIRTIO_F_RING_PACKED"],
      ["not-offered", "VHOST_USER_PROTOCOL_F_RARP"],
    ]);
  });
});
