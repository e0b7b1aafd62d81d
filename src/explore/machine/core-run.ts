// The core stopped between two of its accesses.
//
// A function of Wasm cannot be stopped in the middle, so the core is stepped by running it again: memory is put back to what it
// was when the call began, the core runs, the tracer makes the drivers' stores between the same accesses as they were then,
// and throws in front of the first access that was not asked for. What it finds on the way must be what the log says, byte
// for byte: a difference would be a mistake of ours, and throws.

import * as layout from "../../core/layout.js";
import { READ_KEPT } from "./driver-steps.js";
import type { CallRecord, Change, Logic, Step } from "./log.js";
import type { Sites } from "./sites.js";
import type { World } from "./world.js";

/** Thrown out of the core by the tracer. */
const STOP = Symbol("enough accesses");
/** A list of the core's begins with a count. */
const LIST_HEADER = 4;
const FRAMES_BYTES = layout.BURST * layout.Frame.size;
const NOTHING = new Uint8Array();

export function deviceStep(what: Step["what"], logic: Logic): Step {
  return { actor: "device", what, unit: { do: "device" }, address: 0, length: 0, logic };
}

/** One run of the core through a call, from its start. */
export class CoreRun {
  /** The next entry of the log that this run has not come by, and the end of what there was before it. */
  private at: number;
  private readonly end: number;
  private accesses = 0;
  /** The access that is being made. */
  private pending: Step | undefined;
  private stop = false;
  /** How often the poll has gone around its queues, and whether it has found a frame. */
  private rounds = 0;
  private busy = false;
  private readonly frames: number;
  private readonly firstQueue: number;

  /**
   * `known`: accesses of the call that are in the log. `made` is told of each further one, with its number, and says whether
   * it shall be the last; it puts the step into the log.
   */
  constructor(
    private readonly world: World,
    private readonly sites: Sites,
    private readonly steps: readonly Step[],
    private readonly call: CallRecord,
    private readonly known: number,
    private readonly made: (step: Step, accesses: number) => boolean,
  ) {
    this.at = call.first;
    this.end = steps.length;
    const worker = world.bridge.workers[0]!;
    this.frames = worker.get("frameTable");
    this.firstQueue = worker.get("transmitqs") + LIST_HEADER;
  }

  /** What the call has returned; undefined: it was stopped, and memory is as it was between its accesses. */
  run(core: () => number): number | undefined {
    const { world, sites, steps, call } = this;
    for (let i = this.end - 1; i >= call.first; i--) {
      const { change } = steps[i]!;
      if (change) world.bytes.set(change.before, change.at);
    }
    const { size } = sites.table.sites;
    world.tracing.to = {
      access: (site, address) => this.enter(site, address, size[site]!),
      range: (site, to, from, length) => this.enter(site, to, length, from),
    };
    try {
      const returned = core();
      this.settle();
      return returned;
    } catch (error) {
      if (error !== STOP) throw error;
      return undefined;
    } finally {
      world.tracing.to = undefined;
    }
  }

  /** In front of an access. */
  private enter(site: number, address: number, length: number, from?: number): void {
    this.settle();
    this.others();
    if (this.stop) throw STOP;
    this.accesses++;
    if (address === this.firstQueue) this.rounds++;
    if (address >= this.frames && address < this.frames + FRAMES_BYTES) this.busy = true;
    if (this.accesses > this.known) {
      this.pending = this.begin(site, address, length, from);
      return;
    }
    const recorded = this.steps[this.at++]!;
    const { site: was, address: where, length: bytes } = recorded;
    if (was !== site || where !== address || bytes !== length) throw diverged(recorded);
    this.pending = recorded;
  }

  private begin(site: number, address: number, length: number, from: number | undefined): Step {
    const { bytes } = this.world;
    const { kind } = this.sites.get(site);
    // Whoever puts it into the log says how things stand then.
    const { logic } = this.steps.at(-1) ?? {};
    const step: Step = { ...deviceStep("access", logic as Logic), kind, site, address, length, call: this.call };
    if (from !== undefined) step.from = from;
    if (kind === "read" || kind === "update") step.read = bytes.slice(address, address + Math.min(length, READ_KEPT));
    if (kind !== "read") step.change = { at: address, before: bytes.slice(address, address + length), after: NOTHING };
    return step;
  }

  /** The access before is made: what has it left? */
  private settle(): void {
    const { pending: step, world } = this;
    if (!step) return;
    this.pending = undefined;
    const { change } = step;
    if (this.accesses <= this.known) {
      if (change && !same(world.bytes, change.at, change.after)) throw diverged(step);
      return;
    }
    if (change) change.after = world.bytes.slice(change.at, change.at + step.length);
    if (this.call.kind === "poll" && this.rounds > 1 && !this.busy) step.idle = true;
    this.stop = this.made(step, this.accesses);
  }

  /** What others stored before the next access of the core. */
  private others(): void {
    for (; this.at < this.end; this.at++) {
      const { actor, what, change } = this.steps[this.at]!;
      if (actor === "device" && what === "access") return;
      if (change) this.world.bytes.set(change.after, change.at);
    }
  }
}

/** Runs another function of the core to its end. Returns what it has changed. */
export function traceChanges(world: World, sites: Sites, core: () => unknown): { site: number; change: Change }[] {
  const written: { site: number; change: Change }[] = [];
  const { bytes } = world;
  const settle = () => {
    const change = written.at(-1)?.change;
    if (change && change.after === NOTHING) change.after = bytes.slice(change.at, change.at + change.before.length);
  };
  const enter = (site: number, at: number, length: number) => {
    settle();
    if (sites.get(site).kind === "read") return;
    written.push({ site, change: { at, before: bytes.slice(at, at + length), after: NOTHING } });
  };
  const { size } = sites.table.sites;
  world.tracing.to = {
    access: (site, address) => enter(site, address, size[site]!),
    range: (site, to, _, length) => enter(site, to, length),
  };
  try {
    core();
    settle();
  } finally {
    world.tracing.to = undefined;
  }
  return written;
}

function same(bytes: Uint8Array, at: number, other: Uint8Array): boolean {
  for (let i = 0; i < other.length; i++) if (bytes[at + i] !== other[i]) return false;
  return true;
}

function diverged({ site, address }: Step): Error {
  return new Error(
    `the core did not do again what it did before (site ${site}, offset ${address}): this is a bug of the machine`,
  );
}
