// Makes steps and unmakes them.
//
// A function of Wasm cannot be stopped in the middle, so the core is stepped by running it again: memory is put back to what it
// was when the call began, the core runs, the tracer makes the drivers' stores between the same accesses as they were then,
// and throws in front of the first access that was not asked for. What it finds on the way must be what the log says, byte
// for byte: a difference would be a mistake of ours, and throws.

import * as layout from "../../core/layout.js";
import type { Access, Loaded } from "./driver/access.js";
import { type DriverState, type Operation, operate } from "./driver/net.js";
import type { DeviceLogic, DriverLogic, Fault, FaultLogic, Logic, Running, Step, Unit } from "./log.js";
import type { Sites } from "./sites.js";
import { littleEndian, perform, type World } from "./world.js";

/** Bytes of a read that are kept. */
const READ_KEPT = 16;

/** Thrown out of the core by the tracer. */
const STOP = Symbol("enough accesses");

/** A driver in the middle of an operation, as a generator that cannot be copied: made anew where it does not fit. */
interface Live {
  running: Running;
  accesses: number;
  state: DriverState;
  generator: ReturnType<typeof operate>;
  next: IteratorResult<Access, string>;
}

export class Engine {
  readonly steps: Step[] = [];
  private readonly first: Logic;
  private readonly live: (Live | undefined)[] = [];
  /** Told of each new step of the core that has changed memory, while memory is as it was right after it. */
  onChange: (step: Step) => void = () => {};

  constructor(
    readonly world: World,
    readonly sites: Sites,
    asleep: boolean,
  ) {
    const none = world.guests.map(() => false);
    this.first = {
      device: { phase: asleep ? "asleep" : "poll", accesses: 0, calls: [] },
      drivers: world.drivers.map((state) => ({ state, accesses: 0, queue: [] })),
      kicks: none,
      calls: world.guests.map(() => ({ receiveq: false, transmitq: false })),
      held: [],
      faults: { hold: world.guests.map(() => 0), loseKick: none, loseCall: none, skipRecheck: false },
    };
  }

  /** Everything beside memory, after the last step. */
  get logic(): Logic {
    return this.steps.at(-1)?.logic ?? this.first;
  }

  /** Can the switch's worker do anything? Asleep it waits for a kick. */
  get deviceCanMove(): boolean {
    const { device, kicks } = this.logic;
    return device.phase !== "asleep" || kicks.includes(true);
  }

  driverCanMove(guest: number): boolean {
    const { running, queue } = this.logic.drivers[guest]!;
    return running !== undefined || queue.length > 0;
  }

  /**
   * Lets the worker make up to `most` steps. `stop` is asked after each whether that was the last one. Returns how many
   * it made: fewer when it sleeps.
   */
  device(most: number, stop: (step: Step) => boolean = () => false): number {
    let made = 0;
    let stopped = false;
    const counted = (step: Step) => {
      made++;
      stopped = stop(step);
      return stopped || made >= most;
    };
    while (made < most && !stopped && this.deviceCanMove) {
      const { phase } = this.logic.device;
      if (phase === "asleep") counted(this.wake());
      else if (phase === "calls") counted(this.call());
      else this.runCore(phase, counted);
    }
    return made;
  }

  /** One access of a guest's driver, or the end of an operation that makes none. Undefined: it has nothing to do. */
  driver(guest: number): Step | undefined {
    if (!this.driverCanMove(guest)) return undefined;
    const live = this.liveOf(guest);
    const { running } = live;
    const base = {
      actor: guest,
      unit: { do: "driver", guest } as Unit,
      operation: running.operation,
      address: 0,
      length: 0,
    };
    if (live.next.done)
      return this.push({ ...base, what: "nothing", logic: this.afterOperation(guest, live), ...resultOf(live) });
    const access = live.next.value;
    const before = this.logic;
    running.inputs.length = live.accesses;
    const { step, loaded, faults, held, kicks } = this.performDriver(guest, access);
    running.inputs.push(loaded);
    live.next = live.generator.next(loaded);
    live.accesses++;
    const drivers = live.next.done
      ? this.afterOperation(guest, live).drivers
      : replaced(before.drivers, guest, { ...this.begun(guest), running, accesses: live.accesses });
    return this.push({ ...base, ...step, logic: { ...before, drivers, faults, held, kicks }, ...resultOf(live) });
  }

  /** Gives a driver an operation, to be begun when those before it are done. */
  give(guest: number, operation: Operation): Step {
    const { logic } = this;
    const driver = logic.drivers[guest]!;
    const drivers = replaced(logic.drivers, guest, { ...driver, queue: [...driver.queue, operation] });
    const unit: Unit = { do: "operation", guest, operation };
    return this.push({
      actor: guest,
      what: "operation",
      unit,
      operation,
      address: 0,
      length: 0,
      logic: { ...logic, drivers },
    });
  }

  /** Puts something wrong. */
  fault(fault: Fault): Step {
    const { logic } = this;
    const faults = faultsAfter(logic.faults, fault);
    const actor = "guest" in fault ? fault.guest : "device";
    const unit: Unit = { do: "fault", fault };
    const step = this.push({ actor, what: "fault", unit, address: 0, length: 0, logic: { ...logic, faults } });
    if (fault.fault === "let-go") this.release(({ guest }) => guest === fault.guest);
    return step;
  }

  /** Unmakes the last step and returns it. */
  undo(): Step | undefined {
    const step = this.steps.pop();
    if (step?.change) this.world.bytes.set(step.change.before, step.change.at);
    return step;
  }

  private push(step: Step): Step {
    this.steps.push(step);
    return step;
  }

  // --- the switch's worker

  private wake(): Step {
    const { logic } = this;
    const device: DeviceLogic = { phase: "disarm", accesses: 0, calls: [] };
    const kicks = logic.kicks.map(() => false);
    return this.push(deviceStep("wake", { ...logic, device, kicks }));
  }

  /** Writes the next call eventfd (src/switch/worker-thread.ts): first the mark is taken away, then the driver is told. */
  private call(): Step {
    const { logic, world } = this;
    const [pointer, ...rest] = logic.device.calls;
    const at = pointer! + layout.Queue.fields.callPending.offset;
    const found = world.guests.flatMap(({ number, port }) =>
      [...port.queues.values()].filter(({ struct }) => struct.at === pointer).map(({ index }) => ({ number, index })),
    )[0]!;
    const queue = found.index === 0 ? "receiveq" : "transmitq";
    const lost = logic.faults.loseCall[found.number]!;
    const faults = lost
      ? { ...logic.faults, loseCall: replaced(logic.faults.loseCall, found.number, false) }
      : logic.faults;
    const calls = lost
      ? logic.calls
      : replaced(logic.calls, found.number, { ...logic.calls[found.number]!, [queue]: true });
    const device: DeviceLogic = { phase: rest.length > 0 ? "calls" : "poll", accesses: 0, calls: rest };
    const change = this.store(at, new Uint8Array(4));
    const step = deviceStep("call", { ...logic, device, calls, faults });
    return this.push({ ...step, address: at, length: 4, kind: "write", change, queue, lost });
  }

  /** Runs the phase's call from its start, through what is known of it, until `enough` says so or it returns. */
  private runCore(phase: "poll" | "arm" | "disarm", enough: (step: Step) => boolean): void {
    const { world, steps, sites } = this;
    const { bytes, bridge } = world;
    const call = this.logic.device.call ?? { kind: phase, first: steps.length };
    const known = steps.length;
    for (let i = known - 1; i >= call.first; i--) {
      const { change } = steps[i]!;
      if (change) bytes.set(change.before, change.at);
    }
    let at = call.first;
    let accesses = 0;
    let pending: Step | undefined;
    let stop = false;
    const frames = bridge.workers[0]!.get("frameTable");
    const firstQueue = bridge.workers[0]!.get("transmitqs") + LIST_HEADER;
    let rounds = 0;
    let busy = false;

    const drivers = () => {
      for (; at < known && (steps[at]!.actor !== "device" || steps[at]!.what !== "access"); at++) {
        const { change } = steps[at]!;
        if (change) bytes.set(change.after, change.at);
      }
    };
    const settle = () => {
      const step = pending;
      if (!step) return;
      pending = undefined;
      if (accesses <= knownAccesses) {
        if (step.change && !same(bytes, step.change.at, step.change.after)) throw diverged(step);
        return;
      }
      if (step.change) step.change.after = bytes.slice(step.change.at, step.change.at + step.length);
      if (phase === "poll" && rounds > 1 && !busy) step.idle = true;
      const { logic } = this;
      step.logic = { ...logic, device: { phase, call, accesses, calls: [] } };
      this.push(step);
      if (step.change) this.onChange(step);
      stop = enough(step);
      this.countDown();
    };
    const knownAccesses = this.logic.device.call ? this.logic.device.accesses : 0;
    const enter = (site: number, address: number, length: number, from?: number) => {
      settle();
      drivers();
      if (stop) throw STOP;
      accesses++;
      if (address === firstQueue) rounds++;
      if (address >= frames && address < frames + FRAMES_BYTES) busy = true;
      if (accesses <= knownAccesses) {
        pending = steps[at++]!;
        if (pending.site !== site || pending.address !== address || pending.length !== length) throw diverged(pending);
        return;
      }
      const { kind } = sites.get(site);
      const what = deviceStep("access", this.logic);
      pending = { ...what, kind, site, address, length, from, call };
      if (kind === "read" || kind === "update")
        pending.read = bytes.slice(address, address + Math.min(length, READ_KEPT));
      if (kind !== "read")
        pending.change = { at: address, before: bytes.slice(address, address + length), after: NOTHING };
    };
    const { size } = sites.table.sites;
    world.tracing.to = {
      access: (site, address) => enter(site, address, size[site]!),
      range: (site, to, from, length) => enter(site, to, length, from),
    };
    try {
      const returned = this.callCore(phase);
      settle();
      this.returned(call, returned);
    } catch (error) {
      if (error !== STOP) throw error;
    } finally {
      world.tracing.to = undefined;
    }
  }

  private callCore(phase: "poll" | "arm" | "disarm"): number {
    const { core, bridge } = this.world;
    const worker = bridge.workers[0]!.at;
    if (phase === "poll") return core.poll(bridge.core.at, worker, NOW);
    if (phase === "arm") return core.arm(worker);
    core.disarm(worker);
    return 0;
  }

  /** What the worker does next (src/switch/worker-thread.ts). */
  private returned(call: { kind: string; first: number }, result: number): void {
    const { steps, world } = this;
    let last = steps.length - 1;
    while (steps[last]!.what !== "access" || steps[last]!.actor !== "device") last--;
    const device = this.nextPhase(call.kind, result, world);
    for (let i = last; i < steps.length; i++) steps[i]!.logic = { ...steps[i]!.logic, device };
    steps[last]!.returned = result;
  }

  private nextPhase(kind: string, result: number, { bridge, data }: World): DeviceLogic {
    const next = (phase: DeviceLogic["phase"], calls: number[] = []): DeviceLogic => ({ phase, accesses: 0, calls });
    if (kind === "disarm") return next("poll");
    if (kind === "arm") return next(result === 0 || this.logic.faults.skipRecheck ? "asleep" : "disarm");
    const worker = bridge.workers[0]!;
    const list = worker.get("calls");
    const calls = Array.from({ length: worker.get("callCount") }, (_, i) => data.getUint32(list + i * 4, true));
    if (calls.length > 0) return next("calls", calls);
    return next(result > 0 ? "poll" : "arm");
  }

  // --- drivers

  private begun(guest: number): DriverLogic {
    const driver = this.logic.drivers[guest]!;
    return driver.running ? driver : { ...driver, queue: driver.queue.slice(1) };
  }

  /** The driver's operation where it stands, run through again where it is not at hand. */
  private liveOf(guest: number): Live {
    const { state, running, accesses, queue } = this.logic.drivers[guest]!;
    const cached = this.live[guest];
    if (running && cached?.running === running && cached.accesses === accesses) return cached;
    const now = running ?? { operation: queue[0]!, inputs: [] };
    const copy = structuredClone(state);
    const generator = operate(copy, now.operation);
    const live: Live = { running: now, accesses: 0, state: copy, generator, next: generator.next() };
    for (; live.accesses < accesses; live.accesses++) live.next = generator.next(now.inputs[live.accesses]!);
    this.live[guest] = live;
    return live;
  }

  /** What a driver remembers now, also in the middle of an operation. Not to be changed. */
  driverState(guest: number): DriverState {
    const { running, state } = this.logic.drivers[guest]!;
    return running ? this.liveOf(guest).state : state;
  }

  /** The access that a driver makes next; undefined when it has nothing to do, or ends its operation without one. */
  nextAccess(guest: number): Access | undefined {
    if (!this.driverCanMove(guest)) return undefined;
    const { next } = this.liveOf(guest);
    return next.done ? undefined : next.value;
  }

  private afterOperation(guest: number, live: Live): Logic {
    const { queue } = this.begun(guest);
    this.live[guest] = undefined;
    return { ...this.logic, drivers: replaced(this.logic.drivers, guest, { state: live.state, accesses: 0, queue }) };
  }

  private performDriver(guest: number, access: Access) {
    const { logic, world } = this;
    const { name } = access;
    let { faults, held, kicks } = logic;
    if (access.do === "kick") {
      const lost = faults.loseKick[guest]!;
      if (lost) faults = { ...faults, loseKick: replaced(faults.loseKick, guest, false) };
      else if (access.queue === "transmitq") kicks = replaced(kicks, guest, true);
      const step = { what: "kick" as const, name, queue: access.queue, lost };
      return { step, loaded: 0, faults, held, kicks };
    }
    const own = world.guests[guest]!;
    const address = own.window + access.at - own.layout.base;
    if (access.do === "load" || access.do === "read") {
      const length = access.do === "load" ? access.bytes : access.length;
      const loaded = this.withHeld(guest, () => perform(world, own, access));
      const bytes = typeof loaded === "number" ? littleEndian(loaded, length) : loaded;
      const step = {
        what: "access" as const,
        kind: "read" as const,
        name,
        address,
        length,
        read: bytes.slice(0, READ_KEPT),
      };
      return { step, loaded, faults, held, kicks };
    }
    const data = access.do === "write" ? access.data : littleEndian(access.value, access.bytes);
    const base = { what: "access" as const, kind: "write" as const, name, address, length: data.length };
    const left = faults.hold[guest]!;
    if (left > 0) {
      faults = { ...faults, hold: replaced(faults.hold, guest, 0) };
      held = [...held, { guest, at: address, data, left }];
      return { step: { ...base, held: data }, loaded: 0, faults, held, kicks };
    }
    return { step: { ...base, change: this.store(address, data) }, loaded: 0, faults, held, kicks };
  }

  /** A driver sees its own stores, whoever else does not. */
  private withHeld(guest: number, look: () => Loaded): Loaded {
    const own = this.logic.held.filter((store) => store.guest === guest);
    const changes = own.map(({ at, data }) => this.store(at, data));
    const seen = look();
    for (const { at, before } of changes.reverse()) this.world.bytes.set(before, at);
    return seen;
  }

  private store(at: number, after: Uint8Array) {
    const before = this.world.bytes.slice(at, at + after.length);
    this.world.bytes.set(after, at);
    return { at, before, after };
  }

  /** One more access of the worker: stores that were held so long become visible. */
  private countDown(): void {
    const { logic } = this;
    if (logic.held.length === 0) return;
    const held = logic.held.map((store) => ({ ...store, left: store.left - 1 }));
    this.steps.at(-1)!.logic = { ...logic, held };
    this.release(({ left }) => left <= 0);
  }

  private release(due: (store: Logic["held"][number]) => boolean): void {
    for (const store of this.logic.held.filter(due)) {
      const { logic } = this;
      const held = logic.held.filter((other) => other !== store);
      const change = this.store(store.at, store.data);
      const { guest, at, data } = store;
      this.push({
        actor: guest,
        what: "visible",
        kind: "write",
        address: at,
        length: data.length,
        change,
        logic: { ...logic, held },
      });
    }
  }
}

/** A list of the core's begins with a count. */
const LIST_HEADER = 4;
const FRAMES_BYTES = layout.BURST * layout.Frame.size;
/** The clock of `poll`, in seconds: it stands still. */
const NOW = 1;
const NOTHING = new Uint8Array();

function deviceStep(what: Step["what"], logic: Logic): Step {
  return { actor: "device", what, unit: { do: "device" }, address: 0, length: 0, logic };
}

function resultOf({ next }: Live): { result?: string } {
  return next.done ? { result: next.value } : {};
}

function replaced<T>(list: readonly T[], at: number, by: T): T[] {
  return list.map((item, i) => (i === at ? by : item));
}

function faultsAfter(faults: FaultLogic, fault: Fault): FaultLogic {
  if (fault.fault === "hold-store") return { ...faults, hold: replaced(faults.hold, fault.guest, fault.accesses) };
  if (fault.fault === "lose-kick") return { ...faults, loseKick: replaced(faults.loseKick, fault.guest, true) };
  if (fault.fault === "lose-call") return { ...faults, loseCall: replaced(faults.loseCall, fault.guest, true) };
  if (fault.fault === "skip-recheck") return { ...faults, skipRecheck: fault.skip };
  return faults;
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
