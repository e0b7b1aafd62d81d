// What a session answers and agrees on: questions, acknowledgements, features, device status and reset.

import { describe, expect, test } from "vitest";
import { DEFAULT_FEATURES, DEFAULT_PROTOCOL_FEATURES } from "../../src/vhost-user/features.js";
import { FakeSwitch, REPLY_ACK_ON } from "./fake-switch.js";
import { ask, giveMemory, kinds, ready, startRing, stopRing, u64, vring, vringAddr, vringFd } from "./requests.js";

const PROTOCOL_FEATURES = 1n << 30n;
const VERSION_1 = 1n << 32n;
const MRG_RXBUF = 1n << 15n;

describe("questions with a number for an answer", () => {
  test("features, protocol features, queue pairs and memory slots", () => {
    const sw = new FakeSwitch();
    expect(ask(sw, "GET_FEATURES")).toBe(DEFAULT_FEATURES);
    expect(ask(sw, "GET_PROTOCOL_FEATURES")).toBe(DEFAULT_PROTOCOL_FEATURES);
    expect(ask(sw, "GET_QUEUE_NUM")).toBe(128n);
    expect(ask(sw, "GET_MAX_MEM_SLOTS")).toBe(509n);
    expect(new FakeSwitch({ features: 5n, protocolFeatures: 6n }).state).toMatchObject({
      offeredFeatures: 5n,
      offeredProtocolFeatures: 6n,
    });
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

  test("SET_OWNER may come again; RESET_OWNER is accepted and changes nothing", () => {
    const sw = ready();
    startRing(sw, 0);
    const before = sw.state;
    expect(sw.ack("SET_OWNER", { kind: "none" })).toBe(0n);
    expect(sw.ack("SET_OWNER", { kind: "none" })).toBe(0n);
    expect(sw.ack("RESET_OWNER", { kind: "none" })).toBe(0n);
    expect(sw.state).toEqual(before);
  });
});

describe("features", () => {
  test("M42: features that are not offered are refused and named", () => {
    const sw = ready();
    const answer = sw.send("SET_FEATURES", u64(PROTOCOL_FEATURES | (1n << 60n) | (1n << 2n)), [], true);
    expect(answer.reply?.[0]).toBe(1);
    expect(answer.logs[0]).toContain("not offered: VIRTIO_NET_F_CTRL_GUEST_OFFLOADS, VIRTIO_NET_F_RSS");
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
    stopRing(sw, 0);
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
    expect(ask(sw, "GET_STATUS")).toBe(0x0bn);
    sw.send("SET_FEATURES", u64(1n << 2n));
    sw.send("SET_STATUS", u64(0x0bn));
    expect(ask(sw, "GET_STATUS")).toBe(0x03n);
    sw.send("SET_FEATURES", u64(VERSION_1));
    sw.send("SET_STATUS", u64(0x0fn));
    expect(ask(sw, "GET_STATUS")).toBe(0x0fn);
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
    startRing(sw, 0);
    expect(sw.running.get(0)?.enabled).toBe(true);
  });

  test("SET_STATUS 0 before GET_VRING_BASE, as QEMU 7.2 stops a guest: it is told where the rings stand", () => {
    const sw = ready();
    startRing(sw, 0);
    sw.send("SET_STATUS", u64(0n));
    expect(stopRing(sw, 0)).toMatchObject({ num: 5 });
    // The driver's own reset: the ring starts from the beginning unless the front-end says from where.
    sw.send("SET_FEATURES", u64(VERSION_1));
    sw.send("SET_VRING_ADDR", vringAddr(0));
    sw.send("SET_VRING_KICK", vringFd(0), sw.fds(1));
    expect(sw.running.get(0)?.ring.nextAvail).toBe(0);
    sw.send("SET_STATUS", u64(0n));
    sw.send("SET_VRING_BASE", vring(0, 5));
    sw.send("SET_VRING_ADDR", vringAddr(0));
    sw.send("SET_VRING_KICK", vringFd(0), sw.fds(1));
    expect(sw.running.get(0)?.ring.nextAvail).toBe(5);
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
