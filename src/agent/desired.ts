// From what a source says to the ports that the switch should have: each is checked by itself, then beside the others. What
// is refused is refused alone, and what the same place said before goes on.

import { isDeepStrictEqual } from "node:util";
import { VifRefusal } from "../vif/refusal.js";
import { type SocketAccess, type SwitchPort, vifChain } from "../vif/switch-port.js";

/** One port as a source has it. */
export interface Item {
  /** Where it stands: a file's name, with what it calls the port when it has many. */
  from: string;
  /** What `vif plug` takes. */
  value: unknown;
  /** Settings for it that are not the switch's: shown with the port as they are. */
  carried?: Record<string, unknown>;
  /** Sentences: which of them the switch does not do. */
  notEnforced?: string[];
}

export interface Refused {
  from: string;
  reason: string;
}

/** What one look at a source gives. */
export interface Reading {
  items: Item[];
  /** Places of which the content makes no sense: half-written, too long, no JSON. */
  refused: Refused[];
  /** The source as a whole cannot be read, and says nothing about any port. */
  fault?: string;
}

/** A port that the switch should have. */
export interface DesiredPort {
  /** Its name on the switch. */
  name: string;
  from: string;
  /** Neutron's id, MAC address and network. */
  id: string;
  mac: string;
  network: string | null;
  port: SwitchPort;
  carried?: Record<string, unknown>;
  notEnforced: string[];
}

export interface Desired {
  ports: DesiredPort[];
  refused: Refused[];
}

/** What all ports of an agent have in common. */
export interface DesireOptions {
  access: SocketAccess;
  /** Sockets must lie in one of these folders; empty: anywhere. */
  folders: readonly string[];
}

/**
 * What the switch should have after a reading.
 * @param before what it should have had until now: it stays where a place is refused, and it comes first where two places
 *   want the same
 */
export function desire(reading: Reading, before: readonly DesiredPort[], options: DesireOptions): Desired {
  if (reading.fault !== undefined) return { ports: [...before], refused: [] };
  const refused = [...reading.refused];
  const asked: DesiredPort[] = [];
  for (const item of reading.items) {
    try {
      asked.push(portOf(item, options));
    } catch (error) {
      if (!(error instanceof VifRefusal)) throw error;
      refused.push({ from: item.from, reason: error.message });
    }
  }
  const old = new Map(before.map((port) => [port.from, port]));
  const accepted = new Accepted();
  for (const { from } of refused) if (old.has(from)) accepted.add(old.get(from)!);
  const stays = asked.filter((port) => isSame(port, old.get(port.from)));
  const comes = asked.filter((port) => !stays.includes(port));
  for (const port of [...stays, ...comes]) {
    const reason = accepted.conflict(port);
    if (reason === undefined) {
      accepted.add(port);
      continue;
    }
    refused.push({ from: port.from, reason });
    const last = old.get(port.from);
    if (last !== undefined && accepted.conflict(last) === undefined) accepted.add(last);
  }
  const ports = accepted.ports.sort((a, b) => (a.from < b.from ? -1 : 1));
  return { ports, refused: refused.sort((a, b) => (a.from < b.from ? -1 : 1)) };
}

function portOf({ from, value, carried, notEnforced = [] }: Item, { access, folders }: DesireOptions): DesiredPort {
  const { name, port, input } = vifChain(value, access);
  const path = (port.listen ?? port.connect)!;
  if (folders.length > 0 && !folders.some((folder) => path.startsWith(`${folder.replace(/\/+$/, "")}/`))) {
    throw new VifRefusal(`the socket ${path} lies outside of ${folders.join(", ")}: move it, or allow its folder`);
  }
  const { id, mac_address, network_id, security_groups } = input.port;
  const groups = Array.isArray(security_groups) && security_groups.length > 0;
  return {
    ...{ name, from, id: id.toLowerCase(), mac: mac_address.toLowerCase() },
    network: network_id ?? input.network?.id ?? null,
    port,
    ...(carried !== undefined && { carried }),
    notEnforced: [...notEnforced, ...(groups ? ["security_groups: the switch has no filters"] : [])],
  };
}

/** Ports that go together, by what no two may have in common. */
class Accepted {
  readonly ports: DesiredPort[] = [];
  private readonly taken = new Map<string, DesiredPort>();

  add(port: DesiredPort): void {
    this.ports.push(port);
    for (const [key] of keysOf(port)) this.taken.set(key, port);
  }

  /** Why the port cannot be beside the others, or undefined. */
  conflict(port: DesiredPort): string | undefined {
    for (const [key, what] of keysOf(port)) {
      const other = this.taken.get(key);
      if (other !== undefined) return `${what} is that of the port in ${other.from} already: give each its own`;
    }
    return undefined;
  }
}

function keysOf({ name, id, mac, port }: DesiredPort): [key: string, what: string][] {
  const path = port.listen ?? port.connect;
  return [
    [`id ${id}`, `the id ${id}`],
    [`mac ${mac}`, `the MAC address ${mac}`],
    [`socket ${path}`, `the socket ${path}`],
    [`name ${name}`, `the name ${name} (from the first 11 characters of the id)`],
  ];
}

/** Whether a place says of its port what it said before; what is only shown with it does not matter. */
function isSame({ notEnforced: _, ...port }: DesiredPort, old: DesiredPort | undefined): boolean {
  if (old === undefined) return false;
  const { notEnforced: __, ...before } = old;
  return isDeepStrictEqual(port, before);
}

const JOINED = "network: ports of several networks are on this switch, which is one broadcast domain: run one for each";

/** What of a port's settings the switch does not do, beside the others: it keeps no networks apart. */
export function notEnforced(port: DesiredPort, all: readonly DesiredPort[]): string[] {
  const others = port.notEnforced.filter((text) => text !== JOINED);
  return all.some(({ network }) => network !== port.network) ? [...others, JOINED] : others;
}
