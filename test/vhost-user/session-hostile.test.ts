// Malformed and hostile messages: each has one outcome, and no descriptor is ever lost (FakeSwitch counts them).

import { describe, expect, test } from "vitest";
import { MESSAGES, type MessageName, type Payload } from "../../src/vhost-user/message.js";
import { encodePayload } from "../../src/vhost-user/payload.js";
import { LOG_TEXTS_MAX } from "../../src/vhost-user/state.js";
import { FakeSwitch } from "./fake-switch.js";
import { giveMemory, MIB, memTable, negotiate, region, startRing, u64, vring, vringAddr, vringFd } from "./requests.js";

function ready(): FakeSwitch {
  const sw = new FakeSwitch();
  negotiate(sw);
  giveMemory(sw);
  return sw;
}

describe("M2: more descriptors than the message takes", () => {
  const cases: [MessageName, Payload, number][] = [
    ["GET_FEATURES", { kind: "none" }, 0],
    ["SET_FEATURES", u64(1n << 30n), 0],
    ["SET_VRING_NUM", vring(0, 256), 0],
    ["SET_VRING_ENABLE", vring(0, 1), 0],
    ["GET_VRING_BASE", vring(0, 0), 0],
    ["SET_VRING_ERR", vringFd(0), 1],
    ["SET_VRING_KICK", vringFd(0), 1],
    ["SET_VRING_CALL", vringFd(0), 1],
    ["SET_LOG_FD", { kind: "none" }, 1],
  ];
  test.each(cases)("%s closes the surplus and is carried out", (name, payload, kept) => {
    const sw = ready();
    const answer = sw.send(name, payload, sw.fds(8), true);
    expect(answer.logs).toEqual([]);
    expect(answer.reply).not.toBeNull();
    expect(sw.open.size).toBe(kept);
  });

  test("ADD_MEM_REG hands over the first and closes the others", () => {
    const sw = ready();
    expect(sw.ack("ADD_MEM_REG", { kind: "memRegion", region: region(64n * MIB, MIB) }, sw.fds(8))).toBe(0n);
    expect(sw.open.size).toBe(0);
  });

  test("SET_MEM_TABLE is refused", () => {
    const sw = ready();
    expect(sw.ack("SET_MEM_TABLE", memTable(region(0n, MIB)), sw.fds(2))).toBe(1n);
    expect(sw.open.size).toBe(0);
  });

  test("SET_VRING_NUM again and again", () => {
    const sw = ready();
    for (let i = 0; i < 100; i++) expect(sw.ack("SET_VRING_NUM", vring(0, 1 << (i % 16)))).toBe(0n);
  });
});

describe("M4: a vring index is the whole u32", () => {
  const names = ["SET_VRING_NUM", "SET_VRING_BASE", "SET_VRING_ENABLE"] as const;
  test.each(names.flatMap((name) => [256, 65536, 0x10000000, 0xffffffff].map((i) => [name, i] as const)))(
    "%s of queue %i is refused",
    (name, index) => {
      const sw = ready();
      const before = sw.state.rings;
      expect(sw.ack(name, vring(index, 1))).toBe(1n);
      expect(sw.state.rings).toEqual(before);
    },
  );

  test.each([256, 65536, 0xffffffff])("SET_VRING_ADDR of queue %i is refused", (index) => {
    const sw = ready();
    expect(sw.ack("SET_VRING_ADDR", { ...vringAddr(0), index } as Payload)).toBe(1n);
    expect(sw.state.rings).toEqual({});
  });

  test("GET_VRING_BASE of queue 65536 does not stop queue 0; the answer says base 0, so nobody waits for ever", () => {
    const sw = ready();
    startRing(sw, 0, 9);
    const { reply } = sw.send("GET_VRING_BASE", vring(65536, 0));
    expect(reply).toEqual(encodePayload(vring(65536, 0)));
    expect(sw.running.size).toBe(1);
  });

  test("SET_VRING_KICK with bits above the NOFD bit is refused", () => {
    const sw = ready();
    for (const reserved of [0x200n, 1n << 16n, 1n << 63n]) {
      expect(sw.ack("SET_VRING_KICK", { kind: "vringFd", index: 0, noFd: false, reserved }, sw.fds(1))).toBe(1n);
    }
    expect(sw.open.size).toBe(0);
  });

  test("the last queue, 255, works", () => {
    const sw = ready();
    startRing(sw, 255);
    expect([...sw.running.keys()]).toEqual([255]);
  });
});

describe("M24: NOFD", () => {
  test.each(["SET_VRING_KICK", "SET_VRING_CALL", "SET_VRING_ERR"] as const)("%s", (name) => {
    const sw = ready();
    const contradicts = sw.send(name, vringFd(0, true), sw.fds(1), true);
    expect(contradicts.reply?.[0]).toBe(1);
    expect(contradicts.logs[0]).toContain("although bit 8 says that none does");
    const missing = sw.send(name, vringFd(0), [], true);
    expect(missing.reply?.[0]).toBe(1);
    expect(missing.logs[0]).toContain("no descriptor came");
    expect(sw.state.rings).toEqual({});
    expect(sw.ack(name, vringFd(0, true))).toBe(0n);
  });
});

describe("M25: requests that do not exist or are not supported", () => {
  test.each([0, 46, 0x80000000, 0xffffffff])("request %i", (request) => {
    const sw = ready();
    const answer = sw.sendRaw(request, new Uint8Array(24), sw.fds(3));
    expect(answer).toMatchObject({ fault: undefined, logs: [`request ${request} is not supported`] });
    expect(answer.reply?.[0]).toBe(1);
    expect(sw.open.size).toBe(0);
  });

  test("every unsupported request is named, refused and closes its descriptors, with any payload", () => {
    const sw = ready();
    const unsupported = Object.values(MESSAGES).filter((spec) => !spec.supported);
    expect(unsupported.length).toBeGreaterThan(7);
    for (const { name, number } of unsupported) {
      const answer = sw.sendRaw(number, new Uint8Array(3), sw.fds(1));
      expect(answer.logs).toEqual([expect.stringContaining(`${name} (${number}) is not supported`)]);
      expect(answer.reply?.[0]).toBe(1);
    }
    expect(sw.open.size).toBe(0);
  });

  test("a request that could be expected to work is refused with the reason", () => {
    expect(ready().sendRaw(35, new Uint8Array(8)).logs[0]).toContain("INBAND_NOTIFICATIONS is not offered");
    expect(ready().sendRaw(26, new Uint8Array(8)).logs[0]).toContain("no meaning for a network device");
  });

  test.each([
    ["ADVISE without LISTEN", ["POSTCOPY_ADVISE", "POSTCOPY_END"]],
    ["LISTEN twice", ["POSTCOPY_LISTEN", "POSTCOPY_LISTEN"]],
    ["END before all", ["POSTCOPY_END", "POSTCOPY_ADVISE", "POSTCOPY_LISTEN"]],
  ] as const)("M52: postcopy that was not agreed to is refused in any order, and rings run on: %s", (_, names) => {
    const sw = ready();
    startRing(sw, 0);
    for (const name of names) {
      const answer = sw.sendRaw(MESSAGES[name].number, new Uint8Array(0), sw.fds(1));
      // The front-end waits for a descriptor, or reads whether it went well.
      if (name === "POSTCOPY_ADVISE") expect(answer.reply).toHaveLength(0);
      else expect(answer.reply?.[0]).toBe(1);
      expect([answer.fault, answer.replyFds]).toEqual([undefined, 0]);
    }
    expect(sw.state.logged[0]).toContain("PAGEFAULT is not agreed to: migrate without postcopy");
    expect([sw.running.size, sw.open.size]).toEqual([1, 2]);
  });

  test("without NEED_REPLY it is ignored, and it is logged once", () => {
    const sw = ready();
    expect(sw.sendRaw(46, new Uint8Array(0), [], 0)).toMatchObject({ reply: null, logs: [expect.anything()] });
    expect(sw.sendRaw(46, new Uint8Array(0), [], 0)).toMatchObject({ reply: null, logs: [], effects: [] });
    expect(sw.sendRaw(47, new Uint8Array(0), [], 0).logs).toHaveLength(1);
  });
});

describe("M26: a payload of the wrong size closes the connection and its descriptors", () => {
  const sized = Object.values(MESSAGES).filter((spec) => spec.supported);
  test.each(sized.map((spec) => [spec.name, spec] as const))("%s", (_, spec) => {
    const sw = ready();
    // 3 is the size of no payload, and too small to hold the count of a memory table.
    const answer = sw.sendRaw(spec.number, new Uint8Array(3), sw.fds(2));
    expect(answer).toMatchObject({ reply: null, fault: expect.stringContaining(`${spec.name} (${spec.number})`) });
    expect(sw.open.size).toBe(0);
  });
});

describe("M31: the same message a thousand times holds as many descriptors as once", () => {
  const cases: [MessageName, Payload, number][] = [
    ["SET_VRING_KICK", vringFd(4), 1],
    ["SET_VRING_CALL", vringFd(4), 1],
    ["SET_VRING_ERR", vringFd(4), 1],
    ["SET_LOG_FD", { kind: "none" }, 1],
    ["SET_BACKEND_REQ_FD", { kind: "none" }, 0],
    ["SET_MEM_TABLE", memTable(region(0n, 32n * MIB)), 0],
  ];
  test.each(cases)("%s, while no ring runs", (name, payload, held) => {
    const sw = ready();
    for (let i = 0; i < 1000; i++) sw.send(name, payload, sw.fds(1));
    expect(sw.open.size).toBe(held);
  });

  test.each(cases)("%s, while the ring runs", (name, payload) => {
    const sw = ready();
    startRing(sw, 4);
    for (let i = 0; i < 1000; i++) sw.send(name, payload, sw.fds(1));
    expect(sw.running.size).toBe(1);
    expect(sw.open.size).toBe(["SET_VRING_ERR", "SET_LOG_FD"].includes(name) ? 3 : 2);
  });
});

describe("M42: values that make no sense", () => {
  test("ENABLE with 2", () => {
    const sw = ready();
    startRing(sw, 0);
    expect(sw.ack("SET_VRING_ENABLE", vring(0, 2))).toBe(1n);
    expect(sw.running.get(0)?.enabled).toBe(false);
  });

  test("a base of more than 16 bits", () => {
    const sw = ready();
    expect(sw.ack("SET_VRING_BASE", vring(0, 0x8000_0000))).toBe(1n);
    expect(sw.ack("SET_VRING_BASE", vring(0, 65536))).toBe(1n);
    expect(sw.ack("SET_VRING_BASE", vring(0, 65535))).toBe(0n);
  });
});

describe("M43: ring sizes", () => {
  test.each([0, 3, 32767, 32769, 65535, 65536, 0x80000000, 0xffffffff])("%i is refused", (size) => {
    const sw = ready();
    expect(sw.ack("SET_VRING_NUM", vring(0, size))).toBe(1n);
    expect(sw.state.rings).toEqual({});
  });

  test.each([1, 2, 4, 256, 1024, 32768])("%i is accepted", (size) => {
    const sw = ready();
    expect(sw.ack("SET_VRING_NUM", vring(0, size))).toBe(0n);
  });

  test("a ring made larger than its place is refused when it starts", () => {
    const sw = ready();
    sw.send("SET_VRING_NUM", vring(0, 256));
    sw.send("SET_VRING_ADDR", vringAddr(0));
    sw.send("SET_VRING_NUM", vring(0, 32768));
    const answer = sw.send("SET_VRING_KICK", vringFd(0), sw.fds(1), true);
    expect(answer.reply?.[0]).toBe(1);
    expect(answer.logs[0]).toContain("avail ring overlaps its descriptor table");
    expect(sw.running.size).toBe(0);
  });
});

test("a front-end can write only so many lines into the log", () => {
  const sw = ready();
  const logs = Array.from({ length: 500 }, (_, i) => sw.ack("SET_VRING_NUM", vring(1000 + i, 1))).length;
  expect(logs).toBe(500);
  expect(sw.state.logged).toHaveLength(LOG_TEXTS_MAX);
  expect(sw.send("SET_VRING_NUM", vring(9999, 1)).effects).toEqual([]);
});
