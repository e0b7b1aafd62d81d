// The three forms of a report, and how cases are chosen.

import { expect, test } from "vitest";
import { CASES, chooseCases } from "../../src/check/cases.js";
import {
  type CaseResult,
  type CheckReport,
  counts,
  reportJson,
  reportJunit,
  reportText,
} from "../../src/check/report.js";
import type { Verdict } from "../../src/check/verdict.js";

function result(id: string, verdict: Verdict, came = ""): CaseResult {
  return { id, room: "rings", title: `what <${id}> is`, clause: 'says "so" & so', verdict, came, milliseconds: 1500 };
}

const report: CheckReport = {
  sockets: ["/a", "/b"],
  role: "connect",
  offer: { features: 1n << 32n, protocolFeatures: 8n, queuePairs: 2, memSlots: 8 },
  started: "2026-01-02T03:04:05.000Z",
  seconds: 7.5,
  notRun: 0,
  cases: [
    result("F1", "pass"),
    result("M1", "fail", "byte \u0000 came"),
    result("M2", "crashed", "its process 7 has ended"),
    result("T6", "not-offered", "VIRTIO_F_RING_PACKED"),
    result("T7", "skipped", "it needs two sockets"),
  ],
};

test("the table has a line for each case, what went wrong in full, and the sum", () => {
  const text = reportText(report);
  expect(text).toContain("pass         F1    rings  what <F1> is");
  expect(text).toContain("not offered  T6    rings  what <T6> is  VIRTIO_F_RING_PACKED");
  expect(text).toContain('M2  what <M2> is\n  specification: says "so" & so\n  crashed: its process 7 has ended');
  expect(text).not.toContain("F1  what <F1> is\n");
  expect(text).toMatch(/\n1 pass, 1 fail, 1 crashed, 1 not offered, 1 skipped in 7\.5 s$/);
  expect(counts([])).toBe("");
});

test("JSON names the features that are offered", () => {
  const parsed = JSON.parse(reportJson(report));
  expect(parsed.offer).toEqual({
    features: ["VIRTIO_F_VERSION_1"],
    protocolFeatures: ["VHOST_USER_PROTOCOL_F_REPLY_ACK"],
    queuePairs: 2,
    memSlots: 8,
  });
  expect(parsed.cases).toEqual(report.cases);
});

test("JUnit's XML counts and escapes, and has no character that XML forbids", () => {
  const xml = reportJunit(report);
  expect(xml).toContain(
    '<testsuites name="ringbridge check" tests="5" failures="1" errors="1" skipped="2" time="7.500">',
  );
  expect(xml).toContain('<testcase classname="check.rings" name="F1 what &lt;F1&gt; is" time="1.500"/>');
  expect(xml).toContain(
    '<failure message="byte \ufffd came" type="fail">specification: says &quot;so&quot; &amp; so</failure>',
  );
  expect(xml).toContain('<error message="its process 7 has ended" type="crashed">');
  expect(xml).toContain('<skipped message="not offered: VIRTIO_F_RING_PACKED"/>');
});

test("every case has an id of its own, and a clause", () => {
  expect(new Set(CASES.map(({ id }) => id)).size).toBe(CASES.length);
  expect(CASES.length).toBeGreaterThanOrEqual(45);
  expect(
    CASES.filter(({ id, clause, title }) => !/^[A-Z]\d+[a-z]?$/.test(id) || clause === "" || title === ""),
  ).toEqual([]);
});

test("cases are chosen by id, by the number of a group, by room and with *", () => {
  const ids = (...patterns: string[]) => chooseCases(patterns).map(({ id }) => id);
  expect(ids("F3")).toEqual(["F3"]);
  expect(ids("m21")).toEqual(["M21a", "M21b", "M21c", "M21d"]);
  expect(ids("M21b", "F3")).toEqual(["F3", "M21b"]);
  expect(ids("lifecycle")).toEqual(CASES.filter(({ room }) => room === "lifecycle").map(({ id }) => id));
  expect(ids("M*")).toEqual(CASES.filter(({ id, room }) => /^m/i.test(id) || /^m/.test(room)).map(({ id }) => id));
  expect(chooseCases(["M21"], ["M21a", "m21c"]).map(({ id }) => id)).toEqual(["M21b", "M21d"]);
  expect(chooseCases(undefined, ["traffic"]).some(({ room }) => room === "traffic")).toBe(false);
  expect(() => chooseCases(undefined, ["X9"])).toThrow('there is no case "X9"');
  expect(() => chooseCases(["X9"])).toThrow('there is no case "X9": ringbridge check --list names them');
});
