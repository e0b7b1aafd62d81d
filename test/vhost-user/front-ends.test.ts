// The request orders of real front-ends, played from front-end-session.ts through a session: what the switch is asked.

import { describe, expect, test } from "vitest";
import type { Effect } from "../../src/vhost-user/effects.js";
import { bits } from "../../src/core/feature-bits.js";
import { DEFAULT_FEATURES } from "../../src/vhost-user/features.js";
import {
  DPDK_PROTOCOL_FEATURES,
  decodeReply,
  dpdkConnect,
  dpdkStart,
  dpdkStop,
  expectsReply,
  playScript,
  QEMU_PROTOCOL_FEATURES,
  qemuConnect,
  qemuStart,
  qemuStop,
} from "../../src/vhost-user/front-end-session.js";
import { encodePayload, type Payload } from "../../src/vhost-user/payload.js";
import type { SessionOptions } from "../../src/vhost-user/session.js";
import { FakeSwitch } from "./fake-switch.js";
import { ask, device, MIB, memTable, region, startRing, stopRing, u64, vring, vringAddr, vringFd } from "./requests.js";

const RING_PACKED = 1n << 34n;
/** A driver that knows everything but packed rings, and what it acks of what is offered. */
const ALL = ((1n << 64n) - 1n) & ~RING_PACKED;
const SPLIT = DEFAULT_FEATURES & ~RING_PACKED;
const LEGACY = bits(15, 17, 21, 22, 27, 28, 29, 30);

/** The effects by name, those on queues with the index, without the closing of descriptors. */
function story(effects: readonly Effect[]): string[] {
  return effects
    .filter((e) => e.kind !== "close")
    .map((e) => {
      if (e.kind === "startQueue" || e.kind === "setEnabled") return `${e.kind} ${e.index} ${e.enabled}`;
      return "index" in e ? `${e.kind} ${e.index}` : e.kind;
    });
}

describe("QEMU", () => {
  test("connect, start and stop of one queue pair end in these effects", () => {
    const sw = new FakeSwitch();
    const guest = device(1, ALL, QEMU_PROTOCOL_FEATURES);
    const connect = sw.play(qemuConnect(guest));
    expect(connect.names).toEqual([
      "GET_FEATURES",
      "GET_PROTOCOL_FEATURES",
      "SET_PROTOCOL_FEATURES",
      "GET_QUEUE_NUM",
      "GET_MAX_MEM_SLOTS",
      "SET_OWNER",
      "GET_FEATURES",
      ...["SET_VRING_CALL", "SET_VRING_ERR", "SET_VRING_CALL", "SET_VRING_ERR"],
      ...["SET_VRING_ENABLE", "SET_VRING_ENABLE"],
    ]);
    expect(story(connect.effects)).toEqual([]);
    const agreed = connect.result;
    expect(agreed).toEqual({
      features: SPLIT,
      protocolFeatures: QEMU_PROTOCOL_FEATURES,
      queuePairsMax: 128,
      memSlotsMax: 509,
    });
    const start = sw.play(qemuStart(guest, agreed));
    expect(start.names.slice(0, 5)).toEqual(["SET_FEATURES", "GET_STATUS", "SET_STATUS", "GET_STATUS", "ADD_MEM_REG"]);
    expect(story(start.effects)).toEqual([
      "setFeatures",
      "addRegion",
      "startQueue 0 true",
      "startQueue 1 true",
      "setCall 0",
      "setCall 1",
      "setEnabled 0 true",
      "setEnabled 1 true",
    ]);
    const stop = sw.play(qemuStop(guest, agreed));
    expect(stop.result).toEqual([5, 5]);
    expect(story(stop.effects)).toEqual([
      "setEnabled 0 false",
      "setEnabled 1 false",
      "stopQueue 0",
      "stopQueue 1",
      "setFeatures",
    ]);
  });

  test("F6: 4 queue pairs give 8 running rings, enabled, with one memory map", () => {
    const sw = new FakeSwitch();
    const guest = device(4, ALL, QEMU_PROTOCOL_FEATURES);
    const agreed = sw.play(qemuConnect(guest)).result;
    expect(agreed.queuePairsMax).toBeGreaterThanOrEqual(4);
    const { effects } = sw.play(qemuStart(guest, agreed));
    expect(effects.filter((e) => e.kind === "setFeatures" || e.kind === "addRegion")).toHaveLength(2);
    expect([...sw.running.keys()]).toEqual([0, 1, 2, 3, 4, 5, 6, 7]);
    expect([...sw.running.values()].every((ring) => ring.enabled)).toBe(true);
    expect(sw.play(qemuStop(guest, agreed)).result).toHaveLength(8);
    expect(sw.running.size).toBe(0);
  });

  test("F6: a queue starts whether or not MQ was negotiated", () => {
    const sw = new FakeSwitch();
    const guest = device(2, ALL & ~(1n << 22n), 1n << 3n);
    const agreed = sw.play(qemuConnect(guest)).result;
    expect(agreed.queuePairsMax).toBe(1);
    sw.play(qemuStart(guest, agreed));
    expect(sw.running.size).toBe(4);
  });

  test("F43: firmware with a legacy driver, then an operating system with a modern one, in one session", () => {
    const sw = new FakeSwitch();
    const firmware = device(1, LEGACY, QEMU_PROTOCOL_FEATURES);
    const agreed = sw.play(qemuConnect(firmware)).result;
    sw.play(qemuStart(firmware, agreed));
    expect(sw.features).toBe(LEGACY);
    sw.play(qemuStop(firmware, agreed));
    const system = device(2, ALL, QEMU_PROTOCOL_FEATURES);
    sw.play(qemuStart(system, { ...agreed, features: SPLIT }, true));
    expect(sw.features).toBe(SPLIT);
    expect(sw.running.size).toBe(4);
    expect(sw.regions).toHaveLength(1);
  });

  test("a back-end that asks for memory tables gets one", () => {
    const sw = new FakeSwitch();
    const guest = device(1, ALL, QEMU_PROTOCOL_FEATURES & ~(1n << 15n));
    const agreed = sw.play(qemuConnect(guest)).result;
    const { names, effects } = sw.play(qemuStart(guest, agreed));
    expect(names).toContain("SET_MEM_TABLE");
    expect(story(effects)).toContain("setMemory");
  });

  test("a front-end from before protocol features: SET_FEATURES enables the rings", () => {
    const sw = new FakeSwitch({ features: DEFAULT_FEATURES & ~(1n << 30n), protocolFeatures: 0n });
    const guest = device(1, ALL, 0n);
    const connect = sw.play(qemuConnect(guest));
    expect(connect.names).toEqual(["GET_FEATURES", "SET_OWNER"]);
    sw.send("SET_FEATURES", u64(connect.result.features));
    sw.send("SET_MEM_TABLE", { kind: "memTable", regions: [...guest.regions] }, sw.fds(1));
    startRing(sw, 0);
    expect(sw.running.get(0)?.enabled).toBe(true);
  });
});

describe("DPDK virtio-user", () => {
  test("connect, start and stop end in these effects", () => {
    const sw = new FakeSwitch();
    const guest = device(1, ALL, DPDK_PROTOCOL_FEATURES);
    const connect = sw.play(dpdkConnect(guest));
    expect(connect.names).toEqual([
      "SET_OWNER",
      "GET_FEATURES",
      "GET_PROTOCOL_FEATURES",
      "SET_PROTOCOL_FEATURES",
      "GET_QUEUE_NUM",
    ]);
    expect(connect.effects).toEqual([]);
    const agreed = connect.result;
    expect(agreed.features).toBe(SPLIT & ~bits(16, 17));
    const start = sw.play(dpdkStart(guest, agreed));
    expect(start.names).toEqual([
      ...["SET_VRING_CALL", "SET_VRING_CALL", "SET_FEATURES", "SET_STATUS", "GET_STATUS", "SET_MEM_TABLE"],
      ...["SET_VRING_NUM", "SET_VRING_BASE", "SET_VRING_ADDR", "SET_VRING_KICK"],
      ...["SET_VRING_NUM", "SET_VRING_BASE", "SET_VRING_ADDR", "SET_VRING_KICK"],
      ...["SET_VRING_ENABLE", "SET_VRING_ENABLE", "SET_STATUS"],
    ]);
    expect(story(start.effects)).toEqual([
      "setFeatures",
      "setMemory",
      "startQueue 0 false",
      "startQueue 1 false",
      "setEnabled 0 true",
      "setEnabled 1 true",
    ]);
    const stop = sw.play(dpdkStop(guest));
    expect(story(stop.effects)).toEqual(["setEnabled 0 false", "setEnabled 1 false", "stopQueue 0", "stopQueue 1"]);
    expect(stop.result).toEqual([5, 5]);
    expect(sw.close().map((e) => e.kind)).toEqual(["setMemory", "close"]);
    expect(sw.open.size).toBe(0);
  });

  test("F6: only the first pair is enabled at the start, the second when the driver asks for it", () => {
    const sw = new FakeSwitch();
    const guest = device(2, ALL, DPDK_PROTOCOL_FEATURES);
    const agreed = sw.play(dpdkConnect(guest)).result;
    sw.play(dpdkStart(guest, agreed));
    expect([...sw.running.values()].map((ring) => ring.enabled)).toEqual([true, true, false, false]);
    for (const index of [2, 3]) sw.send("SET_VRING_ENABLE", vring(index, 1));
    expect([...sw.running.values()].every((ring) => ring.enabled)).toBe(true);
  });

  test("the port stops and starts again in one session", () => {
    const sw = new FakeSwitch();
    const guest = device(1, ALL, DPDK_PROTOCOL_FEATURES);
    const agreed = sw.play(dpdkConnect(guest)).result;
    for (let i = 0; i < 3; i++) {
      sw.play(dpdkStart(guest, agreed));
      expect(sw.running.size).toBe(2);
      sw.play(dpdkStop(guest));
      expect(sw.running.size).toBe(0);
    }
  });

  test("a back-end that does not take the features stops the start", () => {
    const sw = new FakeSwitch({ features: (1n << 30n) | (1n << 32n) });
    const guest = device(1, ALL, DPDK_PROTOCOL_FEATURES);
    const agreed = sw.play(dpdkConnect(guest)).result;
    expect(() => sw.play(dpdkStart(guest, { ...agreed, features: 1n }))).toThrow("did not accept the features");
  });
});

describe("rust-vmm's front-end", () => {
  // As its crate's tests and cloud-hypervisor use it: SET_FEATURES before SET_PROTOCOL_FEATURES, NEED_REPLY in everything,
  // whatever is offered agreed to but packed rings, one eventfd for kick, call and err, and no SET_VRING_BASE at first.
  const NONE: Payload = { kind: "none" };
  const MEMORY = region(MIB, MIB, { mmapOffset: 0n });

  function connected(options: SessionOptions = {}): FakeSwitch {
    const sw = new FakeSwitch(options);
    const agree = () => {
      const features = ask(sw, "GET_FEATURES") & ~RING_PACKED;
      const protocolFeatures = ask(sw, "GET_PROTOCOL_FEATURES");
      expect(sw.send("SET_FEATURES", u64(features), [], true).logs).toEqual([]);
      expect(sw.ack("SET_PROTOCOL_FEATURES", u64(protocolFeatures))).toBe(0n);
    };
    agree();
    return sw;
  }

  test("F11: a whole session", () => {
    const sw = connected({ mac: 0x0100_0000_5452n });
    const done = (...request: Parameters<FakeSwitch["ack"]>) =>
      expect([request[0], sw.ack(...request)]).toEqual([request[0], 0n]);
    expect(ask(sw, "GET_QUEUE_NUM")).toBe(128n);
    for (const name of ["SET_OWNER", "RESET_OWNER", "RESET_OWNER", "SET_OWNER"] as const) done(name, NONE);
    done("SET_FEATURES", u64(ask(sw, "GET_FEATURES") & ~RING_PACKED));
    done("SET_PROTOCOL_FEATURES", u64(ask(sw, "GET_PROTOCOL_FEATURES")));
    done("SET_MEM_TABLE", memTable(MEMORY), sw.fds(1));
    done("SET_VRING_NUM", vring(0, 256));
    done("SET_VRING_ADDR", vringAddr(0));
    done("SET_VRING_KICK", vringFd(0), sw.fds(1));
    expect(sw.running.get(0)).toMatchObject({ enabled: false, ring: { size: 256, packed: false, nextAvail: 0 } });
    done("SET_VRING_CALL", vringFd(0), sw.fds(1));
    done("SET_VRING_ERR", vringFd(0), sw.fds(1));
    done("SET_VRING_ENABLE", vring(0, 1));
    expect(sw.running.get(0)!.enabled).toBe(true);
    // The space of its test's device ends elsewhere than ours: a reply without contents is how a back-end says no.
    expect(
      sw.send("GET_CONFIG", { kind: "config", offset: 0x200, flags: 0, data: new Uint8Array(8) }).reply,
    ).toHaveLength(0);
    const mac = sw.send("GET_CONFIG", { kind: "config", offset: 0, flags: 0, data: new Uint8Array(6) });
    expect([...mac.reply!.subarray(12)]).toEqual([0x52, 0x54, 0, 0, 0, 1]);
    expect(sw.ack("SET_BACKEND_REQ_FD", NONE, sw.fds(1))).toBe(1n);
    expect(stopRing(sw, 0)).toEqual(vring(0, 5));
    done("SET_VRING_BASE", vring(0, 5));
    expect(ask(sw, "GET_MAX_MEM_SLOTS")).toBe(509n);
    const more: Payload = { kind: "memRegion", region: region(8n * MIB, MIB, { mmapOffset: 0n }) };
    done("ADD_MEM_REG", more, sw.fds(1));
    done("REM_MEM_REG", more);
    expect(sw.regions).toHaveLength(1);
    const inflight = sw.send("GET_INFLIGHT_FD", {
      kind: "inflight",
      ...{ mmapSize: 0n, mmapOffset: 0n, queues: 1, queueSize: 256, padded: false },
    });
    expect(inflight.replyFds).toBe(1);
    // What its test gives, an eventfd for an area, is no area.
    sw.failing.set("setInflight", "its descriptor is no memory file");
    const area = { kind: "inflight", mmapSize: MIB, mmapOffset: 0n, queues: 1, queueSize: 256, padded: false } as const;
    expect(sw.ack("SET_INFLIGHT_FD", area, sw.fds(1))).toBe(1n);
    done("RESET_DEVICE", NONE);
    expect([sw.state.features, sw.features, sw.regions.length]).toEqual([null, 0n, 1]);
    sw.close();
    expect([sw.open.size, sw.regions.length]).toEqual([0, 0]);
  });

  test("F11: its postcopy messages", () => {
    const sw = connected({ postcopy: true });
    expect(sw.send("POSTCOPY_ADVISE", NONE).replyFds).toBe(1);
    expect(sw.ack("POSTCOPY_LISTEN", NONE)).toBe(0n);
    expect(ask(sw, "POSTCOPY_END")).toBe(0n);
    expect(sw.userfault).toBe(false);
  });
});

describe("the front-end's side of the wire", () => {
  const request = (name: "GET_FEATURES" | "GET_CONFIG" | "SET_OWNER", needReply = false) => ({
    name,
    payload: { kind: "none" } as Payload,
    fds: [],
    needReply,
  });
  const reply = (number: number, payload: Payload) => ({
    request: number,
    flags: 5,
    payload: encodePayload(payload),
    fds: [],
  });

  test("a reply is expected to a question, and to any request with NEED_REPLY", () => {
    expect(expectsReply(request("GET_FEATURES"))).toBe(true);
    expect(expectsReply(request("SET_OWNER"))).toBe(false);
    expect(expectsReply(request("SET_OWNER", true))).toBe(true);
  });

  test("F12: the reply to another request, and one of another size, are errors", () => {
    expect(() => decodeReply(request("GET_FEATURES"), reply(2, u64(0n)))).toThrow("SET_FEATURES (2) when GET_FEATURES");
    expect(() => decodeReply(request("GET_FEATURES"), reply(1, { kind: "none" }))).toThrow("has 0 bytes");
    expect(decodeReply(request("GET_CONFIG"), reply(24, { kind: "none" }))).toEqual({ kind: "none" });
  });

  test("a refused request ends the script with the request's name", () => {
    const sw = new FakeSwitch();
    const guest = device(1, ALL, DPDK_PROTOCOL_FEATURES);
    const agreed = sw.play(dpdkConnect(guest)).result;
    sw.failing.set("setMemory", "not shared");
    expect(() => sw.play(dpdkStart(guest, agreed))).toThrow("the back-end refused SET_MEM_TABLE");
  });

  test("playScript drives a script over anything that answers later", async () => {
    const asked: string[] = [];
    const agreed = await playScript(dpdkConnect(device(1, ALL, DPDK_PROTOCOL_FEATURES)), async (r) => {
      asked.push(r.name);
      return expectsReply(r) ? u64(1n << 32n) : null;
    });
    expect(asked).toEqual(["SET_OWNER", "GET_FEATURES"]);
    expect(agreed.features).toBe(1n << 32n);
  });
});
