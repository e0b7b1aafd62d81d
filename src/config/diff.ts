// What changes when a configuration is read again, and which part of it a running switch can take.

import { isDeepStrictEqual } from "node:util";
import type { PortConfig, SwitchConfig } from "./schema.js";

/** Names of ports, and the settings (as the file calls them) that only a restart can change. */
export interface ConfigDiff {
  added: string[];
  removed: string[];
  changed: string[];
  unchanged: string[];
  needsRestart: string[];
}

/** Settings that are built into the running switch: the threads, the sizes of its tables, its control socket. */
const RESTART_SETTINGS: { key: string; of: (config: SwitchConfig) => unknown }[] = [
  { key: "workers", of: (config) => config.workers },
  { key: "poll", of: (config) => config.poll },
  { key: "spin-us", of: (config) => config.spinUs },
  { key: "control", of: (config) => config.control },
  { key: "web", of: (config) => JSON.stringify(config.web) },
  { key: "fdb.ageing", of: (config) => config.fdb.ageing },
  { key: "fdb.limit", of: (config) => config.fdb.limit },
  { key: "fdb.per-port-limit", of: (config) => config.fdb.perPortLimit },
];

/** Compares two configurations, ports by name. */
export function diffConfig(before: SwitchConfig, after: SwitchConfig): ConfigDiff {
  const old = new Map(before.ports.map((port) => [port.name, port]));
  const kept = after.ports.filter((port) => old.has(port.name));
  const same = (port: PortConfig) => isDeepStrictEqual(port, old.get(port.name));
  const names = (ports: readonly PortConfig[]) => ports.map((port) => port.name);
  return {
    added: names(after.ports.filter((port) => !old.has(port.name))),
    removed: names(before.ports.filter((port) => !after.ports.some(({ name }) => name === port.name))),
    changed: names(kept.filter((port) => !same(port))),
    unchanged: names(kept.filter(same)),
    needsRestart: RESTART_SETTINGS.filter(({ of }) => of(before) !== of(after)).map(({ key }) => key),
  };
}

/** Whether a port that is attached and forwards can take the change as it is, and loses nothing by it. */
export function changesLive(before: PortConfig, after: PortConfig): boolean {
  const fixed = ({ mtu: _, adminStateUp: __, ...rest }: PortConfig) => rest;
  return isDeepStrictEqual(fixed(before), fixed(after));
}

/** The part of `after` that a switch running `before` can take: its ports. Everything else stays as it runs. */
export function liveConfig(before: SwitchConfig, after: SwitchConfig): SwitchConfig {
  return { ...before, ports: after.ports };
}
