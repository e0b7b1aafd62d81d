// `npm run conformance`: runs `ringbridge check` against the back-ends that are here, keeps what came in docs/conformance and
// writes the tables of docs/CONFORMANCE.md from it.

import { spawn } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Command } from "commander";
import { CASES } from "../../src/check/cases.js";
import type { CheckReport } from "../../src/check/report.js";
import { packageVersion } from "../../src/version.js";
import { BACK_ENDS, type Examined } from "./back-ends.js";
import { merge, type Results, withTables } from "./results.js";

const DOCUMENT = "docs/CONFORMANCE.md";
const KEPT = "docs/conformance";
const MAIN = "dist/src/cli/main.js";

process.exitCode = await main(process.argv.slice(2));

async function main(words: string[]): Promise<number> {
  const names = BACK_ENDS.map(({ name }) => name);
  const program = new Command("npm run conformance --")
    .description("Runs `ringbridge check` against back-ends and writes the tables of docs/CONFORMANCE.md.")
    .argument("[names...]", `which: ${names.join(", ")}; default all; none are run with --only-write`)
    .option("--only <list>", "cases or rooms, as `ringbridge check` takes them; what is known of others stays")
    .option("--only-write", "write the tables from what is kept")
    .parse(words, { from: "user" });
  const { only, onlyWrite } = program.opts<{ only?: string; onlyWrite?: boolean }>();
  const strange = program.args.find((name) => !names.includes(name));
  if (strange !== undefined) {
    say(`there is no back-end "${strange}": ${names.join(", ")}`);
    return 2;
  }
  const chosen = BACK_ENDS.filter(({ name }) => program.args.length === 0 || program.args.includes(name));
  let missing = 0;
  for (const it of onlyWrite ? [] : chosen) {
    try {
      await examine(it, only);
    } catch (error) {
      say(`${it.name} is left out: ${(error as Error).message}`);
      missing++;
    }
  }
  const columns = BACK_ENDS.map(({ name, title, how }) => ({ title, how, results: read(name) }));
  writeFileSync(DOCUMENT, withTables(readFileSync(DOCUMENT, "utf8"), columns, CASES));
  say(`${DOCUMENT} is written`);
  return missing === 0 ? 0 : 1;
}

async function examine(it: Examined, only: string | undefined): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), "ringbridge-conformance-"));
  try {
    const json = join(folder, "result.json");
    const words = [MAIN, "check", ...(await it.words(folder)), "--timeout", String(it.timeout), "--json", json];
    if (only !== undefined) words.push("--only", only);
    say(`${it.name}: ringbridge ${words.slice(1).join(" ")}`);
    const child = spawn(process.execPath, words, { stdio: ["ignore", "ignore", "inherit"] });
    const code = await new Promise<number | null>((resolve) => child.once("close", resolve));
    if (code !== 0 && code !== 1) throw new Error(`ringbridge check ended with ${code}`);
    const report = readReport(json);
    if (report.notRun > 0) throw new Error("it was interrupted");
    const run = {
      ...{ version: it.version(folder), ringbridge: packageVersion() },
      ...{ date: report.started.slice(0, 10), timeout: it.timeout },
    };
    mkdirSync(KEPT, { recursive: true });
    const results = merge(read(it.name), run, report.cases, folder);
    writeFileSync(join(KEPT, `${it.name}.json`), `${JSON.stringify(results, null, 2)}\n`);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

function readReport(json: string): CheckReport {
  const text = readFileSync(json, "utf8");
  if (text === "") throw new Error("no back-end answered, see above");
  return JSON.parse(text) as CheckReport;
}

function read(name: string): Results | undefined {
  try {
    return JSON.parse(readFileSync(join(KEPT, `${name}.json`), "utf8")) as Results;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw error;
  }
}

function say(text: string): void {
  process.stderr.write(`conformance: ${text}\n`);
}
