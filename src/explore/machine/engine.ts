// Makes steps and unmakes them: the switch's worker as src/switch/worker-thread.ts has it (poll; nothing there: ask for kicks, look
// again, sleep), the guests' drivers, and what a hand puts wrong.

import * as layout from "../../core/layout.js";
import { CoreRun, deviceStep, traceChanges } from "./core-run.js";
import type { Access } from "./driver/access.js";
import type { DriverState, Operation } from "./driver/net.js";
import { driverAccess, type LiveOperation, LiveOperations, storeIn } from "./driver-steps.js";
import { faultsAfter, replaced } from "./faults.js";
import type { CallRecord, CoreCall, DeviceLogic, DriverLogic, Fault, Logic, Running, Step, Unit } from "./log.js";
import type { Sites } from "./sites.js";
import type { World } from "./world.js";

/** The clock of `poll` begins with the second in which addresses are learned beforehand (world.ts). */
const FIRST_SECOND = 1;

export class Engine {
  readonly steps: Step[] = [];
  private readonly first: Logic;
  private readonly operations = new LiveOperations();
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
      now: FIRST_SECOND,
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
    const live = this.operations.at(guest, this.logic.drivers[guest]!);
    const { running } = live;
    const base = {
      actor: guest,
      unit: { do: "driver", guest } as Unit,
      operation: running.operation,
      address: 0,
      length: 0,
    };
    if (live.next.done)
      return this.push({
        ...base,
        what: "nothing",
        logic: { ...this.afterOperation(guest, live), calls: this.heeded(guest, running) },
        ...resultOf(live),
      });
    const access = live.next.value;
    const before = this.logic;
    running.inputs.length = live.accesses;
    const { step, loaded, faults, held, kicks } = driverAccess(this.world, before, guest, access);
    running.inputs.push(loaded);
    live.next = live.generator.next(loaded);
    live.accesses++;
    const drivers = live.next.done
      ? this.afterOperation(guest, live).drivers
      : replaced(before.drivers, guest, { ...this.begun(guest), running, accesses: live.accesses });
    const calls = live.accesses === 1 ? this.heeded(guest, running) : before.calls;
    return this.push({
      ...base,
      ...step,
      logic: { ...before, drivers, faults, held, kicks, calls },
      ...resultOf(live),
    });
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

  /**
   * Lets seconds pass, and forgets addresses that have not been seen for the ageing time, as the switch's main thread does once
   * a second. Undefined: the worker is in the middle of a call, and may hold the lock of the table.
   */
  passTime(seconds: number): Step | undefined {
    const { logic, world } = this;
    if (logic.device.call) return undefined;
    const now = logic.now + seconds;
    const unit: Unit = { do: "time", seconds };
    const step = this.push({ actor: "device", what: "time", unit, address: 0, length: 0, logic: { ...logic, now } });
    const written = traceChanges(world, this.sites, () => world.core.fdbAge(world.bridge.core.at, now));
    for (const { site, change } of written) {
      const { at, after } = change;
      const base = { actor: "device", what: "aged", kind: "write", address: at, length: after.length } as const;
      this.push({ ...base, site, change, logic: this.logic });
    }
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
    const change = storeIn(world, at, new Uint8Array(4));
    const step = deviceStep("call", { ...logic, device, calls, faults });
    return this.push({ ...step, address: at, length: 4, kind: "write", change, queue, lost });
  }

  /** Runs the phase's call from its start, through what is known of it, until `enough` says so or it returns. */
  private runCore(phase: CoreCall, enough: (step: Step) => boolean): void {
    const { call = { kind: phase, first: this.steps.length, now: this.logic.now }, accesses } = this.logic.device;
    const run = new CoreRun(this.world, this.sites, this.steps, call, accesses, (step, made) => {
      step.logic = { ...this.logic, device: { phase, call, accesses: made, calls: [] } };
      this.push(step);
      if (step.change) this.onChange(step);
      const stop = enough(step);
      this.countDown();
      return stop;
    });
    const returned = run.run(() => this.callCore(call));
    if (returned !== undefined) this.returned(call, returned);
  }

  private callCore({ kind, now }: CallRecord): number {
    const { core, bridge } = this.world;
    const worker = bridge.workers[0]!.at;
    if (kind === "poll") return core.poll(bridge.core.at, worker, now);
    if (kind === "arm") return core.arm(worker);
    core.disarm(worker);
    return 0;
  }

  /** What the worker does next (src/switch/worker-thread.ts). */
  private returned(call: CallRecord, result: number): void {
    const { steps, world } = this;
    let last = steps.length - 1;
    while (steps[last]!.what !== "access" || steps[last]!.actor !== "device") last--;
    const device = this.nextPhase(call.kind, result, world);
    for (let i = last; i < steps.length; i++) steps[i]!.logic = { ...steps[i]!.logic, device };
    steps[last]!.returned = result;
  }

  private nextPhase(kind: CoreCall, result: number, { bridge, data }: World): DeviceLogic {
    const next = (phase: DeviceLogic["phase"], calls: number[] = []): DeviceLogic => ({ phase, accesses: 0, calls });
    if (kind === "disarm") return next("poll");
    if (kind === "arm") return next(result === 0 || this.logic.faults.skipRecheck ? "asleep" : "disarm");
    const worker = bridge.workers[0]!;
    const list = worker.get("calls");
    const calls = Array.from({ length: worker.get("callCount") }, (_, i) => data.getUint32(list + i * 4, true));
    if (calls.length > 0) return next("calls", calls);
    return next(result > 0 ? "poll" : "arm");
  }

  // --- drivers and their held stores

  /** A driver that looks at a queue has heard its call. */
  private heeded(guest: number, { operation }: Running): Logic["calls"] {
    const { calls } = this.logic;
    if (operation.do === "receive") return replaced(calls, guest, { ...calls[guest]!, receiveq: false });
    if (operation.do === "reclaim") return replaced(calls, guest, { ...calls[guest]!, transmitq: false });
    return calls;
  }

  private begun(guest: number): DriverLogic {
    const driver = this.logic.drivers[guest]!;
    return driver.running ? driver : { ...driver, queue: driver.queue.slice(1) };
  }

  /** What a driver remembers now, also in the middle of an operation. Not to be changed. */
  driverState(guest: number): DriverState {
    const driver = this.logic.drivers[guest]!;
    return driver.running ? this.operations.at(guest, driver).state : driver.state;
  }

  /** The access that a driver makes next; undefined when it has nothing to do, or ends its operation without one. */
  nextAccess(guest: number): Access | undefined {
    if (!this.driverCanMove(guest)) return undefined;
    const { next } = this.operations.at(guest, this.logic.drivers[guest]!);
    return next.done ? undefined : next.value;
  }

  private afterOperation(guest: number, live: LiveOperation): Logic {
    const { queue } = this.begun(guest);
    this.operations.forget(guest);
    return { ...this.logic, drivers: replaced(this.logic.drivers, guest, { state: live.state, accesses: 0, queue }) };
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
      const change = storeIn(this.world, store.at, store.data);
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

function resultOf({ next }: LiveOperation): { result?: string } {
  return next.done ? { result: next.value } : {};
}
