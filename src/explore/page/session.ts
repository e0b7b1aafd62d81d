// One machine as the page holds it: what is done to it goes through here, and whoever shows it is told. Playing is only this:
// the same steps, by a timer.

import {
  type Event,
  Machine,
  type MachineBuild,
  type Operation,
  type Setup,
  type State,
  type View,
} from "../machine/index.js";
import type { DeviceGrain, Fault } from "../machine/index.js";
import { type Act, perform } from "../lessons/act.js";
import { type Breakpoint, stopsAt } from "./breakpoints.js";

/** How far one press of a step key goes; a driver knows accesses and whole operations only. */
export type Grain = DeviceGrain;
export const GRAINS: readonly Grain[] = ["access", "shared", "descriptor", "frame", "burst"];
export const GRAIN_TEXTS: Record<Grain, string> = {
  access: "one memory access",
  shared: "one access a guest can see",
  descriptor: "one descriptor",
  frame: "one frame",
  burst: "one burst",
};
/** Steps a second. */
export const SPEEDS = [1, 3, 10, 30, 100] as const;

type Who = "device" | number;

export class Session {
  view: View;
  grain: Grain = "shared";
  speed: (typeof SPEEDS)[number] = 10;
  playing = false;
  /** Number of the event that the panes look at; undefined: the last one. */
  looked: number | undefined;
  breakpoints = new Set<Breakpoint>();
  /** What a breakpoint has to say, until the next step. */
  stopped: string | undefined;
  /** It was opened by a link that another build of the core made: its moves may lead to another moment here. */
  foreign = false;
  private readonly known: Event[] = [];
  private readonly listeners = new Set<() => void>();
  private timer: ReturnType<typeof setTimeout> | undefined;
  /** Where playing ends, in steps; undefined: when nothing moves. */
  private goal: number | undefined;

  private constructor(
    public machine: Machine,
    private readonly build: MachineBuild,
  ) {
    this.view = machine.view();
  }

  static async make(setup: Setup, build: MachineBuild): Promise<Session> {
    return new Session(await Machine.create(setup, build), build);
  }

  static async open(state: State, build: MachineBuild): Promise<Session> {
    const session = new Session(await Machine.open(state, build), build);
    session.foreign = state.core !== undefined && state.core !== session.machine.core;
    return session;
  }

  subscribe(listener: () => void): () => void {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  /** All events up to now. Not to be kept: it grows and shrinks. */
  get events(): readonly Event[] {
    const { position } = this.machine;
    this.known.length = Math.min(this.known.length, position);
    if (this.known.length < position) this.known.push(...this.machine.events(this.known.length + 1));
    return this.known;
  }

  /** The event that the panes look at. */
  get current(): Event | undefined {
    return this.events[(this.looked ?? this.events.length) - 1];
  }

  operate(guest: number, operation: Operation): void {
    this.change(() => this.machine.operate(guest, operation));
  }

  fault(fault: Fault): void {
    this.change(() => this.machine.fault(fault));
  }

  /** Addresses that were not seen for so long are forgotten. In the middle of a call of the core nothing happens. */
  passTime(seconds: number): void {
    this.change(() => this.machine.passTime(seconds));
  }

  step(who: Who, whole = false): void {
    this.pause();
    this.change(() => this.makeStep(who, whole ? "burst" : this.grain));
  }

  /** What was taken back again, or the one whose turn it is: a driver that has something to do, else the switch. */
  next(): void {
    this.pause();
    this.change(() => this.nextStep());
  }

  back(count = 1): void {
    this.pause();
    this.change(() => this.takeBack(count));
  }

  backToStart(): void {
    this.back(this.machine.position);
  }

  /** Performs acts at once. */
  perform(acts: readonly Act[]): void {
    this.change(() => perform(this.machine, acts));
  }

  /** Performs acts so that one can watch: makes them, takes them back, and plays what is ahead. */
  play(acts?: readonly Act[]): void {
    if (acts) {
      const { position } = this.machine;
      perform(this.machine, acts);
      this.goal = this.machine.position;
      this.rewindTo(position);
    } else {
      this.goal = undefined;
    }
    this.playing = true;
    this.stopped = undefined;
    this.tell();
    this.schedule();
  }

  pause(): void {
    clearTimeout(this.timer);
    if (!this.playing) return;
    this.playing = false;
    this.tell();
  }

  /** To the end of what is ahead at once: what is being played, or was taken back. */
  skip(): void {
    this.pause();
    this.change(() => {
      while (this.machine.ahead > 0) this.machine.forward();
    });
  }

  look(event: number | undefined): void {
    this.looked = event;
    this.tell();
  }

  set(change: Partial<Pick<Session, "grain" | "speed">>): void {
    Object.assign(this, change);
    this.tell();
  }

  toggle(breakpoint: Breakpoint): void {
    if (!this.breakpoints.delete(breakpoint)) this.breakpoints.add(breakpoint);
    this.tell();
  }

  /** Another machine in the place of this one. */
  async replace(setup: Setup): Promise<void> {
    this.pause();
    const machine = await Machine.create(setup, this.build);
    this.change(() => {
      this.machine = machine;
      this.known.length = 0;
    });
  }

  private change(work: () => unknown): void {
    this.stopped = undefined;
    this.looked = undefined;
    const before = this.machine.position;
    work();
    this.known.length = Math.min(this.known.length, before, this.machine.position);
    this.view = this.machine.view();
    this.tell();
  }

  private makeStep(who: Who, grain: Grain): void {
    const { machine } = this;
    if (who !== "device") {
      machine.stepDriver(who, grain === "access" || grain === "shared" ? "access" : "operation");
    } else {
      machine.stepDevice(grain);
    }
  }

  private nextStep(): boolean {
    const { machine } = this;
    if (machine.ahead > 0) {
      this.forwardToShared();
      return true;
    }
    const driver = this.view.guests.find(({ number }) => machine.canMove(number));
    if (!driver && !machine.canMove("device")) return false;
    this.makeStep(driver?.number ?? "device", this.grain);
    return true;
  }

  /** Of what is ahead as much as the grain wants: at least to the next access that others can see. */
  private forwardToShared(): void {
    do {
      const events = this.machine.forward();
      if (this.grain === "access" || events.some(isVisible)) return;
    } while (this.machine.ahead > 0 && (this.goal === undefined || this.machine.position < this.goal));
  }

  /** The other way round: to where the access before is the last one that others can see. */
  private takeBack(count: number): void {
    const { machine, grain } = this;
    for (let i = 0; i < count && machine.back() > 0; i++) {
      while (grain !== "access" && machine.position > 0 && !isVisible(machine.event(machine.position))) machine.back();
    }
  }

  private rewindTo(position: number): void {
    while (this.machine.position > position && this.machine.back() > 0);
  }

  private schedule(): void {
    this.timer = setTimeout(() => this.tick(), 1000 / this.speed);
  }

  private tick(): void {
    const before = this.machine.position;
    let moved = false;
    this.change(() => {
      moved = (this.goal === undefined || before < this.goal) && this.nextStep();
    });
    const stop = stopsAt(this.breakpoints, this.events.slice(before));
    if (stop) this.stopped = stop;
    const done = this.goal !== undefined && this.machine.position >= this.goal;
    if (!moved || done || stop) this.pause();
    else this.schedule();
  }

  private tell(): void {
    for (const listener of this.listeners) listener();
  }
}

/** Does it touch what a guest can see, or is it no access at all? */
export function isVisible({ what, places, from }: Event): boolean {
  if (what !== "access") return true;
  return [...places, ...from].some(({ kind }) => kind !== "core" && kind !== "unused");
}

/** The bytes that an event has touched, for the pictures. */
export function touchedBy(event: Event | undefined): { address: number; length: number; write: boolean }[] {
  if (!event || event.length === 0) return [];
  const { address, length, from } = event;
  const read = from.map((place) => ({ address: place.address, length: place.length, write: false }));
  return [{ address, length, write: event.after !== undefined }, ...read];
}
