// What a run found, as a table for people, as JSON and as JUnit's XML.

import { renderTable } from "../cli/table.js";
import { featureNames, protocolFeatureNames } from "../vhost-user/features.js";
import { packageVersion } from "../version.js";
import type { Room } from "./case.js";
import type { Offer, Target } from "./target.js";
import { VERDICTS, type Verdict } from "./verdict.js";

export interface CaseResult {
  id: string;
  room: Room;
  title: string;
  /** What the specification says, and where. */
  clause: string;
  verdict: Verdict;
  /** What came instead, what is not offered, why it was skipped; may be empty after a pass. */
  came: string;
  milliseconds: number;
}

export interface CheckReport extends Target {
  offer: Offer;
  /** ISO 8601. */
  started: string;
  seconds: number;
  cases: CaseResult[];
}

/** Verdicts that make the run a failure. */
export function isBad({ verdict }: CaseResult): boolean {
  return verdict === "fail" || verdict === "crashed";
}

/** How many cases came to what: "41 pass, 2 fail". */
export function counts(cases: readonly CaseResult[]): string {
  const parts = VERDICTS.map((verdict) => [cases.filter((it) => it.verdict === verdict).length, verdict] as const);
  return parts
    .filter(([count]) => count > 0)
    .map(([count, verdict]) => `${count} ${words(verdict)}`)
    .join(", ");
}

/** A table of all cases, what went wrong in full below it, and the sum. */
export function reportText({ cases, seconds }: CheckReport): string {
  const rows = cases.map(({ id, room, title, verdict, came }) => [
    words(verdict),
    id,
    room,
    title,
    short(verdict, came),
  ]);
  const table = renderTable(
    ["verdict", "case", "room", "what", ""].map((title) => ({ title })),
    rows,
  );
  const wrong = cases.filter(isBad).map(({ id, title, clause, verdict, came }) => {
    return `${id}  ${title}\n  specification: ${clause}\n  ${verdict === "crashed" ? "crashed" : "came"}: ${came}`;
  });
  return [table, ...wrong, `${counts(cases)} in ${seconds.toFixed(1)} s`].join("\n\n");
}

/** The same for programs. Feature sets are given by name. */
export function reportJson({ offer, ...report }: CheckReport): string {
  const { features, protocolFeatures, ...numbers } = offer;
  const named = {
    features: featureNames(features),
    protocolFeatures: protocolFeatureNames(protocolFeatures),
    ...numbers,
  };
  return `${JSON.stringify({ ringbridge: packageVersion(), ...report, offer: named }, null, 2)}\n`;
}

/** JUnit's XML as CI systems read it: a suite for each room; a crash is an error, what is not offered is skipped. */
export function reportJunit({ cases, seconds, started }: CheckReport): string {
  const rooms = [...new Set(cases.map(({ room }) => room))];
  const suites = rooms.map((room) => {
    const own = cases.filter((it) => it.room === room);
    const attributes = {
      name: room,
      ...sums(own),
      time: time(own.reduce((sum, it) => sum + it.milliseconds, 0)),
      timestamp: started,
    };
    return `  <testsuite${xml(attributes)}>\n${own.map(testCase).join("")}  </testsuite>\n`;
  });
  const all = { name: "ringbridge check", ...sums(cases), time: time(seconds * 1000) };
  return `<?xml version="1.0" encoding="UTF-8"?>\n<testsuites${xml(all)}>\n${suites.join("")}</testsuites>\n`;
}

function testCase({ id, room, title, clause, verdict, came, milliseconds }: CaseResult): string {
  const start = `    <testcase${xml({ classname: `check.${room}`, name: `${id} ${title}`, time: time(milliseconds) })}`;
  if (verdict === "pass") return `${start}/>\n`;
  if (verdict === "not-offered" || verdict === "skipped") {
    return `${start}><skipped${xml({ message: `${words(verdict)}: ${came}` })}/></testcase>\n`;
  }
  const tag = verdict === "crashed" ? "error" : "failure";
  return `${start}><${tag}${xml({ message: came, type: verdict })}>${xmlText(`specification: ${clause}`)}</${tag}></testcase>\n`;
}

function sums(cases: readonly CaseResult[]): Record<string, number> {
  const count = (...verdicts: Verdict[]) => cases.filter(({ verdict }) => verdicts.includes(verdict)).length;
  return {
    tests: cases.length,
    failures: count("fail"),
    errors: count("crashed"),
    skipped: count("not-offered", "skipped"),
  };
}

/** Seconds. */
function time(milliseconds: number): string {
  return (milliseconds / 1000).toFixed(3);
}

function xml(attributes: Record<string, string | number>): string {
  return Object.entries(attributes)
    .map(([name, value]) => ` ${name}="${xmlText(String(value))}"`)
    .join("");
}

const ENTITIES: Record<string, string> = { "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&apos;" };

/** Text as XML 1.0 allows it: what no document may contain, escaped or not, becomes a replacement character. */
function xmlText(text: string): string {
  return text
    .replace(/[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\u{10000}-\u{10ffff}]/gu, "\ufffd")
    .replace(/[&<>"']/g, (character) => ENTITIES[character]!);
}

function words(verdict: Verdict): string {
  return verdict.replace("-", " ");
}

/** What went wrong stands in full below the table. */
function short(verdict: Verdict, came: string): string {
  const text = verdict === "fail" || verdict === "crashed" ? "see below" : came;
  return text.length > 70 ? `${text.slice(0, 69)}…` : text;
}
