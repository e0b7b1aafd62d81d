// An expanded scenario at work: a lab for each switch, links, guests, sources of traffic and faults, in one time.

import { MILLISECOND, type VirtualClock } from "../testing/clock.js";
import type { Fault } from "../testing/faults.js";
import { tcp } from "../testing/frames/transport.js";
import type { LabGuest, LabGuestOptions } from "../testing/guest.js";
import { planGuest } from "../testing/guest-plan.js";
import { createLab, type Lab } from "../testing/lab.js";
import { type Link, linkLabs } from "../testing/links.js";
import { Random } from "../testing/random.js";
import {
  constantRate,
  Exchange,
  type Flow,
  IMIX,
  poisson,
  type RateOptions,
  replay,
  type Source,
} from "../testing/traffic.js";
import type { WasmSource } from "../testing/wasm.js";
import { durationOf, labFaults } from "./expand.js";
import { guestOptions } from "./guest-options.js";
import { BROADCAST, switchesOf } from "./names.js";
import type { Scenario, TrafficSpec } from "./schema.js";

export interface NetworkOptions {
  /** Keep what the ports see, for a capture. */
  capture?: boolean;
  /** The core's module, where it is not the package's own. */
  wasm?: WasmSource;
  /** Reads a capture that the scenario replays, by its path in the file. Without it a replay is an error. */
  readFile?: (path: string) => Uint8Array;
}

/** What sends: frames of one sender, or requests and their answers. */
export type Sending = Flow | Exchange;

export class Network {
  readonly labs = new Map<string, Lab>();
  readonly guests = new Map<string, LabGuest>();
  readonly links = new Map<string, Link>();
  /** What has begun; flows that begin later are not in it yet. */
  readonly flows = new Map<string, Sending>();

  private constructor(
    readonly scenario: Scenario,
    private readonly options: NetworkOptions,
  ) {}

  /** Makes switches, guests and links; nothing moves yet. Throws when the core cannot be read. */
  static async make(scenario: Scenario, options: NetworkOptions): Promise<Network> {
    const network = new Network(scenario, options);
    await network.build();
    return network;
  }

  get clock(): VirtualClock {
    return this.first.clock;
  }

  private get first(): Lab {
    return this.labs.values().next().value!;
  }

  /** Lets everything happen, to the end and until all is at rest. */
  async run(): Promise<void> {
    const { clock, scenario } = this;
    const duration = durationOf(scenario);
    for (const [name, spec] of Object.entries(scenario.traffic ?? {})) this.schedule(name, spec);
    const faults = labFaults(scenario);
    for (const fault of faults) this.inject(fault);
    await clock.run(duration * MILLISECOND);
    for (const flow of this.flows.values()) flow.stop();
    // What a fault that ends later still holds back comes out before the end.
    const end = Math.max(duration, ...faults.map(endOf));
    if (end > duration) await clock.run((end - duration) * MILLISECOND);
    await clock.settle();
  }

  private async build(): Promise<void> {
    const { scenario, options } = this;
    const switches = switchesOf(scenario);
    const plans = Object.entries(scenario.guests).map(([name, spec]) => {
      return { name, at: spec.switch ?? switches[0]!, options: guestOptions(spec) };
    });
    const { switch: settings = {}, seed = 1 } = scenario;
    for (const [site, name] of switches.entries()) {
      const links = Object.values(scenario.links ?? {}).filter(({ between }) => between.includes(name)).length;
      const own = plans.filter(({ at }) => at === name).map((plan) => plan.options);
      const lab = await createLab({
        seed: site === 0 ? seed : new Random(seed).fork(`switch ${name}`).next(),
        memoryMiB: memoryFor([...own, ...Array.from({ length: links }, () => ({}))]),
        kickMicros: settings["kick-us"],
        callMicros: settings["call-us"],
        fdb: fdbOf(settings),
        capture: options.capture ?? false,
        ...{ keep: false, site, wasm: options.wasm, judge: scenario.judge === "memory" ? true : scenario.judge },
        clock: site === 0 ? undefined : this.first.clock,
      });
      this.labs.set(name, lab);
    }
    for (const plan of plans) this.guests.set(plan.name, await this.labs.get(plan.at)!.guest(plan.name, plan.options));
    for (const [name, { between, rate, delay, loss, queue }] of Object.entries(scenario.links ?? {})) {
      const [a, b] = between.map((end) => this.labs.get(end)!);
      const link = { name: `link ${name}`, bitsPerSecond: rate, delay, loss, queueBytes: queue };
      this.links.set(name, await linkLabs(a!, b!, link));
    }
    for (const lab of this.labs.values()) this.announce(lab);
  }

  /** What guests have said before the beginning has come over the links: each switch knows behind which of them they are. */
  private announce(lab: Lab): void {
    const { bridge, now } = lab.sw;
    const ends = [...this.links.values()].flatMap(({ forth, back }) => [
      { near: back.to, far: forth.to },
      { near: forth.to, far: back.to },
    ]);
    const tell = (from: Lab, behind: LabGuest, came: LabGuest): void => {
      for (const guest of from.guests) {
        if (guest.options.announce ?? true) bridge.learn(behind.device.port, guest.mac, now);
      }
      for (const { near, far } of ends) if (near.lab === from && near !== came) tell(far.lab, behind, far);
    };
    for (const { near, far } of ends) if (near.lab === lab) tell(far.lab, near, far);
  }

  private schedule(name: string, spec: TrafficSpec): void {
    const { start = 0, stop } = spec;
    const { clock } = this;
    clock.after(start * MILLISECOND, () => void this.flows.set(name, this.begin(name, spec)), "background");
    if (stop !== undefined) clock.after(stop * MILLISECOND, () => this.flows.get(name)?.stop(), "background");
  }

  private begin(name: string, spec: TrafficSpec): Sending {
    const from = this.guests.get(spec.from as string)!;
    const { kind = "constant", pair, offload } = spec;
    if (kind === "requests") {
      const { answer, think, timeout, sizes, count = 100 } = spec;
      const server = this.guests.get(spec.to as string)!;
      const request = sizes as number | undefined;
      return new Exchange({ client: from, server, count: count as number, request, answer, think, timeout });
    }
    const options = { pair, offload: typeof offload === "number" ? { segment: offload } : offload };
    // Its random numbers hang on its name, so that what others send is the same without it.
    const random = new Random(this.scenario.seed ?? 1).fork(`flow ${name}`);
    const source = this.source(spec, from);
    return from.lab.traffic(from, (station, flow) => source(station, flow, random), options);
  }

  private source(spec: TrafficSpec, from: LabGuest): Source {
    if (spec.kind === "replay") {
      if (!this.options.readFile) throw new Error(`there is nobody to read ${spec.file}: a replay needs readFile`);
      return replay(this.options.readFile(spec.file!), { speed: spec.speed });
    }
    const to = spec.to === BROADCAST ? BROADCAST : this.guests.get(spec.to as string)!;
    const sizes = spec.sizes === "imix" ? IMIX : (spec.sizes as number | number[] | undefined);
    const options: RateOptions = {
      ...{ to, sizes, perSecond: (spec.rate as number | undefined) ?? 1000 },
      ...{ burst: spec.burst as number | undefined, count: spec.count as number | undefined },
    };
    if (typeof spec.offload === "number") {
      options.make = (number, length) => tcp({ from, to, sequence: number + 1, payload: Math.max(0, length - 54) });
    }
    return spec.kind === "poisson" ? poisson(options) : constantRate(options);
  }

  private inject(fault: Fault): void {
    if (fault.kind === "clock-jump") for (const lab of this.labs.values()) lab.inject(fault);
    else this.guests.get(fault.guest)!.lab.inject(fault);
  }
}

function endOf(fault: Fault): number {
  return (fault.at ?? 0) + ("for" in fault && fault.for !== undefined ? fault.for : 0);
}

function fdbOf(settings: NonNullable<Scenario["switch"]>) {
  const { "fdb-limit": limit, "fdb-port-limit": portLimit, ageing: ageingSeconds } = settings;
  const given = { limit, portLimit: portLimit ?? limit, ageingSeconds };
  return Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined));
}

const PAGE = 4096;
/** For the switch itself. */
const OWN_MIB = 8;

function memoryFor(guests: readonly LabGuestOptions[]): number {
  const bytes = guests.reduce((sum, options) => {
    const { regions = [] } = planGuest(options).device;
    return sum + regions.reduce((all, each) => all + each + 2 * PAGE, 0);
  }, 0);
  return OWN_MIB + Math.ceil(bytes / (1024 * 1024)) + 1;
}
