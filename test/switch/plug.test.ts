// Ports that are plugged into a running switch over its control socket, changed and taken away, while others forward.

import { existsSync, writeFileSync } from "node:fs";
import { afterEach, beforeEach, expect, test } from "vitest";
import { VIRTIO_NET_F_MTU } from "../../assembly/spec/virtio.js";
import { bits } from "../../src/core/feature-bits.js";
import { closeFd } from "../../src/sys/memfd.js";
import { listenUnix } from "../../src/sys/socket.js";
import { describeLinux } from "../sys/linux.js";
import { HandGuest, type HandGuestOptions, handFrame, MODERN, pass } from "./support/hand-guest.js";
import { Lab, until } from "./support/lab.js";
import { expectGoodGuests, Pair } from "./support/traffic.js";

let lab: Lab;
let steady: Pair;
const guests: HandGuest[] = [];

function hand(options?: HandGuestOptions): HandGuest {
  const guest = new HandGuest(options);
  guests.push(guest);
  return guest;
}

const plug = (name: string, more: Record<string, unknown> = {}, owner = "me") =>
  lab.control.plug(name, { listen: lab.file(name), ...more }, owner);

beforeEach(async () => {
  lab = new Lab();
  writeFileSync(lab.file("net.yaml"), "ports:\n  s1: { listen: s1 }\n  s2: { listen: s2 }\n");
  await lab.startFile(lab.file("net.yaml"));
  steady = (await Pair.attach(lab, ["s1", "s2"], 1)).go();
});

afterEach(async () => {
  for (const guest of guests.splice(0)) guest.close();
  try {
    await steady.settle();
    for (const name of ["s1", "s2"]) {
      expect(await lab.port(name)).toMatchObject({ connections: 1, drops: {}, wired: true, adminStateUp: true });
    }
  } finally {
    steady.release();
    await lab.close();
  }
});

describeLinux("ports over the control socket", () => {
  test("come, forward and go; again the same changes nothing", async () => {
    expect(await plug("vm1")).toEqual({ change: "added" });
    expect(await plug("vm2")).toEqual({ change: "added" });
    const [a, b] = [hand(), hand()];
    await a.start(lab.file("vm1"));
    await b.start(lab.file("vm2"));
    await pass(a, b, 1);
    expect(await plug("vm1")).toEqual({ change: "unchanged" });
    expect(await lab.port("vm1")).toMatchObject({ owner: "me", connections: 1, state: "running", wired: true });
    expect((await lab.port("s1")).owner).toBeUndefined();
    await pass(a, b, 2);
    // What needs another socket disconnects the front-end, which comes back.
    expect(await plug("vm1", { mode: "0600" })).toEqual({ change: "changed", live: false });
    await a.lost;
    expect(await lab.control.unplug("vm2", "me")).toBe(true);
    await b.lost;
    expect(existsSync(lab.file("vm2"))).toBe(false);
    expect(await lab.control.unplug("vm2", "me")).toBe(false);
    expect(await lab.control.unplug("vm1", "me")).toBe(true);
    await steady.more(100);
  });

  test("an admin state is changed live: the traffic stops and goes on, the session stays", async () => {
    await plug("vm1");
    await plug("vm2");
    const [a, b] = [hand(), hand()];
    await a.start(lab.file("vm1"));
    await b.start(lab.file("vm2"));
    await pass(a, b, 1);
    await pass(b, a, 2);
    expect(await plug("vm2", { "admin-state-up": false })).toEqual({ change: "changed", live: true });
    a.send(handFrame(b.number, a.number, 100, 3));
    b.send(handFrame(a.number, b.number, 100, 4));
    const down = await lab.when("vm2", ({ drops }) => drops["admin-down"] === 1);
    expect(down).toMatchObject({ adminStateUp: false, state: "running", connections: 1 });
    await until("all that was sent to have been taken", async () => (await lab.port("vm1")).rxFrames >= 2 || undefined);
    expect([a.receive(), b.receive()]).toEqual([[], []]);
    expect(await plug("vm2", { "admin-state-up": true })).toEqual({ change: "changed", live: true });
    await pass(a, b, 5);
    await pass(b, a, 6);
    expect(await lab.port("vm2")).toMatchObject({ adminStateUp: true, connections: 1, drops: { "admin-down": 1 } });
  });

  test("a port that is plugged down takes its guest, and waits", async () => {
    await plug("vm1", { "admin-state-up": false });
    await plug("vm2");
    const [a, b] = [hand(), hand()];
    await a.start(lab.file("vm1"));
    await b.start(lab.file("vm2"));
    a.send(handFrame(b.number, a.number, 100, 1));
    await lab.when("vm1", ({ drops }) => drops["admin-down"] === 1);
    await plug("vm1");
    await pass(a, b, 2);
    expect(b.receive()).toEqual([]);
  });

  test("an MTU is changed live for a driver that has agreed to have one", async () => {
    await plug("vm1", { mtu: 1500 });
    await plug("vm2");
    const [a, b] = [hand({ features: MODERN | bits(VIRTIO_NET_F_MTU) }), hand()];
    await a.start(lab.file("vm1"));
    await b.start(lab.file("vm2"));
    const send = (length: number, number: number) => b.send(handFrame(a.number, b.number, length, number));
    const longest = async (length: number, number: number) => {
      send(length, number);
      return until(`frame ${number}`, () => a.receive().find((bytes) => bytes.length === length));
    };
    await longest(14 + 1500, 1);
    expect(await plug("vm1", { mtu: 1000 })).toEqual({ change: "changed", live: true });
    send(14 + 1001, 2);
    await lab.when("vm1", ({ drops }) => drops.mtu === 1);
    await longest(14 + 1000, 3);
    expect(await lab.port("vm1")).toMatchObject({ mtu: 1000, connections: 1 });
    const config = await a.get("GET_CONFIG", { kind: "config", offset: 0, flags: 0, data: new Uint8Array(12) });
    expect(config).toMatchObject({ kind: "config" });
    expect(new DataView((config as { data: Uint8Array }).data.slice().buffer).getUint16(10, true)).toBe(1000);
    await plug("vm1", { mtu: 1501 });
    await longest(14 + 1501, 4);
  });

  test("a configuration that is read again leaves plugged ports alone", async () => {
    await plug("vm1");
    const guest = hand();
    await guest.start(lab.file("vm1"));
    writeFileSync(lab.file("net.yaml"), "ports:\n  s1: { listen: s1 }\n  s2: { listen: s2 }\n  vm2: { listen: vm2 }\n");
    expect(await lab.control.reload()).toEqual({
      added: ["vm2"],
      removed: [],
      changed: [],
      unchanged: ["s1", "s2", "vm1"],
      needsRestart: [],
    });
    expect((await lab.port("vm1")).connections).toBe(1);
    writeFileSync(lab.file("net.yaml"), "ports:\n  s1: { listen: s1 }\n  s2: { listen: s2 }\n  vm1: { listen: vm1 }\n");
    await expect(lab.control.reload()).rejects.toThrow(
      "ports.vm1: a port of that name was plugged by me: unplug that first, or change this one",
    );
    await plug("vm3");
    await expectGoodGuests(lab, ["vm2", "vm3"]);
  });

  test("what makes no sense is refused with the reason, and changes nothing", async () => {
    await plug("vm1");
    const bad: [() => Promise<unknown>, string | RegExp][] = [
      [() => plug("s1"), "port s1 is of the switch's configuration: give this one another name"],
      [() => lab.control.unplug("s1", "me"), "port s1 is of the switch's configuration: remove it there, and reload"],
      [() => plug("vm1", {}, "other"), 'port vm1 was plugged by "me", not by "other"'],
      [() => lab.control.unplug("vm1", "other"), 'port vm1 was plugged by "me", not by "other"'],
      [() => plug("vm2", { listen: lab.file("s1") }), /vm2: \S+s1 is the socket of port s1/],
      [() => plug("vm2", { listen: lab.file("vm1") }), /vm2: \S+vm1 is the socket of port vm1/],
      [() => plug("vm2", { listen: lab.file("control") }), "is the control socket"],
      [() => plug("vm2", { listen: "vm2" }), 'vm2.listen: "vm2" is not absolute'],
      [() => plug("vm2", { listne: 1 }), /vm2\.listne: unknown key/],
      [() => plug("vm2", { listen: `/tmp/${"x".repeat(120)}` }), "too long for a unix socket"],
      [() => plug("vm 2"), "a port's name is 1 to 32 letters"],
      [() => plug("../vm2"), "a port's name is 1 to 32 letters"],
      [() => plug("vm2", {}, "a b"), "an owner is 1 to 32 letters"],
      [() => lab.control.plug("vm2", null, "me"), "must be a map"],
      [() => lab.control.plug("vm2", { listen: "x".repeat(70_000) }, "me"), "at most 65536 bytes"],
    ];
    for (const [ask, reason] of bad) await expect(ask()).rejects.toThrow(reason);
    expect((await lab.control.status()).ports.map(({ name }) => name).sort()).toEqual(["s1", "s2", "vm1"]);
  });

  test("a socket that cannot be had: the port is not there, and the next time it is tried again", async () => {
    const taken = listenUnix(lab.file("vm1"));
    await expect(plug("vm1")).rejects.toThrow(`process ${process.pid} listens here`);
    expect((await lab.control.status()).ports).toHaveLength(2);
    closeFd(taken);
    expect(await plug("vm1")).toEqual({ change: "added" });
  });

  test("many at once are changed one after the other", async () => {
    const names = Array.from({ length: 40 }, (_, i) => `p${i}`);
    await Promise.all(names.map((name) => plug(name)));
    expect((await lab.control.status()).ports).toHaveLength(42);
    await Promise.all(names.flatMap((name) => [plug(name, { mtu: 2000 }), lab.control.unplug(name, "me")]));
    expect((await lab.control.status()).ports).toHaveLength(2);
  });
});
