// The parent's hand on a guest process (guest-process.ts): starts it, tells it what to do, keeps its last report.

import { type ChildProcess, fork } from "node:child_process";
import { builtFile, endOf } from "./children.js";
import type { AttachOptions, GuestCommand, GuestReport, TrafficOptions } from "./guest-messages.js";

export type CountersReport = Extract<GuestReport, { kind: "counters" }>;

/** Milliseconds that a guest may take to leave in good order before it is killed. */
const END_MS = 3000;

export class GuestChild {
  /** The last report, undefined before the first. */
  latest: CountersReport | undefined;
  /** Virtio features in use. */
  features = 0n;
  /** Rejects, with a sentence, when the guest fails or ends unasked; never resolves. */
  readonly failed: Promise<never>;
  private readonly child: ChildProcess;
  private readonly exited: Promise<void>;
  private readonly attached: Promise<void>;
  private ending = false;
  private readonly listeners = new Set<(report: CountersReport) => void>();

  /** Starts a process and attaches it. Rejects with a sentence when that fails; the process has then ended. */
  static async start(name: string, options: AttachOptions): Promise<GuestChild> {
    const guest = new GuestChild(name, options);
    try {
      await Promise.race([guest.attached, guest.failed]);
    } catch (error) {
      await guest.kill();
      throw error;
    }
    return guest;
  }

  private constructor(
    readonly name: string,
    options: AttachOptions,
  ) {
    const child = fork(builtFile("src/guest/guest-process.js"), [], { stdio: ["ignore", "ignore", "pipe", "ipc"] });
    this.child = child;
    const end = endOf(child);
    this.exited = end.then(() => {});
    this.attached = new Promise((resolve) => {
      this.onMessage("attached", ({ features }) => {
        this.features = BigInt(features);
        resolve();
      });
    });
    this.failed = new Promise((_, reject) => {
      this.onMessage("failed", ({ reason }) => reject(new Error(`${name}: ${reason}`)));
      void end.then((how) => {
        if (!this.ending) reject(new Error(`${name} ended unexpectedly (${how})`));
      });
    });
    // Whoever waits for it hears of it; nobody has to.
    this.failed.catch(() => {});
    this.onMessage("counters", (report) => {
      this.latest = report;
      for (const listener of this.listeners) listener(report);
    });
    this.tell({ kind: "attach", options });
  }

  get pid(): number {
    return this.child.pid!;
  }

  /** Sends from now on. */
  run(traffic: TrafficOptions): void {
    this.tell({ kind: "run", traffic });
  }

  /** Sends no more; goes on receiving. */
  pause(): void {
    this.tell({ kind: "pause" });
  }

  /** The counters of now. Rejects when the guest fails first. */
  sample(): Promise<CountersReport> {
    this.tell({ kind: "report" });
    return this.report();
  }

  /** The next report that `wanted` agrees to. Rejects when the guest fails first. */
  report(wanted: (report: CountersReport) => boolean = () => true): Promise<CountersReport> {
    let listener: (report: CountersReport) => void = () => {};
    const found = new Promise<CountersReport>((resolve) => {
      listener = (report) => {
        if (wanted(report)) resolve(report);
      };
      this.listeners.add(listener);
    });
    return Promise.race([found, this.failed]).finally(() => this.listeners.delete(listener));
  }

  /** Leaves the switch in good order and ends the process; `latest` is then its last word. Never rejects. */
  async end(): Promise<void> {
    this.ending = true;
    this.tell({ kind: "end" });
    const timer = setTimeout(() => this.child.kill("SIGKILL"), END_MS);
    await this.exited;
    clearTimeout(timer);
  }

  /** Ends the process at once, as a guest that crashes. */
  async kill(): Promise<void> {
    this.ending = true;
    this.child.kill("SIGKILL");
    await this.exited;
  }

  private tell(command: GuestCommand): void {
    // A process that is about to end may have closed the channel: `failed` says so.
    if (this.child.connected) this.child.send(command, () => {});
  }

  private onMessage<K extends GuestReport["kind"]>(
    kind: K,
    listener: (report: Extract<GuestReport, { kind: K }>) => void,
  ): void {
    this.child.on("message", (report: GuestReport) => {
      if (report.kind === kind) listener(report as Extract<GuestReport, { kind: K }>);
    });
  }
}
