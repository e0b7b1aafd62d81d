// The doctor in front of machines with one thing wrong each.

import { spawn } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { doctorCommand, examine } from "../../src/cli/doctor.js";
import { type Check, machineChecks } from "../../src/cli/doctor-checks.js";
import { type Machine, thisMachine } from "../../src/cli/doctor-machine.js";
import { socketChecks } from "../../src/cli/doctor-sockets.js";
import type { PortConfig } from "../../src/config/schema.js";
import { FakeIo } from "./fake-io.js";

const LIMITS = (files: string, space = "unlimited") =>
  `Limit                     Soft Limit           Hard Limit           Units     \n` +
  `Max open files            ${files.padEnd(21)}1048576              files     \n` +
  `Max address space         ${space.padEnd(21)}unlimited            bytes     \n`;

/** A machine on which all is well; `files` are added to what it can read, `rest` replaces parts of it. */
function machine(rest: Partial<Machine> = {}, files: Record<string, string> = {}): Machine {
  const texts: Record<string, string> = {
    "/proc/self/limits": LIMITS("4096"),
    "/proc/sys/vm/max_map_count": "65530\n",
    "/proc/sys/vm/nr_hugepages": "0\n",
    "/proc/net/unix": "",
    "/etc/passwd": "root:x:0:0::/root:/bin/sh\n",
    "/etc/group": "root:x:0:\n",
    ...files,
  };
  return {
    platform: "linux",
    arch: "x64",
    nodeVersion: "20.19.0",
    uid: 1000,
    gids: [1000],
    env: { XDG_RUNTIME_DIR: "/run/user/1000" },
    read: (path) => texts[path],
    kindOf: (path) => (path === "/dev/kvm" ? "other" : "nothing"),
    folder: () => ({ mode: 0o755, uid: 1000, gid: 1000 }),
    mayWrite: () => true,
    freeBytes: () => 2 ** 33,
    firstLine: (program) => (program === "qemu-system-x86_64" ? "QEMU emulator version 10.0.2" : undefined),
    systemCallFault: () => undefined,
    memoryFault: () => undefined,
    mappingFault: () => undefined,
    userfaultFault: () => undefined,
    ...rest,
  };
}

const find = (checks: readonly Check[], name: string) => checks.find((check) => check.name === name);

it("without userfaultfd only a port that is to offer postcopy migration has a warning", () => {
  const without = machine({ userfaultFault: () => "userfaultfd: operation not permitted (EPERM)" });
  const check = (postcopy: boolean) => find(machineChecks(without, [1], postcopy), "postcopy");
  expect(check(false)).toMatchObject({ status: "ok", what: expect.stringContaining("EPERM") });
  expect(check(true)).toMatchObject({ status: "warn", fix: expect.stringContaining("/dev/userfaultfd") });
});

it("a good machine has nothing but ok, and no fix", () => {
  const checks = examine({}, machine());
  expect(checks.filter(({ status }) => status !== "ok")).toEqual([]);
  expect(checks.filter(({ fix }) => fix !== undefined)).toEqual([]);
  expect(new Set(checks.map(({ name }) => name)).size).toBe(checks.length);
});

describe("a machine with a fault", () => {
  it.each<[string, Check["status"], Machine, RegExp, RegExp]>([
    ["node", "fail", machine({ nodeVersion: "20.18.3" }), /20\.18\.3 is too old/, /Node\.js 20\.19 or later/],
    ["node", "fail", machine({ nodeVersion: "18.20.0" }), /18\.20\.0 is too old/, /install/],
    ["system-calls", "fail", machine({ systemCallFault: () => "this is darwin" }), /^this is darwin$/, /on Linux/],
    ["memory", "fail", machine({ memoryFault: () => "no room" }), /reserved: no room/, /vm\.overcommit_memory/],
    [
      "memory",
      "fail",
      machine({ memoryFault: () => "no room" }, { "/proc/self/limits": LIMITS("4096", "2147483648") }),
      /no room/,
      /limit of 2\.00 GiB \(ulimit -v unlimited/,
    ],
    ["mapping", "fail", machine({ mappingFault: () => "EPERM" }), /mapped .*: EPERM/, /seccomp/],
    [
      "open-files",
      "fail",
      machine({}, { "/proc/self/limits": LIMITS("50") }),
      /^50 files .* may need 64$/,
      /ulimit -n/,
    ],
    [
      "open-files",
      "warn",
      machine({}, { "/proc/self/limits": LIMITS("256") }),
      /room for 4 more ports/,
      /ulimit -n 4096/,
    ],
    ["open-files", "warn", machine({ read: () => undefined }), /is not known/, /\/proc/],
    ["mappings", "warn", machine({}, { "/proc/sys/vm/max_map_count": "1000" }), /only 1000 mappings/, /max_map_count/],
    ["dev-shm", "warn", machine({ freeBytes: () => 2 ** 26 }), /64\.0 MiB are free .* little/, /memory-backend-memfd/],
    ["dev-shm", "warn", machine({ freeBytes: () => undefined }), /no \/dev\/shm/, /memory-backend-memfd/],
    [
      "qemu",
      "warn",
      machine({ firstLine: () => "QEMU emulator version 7.2.22 (Debian)", kindOf: () => "nothing" }),
      /QEMU 7\.2: without KVM it crashes/,
      /vectors=0/,
    ],
    ["XDG_RUNTIME_DIR", "fail", machine({ folder: () => undefined }), /is not a folder/, /--control/],
    [
      "control",
      "fail",
      machine({ folder: () => undefined }),
      /the folder \S+ is not there/,
      /mkdir -p \/run\/user\/1000/,
    ],
    ["control", "fail", machine({ mayWrite: () => false }), /may not make a socket/, /owner or permissions/],
    ["control", "fail", machine({ kindOf: () => "other" }), /is no socket/, /move it away/],
  ])("%s is %s", (name, status, sick, what, fix) => {
    const check = find(examine({}, sick), name);
    expect(check?.status).toBe(status);
    expect(check?.what).toMatch(what);
    expect(check?.fix).toMatch(fix);
  });

  it("counts descriptors for every configured port", () => {
    const file = join(mkdtempSync(join(tmpdir(), "ringbridge-doctor-")), "net.yaml");
    writeFileSync(file, "ports: { a: { listen: /run/a, queues: 1 }, b: { listen: /run/b } }\n");
    // 64 for the process, 14 for a port of one pair, 42 for one of eight.
    const sick = (limit: number) => machine({}, { "/proc/self/limits": LIMITS(String(limit)) });
    expect(find(examine({ config: file }, sick(119)), "open-files")).toMatchObject({ status: "fail" });
    expect(find(examine({ config: file }, sick(120)), "open-files")).toMatchObject({ status: "warn" });
    rmSync(join(file, ".."), { recursive: true });
  });

  it("says what is unusual but well", () => {
    const what = (name: string, well: Machine) => {
      const check = find(examine({}, well), name);
      expect(check?.status).toBe("ok");
      return check?.what;
    };
    const old = () => "QEMU emulator version 7.2.22";
    expect(what("qemu", machine({ firstLine: old }))).toMatch(/7\.2 with KVM \(without KVM it crashes/);
    expect(what("qemu", machine({ firstLine: () => undefined }))).toMatch(/not installed/);
    expect(what("qemu", machine({ kindOf: () => "nothing" }))).toMatch(/10\.0 \(no \/dev\/kvm/);
    expect(what("huge-pages", machine({}, { "/proc/sys/vm/nr_hugepages": "8\n" }))).toMatch(/^8 huge pages/);
    expect(what("XDG_RUNTIME_DIR", machine({ env: {} }))).toMatch(/is not set/);
    expect(what("control", machine({ env: {}, uid: 5 }))).toBe("/tmp/ringbridge-5.sock can be made");
    expect(what("open-files", machine({}, { "/proc/self/limits": LIMITS("unlimited") }))).toBe(
      "no limit of open files",
    );
  });
});

describe("sockets", () => {
  const port = (rest: Partial<PortConfig> = {}): PortConfig => ({
    name: "vm1",
    role: "listen",
    path: "/srv/vm1.sock",
    queues: 8,
    ...rest,
  });
  const socket: Machine["kindOf"] = (path) => (path === "/srv/vm1.sock" ? "socket" : "nothing");
  const unix = (flags: string) =>
    `Num       RefCount Protocol Flags    Type St Inode Path\n` +
    `0000000000000000: 00000002 00000000 ${flags} 0001 01 12345 /srv/vm1.sock\n`;
  const checkOf = (well: Machine, p: PortConfig, name = "port vm1") => find(socketChecks(well, "/c", [p]), name);

  it("that are left over are replaced, those in use are named", () => {
    const stale = machine({ kindOf: socket }, { "/proc/net/unix": unix("00000000") });
    expect(checkOf(stale, port())).toMatchObject({ status: "ok", what: expect.stringContaining("left over") });
    const live = machine({ kindOf: socket }, { "/proc/net/unix": unix("00010000") });
    expect(checkOf(live, port())).toMatchObject({ status: "warn", what: expect.stringContaining("is in use") });
    expect(find(socketChecks(live, "/srv/vm1.sock", []), "control")).toEqual({
      name: "control",
      status: "ok",
      what: "/srv/vm1.sock: a switch is running here",
    });
  });

  it("of the front-end may be there or not, but must be sockets", () => {
    const connect = port({ role: "connect" });
    expect(checkOf(machine({ kindOf: socket }), connect)?.what).toBe("/srv/vm1.sock is there");
    expect(checkOf(machine(), connect)?.what).toMatch(/not there yet: run waits/);
    expect(checkOf(machine({ kindOf: () => "folder" }), connect)?.status).toBe("fail");
  });

  const libvirt = {
    "/etc/passwd": "root:x:0:0::/:/bin/sh\nlibvirt-qemu:x:64055:78::/var/lib/libvirt:/bin/false\n",
    "/etc/group": "root:x:0:\nkvm:x:78:\nextra:x:99:ann,libvirt-qemu\n",
  };
  const NAME = "port vm1 for libvirt-qemu";

  it("must be open to libvirt's QEMU", () => {
    const well = machine({}, libvirt);
    expect(checkOf(well, port(), NAME)).toMatchObject({
      status: "warn",
      what: "libvirt's QEMU (libvirt-qemu) may not connect to /srv/vm1.sock",
      fix: 'add mode: "0660" and group: kvm to the port',
    });
    expect(checkOf(well, port({ mode: 0o660, group: "kvm", gid: 78 }), NAME)?.status).toBe("ok");
    expect(checkOf(well, port({ mode: 0o660, group: "extra", gid: 99 }), NAME)?.status).toBe("ok");
    expect(checkOf(well, port({ mode: 0o660, group: "root", gid: 0 }), NAME)?.status).toBe("warn");
    expect(checkOf(well, port({ mode: 0o666 }), NAME)?.status).toBe("ok");
  });

  it("must lie in folders that libvirt's QEMU may enter", () => {
    const closed = (path: string) => ({ mode: path === "/srv" ? 0o750 : 0o755, uid: 1000, gid: 1000 });
    expect(checkOf(machine({ folder: closed }, libvirt), port({ mode: 0o666 }), NAME)).toMatchObject({
      status: "warn",
      what: "libvirt's QEMU (libvirt-qemu) may not enter /srv",
      fix: expect.stringContaining("chmod o+x /srv"),
    });
  });

  it("are no question where libvirt is not, or where we are its user", () => {
    expect(checkOf(machine(), port(), NAME)).toBeUndefined();
    expect(checkOf(machine({ uid: 64055 }, libvirt), port(), NAME)).toBeUndefined();
  });

  it("may be kept from libvirt by AppArmor or SELinux", () => {
    const files = { ...libvirt, "/sys/module/apparmor/parameters/enabled": "Y\n", "/sys/fs/selinux/enforce": "1" };
    const checks = socketChecks(machine({}, files), "/c", []);
    expect(find(checks, "apparmor")).toMatchObject({ status: "warn" });
    expect(find(checks, "selinux")).toMatchObject({ status: "warn" });
    expect(socketChecks(machine({}, libvirt), "/c", []).every(({ status }) => status === "ok")).toBe(true);
  });
});

describe("the command", () => {
  it("shows a line per check, the fix below, and ends with 1 when one failed", async () => {
    const io = new FakeIo();
    expect(await doctorCommand({}, io, machine({ nodeVersion: "18.0.0" }))).toBe(1);
    expect(io.out).toMatch(
      /^fail {2}node {13}Node\.js 18\.0\.0 is too old\n {23}→ install Node\.js 20\.19 or later\nok /,
    );
    expect(io.out).toMatch(/\n\n1 of \d+ checks failed\n$/);
  });

  it("ends with 0 when there are only warnings", async () => {
    const io = new FakeIo();
    expect(await doctorCommand({}, io, machine({ freeBytes: () => 0 }))).toBe(0);
    expect(io.out).toMatch(/\n\nnothing here keeps a guest from connecting; warnings: 1\n$/);
  });
});

describe("this machine", () => {
  let folder: string;
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), "ringbridge-doctor-"));
  });
  afterEach(() => rmSync(folder, { recursive: true }));

  it("answers every question", () => {
    const here = thisMachine(process.env);
    expect(here.read("/proc/self/limits")).toMatch(/^Max open files/m);
    expect(here.read(join(folder, "none"))).toBeUndefined();
    expect(here.kindOf(folder)).toBe("folder");
    expect(here.kindOf("/dev/null")).toBe("other");
    expect(here.kindOf(join(folder, "none"))).toBe("nothing");
    expect(here.folder(folder)?.mode).toBe(0o700);
    expect(here.folder("/dev/null")).toBeUndefined();
    expect(here.mayWrite(folder)).toBe(true);
    expect(here.mayWrite(join(folder, "none"))).toBe(false);
    expect(here.freeBytes(folder)).toBeGreaterThan(0);
    expect(here.freeBytes(join(folder, "none"))).toBeUndefined();
    expect(here.firstLine(process.execPath, ["--version"])).toBe(process.version);
    expect(here.firstLine(join(folder, "none"), [])).toBeUndefined();
    expect(here.systemCallFault()).toBeUndefined();
    expect(here.memoryFault()).toBeUndefined();
    expect(here.mappingFault()).toBeUndefined();
  });

  it("knows a live socket from one that was left over", async () => {
    const path = join(folder, "a.sock");
    const check = () => find(socketChecks(thisMachine({}), path, []), "control")?.what;
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(path, resolve));
    expect(check()).toBe(`${path}: a switch is running here`);
    await new Promise((resolve) => server.close(resolve));
    expect(check()).toBe(`${path} can be made`);

    const killed = spawn(process.execPath, [
      "-e",
      `require("net").createServer().listen(${JSON.stringify(path)}, () => process.kill(process.pid, 9))`,
    ]);
    await new Promise((resolve) => killed.on("exit", resolve));
    expect(check()).toBe(`${path} is left over from a process that ended: run will replace it`);
  });
});

describe("libvirt", () => {
  const users = {
    "/etc/passwd": "libvirt-qemu:x:64055:108::/var/lib/libvirt:/usr/sbin/nologin\n",
    "/etc/group": "kvm:x:108:\n",
  };
  const port = { name: "vm1", role: "connect", path: "/run/vhost/vm1", queues: 8 } satisfies PortConfig;
  const check = (rest: Partial<Machine>) =>
    find(socketChecks(machine(rest, users), "/run/c", [port]), "port vm1 for libvirt-qemu");
  const folder = (mode: number, gid: number) => () => ({ mode, uid: 1000, gid });

  it("may make its socket in a folder of a group that both are in, and only there", () => {
    expect(check({ folder: folder(0o2770, 108), gids: [1000, 108] })).toMatchObject({ status: "ok" });
    expect(check({ folder: folder(0o2750, 108), gids: [1000, 108] })).toMatchObject({
      status: "warn",
      what: expect.stringContaining("may not make a socket in /run/vhost"),
      fix: "chgrp kvm /run/vhost; chmod 2770 /run/vhost",
    });
    expect(check({ folder: folder(0o777, 108), gids: [1000, 108] })?.what).toContain("a group of its own");
    expect(check({ folder: folder(0o2770, 108) })).toMatchObject({
      status: "warn",
      fix: expect.stringContaining("SupplementaryGroups="),
    });
    expect(check({ folder: () => undefined })).toMatchObject({
      status: "warn",
      fix: expect.stringContaining("install -d"),
    });
    expect(check({ folder: folder(0o2770, 108), uid: 0 })).toMatchObject({ status: "ok" });
  });

  it("is named with what its version cannot do, and whom it asks for counters", () => {
    const installed = (libvirt: string, vsctl?: string) =>
      find(
        socketChecks(
          machine({
            firstLine: (program) => (program === "libvirtd" ? libvirt : program === "ovs-vsctl" ? vsctl : undefined),
          }),
          "/run/c",
          [],
        ),
        "libvirt",
      );
    expect(installed("libvirtd (libvirt) 9.0.0", "ringbridge-ovs-vsctl 0.1.0")).toMatchObject({
      status: "ok",
      what: expect.stringMatching(/^libvirt 9\.0\.0; .*<mtu>.*memoryBacking; virsh domifstat asks ringbridge/),
    });
    expect(installed("libvirtd (libvirt) 11.2.0")?.what).toBe(
      "libvirt 11.2.0; virsh domifstat has no counters when libvirtd's PATH is as this one",
    );
    expect(find(socketChecks(machine(), "/run/c", []), "libvirt")).toBeUndefined();
  });
});
