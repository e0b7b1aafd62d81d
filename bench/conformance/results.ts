// What runs of `ringbridge check` came to, as it is kept in docs/conformance/NAME.json, and the tables of docs/CONFORMANCE.md
// that are made of it.

import type { CheckCase } from "../../src/check/case.js";
import type { CaseResult } from "../../src/check/report.js";
import { VERDICTS, type Verdict } from "../../src/check/verdict.js";

/** Of one back-end. */
export interface Results {
  /** Program and version. */
  version: string;
  /** Of ringbridge, whose cases they are. */
  ringbridge: string;
  /** Day of the latest run, ISO 8601. */
  date: string;
  /** Seconds that one answer could take. */
  timeout: number;
  /** What came of each case, by its id. */
  cases: Record<string, { verdict: Verdict; came: string }>;
}

export interface Column {
  title: string;
  how: string;
  /** Undefined: it was never run. */
  results: Results | undefined;
}

export const BEGIN = "<!-- Tables written by `npm run conformance`: do not edit. -->";
export const END = "<!-- End of the written tables. -->";

/** What a run found is put in place of what there was of the same cases; of another version nothing is kept. */
export function merge(
  before: Results | undefined,
  run: Omit<Results, "cases">,
  cases: readonly CaseResult[],
  folder: string,
): Results {
  const kept = before?.version === run.version && before.ringbridge === run.ringbridge ? before.cases : {};
  const found = cases.map(({ id, verdict, came }) => [id, { verdict, came: lasting(came, folder) }] as const);
  const all = { ...kept, ...Object.fromEntries(found) };
  return { ...run, cases: all };
}

/** Without what is another each time: process numbers, places of sockets. */
function lasting(came: string, folder: string): string {
  return came.replaceAll(`${folder}/`, "").replace(/\bprocess \d+/g, "process");
}

/** The whole text with its tables made anew. Throws when it has no place for them. */
export function withTables(text: string, columns: readonly Column[], cases: readonly CheckCase[]): string {
  const [begin, end] = [text.indexOf(BEGIN), text.indexOf(END)];
  if (begin < 0 || end < begin) throw new Error(`there is no place for the tables: "${BEGIN}" to "${END}"`);
  return `${text.slice(0, begin)}${BEGIN}\n\n${tables(columns, cases)}\n\n${text.slice(end)}`;
}

function tables(columns: readonly Column[], cases: readonly CheckCase[]): string {
  const run = columns.filter((column): column is Column & { results: Results } => column.results !== undefined);
  return [sums(run, cases), differences(run, cases)].join("\n\n");
}

function sums(columns: readonly (Column & { results: Results })[], cases: readonly CheckCase[]): string {
  const titles = [
    "Back-end",
    "Set up",
    "Run on",
    "Limit",
    "Cases",
    ...VERDICTS.map((verdict) => verdict.replace("-", " ")),
  ];
  const rows = columns.map(({ how, results }) => {
    const verdicts = cases.flatMap(({ id }) => results.cases[id]?.verdict ?? []);
    const counted = VERDICTS.map((verdict) => verdicts.filter((it) => it === verdict).length);
    return [results.version, how, results.date, `${results.timeout} s`, verdicts.length, ...counted];
  });
  return markdown(titles, rows);
}

/** All cases in which somebody did not pass, though it was offered. */
function differences(columns: readonly (Column & { results: Results })[], cases: readonly CheckCase[]): string {
  const rows = cases.flatMap(({ id, title }) => {
    const of = columns.map(({ results }) => results.cases[id]);
    if (!of.some((it) => it?.verdict === "fail" || it?.verdict === "crashed")) return [];
    return [[id, title, ...of.map((it) => it?.verdict.replace("-", " ") ?? "not run"), came(columns, id)]];
  });
  return markdown(["Id", "Case", ...columns.map(({ title }) => title), "What came"], rows);
}

/** What came where it was wrong; the same of several is said once. */
function came(columns: readonly (Column & { results: Results })[], id: string): string {
  const said = new Map<string, string[]>();
  for (const { title, results } of columns) {
    const it = results.cases[id];
    if (it?.verdict !== "fail" && it?.verdict !== "crashed") continue;
    said.set(it.came, [...(said.get(it.came) ?? []), title]);
  }
  if (said.size === 1) return [...said.keys()][0]!;
  return [...said].map(([text, titles]) => `${titles.join(" and ")}: ${text}`).join("; ");
}

function markdown(titles: readonly string[], rows: readonly (readonly (string | number)[])[]): string {
  const line = (cells: readonly (string | number)[]) =>
    `| ${cells.map((cell) => String(cell).replaceAll("|", "\\|")).join(" | ")} |`;
  return [line(titles), `|${"---|".repeat(titles.length)}`, ...rows.map(line)].join("\n");
}
