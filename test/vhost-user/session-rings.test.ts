// What a ring's life looks like through a session: when it starts, stops, is enabled, and changes descriptors.

import { describe, expect, test } from "vitest";
import type { Effect } from "../../src/vhost-user/effects.js";
import { DEFAULT_FEATURES, DEFAULT_PROTOCOL_FEATURES } from "../../src/vhost-user/features.js";
import { decodePayload, type MessageName, type Payload } from "../../src/vhost-user/message.js";
import { ringAt } from "../../src/vhost-user/state.js";
import { FakeSwitch, REPLY_ACK_ON } from "./fake-switch.js";
import {
  device,
  giveMemory,
  MIB,
  negotiate,
  ringAddresses,
  startRing,
  u64,
  UVA,
  vring,
  vringAddr,
  vringFd,
} from "./requests.js";

const PROTOCOL_FEATURES = 1n << 30n;
const VERSION_1 = 1n << 32n;
const MRG_RXBUF = 1n << 15n;

const kinds = (effects: readonly Effect[]) => effects.map((e) => e.kind);

function value(sw: FakeSwitch, name: MessageName): bigint {
  const payload = decodePayload("u64", sw.send(name).reply!);
  if (payload.kind !== "u64") throw new Error(`${name} was not answered with a number`);
  return payload.value;
}

function base(sw: FakeSwitch, index: number): Payload {
  return decodePayload("vringState", sw.send("GET_VRING_BASE", vring(index, 0)).reply!) as Payload;
}

function ready(): FakeSwitch {
  const sw = new FakeSwitch();
  negotiate(sw);
  giveMemory(sw);
  return sw;
}

describe("questions with a number for an answer", () => {
  test("features, protocol features, queue pairs and memory slots", () => {
    const sw = new FakeSwitch();
    expect(value(sw, "GET_FEATURES")).toBe(DEFAULT_FEATURES);
    expect(value(sw, "GET_PROTOCOL_FEATURES")).toBe(DEFAULT_PROTOCOL_FEATURES);
    expect(value(sw, "GET_QUEUE_NUM")).toBe(128n);
    expect(value(sw, "GET_MAX_MEM_SLOTS")).toBe(509n);
    expect(new FakeSwitch({ features: 5n, protocolFeatures: 6n }).state).toMatchObject({
      offeredFeatures: 5n,
      offeredProtocolFeatures: 6n,
    });
  });

  test("GET_CONFIG is answered with an empty payload, which means no configuration", () => {
    const config: Payload = { kind: "config", offset: 0, flags: 0, data: new Uint8Array(6) };
    expect(new FakeSwitch().send("GET_CONFIG", config).reply).toEqual(new Uint8Array(0));
  });

  test("a request with its own reply never gets an acknowledgement too", () => {
    const sw = ready();
    expect(sw.send("GET_FEATURES", { kind: "none" }, [], true).reply).toHaveLength(8);
    expect(sw.ack("GET_FEATURES", { kind: "none" })).toBe(DEFAULT_FEATURES);
  });
});

describe("REPLY_ACK", () => {
  test("no acknowledgement before it is negotiated, nor without NEED_REPLY", () => {
    const sw = new FakeSwitch();
    expect(sw.ack("SET_OWNER", { kind: "none" })).toBeNull();
    sw.send("SET_PROTOCOL_FEATURES", u64(REPLY_ACK_ON));
    expect(sw.send("SET_OWNER").reply).toBeNull();
    expect(sw.ack("SET_OWNER", { kind: "none" })).toBe(0n);
  });

  test("the SET_PROTOCOL_FEATURES that negotiates it is itself acknowledged", () => {
    const sw = new FakeSwitch();
    expect(sw.ack("SET_PROTOCOL_FEATURES", u64(REPLY_ACK_ON))).toBe(0n);
  });

  test("a refused request gets 1, and the connection goes on", () => {
    const sw = ready();
    expect(sw.ack("SET_VRING_NUM", vring(0, 3))).toBe(1n);
    const silent = sw.send("SET_VRING_NUM", vring(0, 5));
    expect(silent).toMatchObject({ reply: null, fault: undefined });
    expect(silent.logs).toEqual([
      expect.stringContaining("SET_VRING_NUM (8) refused: a split ring can not have 5 entries"),
    ]);
    expect(sw.ack("SET_VRING_NUM", vring(0, 4))).toBe(0n);
  });

  test("SET_OWNER may come again; RESET_OWNER and SET_LOG_FD are accepted and change nothing", () => {
    const sw = ready();
    startRing(sw, 0);
    const before = sw.state;
    expect(sw.ack("SET_OWNER", { kind: "none" })).toBe(0n);
    expect(sw.ack("SET_OWNER", { kind: "none" })).toBe(0n);
    expect(sw.ack("RESET_OWNER", { kind: "none" })).toBe(0n);
    expect(sw.ack("SET_LOG_FD", { kind: "none" }, sw.fds(1))).toBe(0n);
    expect(sw.state).toEqual(before);
  });
});

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
    expect(base(sw, 1)).toEqual({ kind: "vringState", index: 1, num: 8 });
    expect(sw.running.size).toBe(0);
    expect([...sw.open]).toEqual([call]);
    // And it goes on there, with the old call descriptor, when nothing else is said.
    sw.send("SET_VRING_ADDR", vringAddr(1));
    sw.send("SET_VRING_KICK", vringFd(1), sw.fds(1));
    expect(sw.running.get(1)).toMatchObject({ ring: { nextAvail: 8 }, call });
  });

  test("M42: GET_VRING_BASE of a ring that never started answers the last base", () => {
    const sw = new FakeSwitch();
    expect(base(sw, 0)).toEqual({ kind: "vringState", index: 0, num: 0 });
    sw.send("SET_VRING_BASE", vring(0, 4711));
    expect(base(sw, 0)).toEqual({ kind: "vringState", index: 0, num: 4711 });
    expect(sw.state.rings[1]).toBeUndefined();
  });

  test("M28: a stopped ring does not start again with the addresses of a guest that is gone", () => {
    const sw = ready();
    startRing(sw, 0);
    base(sw, 0);
    sw.send("SET_VRING_KICK", vringFd(0), sw.fds(1));
    expect(sw.running.size).toBe(0);
    sw.send("SET_VRING_ADDR", vringAddr(0, { desc: ringAddresses(9).desc }));
    expect(sw.running.get(0)?.ring.desc).toBe(MIB + 0x90000n);
  });

  test("M28: ENABLE, KICK and GET_VRING_BASE of rings that were never set up", () => {
    const sw = ready();
    expect(sw.ack("SET_VRING_ENABLE", vring(200, 1))).toBe(0n);
    expect(sw.ack("SET_VRING_KICK", vringFd(201), sw.fds(1))).toBe(0n);
    expect(base(sw, 202)).toMatchObject({ num: 0 });
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

  test("a swap that fails keeps the old descriptor and closes the new one", () => {
    const sw = ready();
    startRing(sw, 0);
    const { call, kick } = sw.running.get(0)!;
    sw.failing.set("setCall", "no eventfd").set("setKick", "no eventfd");
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
    base(sw, 0);
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

describe("features", () => {
  test("M42: features that are not offered are refused and named", () => {
    const sw = ready();
    const answer = sw.send("SET_FEATURES", u64(PROTOCOL_FEATURES | (1n << 34n) | 1n), [], true);
    expect(answer.reply?.[0]).toBe(1);
    expect(answer.logs[0]).toContain("not offered: VIRTIO_NET_F_CSUM, VIRTIO_F_RING_PACKED");
    expect(sw.state.features).toBe(PROTOCOL_FEATURES | VERSION_1);
    expect(sw.ack("SET_PROTOCOL_FEATURES", u64(1n << 20n))).toBe(1n);
    expect(sw.state.protocolFeatures).toBe(REPLY_ACK_ON);
  });

  test("M42: features that change under running rings stop them, and they go on where they stopped", () => {
    const sw = ready();
    startRing(sw, 0, 10);
    startRing(sw, 1, 20);
    const { effects } = sw.send("SET_FEATURES", u64(PROTOCOL_FEATURES | VERSION_1 | MRG_RXBUF));
    expect(kinds(effects)).toEqual(["stopQueue", "stopQueue", "setFeatures", "startQueue", "startQueue"]);
    expect([...sw.running.values()].map((r) => r.ring.nextAvail)).toEqual([15, 25]);
    expect(sw.features).toBe(PROTOCOL_FEATURES | VERSION_1 | MRG_RXBUF);
  });

  test("F43: features change between two starts of one session, as from firmware to operating system", () => {
    const sw = new FakeSwitch();
    giveMemory(sw);
    sw.send("SET_FEATURES", u64(PROTOCOL_FEATURES));
    startRing(sw, 0);
    expect(sw.features).toBe(PROTOCOL_FEATURES);
    base(sw, 0);
    const { effects } = sw.send("SET_FEATURES", u64(PROTOCOL_FEATURES | VERSION_1));
    expect(effects).toEqual([{ kind: "setFeatures", features: PROTOCOL_FEATURES | VERSION_1 }]);
    startRing(sw, 0);
    expect(sw.running.size).toBe(1);
  });

  test("F43: a new session starts without the features of the one before", () => {
    const sw = new FakeSwitch();
    sw.send("SET_FEATURES", u64(VERSION_1));
    const again = new FakeSwitch();
    expect(again.state.features).toBeNull();
    expect(kinds(again.send("SET_FEATURES", u64(0n)).effects)).toEqual(["setFeatures"]);
  });

  test("features the switch can not set are refused; rings go on with the old ones", () => {
    const sw = ready();
    startRing(sw, 0);
    sw.failing.set("setFeatures", "the header size can not change");
    expect(sw.ack("SET_FEATURES", u64(PROTOCOL_FEATURES))).toBe(1n);
    expect(sw.state.features).toBe(PROTOCOL_FEATURES | VERSION_1);
    expect(sw.running.size).toBe(1);
  });
});

describe("device status and reset", () => {
  test("GET_STATUS answers what was set; FEATURES_OK only while the features are accepted", () => {
    const sw = ready();
    sw.send("SET_STATUS", u64(0x0bn));
    expect(value(sw, "GET_STATUS")).toBe(0x0bn);
    sw.send("SET_FEATURES", u64(1n));
    sw.send("SET_STATUS", u64(0x0bn));
    expect(value(sw, "GET_STATUS")).toBe(0x03n);
    sw.send("SET_FEATURES", u64(VERSION_1));
    sw.send("SET_STATUS", u64(0x0fn));
    expect(value(sw, "GET_STATUS")).toBe(0x0fn);
    expect(sw.ack("SET_STATUS", u64(0x100n))).toBe(1n);
  });

  test("DRIVER_OK starts nothing: SET_VRING_KICK does", () => {
    const sw = ready();
    expect(sw.send("SET_STATUS", u64(0x0fn)).effects).toEqual([]);
  });

  test("SET_STATUS 0 stops all rings and forgets features, not memory and not the enables", () => {
    const sw = ready();
    sw.send("SET_VRING_ENABLE", vring(0, 1));
    startRing(sw, 0);
    startRing(sw, 1);
    const { effects } = sw.send("SET_STATUS", u64(0n));
    expect(kinds(effects)).toEqual(["stopQueue", "stopQueue", "setFeatures", "close"]);
    expect(sw.state).toMatchObject({ features: null, status: 0, protocolFeatures: REPLY_ACK_ON });
    expect(sw.regions).toHaveLength(1);
    expect(base(sw, 0)).toMatchObject({ num: 0 });
    startRing(sw, 0);
    expect(sw.running.get(0)?.enabled).toBe(true);
  });

  test("RESET_DEVICE does the same and disables every ring", () => {
    const sw = ready();
    sw.send("SET_VRING_ENABLE", vring(0, 1));
    startRing(sw, 0);
    expect(sw.ack("RESET_DEVICE", { kind: "none" })).toBe(0n);
    expect(sw.running.size).toBe(0);
    startRing(sw, 0);
    expect(sw.running.get(0)?.enabled).toBe(false);
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
