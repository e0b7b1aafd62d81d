// Where the methods take their windows: all back-ends with their guests, one of which runs at a time.

import { setImmediate } from "node:timers/promises";
import { frameSizes } from "../guest/traffic.js";
import type { CoreProbe } from "./core-probe.js";
import { type BenchOptions, describeSetting, type Setting } from "./options.js";
import type { BenchResult, CacheClass } from "./result.js";
import { flowsOfGuest, type Rig } from "./rig.js";
import { announce } from "./traffic-loops.js";
import { lanesOf, type Subject, takeWindow, type WindowPlan, type WindowResult } from "./window.js";

export interface BenchHooks {
  /** A line about what is going on. */
  progress(text: string): void;
  /** True once the run shall end early, with what it has. */
  interrupted(): boolean;
}

/** Thrown by the next window after the run was told to end. */
export class Interrupted extends Error {}

/** One window of each back-end, taken one after the other; undefined where there is none. */
export type Round = (WindowResult | undefined)[];

export class Stage {
  subjects: Subject[] = [];
  rig: Rig | undefined;
  /** The words in front of every line of progress. */
  private title = "";

  constructor(
    readonly options: BenchOptions,
    readonly result: BenchResult,
    private readonly probe: CoreProbe,
    private readonly hooks: BenchHooks,
  ) {}

  get names(): string[] {
    return this.subjects.map(({ backEnd }) => backEnd.name);
  }

  /** Sets the frames of a setting and lets every address be learned. */
  prepare(setting: Setting): void {
    const { queues, payload } = this.options;
    for (const subject of this.subjects) {
      const { backEnd, guests } = subject;
      backEnd.resume();
      for (const queue of guests.flatMap(({ transmitqs }) => transmitqs)) {
        queue.setTraffic(frameSizes(setting.frame), payload);
      }
      announce(
        lanesOf(subject, "both-ways"),
        flowsOfGuest({ ports: setting.ports, pairs: queues, flows: setting.flows }),
      );
      backEnd.hold();
    }
    this.title = describeSetting(setting);
  }

  /**
   * Rounds of windows, the back-ends in turns forwards and backwards.
   * @param most rounds
   * @param what is measured, for the progress line
   * @param plan what a back-end shall run when the cores are of a class; undefined: no window
   * @param enough asked after every round
   */
  async rounds(
    setting: Setting,
    most: number,
    what: string,
    plan: (subject: number, cacheClass: CacheClass) => WindowPlan | undefined,
    enough: (rounds: readonly Round[]) => boolean,
  ): Promise<Round[]> {
    const rounds: Round[] = [];
    while (rounds.length < most && !enough(rounds)) {
      const order = [...this.subjects.keys()];
      if (rounds.length % 2 === 1) order.reverse();
      const round: Round = order.map(() => undefined);
      for (const index of order) {
        round[index] = await this.window(setting, what, index, (cacheClass) => plan(index, cacheClass));
      }
      rounds.push(round);
    }
    return rounds;
  }

  note(text: string): void {
    if (!this.result.notes.includes(text)) this.result.notes.push(text);
  }

  private async window(
    { direction }: Setting,
    what: string,
    index: number,
    plan: (cacheClass: CacheClass) => WindowPlan | undefined,
  ): Promise<WindowResult | undefined> {
    // The event loop hears of signals and of processes that have ended.
    await setImmediate();
    if (this.hooks.interrupted()) throw new Interrupted("the run was ended early");
    this.checkAlive();
    const subject = this.subjects[index]!;
    const { discarded } = this.result;
    const { cpus, stallMs } = this.options;
    const window = takeWindow(subject, { probe: this.probe, cpus, stallMs, direction, plan });
    if (window === "skipped") return undefined;
    if (window === "stall") discarded.stalls++;
    if (window === "moved") discarded.moved++;
    const rate = typeof window === "string" ? window : `${(window.received / window.seconds / 1e6).toFixed(2)} Mpps`;
    this.hooks.progress(`${this.title}, ${what}: ${subject.backEnd.name} ${rate}`);
    if (typeof window === "string") return undefined;
    this.result.wrong = (this.result.wrong ?? 0) + window.wrong;
    return window;
  }

  private checkAlive(): void {
    for (const { backEnd, guests } of this.subjects) {
      if (backEnd.fault !== undefined) throw new Error(backEnd.fault);
      for (const { receiveqs, transmitqs } of guests) {
        const fault = [...receiveqs, ...transmitqs].find((queue) => queue.fault !== undefined)?.fault;
        if (fault !== undefined) throw new Error(`${backEnd.name}: ${fault}`);
      }
    }
    if (this.rig?.lost) throw this.rig.lost;
  }
}
