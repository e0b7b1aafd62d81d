// An export of Neutron's database as Snabb NFV takes it: six tables, of which the ports of this host become ports of the
// switch. What Snabb would do besides, and this switch does not, is carried along in Snabb's own words, and named.

import { isPlain } from "../vif/switch-port.js";
import { VifRefusal } from "../vif/refusal.js";
import type { Item, Reading, Refused } from "./desired.js";
import { UnreadableFile } from "./read-text.js";
import { securityFilter } from "./snabb-filter.js";
import { readTables, type Row, type Tables } from "./snabb-tables.js";
import type { PortSource } from "./source.js";

/** Where QEMU makes the socket of a port that names none (Snabb's mechanism driver). */
const SOCKET_FOLDER = "/var/lib/libvirt/qemu";

/** A port as neutron2snabb writes it into the configuration of a zone's process. */
export interface SnabbPort {
  port_id: string;
  mac_address: string;
  vlan: unknown;
  ingress_filter?: string;
  egress_filter?: string;
  stateful_filter: boolean;
  rx_police?: unknown;
  tx_police?: unknown;
  tunnel?: Record<string, unknown>;
}

type Details = Record<string, unknown>;

export class SnabbSource implements PortSource {
  readonly text: string;
  readonly watched: { folder: string };

  /** `host` as Neutron knows it: the ports of others are not ours. */
  constructor(
    private readonly folder: string,
    private readonly host: string,
  ) {
    this.text = `the tables of Neutron in ${folder}, host ${host}`;
    this.watched = { folder };
  }

  async read(): Promise<Reading> {
    try {
      return this.items(await readTables(this.folder));
    } catch (error) {
      if (!(error instanceof UnreadableFile)) throw error;
      return { items: [], refused: [], fault: `${this.folder}: ${error.message}` };
    }
  }

  private items(tables: Tables): Reading {
    const items: Item[] = [];
    const refused: Refused[] = [];
    const bindings = byKey(tables.ml2_port_bindings, "port_id");
    const networks = byKey(tables.networks, "id");
    for (const port of tables.ports) {
      const from = `port ${port.id}`;
      const binding = bindings.get(port.id ?? "");
      try {
        const item = binding && this.itemOf(from, port, binding, networks.get(port.network_id ?? ""), tables);
        if (item !== undefined) items.push(item);
      } catch (error) {
        if (!(error instanceof VifRefusal)) throw error;
        refused.push({ from, reason: error.message });
      }
    }
    return { items, refused };
  }

  /** Undefined for what is not of this host, or no vhost-user card. */
  private itemOf(from: string, port: Row, binding: Row, network: Row | undefined, tables: Tables): Item | undefined {
    if (binding.vif_type !== "vhostuser") return undefined;
    const details = detailsOf(binding.vif_details ?? null);
    if ((details.zone_host ?? binding.host) !== this.host) return undefined;
    const snabb = snabbPort(port, details, tables);
    const socket = details.vhostuser_socket ?? `${SOCKET_FOLDER}/${port.id}.socket`;
    const value = {
      port: {
        ...{ id: port.id, mac_address: port.mac_address, network_id: port.network_id, status: port.status ?? "DOWN" },
        admin_state_up: port.admin_state_up !== "0",
        "binding:vif_type": binding.vif_type,
        "binding:vif_details": { ...details, vhostuser_socket: socket },
      },
      network: { id: port.network_id, name: network?.name, ...mtuOf(network) },
    };
    const { zone_port, zone_ip, zone_gbps } = details;
    return { from, value, carried: { zone_port, zone_ip, zone_gbps, ...snabb }, notEnforced: notDone(snabb, details) };
  }
}

function byKey(rows: readonly Row[], key: string): Map<string, Row> {
  return new Map(rows.map((row) => [row[key] ?? "", row]));
}

function mtuOf(network: Row | undefined): { mtu?: number } {
  return network?.mtu && /^\d{1,5}$/.test(network.mtu) ? { mtu: Number(network.mtu) } : {};
}

function detailsOf(text: string | null): Details {
  try {
    const details = JSON.parse(text || "{}") as unknown;
    if (isPlain(details)) return details;
  } catch {
    // Said below.
  }
  throw new VifRefusal(`ml2_port_bindings.vif_details is no map in JSON: ${JSON.stringify(text?.slice(0, 60))}`);
}

function snabbPort(port: Row, details: Details, tables: Tables): SnabbPort {
  const profile = isPlain(details["binding:profile"]) ? details["binding:profile"] : {};
  // A port has one security group in Snabb: the last.
  const bound = tables.securitygroupportbindings.filter(({ port_id }) => port_id === port.id).at(-1);
  const rules = tables.securitygrouprules.filter(
    ({ security_group_id }) => bound !== undefined && security_group_id === bound.security_group_id,
  );
  const [ingress_filter, egress_filter] = [securityFilter(rules, "ingress"), securityFilter(rules, "egress")];
  const tunnel = profile.tunnel_type === "L2TPv3" ? tunnelOf(details, profile) : undefined;
  const { rx_police_gbps: rx_police, tx_police_gbps: tx_police } = profile;
  return {
    ...{ port_id: port.id ?? "", mac_address: port.mac_address ?? "", vlan: details.zone_vlan ?? null },
    ...(ingress_filter !== undefined && { ingress_filter }),
    ...(egress_filter !== undefined && { egress_filter }),
    stateful_filter: profile.packetfilter !== "stateless",
    ...(rx_police !== undefined && { rx_police }),
    ...(tx_police !== undefined && { tx_police }),
    ...(tunnel !== undefined && { tunnel }),
  };
}

function tunnelOf(details: Details, profile: Details): Record<string, unknown> {
  return {
    type: "L2TPv3",
    local_ip: details.zone_ip,
    remote_ip: profile.l2tpv3_remote_ip,
    session: profile.l2tpv3_session,
    local_cookie: profile.l2tpv3_local_cookie,
    remote_cookie: profile.l2tpv3_remote_cookie,
    next_hop: profile.l2tpv3_next_hop,
  };
}

function notDone(snabb: SnabbPort, { zone_gbps }: Details): string[] {
  const lines: string[] = [];
  if (snabb.vlan !== null) lines.push(`vlan ${String(snabb.vlan)}: the switch tags no frames and keeps no VLANs apart`);
  for (const key of ["ingress_filter", "egress_filter"] as const) {
    if (snabb[key] !== undefined) lines.push(`${key}: the switch has no filters`);
  }
  for (const key of ["rx_police", "tx_police"] as const) {
    if (snabb[key] !== undefined) lines.push(`${key} ${String(snabb[key])} Gbit/s: the switch limits no rates`);
  }
  if (zone_gbps != null) lines.push(`zone_gbps ${String(zone_gbps)}: the switch reserves no rates`);
  if (snabb.tunnel !== undefined) lines.push("tunnel L2TPv3: the switch has no tunnels");
  return lines;
}
