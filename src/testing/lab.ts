// The lab: a switch and its guests in one thread, under a virtual clock. The same core and the same host code as in the
// running switch; instead of eventfds and workers there are events.

import { DROP_CAUSE_NAMES } from "../core/causes.js";
import { get16, get32 } from "./bytes.js";
import { Capture } from "./capture.js";
import { MILLISECOND, SECOND, VirtualClock } from "./clock.js";
import { CoreSwitch } from "./core-switch.js";
import { applyFault, type Fault } from "./faults.js";
import { LabGuest, type LabGuestOptions, type SendOptions } from "./guest.js";
import { RingJudge } from "./judge/judge.js";
import { Ledger } from "./ledger.js";
import { Random } from "./random.js";
import { replayCommand, seedFromEnvironment } from "./replay.js";
import { Flow, type Source } from "./traffic.js";
import { type LabBuild, labMemory, loadCore, type WasmSource } from "./wasm.js";

/** What a lab is made with; all of it may be left out. */
export interface LabOptions {
  /** Everything that is left to chance comes from it. Default RINGBRIDGE_SEED of the environment, else 1. */
  seed?: number;
  /** Linear memory for the switch and all guests' RAM. Default 64. */
  memoryMiB?: number;
  /** Default "browser": no shared memory. "release" and "checked" are what the running switch and its tests use. */
  build?: LabBuild;
  /** The core's module, where the package's own files cannot be read. */
  wasm?: WasmSource;
  /** Microseconds that a kick takes to wake the switch, and a call to reach the guest. Default 1 and 1. */
  kickMicros?: number;
  callMicros?: number;
  fdb?: Partial<{ limit: number; portLimit: number; ageingSeconds: number }>;
  /** Whether what the ports saw is kept for `pcapng()`. Default true. */
  capture?: boolean;
  /** Whether guests keep the frames they have taken: without, a lab may run for ever. Default true. */
  keep?: boolean;
  /**
   * Judges every ring by the specification before and after each step of the switch; with true also every byte of the
   * guests' memory, which takes a copy of it for each step. Default false.
   */
  judge?: boolean | "rings";
  /** That of another lab: labs that are linked live in one time. */
  clock?: VirtualClock;
  /** 0 to 255, in the addresses of its guests: labs that are linked have different ones. Default 0. */
  site?: number;
}

/** The second at which the switch's clock starts, so that it can jump back. */
const EPOCH = 1_000_000;

/** Makes a lab with a switch and no guests. Throws when the core's module cannot be read. */
export async function createLab(options: LabOptions = {}): Promise<Lab> {
  const build = options.build ?? "browser";
  const module = await loadCore(build, options.wasm);
  return new Lab(
    options,
    new CoreSwitch({ module, memory: labMemory(build, options.memoryMiB ?? 64), fresh: true, fdb: options.fdb }),
  );
}

/** A switch and its guests in one thread, under a virtual clock. */
export class Lab {
  readonly seed: number;
  readonly random: Random;
  readonly clock: VirtualClock;
  readonly guests: LabGuest[] = [];
  private readonly byPort = new Map<number, LabGuest>();
  private readonly byAddress = new Map<number, LabGuest>();
  readonly ledger = new Ledger();
  readonly capture: Capture;
  /** Seconds that the switch's clock is off the lab's: faults move it. */
  clockOffset = 0;
  /** Looks on when it was asked for: throws at the first rule of the rings that the switch breaks. */
  readonly judge: RingJudge | undefined;
  private readonly kickDelay: number;
  private readonly callDelay: number;
  /** When the last kick that was sent arrives; undefined once it has. */
  private wakeAt: number | undefined;
  private flows = 0;
  /** Exchanges that clients of this lab have begun (traffic.ts). */
  exchanges = 0;

  /** Use `createLab`. */
  constructor(
    readonly options: LabOptions,
    readonly sw: CoreSwitch,
  ) {
    this.seed = options.seed ?? seedFromEnvironment() ?? 1;
    this.random = new Random(this.seed);
    this.clock = options.clock ?? new VirtualClock();
    this.capture = new Capture(options.capture ?? true);
    this.judge = options.judge ? new RingJudge(sw, options.judge === true) : undefined;
    this.kickDelay = (options.kickMicros ?? 1) * 1000;
    this.callDelay = (options.callMicros ?? 1) * 1000;
    sw.bridge.workers[0]!.set("fragmentId", this.random.fork("fragments").next());
    sw.bridge.onTransmitqs = () => this.clock.after(0, () => this.wake());
    this.clock.after(SECOND, () => this.tick(), "background");
  }

  /** Milliseconds since the lab's clock began. */
  get now(): number {
    return this.clock.now / MILLISECOND;
  }

  /** Adds a guest: its rings run, and the switch knows its address. Throws when memory is used up or the name is taken. */
  async guest(name: string, options: LabGuestOptions = {}): Promise<LabGuest> {
    if (this.guests.some((guest) => guest.name === name)) throw new Error(`the lab has a guest "${name}" already`);
    const guest = new LabGuest(this, name, this.guests.length, options);
    this.guests.push(guest);
    this.byPort.set(guest.port, guest);
    this.byAddress.set(addressKey(guest.macOctets), guest);
    await guest.start();
    return guest;
  }

  /** The guest of that name. Throws when there is none. */
  named(name: string): LabGuest {
    const guest = this.guests.find((each) => each.name === name);
    if (!guest) throw new Error(`the lab has no guest "${name}"`);
    return guest;
  }

  /** The guest that a frame is for by its destination address; undefined when there is none. */
  guestFor(frame: Uint8Array): LabGuest | undefined {
    return this.byAddress.get(addressKey(frame));
  }

  /** Lets that many milliseconds pass. */
  async run(milliseconds: number): Promise<void> {
    await this.clock.run(milliseconds * MILLISECOND);
  }

  /** Lets time pass until no frame and no notification is under way any more. */
  async settle(): Promise<void> {
    await this.clock.settle();
  }

  /** Starts a source of frames at a guest, now. */
  traffic(from: LabGuest, source: Source, options: Pick<SendOptions, "pair" | "offload"> = {}): Flow {
    const number = this.flows++;
    return new Flow(this, from, source, number, this.random.fork(`flow ${number}`), options);
  }

  /** Lets faults happen, each at its time; one whose time has passed happens at once. */
  inject(...faults: Fault[]): void {
    for (const fault of faults) {
      const delay = (fault.at ?? this.now) * MILLISECOND - this.clock.now;
      this.clock.after(delay, () => applyFault(this, fault), "background");
    }
  }

  /** Drops of all ports that are not 0, by the names of their causes. */
  drops(): Record<string, number> {
    const sums: Record<string, number> = {};
    for (const guest of this.guests) {
      for (const [name, count] of Object.entries(guest.drops())) sums[name] = (sums[name] ?? 0) + count;
    }
    // In the order of the causes, not in that of the guests.
    return Object.fromEntries(DROP_CAUSE_NAMES.filter((name) => name in sums).map((name) => [name, sums[name]!]));
  }

  /** Addresses that the switch has learned, with the guest behind each, in the order of the addresses. */
  addresses(): { mac: string; guest: string }[] {
    const { bridge } = this.sw;
    return bridge
      .fdbEntries()
      .map(({ mac, port }) => ({ mac, guest: this.guests.find((guest) => guest.port === port)?.name ?? "" }))
      .sort((a, b) => (a.mac < b.mac ? -1 : 1));
  }

  /** What the ports saw so far, as a pcapng file: the same bytes for the same seed and program. */
  pcapng(): Uint8Array {
    return this.capture.pcapng();
  }

  /** How to make this lab again, for messages. */
  get replay(): string {
    const { clock: _clock, wasm: _wasm, ...plain } = this.options;
    return `createLab(${JSON.stringify({ ...plain, seed: this.seed })})${replayCommand(this.seed)}`;
  }

  /** A driver kicks the switch; `extra`: nanoseconds that the kick is late. */
  kick(extra: number): void {
    // Kicks that arrive at one moment are one, as they are in an eventfd's counter.
    const at = this.clock.now + Math.round(this.kickDelay + extra);
    if (this.wakeAt === at) return;
    this.wakeAt = at;
    this.clock.after(at - this.clock.now, () => {
      if (this.wakeAt === at) this.wakeAt = undefined;
      this.wake();
    });
  }

  /** The switch wakes, moves all there is to move, and sleeps again (src/switch/worker-thread.ts does the same). */
  private wake(): void {
    const { sw } = this;
    this.setSeconds();
    let moved = 0;
    do {
      sw.disarm();
      moved = 0;
      for (let frames = sw.poll(); frames > 0; frames = sw.poll()) {
        moved += frames;
        this.call();
      }
      // What a driver made available while its kick was being asked for is looked for once more.
    } while (sw.arm() && moved > 0);
  }

  private call(): void {
    for (const { port, index } of this.sw.takeCalls()) {
      this.byPort.get(port)!.called(index, this.callDelay);
    }
  }

  private setSeconds(): void {
    this.sw.now = EPOCH + Math.floor(this.clock.now / SECOND) + this.clockOffset;
  }

  /** What the running switch does once a second. */
  private tick(): void {
    this.setSeconds();
    if (this.sw.bridge.ageFdb(this.sw.now) > 0) this.ledger.flooded = true;
    this.clock.after(SECOND, () => this.tick(), "background");
  }
}

/** The six octets that a frame begins with, as one number. */
function addressKey(octets: Uint8Array): number {
  return get16(octets, 0) * 2 ** 32 + get32(octets, 2);
}
