// A benchmark with DPDK's driver as the generator: short windows of each back-end in turn, everything else stopped.
// What arrives is counted by testpmd, which does not look into the frames: changes and order are our generator's to
// find (npm run bench:peers without --generator dpdk).

import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { cpuSecondsOf } from "../../src/bench/back-end.js";
import { classOfWindow, isSamePlace } from "../../src/bench/cache-class.js";
import { CoreProbe } from "../../src/bench/core-probe.js";
import { describeEnvironment } from "../../src/bench/environment.js";
import { type BenchResult, type CacheClass, emptyResult } from "../../src/bench/result.js";
import { groupBy, scaled, spreadOf } from "../../src/bench/statistics.js";
import { pinThread, setProcessPriority, setSessionPriority, setThreadPriority } from "../../src/sys/affinity.js";
import type { PeersOptions } from "./arguments.js";
import { DpdkGenerator } from "./dpdk-generator.js";
import type { Peer } from "./peer.js";

const DEFAULT_WINDOWS = 9;
const DEFAULT_SECONDS = 0.25;
/** Who polls uses his core all the time: who got less of it was held up by others. */
const CPU_SHARE_MIN = 0.9;
/** Windows that are left out are taken again, but not for ever. */
const TRIES_PER_WINDOW = 2;
const REFERENCE = "testpmd-io";

interface Bench {
  peer: Peer;
  generator: DpdkGenerator;
}

interface Window {
  /** Frames that arrived at either port in a second. */
  rate: number;
  lossRatio: number;
  cpuSecondsPerMillion: number;
  roundTripNs: number;
  cacheClass: CacheClass;
}

/** Measures all peers. Rejects with a sentence when a generator cannot attach to its back-end. */
export async function measureWithDpdk(
  options: PeersOptions,
  peers: readonly Peer[],
  signal: AbortSignal,
): Promise<BenchResult> {
  const sizes = options.sizes.map((size) => {
    if (!/^\d+$/.test(size)) throw new Error(`--sizes ${size}: DPDK's generator sends frames of one size, in bytes`);
    return Number(size);
  });
  if (options.rest.length > 0) throw new Error(`with --generator dpdk there is no option ${options.rest[0]}`);
  const folder = mkdtempSync(join(tmpdir(), "ringbridge-generators-"));
  const run = new DpdkRun(options, signal);
  try {
    await run.attach(peers, folder);
    for (const bytes of sizes) await run.measure(bytes);
    return run.finish();
  } finally {
    await run.close();
    rmSync(folder, { recursive: true, force: true });
  }
}

class DpdkRun {
  private readonly begun = performance.now();
  private readonly result: BenchResult;
  private readonly benches: Bench[] = [];
  private probe: CoreProbe | undefined;
  /** Windows in which nothing came back, by back-end. */
  private readonly silent = new Map<string, number>();
  /** Of this process's session, before it was changed. */
  private sessionNice: number | undefined;

  constructor(
    private readonly options: PeersOptions,
    private readonly signal: AbortSignal,
  ) {
    this.result = emptyResult("", describeEnvironment(options.hugePages));
    this.result.notes.push(
      "frames were made and counted by dpdk-testpmd with virtio-user ports, which does not look into them",
    );
  }

  async attach(peers: readonly Peer[], parent: string): Promise<void> {
    const { cpus, hugePages, nice, sizes } = this.options;
    if (nice !== undefined) this.sessionNice = setSessionPriority(process.pid, nice);
    for (const peer of peers) {
      const folder = mkdtempSync(join(parent, "generator-"));
      const frameBytes = Math.max(...sizes.map(Number));
      signalAll(peer, "SIGCONT");
      const generator = await DpdkGenerator.start(peer, { folder, cpu: cpus[0], hugePages, frameBytes });
      const bench = { peer, generator };
      this.benches.push(bench);
      if (nice !== undefined) {
        for (const pid of [...peer.pids, generator.pid]) {
          setProcessPriority(pid, nice);
          setSessionPriority(pid, nice);
        }
      }
      hold(bench);
      this.result.backEnds.push({ name: peer.name, description: peer.description, command: peer.command });
    }
    pinThread([cpus[0]]);
    if (nice !== undefined) setThreadPriority(nice);
    this.probe = await CoreProbe.start({ cpu: cpus[1], nice });
  }

  async measure(bytes: number): Promise<void> {
    const wanted = this.options.windows ?? DEFAULT_WINDOWS;
    const rounds: (Window | undefined)[][] = [];
    const taken = this.benches.map(() => 0);
    for (let i = 0; i < wanted * TRIES_PER_WINDOW && taken.some((count) => count < wanted); i++) {
      const round: (Window | undefined)[] = this.benches.map(() => undefined);
      const order = [...this.benches.keys()];
      if (i % 2 === 1) order.reverse();
      for (const b of order) {
        if (this.signal.aborted) break;
        round[b] = await this.window(this.benches[b]!, bytes);
        if (round[b]) taken[b]!++;
        const rate = round[b] ? `${(round[b].rate / 1e6).toFixed(2)} Mpps` : "left out";
        process.stderr.write(`${bytes} B: ${this.benches[b]!.peer.name} ${rate}\n`);
      }
      rounds.push(round);
      if (this.signal.aborted) break;
    }
    this.summarize(bytes, rounds);
  }

  /** One window of one back-end; undefined when it says nothing. */
  private async window({ peer, generator }: Bench, bytes: number): Promise<Window | undefined> {
    const before = this.probe!.roundTripNs();
    release({ peer, generator });
    let window: Omit<Window, "roundTripNs" | "cacheClass"> | "held up" | "silent";
    try {
      // Anew each time: frames that were lost do not go round any more.
      await generator.setFrames(bytes);
      window = await this.count(peer, generator);
    } finally {
      hold({ peer, generator });
    }
    const after = this.probe!.roundTripNs();
    const cacheClass = classOfWindow(before, after);
    if (cacheClass === undefined) this.result.discarded.moved++;
    else if (window === "held up") this.result.discarded.stalls++;
    else if (window === "silent") this.silent.set(peer.name, (this.silent.get(peer.name) ?? 0) + 1);
    else return { ...window, roundTripNs: before, cacheClass };
    return undefined;
  }

  /** What arrives while the frames go round, unless one of the two was held up, or no frame came at all. */
  private async count(peer: Peer, generator: DpdkGenerator) {
    const pids = [peer.pids[0]!, generator.pid];
    const first = await generator.stats();
    const started = performance.now();
    const cpuBefore = pids.map(cpuSecondsOf);
    await sleep((this.options.duration ?? DEFAULT_SECONDS) * 1000);
    const seconds = (performance.now() - started) / 1000;
    const used = pids.map((pid, i) => (cpuSecondsOf(pid) ?? 0) - (cpuBefore[i] ?? 0));
    const last = await generator.stats();
    const sum = (value: (port: number) => number) => value(0) + value(1);
    const frames = sum((port) => last[port]!.rxPackets - first[port]!.rxPackets);
    const sent = sum((port) => last[port]!.txPackets - first[port]!.txPackets);
    if (used.some((cpu) => cpu < CPU_SHARE_MIN * seconds)) return "held up";
    if (frames === 0) return "silent";
    const rate = sum((port) => last[port]!.rxPerSecond);
    return { rate, lossRatio: Math.max(0, 1 - frames / sent), cpuSecondsPerMillion: (used[0]! / seconds / rate) * 1e6 };
  }

  private summarize(bytes: number, rounds: readonly (Window | undefined)[][]): void {
    const setting = { frame: bytes, direction: "both-ways" as const, flows: 1, ports: 2 };
    const names = this.benches.map(({ peer }) => peer.name);
    const reference = names.indexOf(REFERENCE);
    for (const [b, backEnd] of names.entries()) {
      const windows = rounds.flatMap((round) => round[b] ?? []);
      if (windows.length === 0) this.result.notes.push(`${backEnd}, ${bytes} B: no window was undisturbed`);
      for (const [cacheClass, group] of groupBy(windows, (window) => window.cacheClass)) {
        const framesPerSecond = spreadOf(group.map(({ rate }) => rate));
        this.result.throughput.push({
          backEnd,
          ...setting,
          cacheClass,
          method: "mrr",
          framesPerSecond,
          bitsPerSecond: scaled(framesPerSecond, bytes * 8),
          lossRatio: spreadOf(group.map(({ lossRatio }) => lossRatio)).median,
          cpuSecondsPerMillion: spreadOf(group.map((window) => window.cpuSecondsPerMillion)).median,
          wrong: 0,
        });
      }
      if (b === reference || reference < 0) continue;
      const pairs = rounds.flatMap((round) => {
        const [mine, other] = [round[b], round[reference]];
        if (!mine || !other || !isSamePlace(mine.roundTripNs, other.roundTripNs)) return [];
        return [{ cacheClass: mine.cacheClass, ratio: mine.rate / other.rate }];
      });
      for (const [cacheClass, group] of groupBy(pairs, (pair) => pair.cacheClass)) {
        const ratio = spreadOf(group.map((pair) => pair.ratio));
        this.result.ratios.push({ backEnd, reference: REFERENCE, ...setting, cacheClass, ratio });
      }
    }
  }

  finish(): BenchResult {
    this.result.seconds = (performance.now() - this.begun) / 1000;
    for (const [name, windows] of this.silent) {
      this.result.notes.push(`${name} gave back no frame at all in ${windows} windows, which are left out`);
    }
    if (this.signal.aborted) this.result.notes.push("ended early: not everything that was asked for was measured");
    return this.result;
  }

  async close(): Promise<void> {
    // A back-end that is held cannot let its front-end go.
    for (const { peer } of this.benches) signalAll(peer, "SIGCONT");
    for (const { generator } of this.benches) await generator.stop();
    await this.probe?.close();
    if (this.sessionNice !== undefined) setSessionPriority(process.pid, this.sessionNice);
  }
}

function hold({ peer, generator }: Bench): void {
  generator.pause();
  signalAll(peer, "SIGSTOP");
}

function release({ peer, generator }: Bench): void {
  signalAll(peer, "SIGCONT");
  generator.resume();
}

function signalAll(peer: Peer, signal: "SIGSTOP" | "SIGCONT"): void {
  for (const pid of peer.pids) {
    try {
      process.kill(pid, signal);
    } catch {
      throw new Error(`${peer.name} has ended by itself while it was measured`);
    }
  }
}
