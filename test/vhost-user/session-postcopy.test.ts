// A postcopy migration at its destination: pages that come late. The order of messages is that of QEMU, with memory as a table and
// as regions one by one; every other order is refused.

import { describe, expect, test } from "vitest";
import { DEFAULT_PROTOCOL_FEATURES, offerFor } from "../../src/vhost-user/features.js";
import { qemuConnect } from "../../src/vhost-user/front-end-session.js";
import { MESSAGES } from "../../src/vhost-user/message.js";
import { decodePayload, type Payload } from "../../src/vhost-user/payload.js";
import { FakeSwitch, mappedAt } from "./fake-switch.js";
import { device, kinds, memTable, MIB, region, startRing, u64, vring, vringAddr, vringFd } from "./requests.js";

const REPLY_ACK = 1n << 3n;
const MQ = 1n << 0n;
const PAGEFAULT = 1n << 8n;
const FEATURES = (1n << 30n) | (1n << 32n);
const NOTHING: Payload = { kind: "none" };
const CONFIRMED = new Uint8Array(8);
const REGION = region(0n, 32n * MIB);

function session(protocolFeatures = REPLY_ACK | PAGEFAULT): FakeSwitch {
  const sw = new FakeSwitch({ postcopy: true });
  sw.send("SET_PROTOCOL_FEATURES", u64(protocolFeatures));
  sw.send("SET_FEATURES", u64(FEATURES));
  return sw;
}

function advised(): FakeSwitch {
  const sw = session();
  const { reply, replyFds, effects } = sw.send("POSTCOPY_ADVISE", NOTHING);
  // QEMU refuses a reply with a payload.
  expect([reply, replyFds, kinds(effects)]).toEqual([new Uint8Array(0), 1, ["openUserfault"]]);
  return sw;
}

function listening(): FakeSwitch {
  const sw = advised();
  expect(sw.ack("POSTCOPY_LISTEN", NOTHING)).toBe(0n);
  return sw;
}

/** What `startRing` sends, of which nothing starts yet. */
function describeRing(sw: FakeSwitch, index: number): void {
  sw.send("SET_VRING_NUM", vring(index, 256));
  sw.send("SET_VRING_BASE", vring(index, 0));
  sw.send("SET_VRING_ADDR", vringAddr(index));
  sw.send("SET_VRING_KICK", vringFd(index), sw.fds(1));
}

function value(reply: Uint8Array | null): bigint | null {
  return reply === null ? null : new DataView(reply.buffer, reply.byteOffset).getBigUint64(0, true);
}

describe("what is offered", () => {
  test("postcopy is offered to a port that may have it, and to no other", () => {
    expect(offerFor({}).protocolFeatures & PAGEFAULT).toBe(0n);
    expect(offerFor({ postcopy: true }).protocolFeatures).toBe(DEFAULT_PROTOCOL_FEATURES | PAGEFAULT);
    expect(offerFor({ postcopy: true, mtu: 1500 }).protocolFeatures & PAGEFAULT).toBe(PAGEFAULT);
    expect(session().state.protocolFeatures & PAGEFAULT).toBe(PAGEFAULT);
  });
});

describe("a postcopy migration to the port", () => {
  test("memory as a table: the reply says where it is mapped, and rings start when the front-end knows", () => {
    const sw = listening();
    describeRing(sw, 0);
    const regions = [REGION, region(1n << 32n, 16n * MIB)];
    const table = sw.send("SET_MEM_TABLE", memTable(...regions), sw.fds(2));
    expect(kinds(table.effects)).toEqual(["setMemory"]);
    expect(decodePayload("memTable", table.reply!)).toEqual({
      kind: "memTable",
      regions: regions.map((one) => ({ ...one, userAddress: mappedAt(one.guestAddress) })),
    });
    expect([...sw.late]).toEqual([0n, 1n << 32n]);
    describeRing(sw, 1);
    expect(sw.running.size).toBe(0);
    const confirmed = sw.sendRaw(MESSAGES.SET_MEM_TABLE.number, CONFIRMED, [], 0);
    expect([confirmed.reply, kinds(confirmed.effects)]).toEqual([null, ["startQueue", "startQueue"]]);
    const end = sw.send("POSTCOPY_END", NOTHING, [], true);
    expect([value(end.reply), kinds(end.effects)]).toEqual([0n, ["endPostcopy"]]);
    expect([sw.running.size, sw.userfault, sw.late.size]).toEqual([2, false, 0]);
    // From now on memory is as ever.
    expect(sw.ack("SET_MEM_TABLE", memTable(REGION), sw.fds(1))).toBe(0n);
    expect(sw.late.size).toBe(0);
  });

  test("memory region by region: each reply has its address, one confirmation is for all", () => {
    const sw = listening();
    describeRing(sw, 0);
    for (const one of [REGION, region(1n << 32n, 16n * MIB)]) {
      const added = sw.send("ADD_MEM_REG", { kind: "memRegion", region: one }, sw.fds(1));
      expect(decodePayload("memRegion", added.reply!)).toEqual({
        kind: "memRegion",
        region: { ...one, userAddress: mappedAt(one.guestAddress) },
      });
    }
    expect(sw.running.size).toBe(0);
    const confirmed = sw.sendRaw(MESSAGES.ADD_MEM_REG.number, CONFIRMED, [], 0);
    expect([confirmed.reply, kinds(confirmed.effects)]).toEqual([null, ["startQueue"]]);
    // A region more, while the ring runs: it does not stop for that.
    sw.send("ADD_MEM_REG", { kind: "memRegion", region: region(1n << 33n, MIB) }, sw.fds(1));
    expect([sw.running.size, sw.state.postcopy]).toEqual([1, "unconfirmed"]);
    sw.sendRaw(MESSAGES.ADD_MEM_REG.number, CONFIRMED, [], 0);
    expect(sw.state.postcopy).toBe("confirmed");
  });

  test("a table that replaces another stops the rings until that is confirmed too", () => {
    const sw = listening();
    sw.send("SET_MEM_TABLE", memTable(REGION), sw.fds(1));
    sw.sendRaw(MESSAGES.SET_MEM_TABLE.number, CONFIRMED, [], 0);
    startRing(sw, 0);
    const table = sw.send("SET_MEM_TABLE", memTable(REGION), sw.fds(1));
    expect(kinds(table.effects)).toEqual(["stopQueue", "setMemory"].concat(table.logs.map(() => "log")));
    expect(sw.running.size).toBe(0);
    sw.sendRaw(MESSAGES.SET_MEM_TABLE.number, CONFIRMED, [], 0);
    expect(sw.running.size).toBe(1);
  });

  test("END before the confirmation: all is there, so the rings start", () => {
    const sw = listening();
    describeRing(sw, 0);
    sw.send("SET_MEM_TABLE", memTable(REGION), sw.fds(1));
    expect(value(sw.send("POSTCOPY_END", NOTHING).reply)).toBe(0n);
    expect(sw.running.size).toBe(1);
  });

  test("ended in the precopy phase: memory comes as ever, no END", () => {
    const sw = advised();
    expect(sw.ack("SET_MEM_TABLE", memTable(REGION), sw.fds(1))).toBe(0n);
    startRing(sw, 0);
    expect([sw.running.size, sw.late.size]).toEqual([1, 0]);
    expect(kinds(sw.close())).toEqual(["abandonPostcopy", "stopQueue", "setMemory", "close"]);
  });

  test("the front-end goes in the middle: first nobody waits for pages any more, then the rings stop", () => {
    const sw = listening();
    sw.send("SET_MEM_TABLE", memTable(REGION), sw.fds(1));
    sw.sendRaw(MESSAGES.SET_MEM_TABLE.number, CONFIRMED, [], 0);
    startRing(sw, 0);
    expect(kinds(sw.close())).toEqual(["abandonPostcopy", "stopQueue", "setMemory", "close"]);
    expect([sw.userfault, sw.open.size]).toEqual([false, 0]);
  });
});

describe("M52: what is refused", () => {
  test("ADVISE when there is no userfaultfd: the reply has no descriptor", () => {
    const sw = session();
    sw.failing.set("openUserfault", "it is forbidden");
    const { reply, replyFds, logs } = sw.send("POSTCOPY_ADVISE", NOTHING);
    expect([reply, replyFds]).toEqual([new Uint8Array(0), 0]);
    expect(logs[0]).toContain("it is forbidden");
    expect(sw.state.postcopy).toBe("none");
  });

  test("ADVISE twice", () => {
    const sw = advised();
    const { reply, replyFds, logs } = sw.send("POSTCOPY_ADVISE", NOTHING);
    expect([reply, replyFds]).toEqual([new Uint8Array(0), 0]);
    expect(logs[0]).toContain("POSTCOPY_ADVISE (28) refused: it came before");
  });

  test("QEMU with a card of several queue pairs: the second is not offered it, and then nobody has it", () => {
    const sw = new FakeSwitch({ postcopy: true });
    const { result } = sw.play(qemuConnect(device(1, ~0n, MQ | REPLY_ACK | PAGEFAULT)));
    expect(result.protocolFeatures).toBe(MQ | REPLY_ACK | PAGEFAULT);
    // Its vhost devices are one for each queue pair, and each of them negotiates.
    const second = sw.send("GET_PROTOCOL_FEATURES", NOTHING);
    expect(value(second.reply)! & (MQ | REPLY_ACK | PAGEFAULT)).toBe(MQ | REPLY_ACK);
    expect(second.effects).toEqual([
      { kind: "log", level: "info", text: expect.stringContaining("a card of several queue pairs") },
    ]);
    sw.send("SET_PROTOCOL_FEATURES", u64(MQ | REPLY_ACK));
    expect(sw.send("GET_PROTOCOL_FEATURES", NOTHING).effects).toEqual([]);
    const { reply, replyFds, logs } = sw.send("POSTCOPY_ADVISE", NOTHING);
    expect([reply, replyFds]).toEqual([new Uint8Array(0), 0]);
    expect(logs[0]).toContain("give the card one queue pair");
  });

  test("LISTEN without ADVISE, or twice, or when there is memory", () => {
    expect(session().ack("POSTCOPY_LISTEN", NOTHING)).toBe(1n);
    expect(listening().ack("POSTCOPY_LISTEN", NOTHING)).toBe(1n);
    const sw = advised();
    sw.send("SET_MEM_TABLE", memTable(REGION), sw.fds(1));
    const answer = sw.send("POSTCOPY_LISTEN", NOTHING, [], true);
    expect(value(answer.reply)).toBe(1n);
    expect(answer.logs[0]).toContain("there is guest memory already");
  });

  test.each([
    ["before ADVISE", session],
    ["before LISTEN", advised],
  ])("END %s", (_, make) => {
    const sw = make();
    expect(value(sw.send("POSTCOPY_END", NOTHING).reply)).toBe(1n);
    expect(sw.userfault).toBe(make === advised);
  });

  test("END twice", () => {
    const sw = listening();
    expect(value(sw.send("POSTCOPY_END", NOTHING).reply)).toBe(0n);
    expect(value(sw.send("POSTCOPY_END", NOTHING).reply)).toBe(1n);
  });

  test("a confirmation of nothing", () => {
    for (const sw of [session(), listening()]) {
      for (const request of [MESSAGES.ADD_MEM_REG.number, MESSAGES.REM_MEM_REG.number]) {
        const answer = sw.sendRaw(request, CONFIRMED);
        expect([answer.fault, value(answer.reply)]).toEqual([undefined, 1n]);
      }
    }
  });

  test("memory that can not be had: the reply has another size than the request, which QEMU takes for a no", () => {
    const sw = listening();
    sw.failing.set("setMemory", "it does not fit");
    expect(sw.send("SET_MEM_TABLE", memTable(REGION), sw.fds(1)).reply).toHaveLength(8);
    expect(sw.send("SET_MEM_TABLE", memTable(region(0n, 0n)), sw.fds(1)).reply).toHaveLength(8);
    sw.failing.set("addRegion", "it does not fit");
    const region1 = { kind: "memRegion", region: REGION } as const;
    expect(value(sw.send("ADD_MEM_REG", region1, sw.fds(1)).reply)).toBe(1n);
    const empty = { kind: "memRegion", region: region(0n, 0n) } as const;
    expect(value(sw.send("ADD_MEM_REG", empty, sw.fds(1)).reply)).toBe(1n);
    expect([sw.state.postcopy, sw.late.size, sw.open.size]).toEqual(["listening", 0, 0]);
  });
});
