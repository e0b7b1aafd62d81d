// Packed rings in a session: sizes, bases, the place of their three parts, and what the layout may change to.

import { describe, expect, test } from "vitest";
import type { MessageName } from "../../src/vhost-user/message.js";
import { FakeSwitch, REPLY_ACK_ON } from "./fake-switch.js";
import {
  giveMemory,
  kinds,
  MIB,
  memTable,
  region,
  ringAddresses,
  startRing,
  stopRing,
  u64,
  UVA,
  vring,
  vringAddr,
  vringFd,
} from "./requests.js";

const RING_PACKED = 1n << 34n;
const PACKED = (1n << 30n) | (1n << 32n) | RING_PACKED;
/** Position 0 and wrap counter 1, in both halves: a ring nobody has used. */
const FRESH = 0x8000_8000;

function ready(): FakeSwitch {
  const sw = new FakeSwitch();
  sw.send("SET_PROTOCOL_FEATURES", u64(REPLY_ACK_ON));
  sw.send("SET_FEATURES", u64(PACKED));
  giveMemory(sw);
  return sw;
}

describe("M43: sizes", () => {
  test.each([1, 3, 255, 257, 32767, 32768])("%i entries are accepted", (size) => {
    expect(ready().ack("SET_VRING_NUM", vring(0, size))).toBe(0n);
  });

  test.each([0, 32769, 65535, 65536, 0x8000_0000, 0xffff_ffff])("%i entries are refused", (size) => {
    const sw = ready();
    expect(sw.ack("SET_VRING_NUM", vring(0, size))).toBe(1n);
    expect(sw.state.rings).toEqual({});
  });

  test("a size that only a packed ring can have may come before the features, and a split ring does not start", () => {
    for (const features of [PACKED, 1n << 32n]) {
      const sw = new FakeSwitch();
      sw.send("SET_PROTOCOL_FEATURES", u64(REPLY_ACK_ON));
      giveMemory(sw);
      expect(sw.ack("SET_VRING_NUM", vring(0, 100))).toBe(0n);
      expect(sw.ack("SET_VRING_BASE", vring(0, 0x8000))).toBe(0n);
      expect(sw.ack("SET_VRING_ADDR", vringAddr(0))).toBe(0n);
      sw.send("SET_FEATURES", u64(features));
      const answer = sw.send("SET_VRING_KICK", vringFd(0), sw.fds(1), true);
      expect(answer.reply?.[0]).toBe(features === PACKED ? 0 : 1);
      expect(sw.running.size).toBe(features === PACKED ? 1 : 0);
      if (features !== PACKED) expect(answer.logs[0]).toContain("a split ring can not have 100 entries");
    }
  });
});

describe("bases", () => {
  test("a fresh ring starts at position 0 with wrap counter 1, and GET_VRING_BASE has both halves", () => {
    const sw = ready();
    startRing(sw, 0, FRESH);
    expect(sw.running.get(0)?.ring).toMatchObject({ packed: true, size: 256, nextAvail: 0x8000 });
    sw.progress = 255;
    expect(stopRing(sw, 0)).toEqual(vring(0, 0x80ff_80ff));
    startRing(sw, 0, 0x80ff_80ff);
    sw.progress = 2;
    expect(stopRing(sw, 0)).toEqual(vring(0, 0x0001_0001));
  });

  test("DPDK gives the low half alone: the high one is the same", () => {
    const sw = ready();
    startRing(sw, 0, 0x8000);
    expect(sw.running.get(0)?.ring.nextAvail).toBe(0x8000);
    sw.progress = 3;
    expect(stopRing(sw, 0)).toEqual(vring(0, 0x8003_8003));
  });

  test("chains that were taken and not given back are taken again", () => {
    const sw = ready();
    startRing(sw, 0, 0x8005_8009);
    expect(sw.running.get(0)?.ring.nextAvail).toBe(0x8005);
  });

  test("a ring that never started answers the base it was given", () => {
    const sw = ready();
    sw.send("SET_VRING_BASE", vring(0, 0x8005_8009));
    expect(stopRing(sw, 0)).toEqual(vring(0, 0x8005_8009));
  });

  test.each([0x8064, 0x8064_8000, 0x0064_0001, 0xffff_ffff])("0x%x is no place in a ring of 100", (base) => {
    const sw = ready();
    sw.send("SET_VRING_NUM", vring(0, 100));
    const answer = sw.send("SET_VRING_BASE", vring(0, base), [], true);
    expect(answer.reply?.[0]).toBe(1);
    expect(answer.logs[0]).toMatch(/names descriptor \d+, the ring has 100/);
  });

  test("a base that does not fit the size that comes after it keeps the ring from starting", () => {
    const sw = ready();
    expect(sw.ack("SET_VRING_BASE", vring(0, 0x8064))).toBe(0n);
    expect(sw.ack("SET_VRING_NUM", vring(0, 100))).toBe(0n);
    sw.send("SET_VRING_ADDR", vringAddr(0));
    expect(sw.ack("SET_VRING_KICK", vringFd(0), sw.fds(1))).toBe(1n);
    expect(sw.running.size).toBe(0);
    expect(sw.ack("SET_VRING_BASE", vring(0, 0x8063))).toBe(0n);
    expect(sw.running.get(0)?.ring.nextAvail).toBe(0x8063);
  });

  test("F44: a ring goes on where it stopped when memory changes under it", () => {
    const sw = ready();
    startRing(sw, 0, 0x80fe_80fe);
    sw.send("SET_MEM_TABLE", memTable(region(0n, 32n * MIB)), sw.fds(1));
    expect(sw.running.get(0)?.ring.nextAvail).toBe(0x0003);
  });
});

describe("M44: the place of a ring", () => {
  const { desc, avail, used } = ringAddresses(0);
  const end = UVA + 32n * MIB;
  const bad: [string, { desc?: bigint; avail?: bigint; used?: bigint }, string][] = [
    ["descriptor ring past the region", { desc: end - 1600n + 16n }, "descriptor ring .1600 bytes.* lies in no memory"],
    ["driver area past the region", { avail: end - 2n }, "driver event area .4 bytes.* lies in no memory region"],
    ["device area before the region", { used: UVA - 4n }, "device event area .* lies in no memory region"],
    ["descriptor ring not aligned", { desc: desc + 8n }, "descriptor ring .* not aligned to 16"],
    ["driver area not aligned", { avail: avail + 2n }, "driver event area .* not aligned to 4"],
    ["device area not aligned", { used: used + 2n }, "device event area .* not aligned to 4"],
    ["driver area in the descriptor ring", { avail: desc + 1596n }, "driver event area overlaps its descriptor ring"],
    ["both areas at one place", { used: avail }, "device event area overlaps its driver event area"],
  ];
  test.each(bad)("refused: %s", (_, change, text) => {
    const sw = ready();
    sw.send("SET_VRING_NUM", vring(0, 100));
    const answer = sw.send("SET_VRING_ADDR", vringAddr(0, change), [], true);
    expect(answer.reply?.[0]).toBe(1);
    expect(answer.logs[0]).toMatch(new RegExp(text));
  });

  test("M1: parts that touch one another and the region's ends are accepted", () => {
    const sw = ready();
    sw.send("SET_VRING_NUM", vring(0, 100));
    const touching = { desc: UVA, avail: UVA + 1600n, used: end - 4n };
    expect(sw.ack("SET_VRING_ADDR", vringAddr(0, touching))).toBe(0n);
    expect(sw.ack("SET_VRING_ADDR", vringAddr(0, { desc: end - 1600n, avail: UVA, used: UVA + 4n }))).toBe(0n);
  });

  test("a place that only a split ring's parts do not fit into is good for a packed one", () => {
    const place = { desc, avail: desc + 4096n, used: desc + 4100n };
    const sw = ready();
    sw.send("SET_VRING_NUM", vring(0, 256));
    expect(sw.ack("SET_VRING_ADDR", vringAddr(0, place))).toBe(0n);
    const split = new FakeSwitch();
    split.send("SET_PROTOCOL_FEATURES", u64(REPLY_ACK_ON));
    split.send("SET_FEATURES", u64(1n << 32n));
    giveMemory(split);
    split.send("SET_VRING_NUM", vring(0, 256));
    expect(split.ack("SET_VRING_ADDR", vringAddr(0, place))).toBe(1n);
  });
});

describe("the layout", () => {
  test("M42: it can not change while a ring runs", () => {
    const sw = ready();
    startRing(sw, 0, FRESH);
    const answer = sw.send("SET_FEATURES", u64(1n << 32n), [], true);
    expect(answer.reply?.[0]).toBe(1);
    expect(answer.logs[0]).toContain("its ring can not become a split one");
    expect(kinds(answer.effects)).toEqual(["log"]);
    expect(sw.running.get(0)?.ring.packed).toBe(true);
  });

  test("F43: it changes between two starts of one session", () => {
    const sw = ready();
    startRing(sw, 0, FRESH);
    stopRing(sw, 0);
    sw.send("SET_FEATURES", u64(1n << 32n));
    startRing(sw, 0, 7);
    expect(sw.running.get(0)?.ring).toMatchObject({ packed: false, nextAvail: 7 });
  });

  test.each<MessageName>(["SET_VRING_NUM", "SET_VRING_BASE"])("%s of a running ring is refused", (name) => {
    const sw = ready();
    startRing(sw, 0, FRESH);
    expect(sw.ack(name, vring(0, 128))).toBe(1n);
  });
});
