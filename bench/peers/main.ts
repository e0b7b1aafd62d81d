// `npm run bench:peers`: ringbridge beside the back-ends that Debian has, in one run, by one generator. Starts all of
// them in private folders, has them measured in turns, writes a table, a JSON and an HTML file to bench/results and a
// line to bench/history.jsonl, and ends whatever it began, however it ends.

import { spawn } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { appendHistory, historyEntry, readHistory } from "../../src/bench/report/history.js";
import { reportHtml } from "../../src/bench/report/html.js";
import { reportSvg } from "../../src/bench/report/svg.js";
import { hasWrongFrames, reportText } from "../../src/bench/report/table.js";
import type { BenchResult } from "../../src/bench/result.js";
import { benchWords, longestFrame, parseWords, type PeersOptions } from "./arguments.js";
import { measureWithDpdk } from "./dpdk-run.js";
import { GENERATOR_PAGES } from "./dpdk-generator.js";
import { reserveHugePages } from "./huge-pages.js";
import { openVswitch } from "./ovs.js";
import { type Peer, type PeerKind, shellLine } from "./peer.js";
import { boundedCommand } from "./process.js";
import { ringbridge } from "./ringbridge.js";
import { testpmd } from "./testpmd.js";

const KINDS: readonly PeerKind[] = [testpmd("io"), testpmd("mac"), openVswitch("normal"), openVswitch("flow")];
const RESULTS = "bench/results";
const HISTORY = "bench/history.jsonl";
/** 2 MiB pages for the guests that our own generator makes for one back-end. */
const OUR_GENERATOR_PAGES = 24;

/** What is to be undone at the end, last one first. */
const endings: (() => void | Promise<void>)[] = [];
const interrupt = new AbortController();

process.exitCode = await main(process.argv.slice(2));

async function main(words: string[]): Promise<number> {
  // A second one ends us at once: the kernel then ends our children (see process.ts).
  for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, () => interrupt.abort());
  try {
    const options = parseWords(
      words,
      KINDS.map(({ name }) => name),
    );
    const result = await run(options);
    // What others can type as well: the sockets of the peers were ours alone.
    result.command = shellLine(["npm", "run", "bench:peers", "--", ...words]);
    report(result, options);
    return hasWrongFrames(result) || interrupt.signal.aborted ? 1 : 0;
  } catch (error) {
    say((error as Error).message);
    return 1;
  } finally {
    for (const end of endings.reverse()) await end();
  }
}

function say(text: string): void {
  process.stderr.write(`bench:peers: ${text}\n`);
}

async function run(options: PeersOptions): Promise<BenchResult> {
  const frameBytes = longestFrame(options.sizes);
  const dpdk = options.generator === "dpdk";
  const kinds = [...(dpdk ? [ringbridge] : []), ...KINDS.filter(({ name }) => options.peers.includes(name))];
  const generatorPages = (dpdk ? GENERATOR_PAGES : OUR_GENERATOR_PAGES) * (kinds.length + 1);
  const pages = kinds.reduce((sum, kind) => sum + kind.hugePages(frameBytes), generatorPages);
  const hugePages = options.hugePages && reserve(pages);
  const peers: Peer[] = [];
  const missing: string[] = [];
  for (const kind of kinds) {
    if (interrupt.signal.aborted) throw new Error("interrupted");
    try {
      if (kind.rewrites && !dpdk) throw new Error("it writes addresses into the frames: use --generator dpdk");
      peers.push(await start(kind, options, hugePages, frameBytes));
    } catch (error) {
      missing.push(`${kind.name} is left out: ${(error as Error).message}`);
      say(missing.at(-1)!);
    }
  }
  const measure = dpdk ? measureWithDpdk : measureOurselves;
  const result = await measure({ ...options, hugePages }, peers, interrupt.signal);
  result.notes.push(...missing);
  return result;
}

/** True when so many huge pages were reserved; the reason why not is printed. */
function reserve(pages: number): boolean {
  const reserved = reserveHugePages(pages);
  if (typeof reserved === "string") {
    say(`without huge pages: ${reserved}`);
    return false;
  }
  endings.push(() => reserved.release());
  return true;
}

async function start(kind: PeerKind, options: PeersOptions, hugePages: boolean, frameBytes: number): Promise<Peer> {
  const folder = mkdtempSync(join(tmpdir(), "ringbridge-peer-"));
  endings.push(() => rmSync(folder, { recursive: true, force: true }));
  const peer = await kind.start({ folder, cpu: options.cpus[1], hugePages, frameBytes });
  endings.push(() => peer.stop());
  // Those that poll would take the core from those that are started after them.
  for (const pid of peer.pids) process.kill(pid, "SIGSTOP");
  endings.push(() => resume(peer));
  say(`started ${peer.description}`);
  return peer;
}

/** A peer that ended by itself is found by whoever measures it. */
function resume(peer: Peer): void {
  for (const pid of peer.pids) {
    try {
      process.kill(pid, "SIGCONT");
    } catch {}
  }
}

/** Measures with `ringbridge bench`, which starts the ringbridge to be measured by itself. */
async function measureOurselves(options: PeersOptions, peers: readonly Peer[]): Promise<BenchResult> {
  const folder = mkdtempSync(join(tmpdir(), "ringbridge-bench-peers-"));
  endings.push(() => rmSync(folder, { recursive: true, force: true }));
  const json = join(folder, "result.json");
  for (const peer of peers) resume(peer);
  const words = [process.execPath, "dist/src/cli/main.js", ...benchWords(options, peers, json)];
  const [command, ...rest] = boundedCommand(words, {});
  const child = spawn(command!, rest, {
    // Its table would be followed by ours.
    stdio: ["ignore", "ignore", "inherit"],
    // It gets one SIGINT, from us: a second one would end it without a result.
    detached: true,
  });
  const forward = () => child.kill("SIGINT");
  interrupt.signal.addEventListener("abort", forward);
  const code = await new Promise<number | null>((resolve) => child.once("close", resolve));
  interrupt.signal.removeEventListener("abort", forward);
  let result: BenchResult;
  try {
    result = JSON.parse(readFileSync(json, "utf8")) as BenchResult;
  } catch {
    throw new Error(`ringbridge bench ended without a result (exit code ${code}), see above`);
  }
  for (const backEnd of result.backEnds) {
    const peer = peers.find(({ name }) => name === backEnd.name);
    if (peer) Object.assign(backEnd, { description: peer.description, command: peer.command });
  }
  return result;
}

function report(result: BenchResult, { generator, history }: PeersOptions): void {
  process.stdout.write(`${reportText(result)}\n`);
  const entry = historyEntry(result, generator);
  const earlier = readHistory(HISTORY);
  const complete = history && !interrupt.signal.aborted && entry.points.length > 0;
  if (complete) appendHistory(HISTORY, entry);
  mkdirSync(RESULTS, { recursive: true });
  const name = join(RESULTS, `${result.startedAt.replace(/[:.]/g, "-")}-${generator}`);
  writeFileSync(`${name}.json`, `${JSON.stringify(result, null, 2)}\n`);
  writeFileSync(`${name}.html`, reportHtml(result, [...earlier, entry]));
  if (result.throughput.length > 0) writeFileSync(`${name}.svg`, reportSvg(result));
  say(`written: ${name}.json, .html and .svg${complete ? `, a line of ${HISTORY}` : ""}`);
}
