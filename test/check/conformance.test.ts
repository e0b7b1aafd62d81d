// The tables of docs/CONFORMANCE.md: what is kept of runs of `ringbridge check`, and what is written from it.

import { readdirSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";
import { BACK_ENDS } from "../../bench/conformance/back-ends.js";
import { BEGIN, type Column, END, merge, type Results, withTables } from "../../bench/conformance/results.js";
import { CASES } from "../../src/check/cases.js";
import type { CaseResult } from "../../src/check/report.js";

const root = fileURLToPath(new URL("../..", import.meta.url));

function result(id: string, verdict: CaseResult["verdict"], came = ""): CaseResult {
  return { id, room: "rings", title: id, clause: "", verdict, came, milliseconds: 1 };
}

const run = { version: "switch 1.2", ringbridge: "0.1.0", date: "2026-01-02", timeout: 1 };
const cases = ["A1", "A2", "A3"].map((id) => ({ ...CASES[0]!, id, title: `case ${id}` }));
const page = `before\n${BEGIN}\nold\n${END}\nafter\n`;

test("a run of some cases replaces theirs; another version keeps nothing; numbers and places that change are left out", () => {
  const first = merge(undefined, run, [result("A1", "pass"), result("A2", "fail", "7")], "/tmp/x");
  const came = "its process 4711 has ended; nobody listens on /tmp/x/a.sock";
  const second = merge(first, run, [result("A2", "crashed", came)], "/tmp/x");
  expect(second.cases).toEqual({
    A1: { verdict: "pass", came: "" },
    A2: { verdict: "crashed", came: "its process has ended; nobody listens on a.sock" },
  });
  const newer = merge(second, { ...run, version: "switch 1.3" }, [result("A1", "fail")], "/tmp/x");
  expect(Object.keys(newer.cases)).toEqual(["A1"]);
});

test("the tables count verdicts and have a line for each case that somebody fails", () => {
  const one = merge(
    undefined,
    run,
    [result("A1", "pass"), result("A2", "fail", "a|b"), result("A3", "not-offered")],
    "",
  );
  const two = merge(
    undefined,
    { ...run, version: "other 2" },
    [result("A1", "crashed", "gone"), result("A2", "fail", "c")],
    "",
  );
  const columns: Column[] = [
    { title: "One", how: "so", results: one },
    { title: "Two", how: "otherwise", results: two },
    { title: "Three", how: "never", results: undefined },
  ];
  expect(withTables(page, columns, cases).split("\n")).toEqual([
    "before",
    BEGIN,
    "",
    "| Back-end | Set up | Run on | Limit | Cases | pass | fail | crashed | not offered | skipped |",
    "|---|---|---|---|---|---|---|---|---|---|",
    "| switch 1.2 | so | 2026-01-02 | 1 s | 3 | 1 | 1 | 0 | 1 | 0 |",
    "| other 2 | otherwise | 2026-01-02 | 1 s | 2 | 0 | 1 | 1 | 0 | 0 |",
    "",
    "| Id | Case | One | Two | What came |",
    "|---|---|---|---|---|",
    "| A1 | case A1 | pass | crashed | gone |",
    "| A2 | case A2 | fail | fail | One: a\\|b; Two: c |",
    "",
    END,
    "after",
    "",
  ]);
  expect(() => withTables("no place", columns, cases)).toThrow(/no place for the tables/);
});

test("docs/CONFORMANCE.md has the tables of what is kept, and ringbridge fails nothing", () => {
  const kept = new Set(readdirSync(`${root}/docs/conformance`));
  const read = (name: string) => JSON.parse(readFileSync(`${root}/docs/conformance/${name}.json`, "utf8")) as Results;
  const columns = BACK_ENDS.map(({ name, title, how }) => ({
    title,
    how,
    results: kept.has(`${name}.json`) ? read(name) : undefined,
  }));
  const document = readFileSync(`${root}/docs/CONFORMANCE.md`, "utf8");
  expect(withTables(document, columns, CASES)).toBe(document);
  for (const name of ["ringbridge", "ringbridge-connect"]) {
    const verdicts = Object.values(read(name).cases).map(({ verdict }) => verdict);
    expect(verdicts.filter((verdict) => verdict === "fail" || verdict === "crashed")).toEqual([]);
  }
});
