// Runs cases against a back-end, one after the other, each on fresh connections and with a limit of time, and looks after
// each whether the back-end lives on.

import { setTimeout as sleep } from "node:timers/promises";
import { hasBit } from "../core/feature-bits.js";
import { createMemory } from "../core/module.js";
import { FEATURE_NAMES, PROTOCOL_FEATURE_NAMES } from "../vhost-user/features.js";
import { type CheckCase, MEMORY_PAGES, Workbench } from "./case.js";
import { frame } from "./frames.js";
import type { CaseResult, CheckReport } from "./report.js";
import { Restarter } from "./restart.js";
import { type Offer, Sockets, type Target } from "./target.js";
import { Failure, Skip, type Verdict } from "./verdict.js";

/** A case waits for several answers: it may take as many times the limit of one. */
const CASE_TIMEOUTS = 15;
/** A back-end that was just started passes frames within this time, or does not at all. */
const START_PASSING_MS = 10_000;
const PROBE_FRAME_BYTES = 98;

export interface CheckOptions extends Target {
  /** How long the back-end may take for one answer. */
  timeoutMs: number;
  /** A shell command that starts the back-end when it is not there. */
  restart?: string;
}

export interface CheckHooks {
  /** Told before each case. */
  begins?(it: CheckCase, number: number, of: number): void;
  ended?(result: CaseResult): void;
  /** The run ends before the next case. */
  interrupted?(): boolean;
}

/** Throws an Error with a sentence when no back-end answers at the beginning. */
export async function runCheck(
  options: CheckOptions,
  cases: readonly CheckCase[],
  hooks: CheckHooks = {},
): Promise<CheckReport> {
  const sockets = new Sockets(options, options.timeoutMs);
  const restarter = options.restart === undefined ? undefined : new Restarter(options.restart);
  const started = new Date();
  const begun = performance.now();
  try {
    sockets.prepare();
    const runner = new Runner(sockets, restarter);
    const offer = await runner.begin();
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
      cases: results,
    };
  } finally {
    await restarter?.stop();
    sockets.close();
  }
}

class Runner {
  private readonly memory = createMemory(MEMORY_PAGES);
  private offer: Offer | undefined;
  /** The back-end did not come back: there is nobody to ask. */
  private lost: string | undefined;
  /** Frames went through at the beginning: then they have to after each case. */
  private passes = false;

  constructor(
    private readonly sockets: Sockets,
    private readonly restarter: Restarter | undefined,
  ) {}

  /** What the back-end offers, which may first have to be started. */
  async begin(): Promise<Offer> {
    let offer: Offer;
    try {
      const there = await this.sockets.offer().catch((error: Error) => error);
      if (!(there instanceof Error)) offer = there;
      else if (this.restarter) offer = await this.start(this.restarter);
      else throw there;
    } catch (error) {
      throw new Error(`no back-end answers: ${(error as Error).message}`);
    }
    this.offer = offer;
    this.passes = await this.untilPassing(START_PASSING_MS);
    // Some change their offer while they start.
    this.offer = await this.sockets.offer();
    return this.offer;
  }

  async run(it: CheckCase): Promise<CaseResult> {
    const begun = performance.now();
    const [verdict, came] = await this.judge(it);
    const { id, room, title, clause } = it;
    return { id, room, title, clause, verdict, came, milliseconds: Math.round(performance.now() - begun) };
  }

  private async judge(it: CheckCase): Promise<[Verdict, string]> {
    if (this.lost !== undefined) return ["skipped", this.lost];
    if (it.sockets > this.sockets.target.sockets.length) return ["skipped", "it needs two sockets"];
    const missing = missingOf(it, this.offer!);
    if (missing !== undefined) return ["not-offered", missing];
    const before = this.sockets.pid;
    const [verdict, came] = await this.attempt(it);
    const dead = await this.probe(before);
    if (dead === undefined) return [verdict, came];
    await this.revive();
    return ["crashed", came === "" || verdict === "pass" ? dead : `${dead}; before that: ${came}`];
  }

  private async attempt(it: CheckCase): Promise<[Verdict, string]> {
    const bench = new Workbench(this.memory, this.sockets, this.offer!);
    const limit = new AbortController();
    const late = sleep(CASE_TIMEOUTS * this.sockets.timeoutMs, undefined, { signal: limit.signal }).then(
      () => {
        throw new Failure("it took longer than a case may");
      },
      () => undefined,
    );
    try {
      const said = await Promise.race([it.run(bench), late]);
      return ["pass", said ?? ""];
    } catch (error) {
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
    try {
      for (const port of this.sockets.target.sockets.keys()) await this.sockets.offer(port);
    } catch (error) {
      return this.sockets.isGone(before)
        ? `its process ${before} has ended`
        : `it answers no more: ${(error as Error).message}`;
    }
    if (this.sockets.isGone(before)) return `its process ${before} has ended, and another one answers`;
    const stuck = this.passes ? await this.probeTraffic() : undefined;
    return stuck === undefined ? undefined : `it answers, and passes no frames any more: ${stuck}`;
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
      if (error) this.lost = `the back-end has gone, and --restart was not given: ${error.message}`;
      return;
    }
    try {
      await this.start(this.restarter);
      if (this.passes && !(await this.untilPassing(START_PASSING_MS))) throw new Error("it passes no frames");
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

  /** True once a frame goes through; who has just started may need several attempts. */
  private async untilPassing(ms: number): Promise<boolean> {
    const end = performance.now() + (this.restarter ? ms : 0);
    for (;;) {
      if ((await this.probeTraffic()) === undefined) return true;
      if (performance.now() > end) return false;
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
