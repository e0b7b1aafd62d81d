// What an operator reads when a configuration is wrong, and what the switch gets when it is right.

import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { type ConfigSources, loadConfig } from "../../src/config/load.js";
import { ConfigError } from "../../src/config/problems.js";
import { SOCKET_PATH_MAX } from "../../src/config/schema.js";

const ENV = { XDG_RUNTIME_DIR: "/run/user/7" };
const GROUPS = (name: string) => (name === "kvm" ? 78 : undefined);

function load(text: string, more: Partial<ConfigSources> = {}) {
  return loadConfig({ file: "/etc/net.yaml", text, env: ENV, lookupGroup: GROUPS, ...more });
}

function linesOf(text: string, more: Partial<ConfigSources> = {}): string[] {
  try {
    load(text, more);
  } catch (error) {
    if (error instanceof ConfigError) return error.lines;
    throw error;
  }
  throw new Error("the configuration was accepted");
}

describe("--socket-path", () => {
  it("is a listening port that is named as its file", () => {
    const { ports } = loadConfig({ socketPaths: ["/run/vm 1.sock", "/b/vm,2"], env: ENV, lookupGroup: GROUPS });
    expect(ports.map(({ name, role, path }) => [name, role, path])).toEqual([
      ["vm-1", "listen", "/run/vm 1.sock"],
      ["vm-2", "listen", "/b/vm,2"],
    ]);
  });

  it.each<[string[], RegExp]>([
    [["/a/"], /^--socket-path \/a\/: .*names a folder/],
    [[""], /^--socket-path : is empty/],
    [["/a/x.sock", "/b/x.sock"], /x/],
  ])("refuses %j", (socketPaths, text) => {
    expect(() => loadConfig({ socketPaths, env: ENV, lookupGroup: GROUPS })).toThrow(ConfigError);
    try {
      loadConfig({ socketPaths, env: ENV, lookupGroup: GROUPS });
    } catch (error) {
      expect((error as ConfigError).lines[0]).toMatch(text);
    }
  });
});

describe("sockets that the program was started with", () => {
  it("are ports named by their number", () => {
    const { ports } = loadConfig({ fds: ["3", "12"], env: ENV, lookupGroup: GROUPS });
    expect(ports.map(({ name, role, fd, queues }) => [name, role, fd, queues])).toEqual([
      ["fd3", "inherit", 3, 8],
      ["fd12", "inherit", 12, 8],
    ]);
  });

  it.each([[["2"]], [["-1"]], [["x"]], [["3", "3"]]])("refuses %j", (fds) => {
    expect(() => loadConfig({ fds, env: ENV, lookupGroup: GROUPS })).toThrow(ConfigError);
  });
});

describe("a good file", () => {
  it("becomes a typed configuration with defaults", () => {
    const config = load(`
ports:
  vm1: { listen: /run/vm1.sock, mode: "0660", group: kvm, queues: 4 }
  vm2: { connect: vm2.sock }
`);
    expect(config).toEqual({
      workers: 1,
      poll: false,
      spinUs: 50,
      control: "/run/user/7/ringbridge.sock",
      fdb: { ageing: 300, limit: 65536, perPortLimit: 16384 },
      ports: [
        { name: "vm1", role: "listen", path: "/run/vm1.sock", mode: 0o660, group: "kvm", gid: 78, queues: 4 },
        { name: "vm2", role: "connect", path: "/etc/vm2.sock", queues: 8 },
      ],
    });
  });

  it("sets every value that is written", () => {
    const config = load(
      "workers: 2\npoll: true\nspin-us: 0\ncontrol: c.sock\nfdb: { ageing: 10, limit: 100, per-port-limit: 7 }\n",
    );
    expect(config).toEqual({
      workers: 2,
      poll: true,
      spinUs: 0,
      control: "/etc/c.sock",
      fdb: { ageing: 10, limit: 100, perPortLimit: 7 },
      ports: [],
    });
  });

  it("takes a MAC address with and without quotes, and an MTU", () => {
    const config = load(`
ports:
  vm1: { listen: /a, mac: 52:54:00:12:34:56 }
  vm2: { listen: /b, mac: "02:00:00:00:00:0A", mtu: 65535 }
`);
    expect(config.ports.map(({ mac, mtu }) => [mac, mtu])).toEqual([
      ["52:54:00:12:34:56", undefined],
      ["02:00:00:00:00:0a", 65535],
    ]);
  });

  it("takes a port without offloads; with them is as if it were not written", () => {
    const config = load("ports:\n  vm1: { listen: /a, offloads: false }\n  vm2: { listen: /b, offloads: true }\n");
    expect(config.ports.map(({ offloads }) => offloads)).toEqual([false, undefined]);
  });

  it("takes a port whose guest may have a virtual IOMMU; none is as if it were not written", () => {
    const config = load("ports:\n  vm1: { listen: /a, iommu: true }\n  vm2: { listen: /b, iommu: false }\n");
    expect(config.ports.map(({ iommu }) => iommu)).toEqual([true, undefined]);
  });

  it.each(["", "# nothing yet\n", "ports:\n"])("may have no ports: %j", (text) => {
    expect(load(text).ports).toEqual([]);
  });

  it.each([
    ['"0660"', 0o660],
    ["0660", 0o660],
    ["660", 0o660],
    ["0o600", 0o600],
  ])("reads mode %s as octal", (written, mode) => {
    expect(load(`ports: { a: { listen: /a, mode: ${written} } }`).ports[0]?.mode).toBe(mode);
  });

  it("lets a port's share follow a smaller table", () => {
    expect(load("fdb: { limit: 100 }").fdb).toEqual({ ageing: 300, limit: 100, perPortLimit: 100 });
  });

  it("takes flags before the file, and adds their ports", () => {
    const config = load("workers: 2\npoll: false\nports: { a: { listen: /a } }", {
      flags: { workers: 4, poll: true, control: "/c" },
      portFlags: ["b=connect:/b"],
    });
    expect([config.workers, config.poll, config.control]).toEqual([4, true, "/c"]);
    expect(config.ports.map(({ name }) => name)).toEqual(["a", "b"]);
  });
});

describe("a wrong file", () => {
  it.each<[string, string, string]>([
    [
      "a key with a slip in it",
      "ports:\n  vm1:\n    listne: /a\n    listen: /a\n",
      '/etc/net.yaml:3:5: ports.vm1.listne: unknown key (did you mean "listen"?)',
    ],
    [
      "a key in camelCase",
      "fdb:\n  perPortLimit: 5\n",
      '/etc/net.yaml:2:3: fdb.perPortLimit: unknown key (did you mean "per-port-limit"?)',
    ],
    [
      "a key that is like no other",
      "bandwidth: 5\n",
      "/etc/net.yaml:1:1: bandwidth: unknown key; the keys here are workers, poll, spin-us, control, fdb, web, ports",
    ],
    [
      "a word for a number",
      "workers: four\n",
      '/etc/net.yaml:1:10: workers: must be a whole number from 1 to 16, not "four"',
    ],
    ["too many workers", "workers: 17", "/etc/net.yaml:1:10: workers: must be a whole number from 1 to 16, not 17"],
    [
      "a key without value",
      "workers:\n",
      "/etc/net.yaml:1:1: workers: must be a whole number from 1 to 16, not nothing",
    ],
    ["YAML 1.1's yes", "poll: yes", '/etc/net.yaml:1:7: poll: must be true or false, not "yes"'],
    [
      "a list of ports",
      "ports: [a]",
      "/etc/net.yaml:1:8: ports: must be a map from port names to ports, such as vm1: { listen: /run/vm1.sock }, " +
        "not a list",
    ],
    ["a list", "- a", '/etc/net.yaml:1:1: the file must be a map with keys such as "ports", not a list'],
    ["fdb as a number", "fdb: 5", "/etc/net.yaml:1:6: fdb: must be a map of ageing, limit, per-port-limit, not 5"],
    [
      "both listen and connect",
      "ports:\n  a: { listen: /a, connect: /b }",
      '/etc/net.yaml:2:20: ports.a.connect: a port has either "listen" or "connect": remove one of them',
    ],
    [
      "neither listen nor connect",
      "ports:\n  a: { queues: 1 }",
      '/etc/net.yaml:2:3: ports.a: needs "listen: PATH" (QEMU connects to us) or "connect: PATH" (QEMU has server=on)',
    ],
    [
      "a port without anything",
      "ports:\n  a:\n",
      '/etc/net.yaml:2:3: ports.a: must be a map with "listen" or "connect", not nothing',
    ],
    [
      "a bad port name",
      'ports:\n  "a b": { listen: /a }',
      "/etc/net.yaml:2:3: ports.a b: a port's name is 1 to 32 letters, digits, dots, dashes or underscores",
    ],
    [
      "a bad mode",
      'ports:\n  a: { listen: /a, mode: "rw" }',
      '/etc/net.yaml:2:26: ports.a.mode: must be three octal digits such as "0660", not "rw"',
    ],
    [
      "a mode that is not octal",
      "ports:\n  a: { listen: /a, mode: 0680 }",
      '/etc/net.yaml:2:26: ports.a.mode: must be three octal digits such as "0660", not "0680"',
    ],
    [
      "a group that is not there",
      "ports:\n  a: { listen: /a, group: kmv }",
      '/etc/net.yaml:2:27: ports.a.group: there is no group "kmv" here: see "getent group", or add it',
    ],
    [
      "a group that cannot be one",
      'ports:\n  a: { listen: /a, group: "a:b" }',
      '/etc/net.yaml:2:27: ports.a.group: must be the name or number of a group, not "a:b"',
    ],
    [
      "a mode on a connecting port",
      'ports:\n  a: { connect: /a, mode: "0660" }',
      "/etc/net.yaml:2:21: ports.a.mode: belongs to a listening socket, and this one is made by the other side: " +
        "remove it",
    ],
    [
      "a folder for a socket",
      "ports: { a: { listen: /run/ } }",
      `/etc/net.yaml:1:23: ports.a.listen: "/run/" names a folder: add the socket's file name`,
    ],
    [
      "an empty path",
      'ports: { a: { listen: "" } }',
      "/etc/net.yaml:1:23: ports.a.listen: is empty: give the path of a unix socket",
    ],
    [
      "a share larger than the table",
      "fdb: { limit: 10, per-port-limit: 11 }",
      "/etc/net.yaml:1:35: fdb.per-port-limit: 11 is more than the whole table holds: at most fdb.limit, 10",
    ],
    [
      "two ports with one path",
      "ports:\n  a: { listen: /x/../s }\n  b: { connect: /s }\n",
      '/etc/net.yaml:3:17: ports.b: /s is taken by port "a" (/etc/net.yaml:2:16): each needs a path of its own',
    ],
    [
      "a port on the control socket's path",
      "control: /s\nports: { a: { listen: /s } }",
      "/etc/net.yaml:2:23: ports.a: /s is taken by the control socket: each needs a path of its own",
    ],
    ["a key given twice", "poll: true\npoll: true", "/etc/net.yaml:2:1: not valid YAML: Map keys must be unique"],
  ])("%s", (_, text, line) => {
    expect(linesOf(text)).toEqual([line]);
  });

  it("names the line of a syntax error", () => {
    const lines = linesOf("ports:\n  a: { listen: /a\n  b: {");
    expect(lines[0]).toMatch(/^\/etc\/net\.yaml:3:\d+: not valid YAML: /);
    for (const line of lines) expect(line).not.toContain("\n");
  });

  it("refuses aliases that would fill the memory, and ones without an anchor", () => {
    const bomb = `a: &a [x,x]\n${Array.from({ length: 20 }, (_, i) => {
      const name = (n: number) => (n === 0 ? "a" : `k${n}`);
      return `${name(i + 1)}: &${name(i + 1)} [${Array(9)
        .fill(`*${name(i)}`)
        .join(",")}]`;
    }).join("\n")}`;
    expect(linesOf(bomb)[0]).toMatch(/not valid YAML: Excessive alias count/);
    expect(linesOf("fdb: *nowhere")[0]).toMatch(/^\/etc\/net\.yaml.*not valid YAML: .*nowhere/);
  });

  it("finds the place of a fault inside an aliased section", () => {
    expect(linesOf("ports:\n  a: &p { listen: /a, queues: 0 }\n  b: *p\n")).toEqual([
      "/etc/net.yaml:2:31: ports.a.queues: must be a whole number from 1 to 128, not 0",
      "/etc/net.yaml:2:31: ports.b.queues: must be a whole number from 1 to 128, not 0",
    ]);
  });

  it("takes a path of 107 bytes and refuses one of 108, counted in bytes", () => {
    const path = `/${"a".repeat(SOCKET_PATH_MAX - 3)}é`;
    expect(load(`ports: { a: { listen: ${path} } }`).ports[0]?.path).toBe(path);
    expect(linesOf(`ports: { a: { listen: ${path}b } }`)).toEqual([
      "/etc/net.yaml:1:23: ports.a.listen: 108 bytes are too long for a unix socket, which takes 107: " +
        `use a shorter folder (${path}b)`,
    ]);
  });

  it("reports everything at once, a line each", () => {
    const lines = linesOf("workers: 0\nspinus: 5\nports:\n  a: { lisen: /a }\n  b: { listen: 5, queues: x }\n", {
      flags: { workers: "many" },
      portFlags: ["c=lisen:/c"],
    });
    expect(lines.map((line) => line.split(": ").slice(0, 2).join(" "))).toEqual([
      "/etc/net.yaml:1:10 workers",
      "/etc/net.yaml:2:1 spinus",
      "/etc/net.yaml:4:3 ports.a",
      "/etc/net.yaml:4:8 ports.a.lisen",
      "/etc/net.yaml:5:16 ports.b.listen",
      "/etc/net.yaml:5:27 ports.b.queues",
      '--port c=lisen:/c "lisen" is neither "listen" nor "connect"',
      '--workers must be a whole number from 1 to 16, not "many"',
    ]);
  });

  it("refuses more ports than the switch has", () => {
    const ports = (count: number) =>
      `ports:\n${Array.from({ length: count }, (_, i) => `  p${i}: { listen: /p${i} }\n`).join("")}`;
    expect(load(ports(1024)).ports).toHaveLength(1024);
    expect(linesOf(ports(1025))).toEqual([
      "/etc/net.yaml:1026:20: ports: 1025 ports are too many for one switch, which has 1024",
    ]);
  });

  it("refuses a flag's port that has the name of one in the file", () => {
    expect(linesOf("ports: { a: { listen: /a } }", { portFlags: ["a=listen:/b"] })).toEqual([
      '--port a=listen:/b: there is a port "a" already (/etc/net.yaml:1:23): give one of them another name',
    ]);
  });
});

describe("the file itself", () => {
  let folder: string;
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), "ringbridge-config-"));
  });
  afterEach(() => rmSync(folder, { recursive: true }));

  it("is read from disk, relative paths starting from its folder", () => {
    const file = join(folder, "net.yaml");
    writeFileSync(file, "ports: { a: { listen: a.sock } }\n");
    expect(loadConfig({ file }).ports[0]?.path).toBe(join(folder, "a.sock"));
  });

  it("may be missing or a folder: the line says so", () => {
    const missing = join(folder, "none.yaml");
    expect(() => loadConfig({ file: missing })).toThrow(
      `${missing}: there is no such file: check the path, or give ports with --port`,
    );
    expect(() => loadConfig({ file: folder })).toThrow(`${folder}: is a folder: give the path of the YAML file in it`);
  });
});
