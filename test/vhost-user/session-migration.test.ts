// A migration as its source's session sees it: the dirty log comes, logging is switched on and off under running rings,
// and the port's state travels.

import { describe, expect, test } from "vitest";
import { DEFAULT_FEATURES, DEFAULT_PROTOCOL_FEATURES } from "../../src/vhost-user/features.js";
import type { Payload } from "../../src/vhost-user/message.js";
import { FakeSwitch } from "./fake-switch.js";
import { giveMemory, kinds, memTable, MIB, region, startRing, stopRing, u64, vringAddr } from "./requests.js";

const LOG_SHMFD = 1n << 1n;
const REPLY_ACK = 1n << 3n;
const STATUS = 1n << 16n;
const DEVICE_STATE = 1n << 19n;
const LOG_ALL = 1n << 26n;
const FEATURES = (1n << 30n) | (1n << 32n);
/** Of the 32 MiB that `giveMemory` gives. */
const LOG_BYTES = (32n * MIB) / 4096n / 8n;

function session(protocolFeatures = LOG_SHMFD | REPLY_ACK | STATUS | DEVICE_STATE): FakeSwitch {
  const sw = new FakeSwitch({
    features: DEFAULT_FEATURES | LOG_ALL,
    protocolFeatures: DEFAULT_PROTOCOL_FEATURES | LOG_SHMFD | DEVICE_STATE,
  });
  sw.send("SET_PROTOCOL_FEATURES", u64(protocolFeatures));
  sw.send("SET_FEATURES", u64(FEATURES));
  giveMemory(sw);
  return sw;
}

function running(): FakeSwitch {
  const sw = session();
  startRing(sw, 0);
  startRing(sw, 1);
  sw.send("SET_VRING_ENABLE", { kind: "vringState", index: 0, num: 1 });
  return sw;
}

function log(mmapSize = LOG_BYTES, mmapOffset = 0n): Payload {
  return { kind: "log", mmapSize, mmapOffset };
}

function value(reply: Uint8Array | null): bigint | null {
  return reply === null ? null : new DataView(reply.buffer, reply.byteOffset).getBigUint64(0, true);
}

function answerTo(sw: FakeSwitch, ...message: Parameters<FakeSwitch["send"]>): bigint | null {
  return value(sw.send(...message).reply);
}

describe("the dirty log", () => {
  test("QEMU's migration: log, LOG_ALL, F_LOG; no ring stops, no enable changes; the other way round at its end", () => {
    const sw = running();
    const { rings } = sw.state;
    const base = sw.send("SET_LOG_BASE", log(), sw.fds(1));
    expect([value(base.reply), kinds(base.effects)]).toEqual([0n, ["setLog"]]);
    expect(sw.log).toEqual({ size: LOG_BYTES, offset: 0n });
    const on = sw.send("SET_FEATURES", u64(FEATURES | LOG_ALL), [], true);
    expect([value(on.reply), on.effects]).toEqual([0n, [{ kind: "setLogging", enabled: true }]]);
    const flagged = { ...vringAddr(0), flags: 1, log: 0x1234n } as Payload;
    const address = sw.send("SET_VRING_ADDR", flagged, [], true);
    expect([value(address.reply), address.effects]).toEqual([0n, []]);
    expect(sw.send("SET_FEATURES", u64(FEATURES | LOG_ALL), [], true).effects).toEqual([]);
    const off = sw.send("SET_FEATURES", u64(FEATURES), [], true);
    expect([value(off.reply), off.effects]).toEqual([0n, [{ kind: "setLogging", enabled: false }]]);
    expect(sw.state.rings).toEqual(rings);
    expect(stopRing(sw, 0)).toMatchObject({ num: 5 });
  });

  test("LOG_ALL with other changes sets the features anew, and the rings with them", () => {
    const sw = running();
    const answer = sw.send("SET_FEATURES", u64(FEATURES | LOG_ALL | (1n << 15n)));
    expect(kinds(answer.effects)).toEqual(["stopQueue", "stopQueue", "setFeatures", "startQueue", "startQueue"]);
    expect(sw.features).toBe(FEATURES | LOG_ALL | (1n << 15n));
  });

  test("an address that does change moves the ring, log or no log", () => {
    const sw = running();
    const moved = { ...vringAddr(0), flags: 1, used: (vringAddr(0) as { used: bigint }).used + 0x1000n } as Payload;
    expect(kinds(sw.send("SET_VRING_ADDR", moved).effects)).toEqual(["stopQueue", "startQueue"]);
  });

  test("M47: LOG_ALL may come before any log, as on the start of a device while a migration is under way", () => {
    const sw = running();
    expect(sw.ack("SET_FEATURES", u64(FEATURES | LOG_ALL))).toBe(0n);
    expect(answerTo(sw, "SET_LOG_BASE", log(), sw.fds(1))).toBe(0n);
  });

  test.each([
    ["M3: its end overflows", log((1n << 64n) - 1n, 4096n), "ends past any file"],
    ["M3: its offset alone does", log(LOG_BYTES, (1n << 64n) - 1n), "ends past any file"],
    ["M3: it is empty", log(0n), "the log is empty"],
    ["M3: it does not cover the memory", log(LOG_BYTES - 1n), "has 1023 bytes, the guest's memory takes 1024"],
  ])("%s: answered with 1, and so is LOG_ALL afterwards, until a good log comes", (_, payload, reason) => {
    const sw = running();
    const refused = sw.send("SET_LOG_BASE", payload, sw.fds(1));
    expect(value(refused.reply)).toBe(1n);
    expect(refused.logs[0]).toContain(reason);
    expect(sw.log).toBeNull();
    expect(sw.ack("SET_FEATURES", u64(FEATURES | LOG_ALL))).toBe(1n);
    // QEMU looks here when it has no acknowledgement.
    sw.send("SET_STATUS", u64(15n));
    expect(answerTo(sw, "GET_STATUS")! & 8n).toBe(0n);
    expect(sw.running.size).toBe(2);
    expect(answerTo(sw, "SET_LOG_BASE", log(), sw.fds(1))).toBe(0n);
    expect(sw.ack("SET_FEATURES", u64(FEATURES | LOG_ALL))).toBe(0n);
  });

  test("no descriptor, or a log that the switch can not map: the same", () => {
    const sw = running();
    expect(answerTo(sw, "SET_LOG_BASE", log())).toBe(1n);
    sw.failing.set("setLog", "mmap: ENODEV");
    const answer = sw.send("SET_LOG_BASE", log(), sw.fds(1));
    expect([value(answer.reply), answer.logs]).toEqual([1n, ["SET_LOG_BASE (6) failed: mmap: ENODEV"]]);
    expect(sw.ack("SET_FEATURES", u64(FEATURES | LOG_ALL))).toBe(1n);
  });

  test("F15: a log larger than the memory is taken; one that began small is replaced when memory is added", () => {
    const sw = running();
    expect(answerTo(sw, "SET_LOG_BASE", log(10n * LOG_BYTES, 4096n), sw.fds(1))).toBe(0n);
    sw.send("SET_MEM_TABLE", memTable(region(0n, 64n * MIB)), sw.fds(1));
    expect(answerTo(sw, "SET_LOG_BASE", log(LOG_BYTES), sw.fds(1))).toBe(1n);
    expect(answerTo(sw, "SET_LOG_BASE", log(2n * LOG_BYTES), sw.fds(1))).toBe(0n);
    expect(sw.log!.size).toBe(2n * LOG_BYTES);
  });

  test("without LOG_SHMFD there is no reply and no log; an address instead of a file is refused", () => {
    const sw = session(REPLY_ACK);
    expect(sw.send("SET_LOG_BASE", log(), sw.fds(1)).reply).toBeNull();
    const address = sw.sendRaw(6, new Uint8Array(8));
    expect([value(address.reply), address.fault]).toEqual([1n, undefined]);
    expect(address.logs[0]).toContain("LOG_SHMFD");
    expect(sw.ack("SET_FEATURES", u64(FEATURES | LOG_ALL))).toBe(0n);
  });

  test("SET_LOG_FD: kept with and without a log until another takes its place, or the connection ends", () => {
    const sw = running();
    const first = sw.fd();
    expect(kinds(sw.send("SET_LOG_FD", { kind: "none" }, [first]).effects)).toEqual(["setLogFd"]);
    sw.send("SET_LOG_BASE", log(), sw.fds(1));
    expect(sw.logFd).toBe(first);
    const second = sw.fd();
    const replaced = sw.send("SET_LOG_FD", { kind: "none" }, [second], true);
    expect([value(replaced.reply), kinds(replaced.effects)]).toEqual([0n, ["setLogFd", "close"]]);
    expect([sw.logFd, sw.open.has(first)]).toEqual([second, false]);
    sw.failing.set("setLogFd", "it is no eventfd");
    expect(sw.ack("SET_LOG_FD", { kind: "none" }, sw.fds(1))).toBe(1n);
    expect([sw.logFd, sw.open.has(second)]).toEqual([second, true]);
    sw.failing.clear();
    expect(kinds(sw.close())).toEqual(["stopQueue", "stopQueue", "setLogFd", "setLog", "setMemory", "close"]);
  });

  test("a reset ends logging; the end of the connection frees the log", () => {
    const sw = running();
    sw.send("SET_LOG_BASE", log(), sw.fds(1));
    sw.send("SET_FEATURES", u64(FEATURES | LOG_ALL));
    sw.send("RESET_DEVICE");
    expect(sw.features).toBe(0n);
    expect(sw.log).not.toBeNull();
    expect(kinds(sw.close())).toEqual(["setLog", "setMemory", "close"]);
    expect(sw.log).toBeNull();
  });
});

describe("the device's state", () => {
  const [SAVE, LOAD] = [0, 1].map((direction): Payload => ({ kind: "deviceState", direction, phase: 0 }));
  const NO_FD = 0x100n;

  test("saved and loaded with the front-end's descriptor, and checked", () => {
    const sw = session();
    for (const [payload, direction] of [
      [SAVE!, "save"],
      [LOAD!, "load"],
    ] as const) {
      const began = sw.send("SET_DEVICE_STATE_FD", payload, sw.fds(1));
      expect(value(began.reply)).toBe(NO_FD);
      expect(began.effects).toMatchObject([{ kind: "transferState", direction }]);
      expect(answerTo(sw, "CHECK_DEVICE_STATE")).toBe(0n);
      expect(answerTo(sw, "CHECK_DEVICE_STATE")).toBe(1n);
    }
  });

  test("what went wrong is said by the check, once", () => {
    const sw = session();
    sw.send("SET_DEVICE_STATE_FD", LOAD, sw.fds(1));
    sw.failing.set("finishTransfer", "version 7");
    const check = sw.send("CHECK_DEVICE_STATE");
    expect([value(check.reply), check.logs]).toEqual([1n, ["CHECK_DEVICE_STATE (43) failed: version 7"]]);
    sw.failing.set("transferState", "no pipe");
    expect(answerTo(sw, "SET_DEVICE_STATE_FD", LOAD, sw.fds(1))).toBe(NO_FD | 1n);
    expect(answerTo(sw, "CHECK_DEVICE_STATE")).toBe(1n);
  });

  test("M53: refused while a ring is started, with a wrong direction or phase, without descriptor or negotiation", () => {
    const sw = running();
    expect(answerTo(sw, "SET_DEVICE_STATE_FD", SAVE, sw.fds(1))).toBe(NO_FD | 1n);
    stopRing(sw, 0);
    expect(answerTo(sw, "SET_DEVICE_STATE_FD", SAVE, sw.fds(1))).toBe(NO_FD | 1n);
    stopRing(sw, 1);
    expect(answerTo(sw, "SET_DEVICE_STATE_FD", SAVE)).toBe(NO_FD | 1n);
    for (const wrong of [
      { direction: 2, phase: 0 },
      { direction: 0, phase: 1 },
    ]) {
      expect(answerTo(sw, "SET_DEVICE_STATE_FD", { kind: "deviceState", ...wrong }, sw.fds(1))).toBe(NO_FD | 1n);
    }
    expect(answerTo(sw, "SET_DEVICE_STATE_FD", SAVE, sw.fds(1))).toBe(NO_FD);
    const without = session(REPLY_ACK);
    expect(answerTo(without, "SET_DEVICE_STATE_FD", SAVE, without.fds(1))).toBe(NO_FD | 1n);
  });

  test("a connection that ends during a transfer aborts it", () => {
    const sw = session();
    sw.send("SET_DEVICE_STATE_FD", SAVE, sw.fds(1));
    expect(kinds(sw.close())).toEqual(["abortTransfer", "setMemory"]);
  });
});
