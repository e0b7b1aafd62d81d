// ringbridge-ovs-vsctl: libvirt's questions, as libvirt 9 asks them, and what else may come.

import { chmodSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { type ControlServer, startControlServer } from "../../src/api/control-server.js";
import type { PortStatus } from "../../src/api/status.js";
import { ovsVsctl } from "../../src/ovs-vsctl/command.js";
import { answer, NoSuchInterface, parseQuery, UnknownQuery } from "../../src/ovs-vsctl/query.js";
import { busyPort, FakeControl, waitingPort } from "../api/fake-control.js";
import { FakeIo } from "../cli/fake-io.js";

const nameOf = (path: string) => [
  ...["--timeout=5", "--no-headings", "--columns=name", "find", "Interface"],
  `options:vhost-server-path=${path}`,
];
const exists = (name: string) => ["--timeout=5", "get", "Interface", name, "name"];
const stats = (name: string) => [
  ...["--timeout=5", "--if-exists", "--format=list", "--data=json", "--no-headings", "--columns=statistics"],
  ...["list", "Interface", name],
];
const connecting: PortStatus = { ...waitingPort("vm3", 3), role: "connect", path: "/run/qemu/three.sock" };
const odd: PortStatus = { ...connecting, name: "3rd port", path: "/run/a b.sock" };
const ports = [busyPort("vm1", 1), waitingPort("vm2", 2), connecting, odd];
const ask = (argv: string[]) => answer(parseQuery(argv), ports);

describe("the answers", () => {
  it("names the port that connects to a socket, and no other", () => {
    expect(ask(nameOf("/run/qemu/three.sock"))).toBe("vm3\n");
    expect(ask(nameOf("/run/none.sock"))).toBe("");
    expect(ask(nameOf("/run/vm1.sock")), "a port that listens has no such column").toBe("");
  });

  it("puts a name in quotes that is no word, and reads a path in quotes", () => {
    expect(ask(nameOf('"/run/a b.sock"'))).toBe('"3rd port"\n');
    expect(() => ask(nameOf('"/run/a b.sock'))).toThrow(/quote/);
  });

  it("knows a listening port by its name, and by its socket's file name", () => {
    expect(ask(exists("vm1"))).toBe("vm1\n");
    expect(ask(exists("vm1.sock"))).toBe("vm1\n");
    expect(() => ask(exists("three.sock"))).toThrow(NoSuchInterface);
  });

  it("gives the counters in the switch's view, drops with the queue that they belong to", () => {
    expect(JSON.parse(ask(stats("vm1")))).toEqual([
      "map",
      [
        ...[
          ["rx_bytes", 128_000],
          ["rx_dropped", 0],
          ["rx_errors", 0],
          ["rx_packets", 2000],
        ],
        ...[
          ["tx_bytes", 64_000],
          ["tx_dropped", 7],
          ["tx_errors", 0],
          ["tx_packets", 1000],
        ],
      ],
    ]);
    expect(ask(stats("vm9")), "--if-exists").toBe("");
    expect(() => ask(stats("vm9").filter((word) => word !== "--if-exists"))).toThrow(NoSuchInterface);
  });

  it.each([
    [["add-port", "br0", "vm1"]],
    [["get", "Interface", "vm1", "statistics"]],
    [["find", "Interface", "type=dpdk"]],
    [["--no-headings", "list", "Interface", "vm1"]],
    [["get", "Interface", "vm1", "name", "type"]],
    [["--wrong", "get", "Interface", "vm1", "name"]],
    [["list", "Bridge"]],
    [[]],
  ])("refuses what it can not answer: %j", (argv) => {
    expect(() => ask(argv)).toThrow(UnknownQuery);
  });
});

describe("the command", () => {
  let folder: string;
  let server: ControlServer;
  let io: FakeIo;
  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), "ringbridge-ovs-vsctl-"));
    server = await startControlServer({ path: join(folder, "control.sock"), control: new FakeControl() });
  });
  afterAll(async () => {
    await server.close();
    rmSync(folder, { recursive: true });
  });
  beforeEach(() => {
    io = new FakeIo();
    io.env.RINGBRIDGE_CONTROL = server.path;
  });

  it("asks the switch", async () => {
    expect(await ovsVsctl(exists("vm1"), io)).toBe(0);
    expect([io.out, io.err]).toEqual(["vm1\n", ""]);
  });

  it("ends with 1 and a sentence when there is no such port, no answer or no switch", async () => {
    expect(await ovsVsctl(exists("vm9"), io)).toBe(1);
    expect(io.err).toMatch(/^ovs-vsctl: no row "vm9" in table Interface/);
    expect(await ovsVsctl(["show"], io)).toBe(1);
    expect(io.err).toMatch(/"show" is none of the questions/);
    io.env.RINGBRIDGE_CONTROL = join(folder, "none.sock");
    expect(await ovsVsctl(exists("vm1"), io)).toBe(1);
    expect(io.err).toMatch(/no switch runs here/);
    expect(io.out).toBe("");
  });

  it("leaves to the real ovs-vsctl what is not the switch's", async () => {
    const real = join(folder, "real");
    writeFileSync(real, '#!/bin/sh\necho "real $*"; echo careful >&2; exit 3\n');
    chmodSync(real, 0o755);
    io.env.RINGBRIDGE_OVS_VSCTL = real;
    expect(await ovsVsctl(exists("vm1"), io)).toBe(0);
    expect(await ovsVsctl(nameOf("/run/ovs.sock"), io)).toBe(3);
    expect(await ovsVsctl(["show"], io)).toBe(3);
    expect(io.out).toBe(`vm1\nreal ${nameOf("/run/ovs.sock").join(" ")}\nreal show\n`);
    expect(io.err).toBe("careful\ncareful\n");
    io.env.RINGBRIDGE_OVS_VSCTL = join(folder, "gone");
    expect(await ovsVsctl(["show"], io)).toBe(1);
    expect(io.err).toMatch(/RINGBRIDGE_OVS_VSCTL can not be run/);
  });

  it("has help and a version", async () => {
    expect(await ovsVsctl(["--help"], io)).toBe(0);
    expect(await ovsVsctl(["--version"], io)).toBe(0);
    expect(io.out).toMatch(/find Interface options:vhost-server-path=PATH.*ringbridge-ovs-vsctl \d/s);
  });
});
