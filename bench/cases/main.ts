// `npm run bench`: what the core's parts cost, in nanoseconds for each operation, least and median.
//
//   npm run bench -- --only copy          groups whose name contains a word
//   npm run bench -- --nodes 20,22,24,26  the same under several versions of Node, a column each
//   npm run bench -- --json               the figures alone

import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { Bench } from "tinybench";
import { renderTable } from "../../src/cli/table.js";
import { significant } from "../../src/bench/report/words.js";
import { captures } from "./captures.js";
import { chunks } from "./chunks.js";
import { fdb } from "./fdb.js";
import { floods } from "./flood.js";
import type { Case, Cases } from "./lab.js";
import { copies, translation } from "./memory.js";
import { polls } from "./poll.js";
import { chains, dequeues, enqueues } from "./rings.js";
import { simulations } from "./simulation.js";

const GROUPS: readonly Cases[] = [
  translation,
  chains,
  dequeues,
  enqueues,
  fdb,
  copies,
  polls,
  floods,
  captures,
  chunks,
  simulations,
];
const CASE_MS = 200;
const WARM_UP_MS = 60;
const NODE_TIMEOUT_MS = 5 * 60 * 1000;

interface Figure {
  group: string;
  name: string;
  /** Nanoseconds for one operation. */
  min: number;
  median: number;
}

/** All figures of one version of Node. */
interface Run {
  node: string;
  figures: Figure[];
}

process.exitCode = await main();

async function main(): Promise<number> {
  try {
    const { values } = parseArgs({
      options: { nodes: { type: "string" }, only: { type: "string" }, json: { type: "boolean" } },
    });
    if (values.nodes !== undefined) return underNodes(values.nodes, values.only);
    const figures = await measure(values.only ?? "");
    if (figures.length === 0) throw new Error(`--only ${values.only}: no group of cases has that in its name`);
    const run: Run = { node: process.version, figures };
    process.stdout.write(`${values.json ? JSON.stringify(run) : table([run])}\n`);
    return 0;
  } catch (error) {
    process.stderr.write(`bench: ${(error as Error).message}\n`);
    return 1;
  }
}

async function measure(only: string): Promise<Figure[]> {
  const figures: Figure[] = [];
  for (const group of GROUPS) {
    const cases = (await group()).filter((one) => one.group.includes(only));
    for (const one of cases) {
      figures.push(await measureCase(one));
      progress(`${figures.length}: ${one.group}, ${one.name}`);
    }
  }
  progress("");
  return figures;
}

/** A line that the next one replaces, on a terminal. */
function progress(text: string): void {
  if (process.stderr.isTTY) process.stderr.write(`\r\x1b[K${text}`);
}

async function measureCase({ group, name, operations, iterations, run, before }: Case): Promise<Figure> {
  const bench = new Bench({ time: CASE_MS, warmupTime: WARM_UP_MS, iterations, throws: true });
  bench.add(name, run, before ? { beforeEach: before } : {});
  const [task] = await bench.run();
  const { result } = task!;
  if (result.state !== "completed") throw new Error(`${group}, ${name}: ${result.state}`);
  const ns = (milliseconds: number) => (milliseconds * 1e6) / operations;
  return { group, name, min: ns(result.latency.min), median: ns(result.latency.p50) };
}

/** One table for several runs of the same cases. */
function table(runs: readonly Run[]): string {
  const [first] = runs.map(({ figures }) => figures);
  const columns = [
    ...[{ title: "part" }, { title: "case" }],
    ...runs.map(({ node }) => ({ title: `Node ${node}: ns min / median`, align: "right" as const })),
  ];
  const rows = first!.map(({ group, name }, i) => [
    i > 0 && first![i - 1]!.group === group ? "" : group,
    name,
    ...runs.map(({ figures }) => {
      const figure = figures.find((other) => other.group === group && other.name === name);
      return figure ? `${significant(figure.min)} / ${significant(figure.median)}` : "";
    }),
  ]);
  return renderTable(columns, rows);
}

/** Runs all again under each version, as npm's package "node" has it. */
function underNodes(list: string, only: string | undefined): number {
  const versions = list.split(",").map((word) => word.trim());
  const bad = versions.find((version) => !/^\d+(\.\d+){0,2}$/.test(version));
  if (bad !== undefined) throw new Error(`--nodes ${list}: "${bad}" is no version, such as 24 or 24.9.0`);
  const runs: Run[] = [];
  for (const version of versions) {
    const words = ["-y", `node@${version}`, fileURLToPath(import.meta.url), "--json"];
    const { status, stdout, error } = spawnSync("npx", [...words, ...(only === undefined ? [] : ["--only", only])], {
      encoding: "utf8",
      stdio: ["ignore", "pipe", "inherit"],
      timeout: NODE_TIMEOUT_MS,
    });
    if (error || status !== 0) {
      process.stderr.write(
        `bench: Node ${version} is left out: ${error?.message ?? `exit code ${status}, see above`}\n`,
      );
      continue;
    }
    runs.push(JSON.parse(stdout) as Run);
  }
  if (runs.length === 0) return 1;
  process.stdout.write(`${table(runs)}\n`);
  return 0;
}
