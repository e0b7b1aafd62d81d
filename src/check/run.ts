// Runs cases against a back-end, one after the other, each on fresh connections and with a limit of time, and looks after
// each whether the back-end lives on.

import { setTimeout as sleep } from "node:timers/promises";
import { hasBit } from "../core/feature-bits.js";
import { createMemory } from "../core/module.js";
import { FEATURE_NAMES, PROTOCOL_FEATURE_NAMES } from "../vhost-user/features.js";
import { BackEndLog } from "./back-end-log.js";
import { type CheckCase, MEMORY_PAGES, Workbench } from "./case.js";
import { frame } from "./frames.js";
import { OneByOne } from "./once.js";
import { type CaseResult, type CheckReport, isBad } from "./report.js";
import { Restarter } from "./restart.js";
import { type Offer, Sockets, type Target } from "./target.js";
import { Failure, NotOffered, Skip, type Verdict } from "./verdict.js";
import { within } from "./wait.js";

/** A case waits for several answers: it may take as many times the limit of one. */
const CASE_TIMEOUTS = 15;
/** A back-end that was just started, or had a bad guest, passes frames within this time, or does not at all. */
const PASSING_MS = 10_000;
const PROBE_FRAME_BYTES = 98;

/** A process that has closed its connections is given so long to be gone, and for its exit status to be told. */
const REAPED_MS = 500;

export interface CheckOptions extends Target {
  /** How long the back-end may take for one answer. */
  timeoutMs: number;
  /** A shell command that starts the back-end when it is not there; with `once`, one for each socket. */
  restart?: readonly string[];
  /** The back-end serves one connection at each socket and ends: it is started for each. */
  once?: boolean;
  /** File for what the back-end writes that `restart` starts. */
  log?: string;
}

export interface CheckHooks {
  /** Told before each case. */
  begins?(it: CheckCase, number: number, of: number): void;
  ended?(result: CaseResult): void;
  /** The run ends before the next case. */
  interrupted?(): boolean;
  /** Told at the beginning what will make many cases fail. */
  warns?(text: string): void;
}

/** Throws an Error with a sentence when no back-end answers at the beginning. */
export async function runCheck(
  options: CheckOptions,
  cases: readonly CheckCase[],
  hooks: CheckHooks = {},
): Promise<CheckReport> {
  const { restart = [], once = false, timeoutMs } = options;
  if (once && restart.length !== options.sockets.length) throw new Error("one command for each socket is needed");
  const log = new BackEndLog(options.log);
  const starters = restart.map((command) => new Restarter(command, log));
  const sockets = new Sockets(options, timeoutMs, once ? new OneByOne(starters, timeoutMs) : undefined);
  const started = new Date();
  const begun = performance.now();
  try {
    sockets.prepare();
    const runner = new Runner(sockets, once ? undefined : starters[0], log);
    const offer = await runner.begin();
    if (runner.stuck !== undefined) hooks.warns?.(runner.stuck);
    const results: CaseResult[] = [];
    for (const [i, it] of cases.entries()) {
      if (hooks.interrupted?.()) break;
      hooks.begins?.(it, i + 1, cases.length);
      const result = await runner.run(it);
      results.push(result);
      hooks.ended?.(result);
    }
    return {
      sockets: options.sockets,
      role: options.role,
      offer,
      started: started.toISOString(),
      seconds: (performance.now() - begun) / 1000,
      notRun: cases.length - results.length,
      cases: results,
    };
  } finally {
    for (const it of starters) await it.stop();
    sockets.close();
    log.close();
  }
}

class Runner {
  private readonly memory = createMemory(MEMORY_PAGES);
  private offer: Offer | undefined;
  /** The back-end did not come back: there is nobody to ask. */
  private lost: string | undefined;
  /** The last lines of the back-end that have to do with the case. */
  private wrote: string[] = [];
  /** Why no frames go through at the beginning; undefined: they do, and then they have to after each case. */
  stuck: string | undefined;

  constructor(
    private readonly sockets: Sockets,
    private readonly restarter: Restarter | undefined,
    private readonly log: BackEndLog,
  ) {}

  /** What the back-end offers, which may first have to be started. Throws an Error with a sentence when nobody answers. */
  async begin(): Promise<Offer> {
    let offer: Offer;
    try {
      const there = await this.sockets.offer().catch((error: Error) => error);
      if (!(there instanceof Error)) offer = there;
      else if (this.restarter) offer = await this.start(this.restarter);
      else throw there;
    } catch (error) {
      throw new Error(`no back-end answers: ${(error as Error).message}${this.lastWords()}`);
    }
    const first = this.sockets.pid;
    this.offer = offer;
    // One that was there already passes frames at once.
    const fresh = this.restarter !== undefined || this.sockets.once !== undefined;
    this.stuck = await this.untilPassing(fresh ? PASSING_MS : 0);
    // Some change their offer while they start.
    const again = await this.sockets.offer().catch((error: Error) => error);
    if (this.sockets.once === undefined && this.sockets.isGone(first)) {
      throw new Error(
        `the back-end's process ${first} ended with its first connection: when it serves only one, ` +
          "give --once, and with --restart the command that starts it",
      );
    }
    if (again instanceof Error) throw new Error(`the back-end answered once: ${again.message}${this.lastWords()}`);
    await this.sockets.once?.takeDeath();
    this.offer = again;
    return this.offer;
  }

  private lastWords(): string {
    const lines = this.log.tail();
    return lines.length === 0 ? "" : `\nIt wrote:\n${lines.map((line) => `  ${line}`).join("\n")}`;
  }

  async run(it: CheckCase): Promise<CaseResult> {
    const begun = performance.now();
    this.log.mark();
    this.wrote = [];
    const [verdict, came] = await this.judge(it);
    const { id, room, title, clause } = it;
    const milliseconds = Math.round(performance.now() - begun);
    const result: CaseResult = { id, room, title, clause, verdict, came, milliseconds };
    return isBad(result) && this.wrote.length > 0 ? { ...result, wrote: this.wrote } : result;
  }

  private async judge(it: CheckCase): Promise<[Verdict, string]> {
    if (this.lost !== undefined) return ["skipped", this.lost];
    if (it.sockets > this.sockets.target.sockets.length) return ["skipped", "it needs two sockets"];
    const missing = missingOf(it, this.offer!);
    if (missing !== undefined) return ["not-offered", missing];
    const before = this.sockets.pid;
    const [verdict, came] = await this.attempt(it);
    const died = await this.sockets.once?.takeDeath();
    // Before others start, and write how they did.
    this.wrote = this.log.tail();
    const dead = died ?? (await this.probe(before));
    if (dead === undefined) return [verdict, came];
    if (died === undefined) this.wrote = this.log.tail();
    await this.revive();
    return ["crashed", came === "" || verdict === "pass" ? dead : `${dead}; before that: ${came}`];
  }

  private async attempt(it: CheckCase): Promise<[Verdict, string]> {
    const bench = new Workbench(this.memory, this.sockets, this.offer!);
    const limit = new AbortController();
    const most = CASE_TIMEOUTS * this.sockets.timeoutMs;
    const late = sleep(most, undefined, { signal: limit.signal }).then(
      () => {
        throw new Failure(`it was not done within ${most / 1000} s, ${CASE_TIMEOUTS} times what one answer may take`);
      },
      () => undefined,
    );
    try {
      const said = await Promise.race([it.run(bench), late]);
      return ["pass", said ?? ""];
    } catch (error) {
      if (error instanceof NotOffered) return ["not-offered", error.message];
      if (error instanceof Skip) return ["skipped", error.message];
      if (error instanceof Failure) return ["fail", error.message];
      // The drivers' complaints of what the device wrote into the rings, and what a closed case still tries.
      return ["fail", (error as Error).message];
    } finally {
      limit.abort();
      await bench.end();
    }
  }

  /** Why the back-end counts as dead, if it does. */
  private async probe(before: number | undefined): Promise<string | undefined> {
    const { once } = this.sockets;
    const gone = () => once === undefined && this.sockets.isGone(before);
    try {
      for (const port of this.sockets.target.sockets.keys()) await this.sockets.offer(port);
    } catch (error) {
      await within(REAPED_MS, () => gone() || undefined);
      return gone() ? this.ended(before!) : `it answers no more: ${(error as Error).message}`;
    }
    if (gone()) return `${await this.ended(before!)}, and another one answers`;
    // What the case did may keep it busy for a while.
    const stuck = this.stuck === undefined ? await this.untilPassing(PASSING_MS) : undefined;
    const late = await once?.takeDeath();
    if (late !== undefined) return late;
    return stuck === undefined ? undefined : `it answers, and passes no frames any more: ${stuck}`;
  }

  private async ended(pid: number): Promise<string> {
    const how = await this.restarter?.untilEnded(REAPED_MS);
    return `its process ${pid} has ended${how === undefined ? "" : ` (${how})`}`;
  }

  /** Passes one frame between good guests. Returns what went wrong. */
  private async probeTraffic(): Promise<string | undefined> {
    if (this.sockets.target.sockets.length < 2) return undefined;
    const bench = new Workbench(this.memory, this.sockets, this.offer!);
    try {
      const [a, b] = await bench.pair();
      await bench.pass(a, b, frame(1, 2, PROBE_FRAME_BYTES, 0));
      return undefined;
    } catch (error) {
      return (error as Error).message;
    } finally {
      await bench.end();
    }
  }

  /** After a crash. */
  private async revive(): Promise<void> {
    if (!this.restarter) {
      // It may have come back by itself.
      const error = await this.sockets.offer().then(
        () => undefined,
        (reason: Error) => reason,
      );
      if (error === undefined) return;
      const why = this.sockets.once ? "it could not be started again" : "--restart was not given";
      this.lost = `the back-end has gone, and ${why}: ${error.message}`;
      return;
    }
    try {
      await this.start(this.restarter);
      const stuck = this.stuck === undefined ? await this.untilPassing(PASSING_MS) : undefined;
      if (stuck !== undefined) throw new Error(`it passes no frames: ${stuck}`);
    } catch (error) {
      this.lost = `the back-end was started again, to no avail: ${(error as Error).message}`;
    }
  }

  /** Runs the command and waits until all sockets answer. */
  private async start(restarter: Restarter): Promise<Offer> {
    await restarter.start();
    return restarter.untilReady(async () => {
      const offers: Offer[] = [];
      for (const port of this.sockets.target.sockets.keys()) offers.push(await this.sockets.offer(port));
      return offers[0]!;
    });
  }

  /** Undefined once a frame goes through; why none does when that takes longer. */
  private async untilPassing(ms: number): Promise<string | undefined> {
    const end = performance.now() + ms;
    for (;;) {
      const stuck = await this.probeTraffic();
      if (stuck === undefined || performance.now() > end) return stuck;
    }
  }
}

/** What the case needs and the back-end does not offer, by name. */
function missingOf({ needs = {} }: CheckCase, offer: Offer): string | undefined {
  const features = (needs.features ?? []).filter((bit) => !hasBit(offer.features, bit));
  const protocol = (needs.protocol ?? []).filter((bit) => !hasBit(offer.protocolFeatures, bit));
  const names = [
    ...features.map((bit) => FEATURE_NAMES[bit] ?? `bit ${bit}`),
    ...protocol.map((bit) => PROTOCOL_FEATURE_NAMES[bit] ?? `protocol bit ${bit}`),
  ];
  if ((needs.pairs ?? 1) > offer.queuePairs) names.push(`${needs.pairs} queue pairs`);
  return names.length === 0 ? undefined : names.join(", ");
}
