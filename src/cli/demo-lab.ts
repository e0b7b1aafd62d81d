// What the demo watches: a switch and two guests, each a process of its own, connected by real vhost-user sockets in a
// temporary folder.

import { type ChildProcess, fork } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ControlClient } from "../api/control-client.js";
import type { SwitchStatus } from "../api/status.js";
import { builtFile, endOf } from "../guest/children.js";
import { type CountersReport, GuestChild } from "../guest/guest-child.js";
import { guestMac, type TrafficFlow } from "../guest/traffic.js";

const NAMES = ["vm1", "vm2"];
/** Entries of each ring. Half of it may be under way in each direction, so that no receive ring overflows. */
const QUEUE_SIZE = 1024;
const START_MS = 10_000;
const END_MS = 5000;
/** Milliseconds for the last frames to arrive. */
const DRAIN_MS = 5000;
/** Milliseconds in which the end of a process is heard of. */
const HINDSIGHT_MS = 300;

export interface LabOptions {
  sizes: readonly number[];
  workers?: number;
  /** Address of a live page of the switch, as for `ringbridge run --web`. */
  web?: string;
}

/** Everything at one moment. `guests` in the order of NAMES. */
export interface LabSample {
  guests: CountersReport[];
  status: SwitchStatus;
}

export class DemoLab {
  readonly names = NAMES;
  /** The URL of the live page with its token, if there is one. */
  webUrl: string | undefined;
  /** Rejects, with a sentence, when a guest or the switch ends unasked. */
  readonly failed: Promise<never>;
  private readonly folder = mkdtempSync(join(tmpdir(), "ringbridge-demo-"));
  private readonly control = new ControlClient(join(this.folder, "control.sock"));
  private readonly guests: GuestChild[] = [];
  private switchChild: ChildProcess | undefined;
  private switchExited: Promise<void> = Promise.resolve();
  private closing = false;
  private fail: (error: Error) => void = () => {};

  /** Starts all three. Rejects with a sentence when one of them cannot be; then none is left. */
  static async start(options: LabOptions): Promise<DemoLab> {
    const lab = new DemoLab(options);
    try {
      await lab.startSwitch();
      for (const index of NAMES.keys()) await lab.attach(index);
    } catch (error) {
      await lab.close();
      throw error;
    }
    return lab;
  }

  private constructor(private readonly options: LabOptions) {
    this.failed = new Promise((_, reject) => {
      this.fail = reject;
    });
    this.failed.catch(() => {});
  }

  get switchPid(): number {
    return this.switchChild!.pid!;
  }

  get guestPids(): number[] {
    return this.guests.map(({ pid }) => pid);
  }

  /** Both guests send to each other as fast as the rings allow. */
  run(): void {
    for (const guest of this.guests) guest.run({ sizes: this.options.sizes, window: QUEUE_SIZE / 2 });
  }

  async sample(): Promise<LabSample> {
    const reports = this.guests.map((guest) => guest.sample());
    const all = Promise.all([Promise.all(reports), this.control.status()]);
    const [guests, status] = await this.watched(all);
    return { guests, status };
  }

  /** The outcome of something that needs all processes to live; rejects when one does not. */
  private async watched<T>(work: Promise<T>): Promise<T> {
    work.catch((error: Error) => this.failSoon(error));
    // What fails by itself fails the lab, so only success is waited for here.
    return Promise.race([work.catch(() => this.failed), this.failed]);
  }

  /** Fails with what follows from something else, unless that says more in a moment: a switch that died. */
  private failSoon(error: Error): void {
    setTimeout(() => this.fail(error), HINDSIGHT_MS);
  }

  /** Stops sending and waits until nothing is under way any more; then every frame has arrived, or never will. */
  async drain(): Promise<void> {
    for (const guest of this.guests) guest.pause();
    const end = performance.now() + DRAIN_MS;
    let before = "";
    while (performance.now() < end) {
      const paused = this.guests.map((guest) => guest.report((report) => !report.sending));
      const reports = await this.watched(Promise.all(paused));
      const state = JSON.stringify(reports.map(({ counters }) => counters));
      const pending = reports.some(({ counters }) => counters.pending > 0);
      if (!pending && state === before) return;
      before = state;
    }
  }

  /** Ends all processes and removes the folder. Never rejects. */
  async close(): Promise<void> {
    this.closing = true;
    await Promise.all(this.guests.map((guest) => guest.end()));
    const child = this.switchChild;
    if (child?.connected) child.disconnect();
    const timer = setTimeout(() => child?.kill("SIGKILL"), END_MS);
    await this.switchExited;
    clearTimeout(timer);
    rmSync(this.folder, { recursive: true, force: true });
  }

  private startSwitch(): Promise<void> {
    const words = ["--control", this.control.path, "run", "--log-level", "warn"];
    for (const name of NAMES) words.push("--port", `${name}=listen:${this.socket(name)}`);
    if (this.options.workers !== undefined) words.push("--workers", String(this.options.workers));
    if (this.options.web !== undefined) words.push("--web", this.options.web);
    const child = fork(builtFile("src/cli/demo-switch.js"), words, { stdio: ["ignore", "pipe", "pipe", "ipc"] });
    this.switchChild = child;
    let output = "";
    const end = endOf(child);
    this.switchExited = end.then(() => {});
    return new Promise((resolve, reject) => {
      const late = () => reject(new Error(`the switch was not ready within ${START_MS / 1000} s`));
      const timer = setTimeout(late, START_MS);
      child.stdout!.setEncoding("utf8").on("data", (text: string) => {
        output += text;
        if (!output.includes(" is ready")) return;
        clearTimeout(timer);
        this.webUrl = /^live page: (\S+)/m.exec(output)?.[1];
        resolve();
      });
      void end.then((how) => {
        clearTimeout(timer);
        if (this.closing) return;
        const error = new Error(`the switch ended unexpectedly (${how})`);
        reject(error);
        this.fail(error);
      });
    });
  }

  private async attach(index: number): Promise<void> {
    const name = NAMES[index]!;
    const guest = await GuestChild.start(name, {
      path: this.socket(name),
      mac: guestMac(index + 1),
      flows: FLOWS,
      frameBytes: Math.max(...this.options.sizes),
      queueSize: QUEUE_SIZE,
    });
    this.guests.push(guest);
    guest.failed.catch((error: Error) => this.failSoon(error));
  }

  private socket(name: string): string {
    return join(this.folder, `${name}.sock`);
  }
}

/** One flow from each guest to the other. */
const FLOWS: TrafficFlow[] = NAMES.map((_, index) => ({
  from: guestMac(index + 1),
  to: guestMac(2 - index),
}));
