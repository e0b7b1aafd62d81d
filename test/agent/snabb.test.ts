// The tables of Neutron that Snabb NFV takes: what of them becomes ports of the switch, and what is carried along.

import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { desire } from "../../src/agent/desired.js";
import { securityFilter } from "../../src/agent/snabb-filter.js";
import { SnabbSource } from "../../src/agent/snabb-source.js";
import { parseDefinition, parseRows, type Row } from "../../src/agent/snabb-tables.js";
import { portId, portName } from "./port-files.js";

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "ringbridge-snabb-"));
});
afterEach(() => rmSync(folder, { recursive: true }));

const NET = "b111ebcd-aaad-476d-9671-3746f5436eb4";
const GROUP = "7d5e0a4e-1111-4000-8000-000000000000";
const row = (...fields: (string | null)[]) => `${fields.map((field) => field ?? "\\N").join("\t")}\n`;

const port = (i: number, up = "1") =>
  row("t", portId(i), "", NET, `fa:16:3e:00:00:0${i}`, up, "DOWN", "vm", "compute:nova");
const binding = (i: number, details: Record<string, unknown>, type = "vhostuser", host = "cdn1") =>
  row(portId(i), host, type, "normal", null, JSON.stringify(details));
const rule = (direction: string, ethertype: string, ...more: (string | null)[]) => {
  const [protocol = null, least = null, most = null, prefix = null] = more;
  return row("t", "r", GROUP, null, direction, ethertype, protocol, least, most, prefix);
};

function write(tables: Record<string, string>): void {
  const all = {
    ...{ ml2_network_segments: "", networks: row("t", NET, "private", "ACTIVE", "1", "0"), ports: "" },
    ...{ ml2_port_bindings: "", securitygrouprules: "", securitygroupportbindings: "" },
    ...tables,
  };
  for (const [name, text] of Object.entries(all))
    writeFileSync(join(folder, name.includes(".") ? name : `${name}.txt`), text);
}

const DETAILS = {
  zone_host: "cdn1",
  zone_port: "port0",
  zone_ip: "2006::16",
  zone_vlan: 243,
  zone_gbps: 8,
  port_filter: true,
};
const PROFILE = {
  ...{ rx_police_gbps: 3, tx_police_gbps: 1, tunnel_type: "L2TPv3", l2tpv3_remote_ip: "1:2::8", l2tpv3_session: 16 },
  ...{ l2tpv3_local_cookie: "616263", l2tpv3_remote_cookie: "646566", l2tpv3_next_hop: "2:2::2" },
};

const read = () => new SnabbSource(folder, "cdn1").read();

test("the ports of this host become ports of the switch, with what Snabb would do besides", async () => {
  write({
    ports: port(1) + port(2, "0") + port(3) + port(4),
    ml2_port_bindings:
      binding(1, { ...DETAILS, "binding:profile": PROFILE }) +
      binding(2, {
        ...DETAILS,
        zone_port: "port2",
        "binding:profile": { packetfilter: "stateless" },
        vhostuser_socket: "/run/p2",
        vhostuser_mode: "client",
      }) +
      binding(3, { ...DETAILS, zone_host: "cdn2" }) +
      binding(4, {}, "ovs"),
    securitygrouprules:
      rule("ingress", "IPv4") + rule("ingress", "IPv6", "tcp", "80", null, "fe80::/10") + rule("egress", "IPv4", "udp"),
    securitygroupportbindings: row(portId(1), GROUP),
  });
  const reading = await read();
  const { ports, refused } = desire(reading, [], { access: {}, folders: [] });
  expect(refused).toEqual([]);
  expect(ports.map(({ name, port }) => [name, port])).toEqual([
    [portName(1), { connect: `/var/lib/libvirt/qemu/${portId(1)}.socket` }],
    [portName(2), { listen: "/run/p2", "admin-state-up": false }],
  ]);
  expect(ports[0]!.carried).toEqual({
    ...{ zone_port: "port0", zone_ip: "2006::16", zone_gbps: 8, port_id: portId(1), mac_address: "fa:16:3e:00:00:01" },
    ...{ vlan: 243, stateful_filter: true, rx_police: 3, tx_police: 1 },
    ingress_filter: "((arp or ip) or (ip6 and tcp and dst portrange 80-80 and src net fe80::/10))",
    egress_filter: "(arp or (ip and udp))",
    tunnel: {
      ...{ type: "L2TPv3", local_ip: "2006::16", remote_ip: "1:2::8", session: 16, next_hop: "2:2::2" },
      ...{ local_cookie: "616263", remote_cookie: "646566" },
    },
  });
  expect(ports[0]!.notEnforced.map((text) => text.split(":")[0])).toEqual([
    ...["vlan 243", "ingress_filter", "egress_filter", "rx_police 3 Gbit/s", "tx_police 1 Gbit/s", "zone_gbps 8"],
    "tunnel L2TPv3",
  ]);
  expect(ports[1]!.carried).toMatchObject({ zone_port: "port2", stateful_filter: false });
  expect(ports[1]!.carried).not.toHaveProperty("tunnel");
});

test("columns are in the order of the definition beside the table", async () => {
  const columns = ["id", "mac_address", "admin_state_up", "network_id", "mtu_of_it"];
  const definition = `-- x\nCREATE TABLE \`ports\` (\n${columns.map((c) => `  \`${c}\` varchar(36) NOT NULL,\n`).join("")}  PRIMARY KEY (\`id\`),\n  KEY \`x\` (\`network_id\`)\n) ENGINE=InnoDB;\n`;
  expect(parseDefinition(definition)).toEqual(columns);
  write({
    "ports.sql": definition,
    ports: row(portId(1), "fa:16:3e:00:00:01", "1", NET, "x"),
    "networks.sql": "CREATE TABLE `networks` (\n  `id` varchar(36),\n  `mtu` int\n) x",
    networks: row(NET, "1450"),
    ml2_port_bindings: binding(1, DETAILS),
  });
  const { ports } = desire(await read(), [], { access: {}, folders: [] });
  expect(ports).toMatchObject([{ name: portName(1), network: NET, port: { mtu: 1450 } }]);
  write({ "ports.sql": "CREATE TABLE `ports` (\n  `id` x\n) y" });
  expect((await read()).fault).toMatch(/ports\.sql has no column network_id, mac_address, admin_state_up/);
});

test("rows are as mysqldump writes them", () => {
  expect(parseRows("a\\tb\t\\N\t\\\\N\\n\n", ["x", "y", "z"])).toEqual([{ x: "a\tb", y: null, z: "\\N\n" }]);
  expect(() => parseRows("a\tb", ["x", "y"])).toThrow(/ends in the middle of a line/);
  expect(() => parseRows("a\tb\tc\n", ["x", "y"])).toThrow(/line 1 has 3 columns, and the table 2/);
});

describe("what makes no sense", () => {
  test("a port's details are refused alone", async () => {
    write({
      ports: port(1) + port(2) + port(3),
      ml2_port_bindings:
        binding(1, DETAILS) +
        row(portId(2), "cdn1", "vhostuser", "normal", null, '{"zone_host": ') +
        binding(3, DETAILS),
    });
    const reading = await read();
    expect(reading.items).toHaveLength(2);
    expect(reading.refused).toEqual([
      { from: `port ${portId(2)}`, reason: expect.stringMatching(/vif_details is no map in JSON/) },
    ]);
  });

  test("a table that is not there, or not all of it, says nothing of any port", async () => {
    write({});
    rmSync(join(folder, "securitygrouprules.txt"));
    expect((await read()).fault).toMatch(/securitygrouprules\.txt cannot be read: ENOENT/);
    write({ ports: port(1).slice(0, 40) });
    expect((await read()).fault).toMatch(/ports\.txt ends in the middle of a line/);
    write({});
    expect(await read()).toEqual({ items: [], refused: [] });
  });

  test("a rule of no known family", () => {
    expect(() => securityFilter([{ direction: "ingress", ethertype: "IPX" }], "ingress")).toThrow(/ethertype "ipx"/);
  });
});

test.each<[Row[], string | undefined]>([
  [[{ ethertype: "IPv6" }], "ip6"],
  [[{ ethertype: "IPv4" }], "(arp or ip)"],
  [[{ ethertype: "IPv4", protocol: "tcp" }], "(arp or (ip and tcp))"],
  [
    [{ ethertype: "IPv4", protocol: "udp", port_range_max: "2000" }],
    "(arp or (ip and udp and dst portrange 2000-2000))",
  ],
  [[{ ethertype: "IPv6", protocol: "icmp" }], "(ip6 and icmp6)"],
  [
    [
      { ethertype: "IPv6", protocol: "tcp" },
      { ethertype: "IPv4", protocol: "udp", remote_ip_prefix: "10.0.0.0/8" },
    ],
    "((ip6 and tcp) or (arp or (ip and udp and src net 10.0.0.0/8)))",
  ],
  [[], undefined],
])("a security group is a filter: %j", (rules, filter) => {
  expect(
    securityFilter(
      rules.map((r) => ({ direction: "Ingress", ...r })),
      "ingress",
    ),
  ).toBe(filter);
});
