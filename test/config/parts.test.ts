// The parts of the configuration that stand alone: port flags, reload differences, default paths, groups, slips.

import { describe, expect, it } from "vitest";
import { defaultControlPath } from "../../src/config/control-path.js";
import { diffConfig, liveConfig } from "../../src/config/diff.js";
import { parsePortFlag } from "../../src/config/flags.js";
import { findGroup, lookupGroup } from "../../src/config/group.js";
import { ConfigError, describeValue, didYouMean, editDistance } from "../../src/config/problems.js";
import { PORTS_MAX, QUEUE_PAIRS_MAX, SOCKET_PATH_MAX, type SwitchConfig } from "../../src/config/schema.js";
import * as layout from "../../src/core/layout.js";
import { SOCKET_PATH_MAX_BYTES } from "../../src/sys/socket.js";
import * as session from "../../src/vhost-user/state.js";

const CONTEXT = { folder: "/srv", lookupGroup: (name: string) => (name === "kvm" ? 78 : undefined) };

function flagLines(flag: string): string[] {
  try {
    parsePortFlag(flag, CONTEXT);
  } catch (error) {
    if (error instanceof ConfigError) return error.lines;
    throw error;
  }
  throw new Error("the flag was accepted");
}

describe("parsePortFlag", () => {
  it("reads a path alone", () => {
    expect(parsePortFlag("vm1=listen:vm1.sock", CONTEXT)).toEqual({
      name: "vm1",
      role: "listen",
      path: "/srv/vm1.sock",
      queues: 8,
    });
  });

  it("reads every option", () => {
    expect(parsePortFlag("vm1=listen:/a:b=c,mode=0660,group=kvm,queues=4", CONTEXT)).toEqual({
      name: "vm1",
      role: "listen",
      path: "/a:b=c",
      mode: 0o660,
      group: "kvm",
      gid: 78,
      queues: 4,
    });
    expect(parsePortFlag("vm2=connect:/b,queues=1", CONTEXT)).toMatchObject({ role: "connect", queues: 1 });
    expect(parsePortFlag("vm3=listen:/c,mac=52:54:00:AB:00:01,mtu=9000", CONTEXT)).toMatchObject({
      mac: "52:54:00:ab:00:01",
      mtu: 9000,
    });
  });

  it("offers postcopy migration when that is asked for, and says nothing of it otherwise", () => {
    expect(parsePortFlag("vm1=listen:/a,postcopy=true", CONTEXT)).toMatchObject({ postcopy: true });
    expect(parsePortFlag("vm1=listen:/a,postcopy=false", CONTEXT)).not.toHaveProperty("postcopy");
    expect(() => parsePortFlag("vm1=listen:/a,postcopy=1", CONTEXT)).toThrow('must be true or false, not "1"');
  });

  it("refuses postcopy migration of a guest behind a virtual IOMMU", () => {
    expect(() => parsePortFlag("vm1=listen:/a,iommu=true,postcopy=true", CONTEXT)).toThrow(
      "postcopy: a guest behind a virtual IOMMU can not be moved by postcopy: remove it, or iommu",
    );
    expect(parsePortFlag("vm1=listen:/a,iommu=false,postcopy=true", CONTEXT)).toMatchObject({ postcopy: true });
  });

  it("turns offloads off, and says no more of it when they are on", () => {
    expect(parsePortFlag("vm1=listen:/a,offloads=false", CONTEXT)).toMatchObject({ offloads: false });
    expect(parsePortFlag("vm1=listen:/a,offloads=true", CONTEXT)).not.toHaveProperty("offloads");
    expect(parsePortFlag("vm1=listen:/a,iommu=true", CONTEXT)).toMatchObject({ iommu: true });
    expect(parsePortFlag("vm1=listen:/a,iommu=false", CONTEXT)).not.toHaveProperty("iommu");
    expect(() => parsePortFlag("vm1=listen:/a,offloads=no", CONTEXT)).toThrow(
      'offloads: must be true or false, not "no"',
    );
  });

  it.each<[string, string[]]>([
    [
      "vm1",
      ["is not of the form NAME=listen:PATH or NAME=connect:PATH, then ,mode=0660 ,group=kvm ,queues=4 as needed"],
    ],
    ["vm1=listen:", ["listen: is empty: give the path of a unix socket"]],
    ["=listen:/a", ["a port's name is 1 to 32 letters, digits, dots, dashes or underscores"]],
    ["a=listen:/a,mod=0660", ['mod: unknown key (did you mean "mode"?)']],
    ["a=listen:/a,queues", ['"queues" has no value: write queues=VALUE']],
    ["a=listen:/a,", ['"" has no value: write queues=VALUE']],
    ["a=listen:/a,queues=1,queues=2", ["queues: is given twice"]],
    [
      "a=listen:/a,mac=01:00:5e:00:00:01,mtu=67",
      [
        'mac: must be the MAC address of one interface such as "52:54:00:12:34:56", not "01:00:5e:00:00:01"',
        "mtu: must be a whole number from 68 to 65535, not 67",
      ],
    ],
    ["a=listen:/a,connect=/b", ['connect: a port has either "listen" or "connect": remove one of them']],
    [
      "a=listen:/a,queues=x,mode=9",
      [
        'mode: must be three octal digits such as "0660", not "9"',
        'queues: must be a whole number from 1 to 128, not "x"',
      ],
    ],
  ])("refuses %s", (flag, texts) => {
    expect(flagLines(flag)).toEqual(texts.map((text) => `--port ${flag}: ${text}`));
  });
});

describe("diffConfig", () => {
  const port = (name: string, queues = 8) => ({ name, role: "listen" as const, path: `/${name}`, queues });
  const base: SwitchConfig = {
    workers: 1,
    poll: false,
    spinUs: 50,
    control: "/c",
    fdb: { ageing: 300, limit: 100, perPortLimit: 50 },
    ports: [port("a"), port("b"), port("c")],
  };

  it("sorts ports into added, removed, changed, unchanged", () => {
    const after = { ...base, ports: [port("d"), port("c", 1), port("a")] };
    expect(diffConfig(base, after)).toEqual({
      added: ["d"],
      removed: ["b"],
      changed: ["c"],
      unchanged: ["a"],
      needsRestart: [],
    });
  });

  it("names the settings that a running switch cannot take, and keeps them", () => {
    const after: SwitchConfig = {
      workers: 2,
      poll: true,
      spinUs: 1,
      control: "/d",
      fdb: { ageing: 1, limit: 2, perPortLimit: 1 },
      ports: [port("z")],
    };
    expect(diffConfig(base, after).needsRestart).toEqual([
      "workers",
      "poll",
      "spin-us",
      "control",
      "fdb.ageing",
      "fdb.limit",
      "fdb.per-port-limit",
    ]);
    expect(liveConfig(base, after)).toEqual({ ...base, ports: [port("z")] });
  });
});

describe("defaultControlPath", () => {
  it("is in the run-time folder of the user, else in /tmp with his number", () => {
    expect(defaultControlPath({ XDG_RUNTIME_DIR: "/run/user/1000" }, 1000)).toBe("/run/user/1000/ringbridge.sock");
    expect(defaultControlPath({}, 1000)).toBe("/tmp/ringbridge-1000.sock");
    expect(defaultControlPath({ XDG_RUNTIME_DIR: "run" }, 0)).toBe("/tmp/ringbridge-0.sock");
  });
});

describe("groups", () => {
  it("are found by name in a group file", () => {
    const file = "root:x:0:\nkvm:x:78:libvirt-qemu,ann\nbroken\nodd:x:no:\n";
    expect(findGroup(file, "kvm")).toBe(78);
    expect(findGroup(file, "kv")).toBeUndefined();
    expect(findGroup(file, "odd")).toBeUndefined();
    expect(findGroup(file, "broken")).toBeUndefined();
  });

  it("are found on this machine, by name and by number", () => {
    expect(lookupGroup("root")).toBe(0);
    expect(lookupGroup("4242")).toBe(4242);
    expect(lookupGroup("4294967295")).toBeUndefined();
    expect(lookupGroup("no-such-group-here")).toBeUndefined();
  });
});

describe("did you mean", () => {
  it("counts letters added, left out, replaced and swapped", () => {
    expect(editDistance("prots", "ports")).toBe(1);
    expect(editDistance("ab", "ba")).toBe(1);
    expect(editDistance("", "abc")).toBe(3);
    expect(editDistance("kitten", "sitting")).toBe(3);
    expect(editDistance("same", "same")).toBe(0);
  });

  it("offers only what is near", () => {
    expect(didYouMean("worker", ["workers", "poll"])).toBe(' (did you mean "workers"?)');
    expect(didYouMean("SPIN_US", ["spin-us"])).toBe(' (did you mean "spin-us"?)');
    expect(didYouMean("colour", ["workers", "poll"])).toBe("");
    expect(didYouMean("x".repeat(1000), ["workers"])).toBe("");
    expect(didYouMean("x", [])).toBe("");
  });

  it("describes values in few words", () => {
    expect([null, "a", "x".repeat(99), [], {}, 5, true].map(describeValue)).toEqual([
      "nothing",
      '"a"',
      `"${"x".repeat(60)}…"`,
      "a list",
      "a map",
      "5",
      "true",
    ]);
  });
});

it("the limits are those of the parts that must keep them", () => {
  expect(PORTS_MAX).toBe(layout.PORTS_MAX);
  expect(QUEUE_PAIRS_MAX).toBe(session.QUEUE_PAIRS_MAX);
  expect(SOCKET_PATH_MAX).toBe(SOCKET_PATH_MAX_BYTES);
});
