// From what a source says to what the switch should have: each refusal alone, and nothing lost by it.

import { describe, expect, test } from "vitest";
import { type Desired, type DesiredPort, type DesireOptions, desire, notEnforced } from "../../src/agent/desired.js";
import { portFile, portId, portName } from "./port-files.js";

const ANYWHERE: DesireOptions = { access: {}, folders: [] };

function settle(items: Record<string, unknown>, before: readonly DesiredPort[] = [], options = ANYWHERE): Desired {
  const list = Object.entries(items).map(([from, value]) => ({ from, value }));
  return desire({ items: list, refused: [] }, before, options);
}

const froms = ({ ports, refused }: Desired) => [ports.map(({ from }) => from), refused.map(({ from }) => from)];

test("a port of Neutron becomes a port of the switch", () => {
  const { ports, refused } = settle({ "a.json": portFile(1, { mtu: 1450 }) }, [], {
    ...ANYWHERE,
    access: { mode: "0660", group: "kvm" },
  });
  expect(refused).toEqual([]);
  expect(ports).toEqual([
    {
      ...{ name: portName(1), from: "a.json", id: portId(1), mac: "fa:16:3e:00:00:01" },
      ...{ network: "b111ebcd-aaad-476d-9671-3746f5436eb4", notEnforced: [] },
      port: { listen: "/run/vm/p1", mode: "0660", group: "kvm", mtu: 1450 },
    },
  ]);
});

describe("what is wrong is refused with the reason, and the others are applied", () => {
  test.each<[string, unknown, RegExp]>([
    ["no map", 7, /must be a map/],
    ["a list", [], /must be a map/],
    ["no port", { x: 1 }, /neither "port" nor/],
    ["no id", { port: {} }, /id must be a UUID/],
    ["a MAC of a group", portFile(2, { port: { mac_address: "ff:ff:ff:ff:ff:ff" } }), /MAC address of one interface/],
    ["a port that is not bound", portFile(2, { port: { "binding:vif_type": "unbound" } }), /has no host/],
    ["no socket", portFile(2, { details: { vhostuser_socket: "" } }), /vhostuser_socket is missing/],
    [
      "a socket that goes up",
      portFile(2, { folder: "/run/vm/x/..", details: { vhostuser_socket: "/run/vm/../../etc/passwd" } }),
      /goes up with "\.\."/,
    ],
    ["a relative socket", portFile(2, { details: { vhostuser_socket: "p2" } }), /not absolute/],
    ["a socket with a NUL", portFile(2, { details: { vhostuser_socket: "/run/a\0b" } }), /control character/],
    ["a socket of many bytes", portFile(2, { folder: `/run/${"x".repeat(120)}` }), /too long for a unix socket/],
    ["an id of many bytes", portFile(2, { port: { id: "a".repeat(5000) } }), /must be a UUID/],
    ["an MTU that is none", portFile(2, { mtu: 20 }), /mtu 20 is none/],
    [
      "the same id",
      portFile(1, { folder: "/run/other", port: { mac_address: "fa:16:3e:00:00:99" } }),
      /the id 00000001-\S+ is that of the port in a\.json/,
    ],
    [
      "the same MAC",
      portFile(2, { port: { mac_address: "FA:16:3E:00:00:01" } }),
      /the MAC address fa:16:3e:00:00:01 is that of the port in a\.json/,
    ],
    [
      "the same socket",
      portFile(2, { details: { vhostuser_socket: "/run/vm/p1" } }),
      /the socket \/run\/vm\/p1 is that of the port in a\.json/,
    ],
    [
      "the same name",
      portFile(2, { port: { id: portId(1).replace(/1b11$/, "1b12") } }),
      /the name tap00000001-00 .* is that of the port in a\.json/,
    ],
  ])("%s", (_, value, reason) => {
    const settled = settle({ "a.json": portFile(1), "b.json": value, "c.json": portFile(3) });
    expect(froms(settled)).toEqual([["a.json", "c.json"], ["b.json"]]);
    expect(settled.refused[0]!.reason).toMatch(reason);
  });

  test("a socket outside of the folders that are allowed", () => {
    const items = { "a.json": portFile(1), "b.json": portFile(2, { folder: "/run/vmx" }) };
    expect(froms(settle(items, [], { ...ANYWHERE, folders: ["/run/vm/"] }))).toEqual([["a.json"], ["b.json"]]);
  });
});

describe("what was there before", () => {
  const before = settle({ "a.json": portFile(1), "b.json": portFile(2) }).ports;

  test("goes on where its place is refused now, and keeps what it has", () => {
    const settled = settle(
      {
        "a.json": portFile(3),
        "b.json": { port: 0 },
        "c.json": portFile(4, { folder: "/x", details: { vhostuser_socket: "/run/vm/p2" } }),
      },
      before,
    );
    expect(froms(settled)).toEqual([
      ["a.json", "b.json"],
      ["b.json", "c.json"],
    ]);
    expect(settled.ports.map(({ name }) => name)).toEqual([portName(3), portName(2)]);
    const unreadable = desire({ items: [], refused: [{ from: "b.json", reason: "is empty" }] }, before, ANYWHERE);
    expect(froms(unreadable)).toEqual([["b.json"], ["b.json"]]);
  });

  test("all goes on when the source cannot be read", () => {
    expect(desire({ items: [], refused: [], fault: "gone" }, before, ANYWHERE).ports).toEqual(before);
  });

  test("comes before what is new, whatever it is called", () => {
    const settled = settle(
      {
        "0.json": portFile(5, { port: { mac_address: "fa:16:3e:00:00:02" } }),
        "a.json": portFile(1),
        "b.json": portFile(2),
      },
      before,
    );
    expect(froms(settled)).toEqual([["a.json", "b.json"], ["0.json"]]);
    expect(
      froms(
        settle(
          { "0.json": portFile(5, { port: { mac_address: "fa:16:3e:00:00:02" } }), "a.json": portFile(1) },
          before,
        ),
      ),
    ).toEqual([["0.json", "a.json"], []]);
  });

  test("two may change sockets with each other", () => {
    const swap = {
      "a.json": portFile(1, { details: { vhostuser_socket: "/run/vm/p2" } }),
      "b.json": portFile(2, { details: { vhostuser_socket: "/run/vm/p1" } }),
    };
    expect(froms(settle(swap, before))).toEqual([["a.json", "b.json"], []]);
  });

  test("a port that changes into what another has stays as it was", () => {
    const settled = settle(
      { "a.json": portFile(1, { port: { mac_address: "fa:16:3e:00:00:02" } }), "b.json": portFile(2) },
      before,
    );
    expect(froms(settled)).toEqual([["a.json", "b.json"], ["a.json"]]);
    expect(settled.ports).toEqual(before);
  });
});

test("what the switch does not do for a port is named", () => {
  const { ports } = settle({
    "a.json": portFile(1, { port: { security_groups: ["7d5e0a4e-0000-4000-8000-000000000000"] } }),
    "b.json": portFile(2, { port: { network_id: "c111ebcd-aaad-476d-9671-3746f5436eb4" } }),
  });
  expect(notEnforced(ports[0]!, ports)).toEqual([
    "security_groups: the switch has no filters",
    expect.stringMatching(/^network: ports of several networks/),
  ]);
  expect(notEnforced(ports[0]!, ports.slice(0, 1))).toEqual(["security_groups: the switch has no filters"]);
});
