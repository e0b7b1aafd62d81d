// A benchmark run: starts what is ours, attaches the generator to every back-end, and has the methods take their
// windows, one setting after the other.

import { allowedCpus, pinThread, setSessionPriority, setThreadPriority } from "../sys/affinity.js";
import { BackEnd } from "./back-end.js";
import { CoreProbe } from "./core-probe.js";
import { describeEnvironment } from "./environment.js";
import { measureLatency, measureLoss } from "./method-load.js";
import { measureMrr, measureRate, WARM_UP } from "./method-rate.js";
import { type BenchOptions, bufferFrame, checkOptions, type Method, type Setting, settingsOf } from "./options.js";
import { type BenchResult, emptyResult } from "./result.js";
import { Rig } from "./rig.js";
import { type BenchHooks, Interrupted, Stage } from "./stage.js";

/** What a window takes beside its traffic: probes, starting and holding processes. Seconds. */
const WINDOW_OVERHEAD = 0.02;
const SEARCH_WINDOWS_USUAL = 18;

/** Seconds that a run takes if no window has to be taken again. */
export function estimateSeconds(options: BenchOptions): number {
  const { methods, windows } = options;
  const needed: Record<Method, number> = {
    mrr: windows,
    ndr: SEARCH_WINDOWS_USUAL,
    pdr: SEARCH_WINDOWS_USUAL,
    loss: 9 * Math.ceil(windows / 3),
    latency: 4 * windows + (methods.includes("pdr") ? 0 : SEARCH_WINDOWS_USUAL),
  };
  const count = methods.reduce((sum, method) => sum + needed[method], methods.includes("mrr") ? 0 : 3);
  const window = options.duration * (1 + WARM_UP) + WINDOW_OVERHEAD;
  return settingsOf(options).length * options.backEnds.length * count * window;
}

/** Runs it all. Rejects with a sentence when a back-end cannot be started, attached to, or is lost on the way. */
export async function runBench(options: BenchOptions, command: string, hooks: BenchHooks): Promise<BenchResult> {
  checkOptions(options);
  const run = new BenchRun(options, command, hooks);
  try {
    await run.start();
    await run.measure();
    return run.finish();
  } finally {
    await run.close();
  }
}

class BenchRun {
  private readonly begun = performance.now();
  private readonly result: BenchResult;
  private readonly backEnds: BackEnd[] = [];
  /** Of this process's session, before it was changed. */
  private sessionNice: number | undefined;
  /** Of this thread, before it was pinned. */
  private cpusBefore: number[] | undefined;
  private probe: CoreProbe | undefined;
  private stage: Stage | undefined;
  private shape = "";

  constructor(
    private readonly options: BenchOptions,
    command: string,
    private readonly hooks: BenchHooks,
  ) {
    this.result = { ...emptyResult(command, describeEnvironment(options.hugePages)), wrong: 0 };
  }

  async start(): Promise<void> {
    const { backEnds, ports, queues, flows, workers, poll, cpus, nice } = this.options;
    const most = Math.max(...ports);
    const addresses = Math.max(...flows);
    // Before any other of the same session, so that this value is the old one, and is put back last.
    if (nice !== undefined) this.sessionNice = setSessionPriority(process.pid, nice);
    for (const spec of backEnds) {
      const backEnd = await BackEnd.start(spec, { ports: most, pairs: queues, addresses, workers, poll });
      this.backEnds.push(backEnd);
      backEnd.place(cpus[1], nice);
      this.result.backEnds.push(backEnd.info);
      if (spec.kind === "sockets" && spec.pid === undefined && backEnds.length > 1) {
        this.result.notes.push(`${spec.name} was not held while others were measured: its process is not known`);
      }
    }
    this.cpusBefore = allowedCpus();
    pinThread([cpus[0]]);
    if (nice !== undefined) setThreadPriority(nice);
    this.probe = await CoreProbe.start({ cpu: cpus[1], nice });
    this.stage = new Stage(this.options, this.result, this.probe, this.hooks);
  }

  async measure(): Promise<void> {
    try {
      const settings = settingsOf(this.options);
      // A back-end without it is found out now, and not when all smaller frames have been measured.
      const demanding = settings.find(({ frame }) => frame === "tso");
      if (demanding !== undefined) await this.attach(demanding);
      for (const setting of settings) {
        await this.attach(setting);
        await this.measureSetting(this.stage!, setting);
      }
    } catch (error) {
      if (!(error instanceof Interrupted)) throw error;
      this.result.notes.push("ended early: not everything that was asked for was measured");
    }
  }

  finish(): BenchResult {
    this.result.seconds = (performance.now() - this.begun) / 1000;
    return this.result;
  }

  async close(): Promise<void> {
    await this.detach();
    await Promise.all(this.backEnds.map((backEnd) => backEnd.close()));
    await this.probe?.close();
    if (this.cpusBefore !== undefined) pinThread(this.cpusBefore);
    if (this.sessionNice !== undefined) setSessionPriority(process.pid, this.sessionNice);
  }

  private async measureSetting(stage: Stage, setting: Setting): Promise<void> {
    const wants = (method: Method) => this.options.methods.includes(method);
    stage.prepare(setting);
    const mrr = await measureMrr(stage, setting, wants("mrr"));
    if (wants("ndr")) await measureRate(stage, setting, "ndr", mrr, true);
    if (wants("loss")) await measureLoss(stage, setting, mrr);
    if (!wants("pdr") && !wants("latency")) return;
    const pdr = await measureRate(stage, setting, "pdr", mrr, wants("pdr"));
    if (wants("latency")) await measureLatency(stage, setting, pdr);
  }

  /** Guests whose queues fit the setting; those of the setting before when they do. */
  private async attach({ frame, flows, ports }: Setting): Promise<void> {
    const { queues, queueSize, ring, hugePages, cpus, nice } = this.options;
    const shape = {
      ports,
      pairs: queues,
      queueSize,
      ring,
      frameBytes: bufferFrame(frame),
      segmentation: frame === "tso",
      flows,
      hugePages,
    };
    if (JSON.stringify(shape) === this.shape) return;
    await this.detach();
    const stage = this.stage!;
    const targets = this.backEnds.map((backEnd) => backEnd.target(ports));
    const rig = await Rig.attach(targets, shape);
    stage.rig = rig;
    this.shape = JSON.stringify(shape);
    const { driver, memory } = rig;
    stage.subjects = this.backEnds.map((backEnd, i) => ({ backEnd, guests: rig.guests[i]!, driver }));
    for (const { backEnd, guests } of stage.subjects) {
      await backEnd.attached(guests, { memory, cpu: cpus[1], nice });
      backEnd.hold();
    }
  }

  private async detach(): Promise<void> {
    for (const backEnd of this.backEnds) {
      if (backEnd.fault === undefined) backEnd.resume();
      await backEnd.detached();
    }
    const rig = this.stage?.rig;
    if (!rig) return;
    this.stage!.rig = undefined;
    await rig.close();
  }
}
