// What a run found, as a table for people, as JSON and as JUnit's XML.

import { renderTable } from "../cli/table.js";
import { type JunitCase, junitXml } from "../junit.js";
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
  /** The last lines that a back-end started here wrote meanwhile; of what failed or crashed. */
  wrote?: string[];
}

export interface CheckReport extends Target {
  offer: Offer;
  /** ISO 8601. */
  started: string;
  seconds: number;
  /** Cases that were left out because the run was interrupted. */
  notRun: number;
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
export function reportText({ cases, seconds, notRun }: CheckReport): string {
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
  const wrong = cases.filter(isBad).map(({ id, title, clause, verdict, came, wrote = [] }) => {
    const lines = [
      `${id}  ${title}`,
      `  specification: ${clause}`,
      `  ${verdict === "crashed" ? "crashed" : "came"}: ${came}`,
      ...(wrote.length > 0 ? ["  the back-end wrote:", ...wrote.map((line) => `    ${line}`)] : []),
    ];
    return lines.join("\n");
  });
  const sum = `${counts(cases)} in ${seconds.toFixed(1)} s`;
  return [table, ...wrong, notRun > 0 ? `${sum}; interrupted, ${notRun} more were not run` : sum].join("\n\n");
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
  const suites = [...new Set(cases.map(({ room }) => room))].map((room) => {
    const own = cases.filter((it) => it.room === room);
    return { name: room, timestamp: started, cases: own.map(testCase) };
  });
  return junitXml("ringbridge check", suites, seconds * 1000);
}

function testCase({ id, room, title, clause, verdict, came, milliseconds, wrote = [] }: CaseResult): JunitCase {
  const named = { classname: `check.${room}`, name: `${id} ${title}`, milliseconds };
  if (verdict === "pass") return named;
  if (verdict === "not-offered" || verdict === "skipped") {
    return { ...named, problem: { kind: "skipped", message: `${words(verdict)}: ${came}` } };
  }
  const kind = verdict === "crashed" ? "error" : "failure";
  const text = [`specification: ${clause}`, ...(wrote.length > 0 ? ["the back-end wrote:", ...wrote] : [])].join("\n");
  return { ...named, problem: { kind, message: came, type: verdict, text } };
}

function words(verdict: Verdict): string {
  return verdict.replace("-", " ");
}

/** What went wrong stands in full below the table. */
function short(verdict: Verdict, came: string): string {
  const text = verdict === "fail" || verdict === "crashed" ? "see below" : came;
  return text.length > 70 ? `${text.slice(0, 69)}…` : text;
}
