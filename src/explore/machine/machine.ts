// The machine: a switch and its guests, stepped one memory access at a time, forward and back.

import { writePcapng } from "../../capture/pcapng.js";
import { describeFrame } from "../../testing/frames/describe.js";
import { Random } from "../../testing/random.js";
import { type Breakpoint, hits } from "./breakpoints.js";
import { type CacheLines, countLines } from "./cache-lines.js";
import type { Operation } from "./driver/net.js";
import { Engine } from "./engine.js";
import { actorName, type Event, eventOf } from "./events.js";
import { type FieldView, fieldAt } from "./field-text.js";
import { type DeviceGrain, type DriverGrain, endOf, isIdle } from "./grains.js";
import type { Actor, Fault, Step, Unit } from "./log.js";
import { checkFault, checkOperation } from "./move-check.js";
import { type Place, Places } from "./places.js";
import { framesSeen, type SeenFrame } from "./seen-frames.js";
import { checkSetup, GUEST_NAMES, type Setup } from "./setup.js";
import type { DriverSource } from "./sources.js";
import type { Move, State } from "./state.js";
import { type View, viewOf } from "./view.js";
import { type CoreBuild, makeWorld, type World } from "./world.js";

export interface MachineBuild extends CoreBuild {
  /** Texts of src/explore/machine/driver/*.ts by their paths, for the source lines of drivers; without them they have none. */
  driverSource?: DriverSource;
}

/** Steps that a link may have: each takes memory, and a page must open it while somebody waits. */
const STEPS_MOST = 200_000;

export interface RunOptions {
  /** Who may move. Default everybody. */
  actors?: readonly Actor[];
  /** Default 100 000. */
  most?: number;
  random?: boolean;
}

/** The breakpoint that was hit, if any, and the steps that were made: `first` is more than `last` when there are none. */
export interface RunResult {
  hit?: Breakpoint;
  first: number;
  last: number;
}

export class Machine {
  private readonly engine: Engine;
  private readonly placesOfWorld: Places;
  /** Units that were taken back, the next one last. */
  private undone: Unit[] = [];

  private constructor(
    readonly setup: Setup,
    private readonly build: MachineBuild,
    private readonly world: World,
  ) {
    this.engine = new Engine(world, build.sites, setup.device === "asleep");
    this.placesOfWorld = new Places(world);
    this.engine.onChange = (step) => {
      const frames = framesSeen(step, { world, places: this.placesOfWorld, sites: build.sites });
      if (frames.length > 0) step.frames = frames;
    };
  }

  /** A machine before its first step. Throws when the setup makes no sense (`checkSetup`). */
  static async create(setup: Setup, build: MachineBuild): Promise<Machine> {
    const checked = checkSetup(setup);
    return new Machine(checked, build, await makeWorld(checked, build));
  }

  /** A machine at the moment that a state tells of. Throws when a move cannot be made, or when there are too many. */
  static async open(state: State, build: MachineBuild): Promise<Machine> {
    const machine = await Machine.create(state.setup, build);
    for (const [i, move] of state.moves.entries()) {
      machine.replay(move, i);
      if (machine.position > STEPS_MOST) throw new Error(`move ${i + 1} goes beyond ${STEPS_MOST} steps`);
    }
    return machine;
  }

  /** Setup and moves up to now: the same machine at the same moment, wherever it is opened (state.ts for the URL). */
  get state(): State {
    const moves: Move[] = [];
    for (const { unit } of this.engine.steps) if (unit) addUnit(moves, unit);
    return { setup: this.setup, moves, core: this.core };
  }

  /** Which build of the core it is, as `State.core` has it: a page says so when a link is of another. */
  get core(): string {
    return this.build.sites.table.release.slice(0, 8);
  }

  /** Linear memory, live. To be read only. */
  get memory(): Uint8Array {
    return this.world.bytes;
  }

  /** Steps made so far. */
  get position(): number {
    return this.engine.steps.length;
  }

  /** Steps that were taken back and can be made again with `forward`. */
  get ahead(): number {
    return this.undone.length;
  }

  /** Whether the worker, or a guest's driver, has anything to do. */
  canMove(actor: Actor): boolean {
    return actor === "device" ? this.engine.deviceCanMove : this.engine.driverCanMove(actor);
  }

  /**
   * Gives a guest's driver something to do; it begins when it is stepped. Returns what came of it as an event. Throws when it makes
   * no sense (a guest that there is not, a payload above 4096 bytes).
   */
  operate(guest: number, operation: Operation): Event[] {
    checkOperation(guest, operation, this.setup.guests.length);
    return this.moved(() => this.engine.give(guest, operation));
  }

  /** Puts something wrong. */
  fault(fault: Fault): Event[] {
    checkFault(fault, this.setup.guests.length);
    return this.moved(() => this.engine.fault(fault));
  }

  /**
   * Lets seconds pass: addresses that were not seen for 300 are forgotten. No events: the worker is in the middle of a call, step it
   * to its end before.
   */
  passTime(seconds: number): Event[] {
    return this.moved(() => this.engine.passTime(seconds));
  }

  /** Lets the switch's worker go on. No events: it sleeps. */
  stepDevice(grain: DeviceGrain = "access"): Event[] {
    const end = endOf(grain, { world: this.world, places: this.placesOfWorld, engine: this.engine });
    return this.moved(() => this.engine.device(Number.POSITIVE_INFINITY, end));
  }

  /** Lets a guest's driver go on. No events: it has nothing to do. */
  stepDriver(guest: number, grain: DriverGrain = "access"): Event[] {
    return this.moved(() => {
      let step = this.engine.driver(guest);
      while (grain === "operation" && step && step.result === undefined) step = this.engine.driver(guest);
    });
  }

  /** Takes back the last `count` steps; idle rounds of a poll count as one. Returns how many there were. */
  back(count = 1): number {
    let taken = 0;
    while (taken < count && this.takeBack()) {
      taken++;
      while (this.engine.steps.at(-1)?.idle && this.takeBack()) {}
    }
    return taken;
  }

  /** Makes steps again that were taken back. Returns the events. */
  forward(count = 1): Event[] {
    const first = this.position;
    for (let i = 0; i < count && this.undone.length > 0; i++) {
      this.apply(this.undone.pop()!);
      while (this.isInIdleRounds() && this.undone.at(-1)?.do === "device") this.apply(this.undone.pop()!);
    }
    return this.eventsFrom(first);
  }

  /** Goes to the moment after step `position`, back or forward, as far as there are steps. Returns where it is then. */
  seek(position: number): number {
    while (this.position > position && this.takeBack()) {}
    while (this.position < position && this.undone.length > 0) {
      // Many of the worker's at once: one run of the core.
      let device = 0;
      while (this.undone.at(-1)?.do === "device" && this.position + device < position) {
        this.undone.pop();
        device++;
      }
      if (device === 0) this.apply(this.undone.pop()!);
      const made = device > 0 ? this.engine.device(device, () => this.position >= position) : 0;
      for (let left = device - made; left > 0; left--) this.undone.push({ do: "device" });
    }
    return this.position;
  }

  /** The event of step `number`, from 1 to `position`. */
  event(number: number): Event {
    const step = this.engine.steps[number - 1];
    if (!step) throw new Error(`there is no step ${number}: there are ${this.position}`);
    return this.describe(step, number);
  }

  /** Events of the steps from `first` on, and before `end`. */
  events(first = 1, end = this.position + 1): Event[] {
    return Array.from({ length: Math.max(0, end - first) }, (_, i) => this.event(first + i));
  }

  /** Everything the panes show, as plain data. */
  view(): View {
    return viewOf(this.world, this.engine, this.placesOfWorld);
  }

  /**
   * Goes on until a breakpoint is hit, nobody has anything to do, or `most` steps are made. Drivers come first, each to the end of
   * its operations, then the worker; with `random` any of them that can, drawn from the setup's seed.
   */
  runUntil(breakpoints: readonly Breakpoint[], { actors, most = 100_000, random = false }: RunOptions = {}): RunResult {
    const first = this.position + 1;
    const all = actors ?? [...this.setup.guests.keys(), "device" as const];
    const draws = new Random(this.setup.seed + this.position);
    let hit: Breakpoint | undefined;
    const look = (step: Step) => {
      if (breakpoints.length === 0) return false;
      const event = this.describe(step, this.engine.steps.length);
      hit = breakpoints.find((one) => hits(one, event, (name) => this.placesOfWorld.named(name)));
      return hit !== undefined;
    };
    while (!hit && this.position - first + 1 < most) {
      const able = all.filter((actor) => this.canMove(actor));
      if (able.length === 0) break;
      const actor = random ? draws.pick(able) : able[0]!;
      const left = most - (this.position - first + 1);
      if (actor === "device") {
        let turn = random ? draws.integer(1, 8) : left;
        this.engine.device(left, (step) => look(step) || (--turn <= 0 && !isIdle(step)));
      } else look(this.engine.driver(actor)!);
    }
    if (this.position >= first) this.undone = [];
    return { ...(hit ? { hit } : {}), first, last: this.position };
  }

  /** Frames that have passed the switch's ports so far, with the steps that show them. */
  get frames(): (SeenFrame & { step: number; text: string })[] {
    return this.engine.steps.flatMap(({ frames = [] }, i) =>
      frames.map((frame) => ({ ...frame, step: i + 1, text: describeFrame(frame.bytes) })),
    );
  }

  /** The same as a capture file, for Wireshark: an interface for each guest, a microsecond for each step. */
  pcapng(): Uint8Array {
    const names = GUEST_NAMES.slice(0, this.setup.guests.length);
    const frames = this.frames.map(({ guest, direction, bytes, step }) => ({
      interface: guest,
      direction,
      time: step * 1000,
      bytes,
    }));
    return writePcapng([...names], frames);
  }

  /** Cache lines of guests' memory that the steps from `first` on, and before `end`, have touched. */
  cacheLines(first = 1, end = this.position + 1): CacheLines {
    return countLines(this.engine.steps.slice(first - 1, end - 1), this.world, this.placesOfWorld, actorName);
  }

  /** A field as it is now, by its place's name; undefined when there is none of that name. */
  field(name: string): FieldView | undefined {
    const place = this.placesOfWorld.named(name);
    return place && fieldAt(this.world, place);
  }

  /** What lies at an offset in linear memory. */
  place(address: number): Place {
    return this.placesOfWorld.at(address);
  }

  /** The place of a name, whose `address` and `length` say where it lies; undefined when there is none of that name. */
  placeNamed(name: string): Place | undefined {
    return this.placesOfWorld.named(name);
  }

  /** Unmakes the last step that someone made, and what followed from it. */
  private takeBack(): boolean {
    let step = this.engine.undo();
    while (step && !step.unit) step = this.engine.undo();
    if (!step) return false;
    this.undone.push(step.unit!);
    return true;
  }

  private isInIdleRounds(): boolean {
    const last = this.engine.steps.at(-1);
    return last !== undefined && isIdle(last);
  }

  private moved(move: () => unknown): Event[] {
    const first = this.position;
    move();
    if (this.position > first) this.undone = [];
    return this.eventsFrom(first);
  }

  private eventsFrom(first: number): Event[] {
    return this.events(first + 1);
  }

  private describe(step: Step, number: number): Event {
    const { sites, driverSource } = this.build;
    return eventOf(step, number, { world: this.world, places: this.placesOfWorld, sites, driverSource });
  }

  private apply(unit: Unit): void {
    if (unit.do === "device") this.engine.device(1);
    else if (unit.do === "driver") this.engine.driver(unit.guest);
    else if (unit.do === "operation") this.engine.give(unit.guest, unit.operation);
    else if (unit.do === "time") this.engine.passTime(unit.seconds);
    else this.engine.fault(unit.fault);
  }

  private replay(move: Move, number: number): void {
    const cannot = (who: string, made: number) =>
      new Error(`move ${number + 1} cannot be made: ${who} has nothing to do after ${made} steps`);
    const guests = this.setup.guests.length;
    if (move.do === "operation") checkOperation(move.guest, move.operation, guests);
    if (move.do === "fault") checkFault(move.fault, guests);
    if (move.do === "device") {
      const made = this.engine.device(Math.min(move.steps, STEPS_MOST));
      if (made < move.steps) throw cannot("the switch", made);
    } else if (move.do === "driver") {
      for (let i = 0; i < move.steps; i++) if (!this.engine.driver(move.guest)) throw cannot(`guest ${move.guest}`, i);
    } else if (move.do === "time") {
      if (!this.engine.passTime(move.seconds))
        throw new Error(`move ${number + 1} cannot be made: a call is under way`);
    } else {
      this.apply(move);
    }
  }
}

function addUnit(moves: Move[], unit: Unit): void {
  const last = moves.at(-1);
  if (unit.do === "device") {
    if (last?.do === "device") last.steps++;
    else moves.push({ do: "device", steps: 1 });
  } else if (unit.do === "driver") {
    if (last?.do === "driver" && last.guest === unit.guest) last.steps++;
    else moves.push({ ...unit, steps: 1 });
  } else {
    moves.push(unit);
  }
}
