// Which ports a running switch has: those of its configuration, and those that were plugged over the control socket and
// live until they are unplugged or the switch ends. One change after the other, whoever asks.

import { isAbsolute } from "node:path";
import { checkPort } from "../config/check.js";
import { changesLive, diffConfig, liveConfig } from "../config/diff.js";
import { lookupGroup } from "../config/group.js";
import { ConfigError, describeValue } from "../config/problems.js";
import { PORTS_MAX, type PortConfig, type SwitchConfig } from "../config/schema.js";
import type { PlugResult, PortChange, ReloadResult, SwitchControl, SwitchStatus } from "./status.js";

/** A switch whose ports can be changed one by one or all together. */
export interface ChangeableSwitch extends Omit<SwitchControl, "reload" | "plug" | "unplug"> {
  /** Adds, removes and changes the ports that differ. */
  applyConfig(config: SwitchConfig): Promise<ReloadResult>;
  /** Adds the port, or makes it as it should be; rejects when its socket cannot be had, and then it is not there. */
  setPort(port: PortConfig): Promise<PortChange>;
  /** False when there is none. */
  removePort(name: string): Promise<boolean>;
}

/** What is asked makes no sense beside what there is: HTTP status 409. */
export class PortConflict extends Error {}

/** Who has plugged a port; names as those of ports. */
const OWNER = /^[A-Za-z0-9._-]{1,32}$/;

interface Plugged {
  port: PortConfig;
  owner: string;
}

export class LivePorts {
  private readonly plugged = new Map<string, Plugged>();
  private last: Promise<unknown> = Promise.resolve();

  /**
   * @param config what the switch was started with
   * @param load reads the configuration again; undefined when there is no file
   */
  constructor(
    private readonly running: ChangeableSwitch,
    private config: SwitchConfig,
    private readonly load: (() => SwitchConfig) | undefined,
  ) {}

  /** The status of the switch, in which each plugged port names its owner. */
  status(): SwitchStatus {
    const status = this.running.status();
    const ports = status.ports.map((port) => ({ ...port, owner: this.plugged.get(port.name)?.owner }));
    return { ...status, ports };
  }

  /**
   * Reads the configuration again and applies it; plugged ports stay.
   * @throws ConfigError when it is not accepted, also because of plugged ports, and then nothing was changed
   */
  reload(): Promise<ReloadResult> {
    return this.inTurn(async () => {
      if (this.load === undefined) {
        throw new Error("there is no configuration file to read again: the switch was given flags");
      }
      const wanted = this.load();
      const plugged = [...this.plugged.values()];
      const conflicts = wanted.ports.flatMap((port) => {
        const other = plugged.find(({ port: { name, path } }) => name === port.name || path === port.path);
        return other === undefined ? [] : [conflict(port, other)];
      });
      if (conflicts.length > 0) throw new ConfigError(conflicts);
      const { needsRestart } = diffConfig(this.config, wanted);
      const next = liveConfig(this.config, wanted);
      // Also when a socket cannot be had: that port is wanted, and the next reload tries it again.
      this.config = next;
      const result = await this.running.applyConfig({ ...next, ports: [...next.ports, ...plugged.map((p) => p.port)] });
      return { ...result, needsRestart };
    });
  }

  /**
   * Makes a port be there as `value` says, in the words of a configuration file. Again the same changes nothing.
   * @param owner who asks; only who has plugged a port may change it
   * @throws ConfigError when `value` is no port, PortConflict when it does not go together with what there is, Error when
   *   its socket cannot be had: then there is no such port, also when there was
   */
  plug(name: string, value: unknown, owner: string): Promise<PlugResult> {
    return this.inTurn(async () => {
      const port = checked(name, value, owner);
      this.refuseConflict(port, owner);
      const before = this.plugged.get(name)?.port;
      let change: PortChange;
      try {
        change = await this.running.setPort(port);
      } catch (error) {
        this.plugged.delete(name);
        throw error;
      }
      this.plugged.set(name, { port, owner });
      const live = change === "changed" && before !== undefined && changesLive(before, port);
      return { change, ...(change === "changed" && { live }) };
    });
  }

  /**
   * Takes a plugged port away; false when there is none of that name.
   * @throws PortConflict when it stands in the configuration, or somebody else has plugged it
   */
  unplug(name: string, owner: string): Promise<boolean> {
    return this.inTurn(async () => {
      const there = this.plugged.get(name);
      if (there === undefined) {
        if (!this.config.ports.some((port) => port.name === name)) return false;
        throw new PortConflict(`port ${name} is of the switch's configuration: remove it there, and reload`);
      }
      refuseStranger(name, there.owner, owner);
      await this.running.removePort(name);
      this.plugged.delete(name);
      return true;
    });
  }

  private refuseConflict(port: PortConfig, owner: string): void {
    const there = this.plugged.get(port.name);
    if (there !== undefined) refuseStranger(port.name, there.owner, owner);
    if (this.config.ports.some(({ name }) => name === port.name)) {
      throw new PortConflict(`port ${port.name} is of the switch's configuration: give this one another name`);
    }
    const others = [...this.config.ports, ...[...this.plugged.values()].map((plugged) => plugged.port)];
    const taken = others.find(({ name, path }) => path === port.path && name !== port.name);
    if (taken !== undefined) {
      throw new PortConflict(`port ${port.name}: ${port.path} is the socket of port ${taken.name}: each needs its own`);
    }
    if (port.path === this.config.control) {
      throw new PortConflict(`port ${port.name}: ${port.path} is the control socket: a port needs its own`);
    }
    if (there === undefined && others.length >= PORTS_MAX) {
      throw new PortConflict(`port ${port.name}: the switch has ${PORTS_MAX} ports already, and can have no more`);
    }
  }

  private inTurn<T>(change: () => Promise<T>): Promise<T> {
    const result = this.last.then(change);
    this.last = result.catch(() => {});
    return result;
  }
}

function conflict(port: PortConfig, { port: other, owner }: Plugged): string {
  const by = `was plugged by ${owner}: unplug that first, or change this one`;
  if (port.name === other.name) return `ports.${port.name}: a port of that name ${by}`;
  return `ports.${port.name}: ${port.path} is the socket of port ${other.name}, which ${by}`;
}

function refuseStranger(name: string, owner: string, who: string): void {
  if (owner !== who)
    throw new PortConflict(`port ${name} was plugged by "${owner}", not by "${who}": that may change it`);
}

function checked(name: string, value: unknown, owner: string): PortConfig {
  if (!OWNER.test(owner)) {
    throw new ConfigError([
      `an owner is 1 to 32 letters, digits, dots, dashes or underscores, not ${describeValue(owner)}`,
    ]);
  }
  const { port, problems } = checkPort(name, value, { folder: "/", lookupGroup });
  const lines = problems.map(({ path, text }) => `${path.join(".")}: ${text}`);
  for (const role of ["listen", "connect"] as const) {
    const path = (value as Partial<Record<string, unknown>> | null)?.[role];
    if (typeof path === "string" && path !== "" && !isAbsolute(path)) {
      lines.push(`${name}.${role}: "${path}" is not absolute, and the switch may run elsewhere: begin it with "/"`);
    }
  }
  if (port === undefined || lines.length > 0) throw new ConfigError(lines);
  return port;
}
