// `ringbridge vif plug | unplug | list | explain` beside a switch that is nothing but its ports.

import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { main } from "../../src/cli/program.js";
import { PortSwitch } from "../api/port-switch.js";
import { cases } from "../vif/cases.js";
import { FakeIo } from "./fake-io.js";

let folder: string;
let control: string;
let ports: PortSwitch;
beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), "ringbridge-plug-"));
  control = join(folder, "control");
  ports = await PortSwitch.start(control);
});
afterEach(async () => {
  await ports.close();
  rmSync(folder, { recursive: true });
});

const ID = "a75e5c46-1d8c-4b7c-9d3a-0f2f4d6a1b11";

/** A port of Neutron, bound to a switch that needs no plugin. */
function neutronPort(more: Record<string, unknown> = {}, details: Record<string, unknown> = {}) {
  return {
    ...{ id: ID, mac_address: "fa:16:3e:1e:b0:20", network_id: "b111ebcd-aaad-476d-9671-3746f5436eb4" },
    "binding:vif_type": "vhostuser",
    "binding:vif_details": { vhostuser_mode: "server", vhostuser_socket: `/run/vm/${ID}`, ...details },
    ...more,
  };
}

async function run(args: string[], input: unknown = "") {
  const io = new FakeIo();
  io.input = typeof input === "string" ? input : JSON.stringify(input);
  const code = await main(["--control", control, "vif", ...args], io);
  return {
    code,
    out: io.out,
    err: io.err,
    json: io.out.startsWith("{") || io.out.startsWith("[") ? JSON.parse(io.out) : undefined,
  };
}

describe("vif plug", () => {
  test("makes the switch's port, in the opposite role of QEMU's; again the same changes nothing", async () => {
    const input = { port: neutronPort(), network: { mtu: 1450 } };
    expect((await run(["plug"], input)).json).toEqual({ name: "tapa75e5c46-1d", change: "added" });
    expect([...ports.configs.values()]).toEqual([
      { name: "tapa75e5c46-1d", role: "connect", path: `/run/vm/${ID}`, queues: 8, mtu: 1450 },
    ]);
    expect((await run(["plug"], input)).json).toEqual({ name: "tapa75e5c46-1d", change: "unchanged" });
    expect(ports.changes).toEqual(["+tapa75e5c46-1d"]);
  });

  test("a change of the network's MTU or of the admin state is live, one of the socket is not", async () => {
    await run(["plug"], { port: neutronPort() });
    const change = async (port: unknown, network?: unknown) => (await run(["plug"], { port, network })).json;
    expect(await change(neutronPort(), { mtu: 9000 })).toMatchObject({ change: "changed", live: true });
    expect(await change(neutronPort({ admin_state_up: false }), { mtu: 9000 })).toMatchObject({
      change: "changed",
      live: true,
    });
    expect(ports.ports[0]).toMatchObject({ adminStateUp: false, mtu: 9000 });
    expect(await change(neutronPort({}, { vhostuser_mode: "client" }))).toMatchObject({
      change: "changed",
      live: false,
    });
    expect(ports.ports[0]).toMatchObject({ role: "listen", adminStateUp: true });
  });

  test("takes a port alone, one that is to be bound, and as many queue pairs as the guest may have", async () => {
    expect((await run(["plug"], neutronPort())).json).toMatchObject({ change: "added" });
    const [chain] = cases("neutron-chain");
    const unbound = { ...chain!.input, port: { mac_address: "fa:16:3e:1e:b0:21", id: ID.replace("a75e", "b75e") } };
    unbound.flavor = { ...unbound.flavor, vcpus: 20 };
    expect((await run(["plug"], unbound)).json).toEqual({ name: "vhub75e5c46-1d", change: "added" });
    expect(ports.configs.get("vhub75e5c46-1d")).toMatchObject({
      role: "connect",
      path: "/run/vswitch/vhub75e5c46-1d",
      queues: 20,
    });
  });

  test("--socket-mode and --socket-group are of sockets that the switch makes", async () => {
    await run(["plug", "--socket-mode", "0660", "--socket-group", "0"], neutronPort({}, { vhostuser_mode: "client" }));
    expect([...ports.configs.values()]).toMatchObject([{ role: "listen", mode: 0o660, group: "0", gid: 0 }]);
  });

  test.each<[string, unknown, RegExp]>([
    ["no map", 7, /must be a map/],
    ["no port", {}, /neither "port" nor/],
    ["not bound", neutronPort({ "binding:vif_type": "unbound" }), /has no host/],
    ["the kernel's datapath", neutronPort({ "binding:vif_type": "ovs" }), /no vhost-user card/],
    ["a relative socket", neutronPort({}, { vhostuser_socket: "vm1" }), /not absolute/],
    ["a socket that goes up", neutronPort({}, { vhostuser_socket: "/run/vm/../../etc/x" }), /goes up with "\.\."/],
    [
      "a socket of many bytes",
      neutronPort({}, { vhostuser_socket: `/run/${"x".repeat(200)}` }),
      /too long for a unix socket/,
    ],
    ["the control socket's", neutronPort({}, { vhostuser_socket: "CONTROL" }), /is the control socket/],
    ["an MTU that is none", { port: neutronPort(), network: { mtu: 40 } }, /mtu 40 is none of 68/],
    [
      "too many queue pairs",
      { port: neutronPort(), flavor: { vcpus: 200, extra_specs: { "hw:vif_multiqueue_enabled": true } } },
      /200 queue pairs/,
    ],
  ])("%s is refused: exit code 2, one line", async (_, input, reason) => {
    const text = JSON.stringify(input).replace("CONTROL", control);
    const { code, out, err } = await run(["plug"], text);
    expect([code, out]).toEqual([2, ""]);
    expect(err).toMatch(/^ringbridge: [^\n]+\n$/);
    expect(err).toMatch(reason);
    expect(ports.changes).toEqual([]);
  });

  test("of a list what can be is plugged, and the rest has its reason", async () => {
    const other = neutronPort({ id: ID.replace("a75e", "c75e") });
    const { code, json } = await run(["plug", "-"], [neutronPort(), 3, other]);
    expect(code).toBe(0);
    expect(json).toEqual([
      { name: "tapa75e5c46-1d", change: "added" },
      { error: expect.stringMatching(/must be a map/) },
      { error: `port tapc75e5c46-1d: /run/vm/${ID} is the socket of port tapa75e5c46-1d: each needs its own` },
    ]);
  });

  test("a socket that cannot be had, and a switch that is not there, end with 1", async () => {
    ports.taken.add(`/run/vm/${ID}`);
    expect(await run(["plug"], neutronPort())).toMatchObject({
      code: 1,
      err: expect.stringMatching(/process 1 listens here/),
    });
    control = join(folder, "none");
    expect(await run(["plug"], neutronPort())).toMatchObject({
      code: 1,
      err: expect.stringMatching(/no switch runs here/),
    });
  });
});

describe("vif unplug", () => {
  test.each<[string, unknown]>([
    ["what plug takes", { port: neutronPort() }],
    ["a port", neutronPort()],
    ["an id", { id: ID }],
    ["a name", { name: "tapa75e5c46-1d" }],
  ])("by %s; there being none is no mistake", async (_, input) => {
    await run(["plug"], neutronPort());
    expect((await run(["unplug"], input)).json).toEqual({ name: "tapa75e5c46-1d", removed: true });
    expect(ports.configs.size).toBe(0);
    const again = await run(["unplug"], input);
    expect([again.code, again.json.removed]).toEqual([0, false]);
  });

  test("what others have plugged is refused", async () => {
    await run(["plug", "--owner", "agent"], neutronPort());
    expect(await run(["unplug"], { id: ID })).toMatchObject({
      code: 2,
      err: expect.stringMatching(/was plugged by "agent"/),
    });
    expect((await run(["unplug"], { id: 7 })).err).toMatch(/must be a port's UUID/);
  });
});

test("vif list shows whose each port is and whether its guest is there", async () => {
  expect((await run(["list"])).out).toBe("no ports\n");
  await run(["plug"], { port: neutronPort({ admin_state_up: false }), network: { mtu: 1450 } });
  expect((await run(["list"])).out).toMatch(
    /PORT +OWNER +ADMIN +STATE +FOR +WIRED +MTU +SOCKET *\ntapa75e5c46-1d +vif +down +waiting +1 min 5 s +no +1450 +connect \/run\/vm/,
  );
  expect((await run(["list", "--json"])).json).toMatchObject([
    { name: "tapa75e5c46-1d", owner: "vif", wired: false, adminStateUp: false, mtu: 1450, lastError: null },
  ]);
});

describe("vif explain", () => {
  const [bound] = cases("neutron-chain");
  const full = { ...bound!.input, port: { ...bound!.input.port, mac_address: "fa:16:3e:1e:b0:20" } };

  test("walks the whole chain and says which step made what", async () => {
    const { code, out } = await run(["explain"], full);
    expect(code).toBe(0);
    for (const [i, step] of [
      "Neutron",
      "Nova makes a VIF",
      "os-vif",
      "Nova writes",
      "libvirt starts QEMU",
      "the switch's port",
    ].entries()) {
      expect(out).toMatch(new RegExp(`^${i + 1}\\. .*${step}.*\\(src/vif/\\S+\\.ts\\)$`, "m"));
    }
    expect(out).toContain("-chardev socket,id=charnet0,path=/run/vswitch/vhua75e5c46-1d,server=on");
    expect(out).toContain('<driver queues="4" rx_queue_size="1024" tx_queue_size="1024"/>');
    expect(out).toContain("now: the switch has no port vhua75e5c46-1d yet: ringbridge vif plug");
    await run(["plug"], full);
    expect((await run(["explain"], full)).out).toMatch(
      /now: port vhua75e5c46-1d of the switch is waiting .* plugged by vif/,
    );
    const { json } = await run(["explain", "--json"], full);
    expect(json).toMatchObject({
      port: { name: "vhua75e5c46-1d", port: { connect: "/run/vswitch/vhua75e5c46-1d" } },
      now: { owner: "vif" },
    });
    expect(json.steps.map(({ here }: { here: string }) => here)).toHaveLength(6);
  });

  test("names memory that no switch can map", async () => {
    expect((await run(["explain"], neutronPort())).out).toContain("NOTHING MAKES THE MEMORY SHARED");
    const flavor = { vcpus: 1, extra_specs: { "hw:mem_page_size": "large" } };
    expect((await run(["explain"], { port: neutronPort(), flavor })).out).toContain('share":true');
  });

  test.each<[string, unknown, number, RegExp]>([
    [
      "Neutron",
      { ...full, segment: { network_type: "geneve" } },
      0,
      /ends at Neutron: the port is not bound: segment\.network_type is "geneve"/,
    ],
    ["Nova", neutronPort({}, { vhostuser_mode: "both" }), 1, /ends at Nova: .*vhostuser_mode is "both"/],
    [
      "libvirt",
      { port: neutronPort(), image_properties: { hw_vif_model: "e1000" } },
      3,
      /ends at libvirt: .*no virtio card/,
    ],
    ["ringbridge", neutronPort({ "binding:vif_type": "ovs" }), 5, /ends at ringbridge: .*no vhost-user card/],
  ])("where it ends: at %s", async (_, input, steps, reason) => {
    const file = join(folder, "port.json");
    writeFileSync(file, JSON.stringify(input));
    const { code, out, err } = await run(["explain", file]);
    expect(code).toBe(2);
    expect(err).toMatch(reason);
    expect(out.match(/^\d\. /gm) ?? []).toHaveLength(steps);
    expect((await run(["explain", "--json", file])).json).toMatchObject({ refusal: { reason: expect.any(String) } });
  });
});
