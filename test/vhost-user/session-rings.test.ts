// What a ring's life looks like through a session: when it starts, stops, is enabled, and changes descriptors.

import { describe, expect, test } from "vitest";
import type { MessageName, Payload } from "../../src/vhost-user/message.js";
import { ringAt } from "../../src/vhost-user/state.js";
import { FakeSwitch } from "./fake-switch.js";
import {
  device,
  giveMemory,
  kinds,
  MIB,
  negotiate,
  ready,
  ringAddresses,
  startRing,
  stopRing,
  u64,
  UVA,
  vring,
  vringAddr,
  vringFd,
} from "./requests.js";

const PROTOCOL_FEATURES = 1n << 30n;
const VERSION_1 = 1n << 32n;

describe("start and stop", () => {
  test("a ring starts at SET_VRING_KICK, with guest physical addresses and the base it was given", () => {
    const sw = ready();
    startRing(sw, 3, 77);
    expect(sw.running.get(3)).toMatchObject({
      ring: { size: 256, desc: MIB + 0x30000n, avail: MIB + 0x38000n, used: MIB + 0x3a000n, nextAvail: 77 },
      enabled: false,
    });
    expect([...sw.running.keys()]).toEqual([3]);
  });

  const orders: MessageName[][] = [
    ["SET_VRING_KICK", "SET_VRING_ADDR", "SET_VRING_NUM", "SET_MEM_TABLE"],
    ["SET_VRING_KICK", "SET_MEM_TABLE", "SET_VRING_NUM", "SET_VRING_ADDR"],
    ["SET_MEM_TABLE", "SET_VRING_ADDR", "SET_VRING_KICK", "SET_VRING_NUM"],
    ["SET_VRING_ADDR", "SET_VRING_NUM", "SET_MEM_TABLE", "SET_VRING_KICK"],
  ];
  test.each(orders)("M42: what comes early is remembered: %s, %s, %s, %s", (...order) => {
    const sw = new FakeSwitch();
    negotiate(sw);
    const say: Partial<Record<MessageName, () => unknown>> = {
      SET_VRING_KICK: () => sw.send("SET_VRING_KICK", vringFd(0), sw.fds(1)),
      SET_VRING_ADDR: () => sw.send("SET_VRING_ADDR", vringAddr(0)),
      SET_VRING_NUM: () => sw.send("SET_VRING_NUM", vring(0, 256)),
      SET_MEM_TABLE: () => giveMemory(sw),
    };
    for (const name of order.slice(0, 3)) say[name]!();
    expect(sw.running.size).toBe(0);
    say[order[3]!]!();
    expect(sw.running.size).toBe(1);
  });

  test("KICK and CALL without a descriptor (NOFD): the ring is polled and makes no calls", () => {
    const sw = ready();
    sw.send("SET_VRING_NUM", vring(0, 64));
    sw.send("SET_VRING_ADDR", vringAddr(0));
    sw.send("SET_VRING_CALL", vringFd(0, true));
    expect(sw.ack("SET_VRING_KICK", vringFd(0, true))).toBe(0n);
    expect(sw.running.get(0)).toMatchObject({ kick: null, call: null });
  });

  test("GET_VRING_BASE stops, answers the next avail index, and closes the kick but not the call descriptor", () => {
    const sw = ready();
    startRing(sw, 1, 65534);
    sw.progress = 10;
    const { call } = sw.running.get(1)!;
    expect(stopRing(sw, 1)).toEqual({ kind: "vringState", index: 1, num: 8 });
    expect(sw.running.size).toBe(0);
    expect([...sw.open]).toEqual([call]);
    // And it goes on there, with the old call descriptor, when nothing else is said.
    sw.send("SET_VRING_ADDR", vringAddr(1));
    sw.send("SET_VRING_KICK", vringFd(1), sw.fds(1));
    expect(sw.running.get(1)).toMatchObject({ ring: { nextAvail: 8 }, call });
  });

  test("M42: GET_VRING_BASE of a ring that never started answers the last base", () => {
    const sw = new FakeSwitch();
    expect(stopRing(sw, 0)).toEqual({ kind: "vringState", index: 0, num: 0 });
    sw.send("SET_VRING_BASE", vring(0, 4711));
    expect(stopRing(sw, 0)).toEqual({ kind: "vringState", index: 0, num: 4711 });
    expect(sw.state.rings[1]).toBeUndefined();
  });

  test("M28: a stopped ring does not start again with the addresses of a guest that is gone", () => {
    const sw = ready();
    startRing(sw, 0);
    stopRing(sw, 0);
    sw.send("SET_VRING_KICK", vringFd(0), sw.fds(1));
    expect(sw.running.size).toBe(0);
    sw.send("SET_VRING_ADDR", vringAddr(0, { desc: ringAddresses(9).desc }));
    expect(sw.running.get(0)?.ring.desc).toBe(MIB + 0x90000n);
  });

  test("M28: ENABLE, KICK and GET_VRING_BASE of rings that were never set up", () => {
    const sw = ready();
    expect(sw.ack("SET_VRING_ENABLE", vring(200, 1))).toBe(0n);
    expect(sw.ack("SET_VRING_KICK", vringFd(201), sw.fds(1))).toBe(0n);
    expect(stopRing(sw, 202)).toMatchObject({ num: 0 });
    expect(sw.running.size).toBe(0);
  });

  test("M42: size and base of a running ring may not be changed", () => {
    const sw = ready();
    startRing(sw, 0);
    expect(sw.ack("SET_VRING_NUM", vring(0, 128))).toBe(1n);
    expect(sw.ack("SET_VRING_BASE", vring(0, 3))).toBe(1n);
    expect(sw.running.get(0)?.ring).toMatchObject({ size: 256, nextAvail: 0 });
  });

  test("SET_VRING_ADDR of a running ring moves it, and it goes on where it stopped", () => {
    const sw = ready();
    startRing(sw, 0, 100);
    const { effects } = sw.send("SET_VRING_ADDR", vringAddr(0, { used: ringAddresses(5).used }));
    expect(kinds(effects)).toEqual(["stopQueue", "startQueue"]);
    expect(sw.running.get(0)?.ring).toMatchObject({ nextAvail: 105, used: MIB + 0x5a000n });
  });

  test("a new address outside memory is refused and the ring runs on with the old one", () => {
    const sw = ready();
    startRing(sw, 0);
    expect(sw.ack("SET_VRING_ADDR", vringAddr(0, { used: UVA + 64n * MIB }))).toBe(1n);
    expect(sw.running.get(0)?.ring.used).toBe(MIB + 0xa000n);
  });
});

describe("descriptors of a running ring", () => {
  test("CALL and KICK swap while it runs; the old one is closed after the swap", () => {
    const sw = ready();
    startRing(sw, 0);
    const old = { ...sw.running.get(0)! };
    const call = sw.fd();
    expect(kinds(sw.send("SET_VRING_CALL", vringFd(0), [call]).effects)).toEqual(["setCall", "close"]);
    const kick = sw.fd();
    expect(kinds(sw.send("SET_VRING_KICK", vringFd(0), [kick]).effects)).toEqual(["setKick", "close"]);
    expect(sw.running.get(0)).toMatchObject({ call, kick });
    expect(sw.open).toEqual(new Set([call, kick]));
    expect([old.call, old.kick].some((fd) => sw.open.has(fd!))).toBe(false);
    sw.send("SET_VRING_CALL", vringFd(0, true));
    expect(sw.running.get(0)?.call).toBeNull();
  });

  test("ERR is kept from before the start, swaps while the ring runs, and stays over a stop as CALL does", () => {
    const sw = ready();
    const first = sw.fd();
    sw.send("SET_VRING_ERR", vringFd(0), [first]);
    startRing(sw, 0);
    expect(sw.running.get(0)?.err).toBe(first);
    const second = sw.fd();
    expect(kinds(sw.send("SET_VRING_ERR", vringFd(0), [second]).effects)).toEqual(["setErr", "close"]);
    expect(sw.open.has(first)).toBe(false);
    stopRing(sw, 0);
    startRing(sw, 0);
    expect(sw.running.get(0)?.err).toBe(second);
    sw.send("SET_VRING_ERR", vringFd(0, true));
    expect([sw.running.get(0)?.err, sw.open.has(second)]).toEqual([null, false]);
  });

  test("a swap that fails keeps the old descriptor and closes the new one", () => {
    const sw = ready();
    startRing(sw, 0);
    const { call, kick } = sw.running.get(0)!;
    sw.failing.set("setCall", "no eventfd").set("setKick", "no eventfd").set("setErr", "no eventfd");
    expect(sw.ack("SET_VRING_ERR", vringFd(0), sw.fds(1))).toBe(1n);
    expect(sw.running.get(0)?.err).toBeNull();
    expect(sw.ack("SET_VRING_CALL", vringFd(0), sw.fds(1))).toBe(1n);
    expect(sw.ack("SET_VRING_KICK", vringFd(0), sw.fds(1))).toBe(1n);
    expect(ringAt(sw.state, 0)).toMatchObject({ call, kick });
  });
});

describe("enable", () => {
  test("F16: ENABLE before anything else is known of the ring is honoured when it starts", () => {
    const sw = new FakeSwitch();
    expect(sw.send("SET_VRING_ENABLE", vring(0, 1)).effects).toEqual([]);
    negotiate(sw);
    giveMemory(sw);
    startRing(sw, 0);
    startRing(sw, 1);
    expect(sw.running.get(0)?.enabled).toBe(true);
    expect(sw.running.get(1)?.enabled).toBe(false);
  });

  test("F16: SET_FEATURES sent again with VHOST_USER_F_PROTOCOL_FEATURES touches no running ring", () => {
    const sw = ready();
    startRing(sw, 0);
    startRing(sw, 1);
    sw.send("SET_VRING_ENABLE", vring(0, 1));
    const before = sw.state;
    expect(sw.send("SET_FEATURES", u64(PROTOCOL_FEATURES | VERSION_1)).effects).toEqual([]);
    expect(sw.state).toEqual(before);
  });

  test("F17: rings are enabled one by one in any order, and started is not touched by it", () => {
    const sw = ready();
    for (const index of [0, 1, 2, 3]) startRing(sw, index);
    const enabled = () => [...sw.running].filter(([, ring]) => ring.enabled).map(([index]) => index);
    for (const index of [2, 0, 3, 1]) expect(sw.ack("SET_VRING_ENABLE", vring(index, 1))).toBe(0n);
    expect(enabled()).toEqual([0, 1, 2, 3]);
    expect(kinds(sw.send("SET_VRING_ENABLE", vring(2, 0)).effects)).toEqual(["setEnabled"]);
    expect(enabled()).toEqual([0, 1, 3]);
    expect(sw.running.size).toBe(4);
  });

  test("an enable outlives GET_VRING_BASE and a new start", () => {
    const sw = ready();
    sw.send("SET_VRING_ENABLE", vring(0, 1));
    startRing(sw, 0);
    stopRing(sw, 0);
    startRing(sw, 0);
    expect(sw.running.get(0)?.enabled).toBe(true);
  });

  test("without VHOST_USER_F_PROTOCOL_FEATURES, SET_FEATURES enables all rings, known and not, running and not", () => {
    const sw = new FakeSwitch();
    giveMemory(sw);
    startRing(sw, 0);
    sw.send("SET_VRING_CALL", vringFd(1), sw.fds(1));
    expect(sw.running.get(0)?.enabled).toBe(false);
    sw.send("SET_FEATURES", u64(VERSION_1));
    expect(sw.running.get(0)?.enabled).toBe(true);
    for (const index of [1, 2]) startRing(sw, index);
    expect([...sw.running.values()].map((ring) => ring.enabled)).toEqual([true, true, true]);
  });

  test("without that bit, the same SET_FEATURES again enables a ring that was disabled meanwhile", () => {
    const sw = new FakeSwitch();
    giveMemory(sw);
    sw.send("SET_FEATURES", u64(VERSION_1));
    startRing(sw, 0);
    sw.send("SET_VRING_ENABLE", vring(0, 0));
    sw.send("SET_FEATURES", u64(VERSION_1));
    expect(sw.running.get(0)).toMatchObject({ enabled: true, ring: { nextAvail: 5 } });
  });

  test("an enable that fails is not remembered", () => {
    const sw = ready();
    startRing(sw, 0);
    sw.failing.set("setEnabled", "the worker is gone");
    expect(sw.ack("SET_VRING_ENABLE", vring(0, 1))).toBe(1n);
    expect(ringAt(sw.state, 0).enabled).toBe(false);
  });
});

describe("the switch fails", () => {
  test("a ring that does not start is refused with the switch's reason, and starts when told again", () => {
    const sw = ready();
    sw.failing.set("startQueue", "no worker has room for one more queue");
    sw.send("SET_VRING_NUM", vring(0, 256));
    sw.send("SET_VRING_ADDR", vringAddr(0));
    const answer = sw.send("SET_VRING_KICK", vringFd(0), sw.fds(1), true);
    expect(answer.reply?.[0]).toBe(1);
    expect(answer.logs[0]).toContain("queue 0 did not start: no worker has room");
    sw.failing.clear();
    expect(sw.ack("SET_VRING_KICK", vringFd(0), sw.fds(1))).toBe(0n);
    expect(sw.running.size).toBe(1);
  });

  test.each<[MessageName, Payload, number]>([
    ["GET_VRING_BASE", vring(0, 0), 0],
    ["SET_MEM_TABLE", { kind: "memTable", regions: [] }, 0],
    ["SET_MEM_TABLE", { kind: "memTable", regions: [...device(1, 0n, 0n).regions] }, 1],
    ["SET_STATUS", u64(0n), 0],
  ])("a ring that does not stop may still be in guest memory, so %s ends the session", (name, payload, count) => {
    const sw = ready();
    startRing(sw, 0);
    sw.failing.set("stopQueue", "worker 1 does not answer");
    const answer = sw.send(name, payload, sw.fds(count), true);
    expect(answer).toMatchObject({ reply: null, fault: expect.stringContaining("worker 1 does not answer") });
    expect(kinds(answer.effects)).not.toContain("setMemory");
    sw.failing.clear();
    expect(kinds(sw.close())).toEqual(["stopQueue", "setMemory", "close"]);
    expect(sw.open.size).toBe(0);
  });
});

test("closeSession stops what runs, drops the memory and closes every descriptor", () => {
  const sw = ready();
  startRing(sw, 0);
  startRing(sw, 1);
  sw.send("SET_VRING_CALL", vringFd(7), sw.fds(1));
  expect(kinds(sw.close())).toEqual(["stopQueue", "stopQueue", "setMemory", "close"]);
  expect([sw.running.size, sw.regions.length, sw.open.size]).toEqual([0, 0, 0]);
  expect(new FakeSwitch().close()).toEqual([]);
});
