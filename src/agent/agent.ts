// The agent: keeps the ports of one owner on a running switch equal to a source, round after round, and reports what became
// of each. It keeps nothing that a round does not find out anew, so agent, switch and guests may end and start in any order.

import { isDeepStrictEqual } from "node:util";
import { RefusedError } from "../api/control-client.js";
import type { PlugResult, PortStatus, SwitchStatus } from "../api/status.js";
import { type DesiredPort, type DesireOptions, desire, notEnforced, type Reading, type Refused } from "./desired.js";
import type { SwitchPort } from "../vif/switch-port.js";
import { FolderWatch, type PortSource } from "./source.js";
import type { AgentState, PortState, ReportedPort, StateFile } from "./state-file.js";

/** What an agent needs of a switch (src/api/control-client.ts). */
export interface AgentSwitch {
  readonly path: string;
  status(): Promise<SwitchStatus>;
  plug(name: string, port: unknown, owner: string): Promise<PlugResult>;
  unplug(name: string, owner: string): Promise<boolean>;
}

/** One thing that happened; written as a line of JSON with the time. */
export type AgentEvent =
  | { event: "source"; fault: string | null }
  | { event: "switch"; reachable: boolean; pid: number | null; reason: string | null }
  | { event: "state-file"; fault: string | null }
  | { event: "refused"; from: string; reason: string }
  | { event: "accepted"; from: string }
  | { event: "added" | "removed"; port: string; id: string | null }
  | { event: "changed"; port: string; id: string; live: boolean }
  | { event: "state"; port: string; id: string; from: PortState | null; to: PortState; reason?: string }
  | { event: "converged"; ports: number };

export interface AgentOptions extends DesireOptions {
  source: PortSource;
  switch: AgentSwitch;
  owner: string;
  state?: StateFile | undefined;
  emit(event: AgentEvent): void;
  /** Milliseconds between two rounds when nobody tells of a change. */
  intervalMs: number;
}

/** Changes come in flocks. */
const FLOCK_MS = 20;
/** A port that the switch could not have is tried again, ever more rarely. */
const RETRY_FIRST_MS = 500;
const RETRY_MAX_MS = 30_000;

interface Failure {
  reason: string;
  port: unknown;
  tries: number;
  again: number;
}

export class Agent {
  private desired: DesiredPort[];
  private refused: Refused[] = [];
  private fault: string | null | undefined;
  private reached: AgentState["switch"] | undefined;
  private reports = new Map<string, ReportedPort>();
  /** What the switch was last given, by port; of the process that it was given to. */
  private applied = new Map<string, unknown>();
  private appliedTo: { pid: number; uptimeMs: number } | undefined;
  private readonly failures = new Map<string, Failure>();
  private converged = false;
  private writeFault: string | null = null;
  private wake: () => void = () => {};
  private poked = false;

  constructor(private readonly options: AgentOptions) {
    this.desired = options.state?.read() ?? [];
  }

  /** Round after round until the signal. */
  async run(signal: AbortSignal): Promise<void> {
    const watch = new FolderWatch(this.options.source.watched, () => this.poke());
    const end = () => this.poke();
    signal.addEventListener("abort", end);
    try {
      while (!signal.aborted) {
        watch.renew();
        await this.round();
        if (!signal.aborted) await this.pause();
      }
    } finally {
      signal.removeEventListener("abort", end);
      watch.stop();
    }
  }

  /** Has the next round begin at once. */
  poke(): void {
    this.poked = true;
    this.wake();
  }

  /** One look at source and switch, and all that follows from it. */
  async round(): Promise<AgentState> {
    this.take(await this.options.source.read());
    let status = await this.ask();
    if (status !== undefined && (await this.apply(status))) status = await this.ask();
    return this.report(status);
  }

  private async pause(): Promise<void> {
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, this.poked ? FLOCK_MS : this.options.intervalMs);
      this.wake = () => {
        clearTimeout(timer);
        setTimeout(resolve, FLOCK_MS);
      };
    });
    this.wake = () => {};
    this.poked = false;
  }

  private take(reading: Reading): void {
    const { emit } = this.options;
    const fault = reading.fault ?? null;
    if (fault !== this.fault) emit({ event: "source", fault });
    this.fault = fault;
    const { ports, refused } = desire(reading, this.desired, this.options);
    this.desired = ports;
    if (fault !== null) return;
    const before = new Map(this.refused.map(({ from, reason }) => [from, reason]));
    for (const { from, reason } of refused) {
      if (before.get(from) !== reason) emit({ event: "refused", from, reason });
      before.delete(from);
    }
    const here = new Set(reading.items.map(({ from }) => from));
    for (const from of before.keys()) if (here.has(from)) emit({ event: "accepted", from });
    this.refused = refused;
  }

  private async ask(): Promise<SwitchStatus | undefined> {
    const { switch: to, emit } = this.options;
    let status: SwitchStatus | undefined;
    let reason: string | null = null;
    try {
      status = await to.status();
    } catch (error) {
      reason = (error as Error).message;
    }
    const now = { control: to.path, reachable: status !== undefined, pid: status?.pid ?? null, reason };
    if (!isDeepStrictEqual(now, this.reached)) {
      const { control: _, ...event } = now;
      emit({ event: "switch", ...event });
    }
    this.reached = now;
    return status;
  }

  /** Makes the switch have what it should. True when it was asked for anything. */
  private async apply(status: SwitchStatus): Promise<boolean> {
    const { pid, uptimeMs } = status;
    // Another process, or another life of the same number, has nothing of what was given.
    if (this.appliedTo?.pid !== pid || uptimeMs < this.appliedTo.uptimeMs) this.applied.clear();
    this.appliedTo = { pid, uptimeMs };
    try {
      const removed = await this.unplugOthers(status);
      const plugged = await this.plugAll(status);
      return removed || plugged;
    } catch {
      // It went away in the middle: the next round begins anew.
      return true;
    }
  }

  private async unplugOthers({ ports }: SwitchStatus): Promise<boolean> {
    const { switch: to, owner, emit } = this.options;
    // Nothing is known yet of what there should be.
    if (this.fault !== null && this.desired.length === 0) return false;
    const wanted = new Map(this.desired.map(({ name, port }) => [name, pathOf(port)]));
    const paths = new Set(wanted.values());
    // Also what has a socket that another is to have: two that change sockets would wait for each other for ever.
    const surplus = ports.filter(
      ({ name, path, owner: whose }) =>
        whose === owner && (!wanted.has(name) || (wanted.get(name) !== path && paths.has(path))),
    );
    for (const { name } of surplus) {
      try {
        await to.unplug(name, owner);
      } catch (error) {
        // Somebody else's meanwhile.
        if (error instanceof RefusedError) continue;
        throw error;
      }
      this.applied.delete(name);
      emit({ event: "removed", port: name, id: this.reports.get(name)?.id ?? null });
    }
    for (const name of this.failures.keys()) if (!wanted.has(name)) this.failures.delete(name);
    return surplus.length > 0;
  }

  private async plugAll({ ports }: SwitchStatus): Promise<boolean> {
    const there = new Set(ports.map(({ name }) => name).filter((name) => this.applied.has(name)));
    let asked = false;
    for (const wanted of this.desired) {
      const { name, port } = wanted;
      if (there.has(name) && isDeepStrictEqual(this.applied.get(name), port)) continue;
      const failure = this.failures.get(name);
      if (failure !== undefined && isDeepStrictEqual(failure.port, port) && performance.now() < failure.again) continue;
      asked = true;
      await this.plug(wanted, failure);
    }
    return asked;
  }

  private async plug({ name, id, port }: DesiredPort, failure: Failure | undefined): Promise<void> {
    const { switch: to, owner, emit } = this.options;
    try {
      const { change, live = false } = await to.plug(name, port, owner);
      this.applied.set(name, port);
      this.failures.delete(name);
      if (change === "added") emit({ event: "added", port: name, id });
      if (change === "changed") emit({ event: "changed", port: name, id, live });
    } catch (error) {
      if (!(error instanceof RefusedError)) throw error;
      this.applied.delete(name);
      const tries = (failure?.tries ?? 0) + 1;
      const wait = Math.min(RETRY_FIRST_MS * 2 ** (tries - 1), RETRY_MAX_MS);
      this.failures.set(name, { reason: error.message, port, tries, again: performance.now() + wait });
    }
  }

  private async report(status: SwitchStatus | undefined): Promise<AgentState> {
    const { source, state: file, owner, emit } = this.options;
    const there = new Map(status?.ports.filter((port) => port.owner === owner).map((port) => [port.name, port]));
    const reports = this.desired.map((port) =>
      this.reportOf(port, status && there.get(port.name), status !== undefined),
    );
    this.reports = new Map(reports.map((report) => [report.name, report]));
    const settled = reports.every(({ state }) => state !== "failed" && state !== "unknown");
    const converged = this.fault === null && settled && this.refused.length === 0;
    if (converged && !this.converged) emit({ event: "converged", ports: reports.length });
    this.converged = converged;
    const state: AgentState = {
      ...{ version: 1, owner, source: { text: source.text, fault: this.fault ?? null } },
      ...{ switch: this.reached!, converged, ports: reports, refused: this.refused },
    };
    await this.write(state, file);
    return state;
  }

  /** A full disk is no reason to leave the ports alone. */
  private async write(state: AgentState, file: StateFile | undefined): Promise<void> {
    let fault: string | null = null;
    try {
      await file?.write(state);
    } catch (error) {
      fault = (error as Error).message;
    }
    if (fault !== this.writeFault) this.options.emit({ event: "state-file", fault });
    this.writeFault = fault;
  }

  private reportOf(port: DesiredPort, now: PortStatus | undefined, reachable: boolean): ReportedPort {
    const before = this.reports.get(port.name);
    const failure = this.failures.get(port.name);
    const state = failure !== undefined && reachable ? "failed" : stateOf(now, reachable);
    const reason = state === "unknown" ? undefined : (failure?.reason ?? now?.lastError);
    const since = before?.state === state ? before.since : new Date().toISOString();
    if (before?.state !== state) {
      const { name, id } = port;
      const because = reason === undefined ? {} : { reason };
      this.options.emit({ event: "state", port: name, id, from: before?.state ?? null, to: state, ...because });
    }
    return {
      ...port,
      notEnforced: notEnforced(port, this.desired),
      state,
      since,
      ...(reason !== undefined && { reason }),
    };
  }
}

function pathOf({ listen, connect }: SwitchPort): string {
  return (listen ?? connect)!;
}

function stateOf(port: PortStatus | undefined, reachable: boolean): PortState {
  if (!reachable) return "unknown";
  if (port === undefined) return "failed";
  if (!port.adminStateUp) return "down";
  if (port.wired) return "wired";
  return port.state === "waiting" ? "waiting" : "connected";
}
