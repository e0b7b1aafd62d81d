// Guest memory through a session: which regions and ring places are accepted, and what becomes of rings when it
// changes.

import { describe, expect, test } from "vitest";
import type { Effect, MemoryRegion } from "../../src/vhost-user/effects.js";
import { FakeSwitch } from "./fake-switch.js";
import {
  giveMemory,
  MIB,
  memTable,
  negotiate,
  region,
  ringAddresses,
  startRing,
  UVA,
  vring,
  vringAddr,
  vringFd,
} from "./requests.js";

const kinds = (effects: readonly Effect[]) => effects.map((e) => e.kind);
const memRegion = (r: MemoryRegion) => ({ kind: "memRegion" as const, region: r });

function negotiated(): FakeSwitch {
  const sw = new FakeSwitch();
  negotiate(sw);
  return sw;
}

/** A port of so many queue pairs; of one pair a region that comes twice is no repetition. */
function negotiatedPairs(queuePairs: number): FakeSwitch {
  const sw = new FakeSwitch({ queuePairs });
  negotiate(sw);
  return sw;
}

function ready(): FakeSwitch {
  const sw = negotiated();
  giveMemory(sw);
  return sw;
}

const TOP = (1n << 64n) - 0x1000n;
const badRegions: [string, MemoryRegion[]][] = [
  ["M21: an empty region", [region(0n, 0n)]],
  ["M21: guest address + size past 2^64", [region(TOP, 0x2000n, { userAddress: 0n, mmapOffset: 0n })]],
  ["M21: front-end address + size past 2^64", [region(0n, 0x2000n, { userAddress: TOP })]],
  ["M21: file offset + size past 2^64", [region(0n, 0x2000n, { mmapOffset: TOP })]],
  ["M21: file offset + size past the largest file", [region(0n, 0x2000n, { mmapOffset: (1n << 63n) - 0x1000n })]],
  ["M21: a size of 2^64 - 1", [region(0x1000n, (1n << 64n) - 1n, { userAddress: 0n, mmapOffset: 0n })]],
  ["M23: the same region twice", [region(0n, MIB), region(0n, MIB)]],
  ["M23: an overlap in guest addresses", [region(0n, MIB), region(MIB - 1n, MIB, { userAddress: 0n })]],
  ["M23: an overlap in front-end addresses", [region(0n, MIB), region(MIB, MIB, { userAddress: UVA + MIB - 1n })]],
  ["M23: one region around another", [region(MIB, 0x1000n), region(0n, 4n * MIB, { userAddress: 0n })]],
];

describe("regions that are refused leave everything as it was", () => {
  test.each(badRegions)("SET_MEM_TABLE, %s", (_, regions) => {
    const sw = ready();
    startRing(sw, 0);
    const before = sw.regions;
    const answer = sw.send("SET_MEM_TABLE", memTable(...regions), sw.fds(regions.length), true);
    expect(answer.reply?.[0]).toBe(1);
    expect(kinds(answer.effects)).toEqual(["log", "close"]);
    expect(sw.regions).toBe(before);
    expect(sw.running.size).toBe(1);
  });

  test.each(badRegions)("ADD_MEM_REG, %s", (_, regions) => {
    const sw = negotiatedPairs(1);
    const acks = regions.map((r) => sw.ack("ADD_MEM_REG", memRegion(r), sw.fds(1)));
    expect(acks.at(-1)).toBe(1n);
    expect(sw.regions).toHaveLength(regions.length - 1);
  });

  test("regions that end exactly where the address space and the file end are accepted", () => {
    const sw = negotiated();
    const last = { guestAddress: TOP, size: 0x1000n, userAddress: TOP, mmapOffset: (1n << 63n) - 0x1000n };
    expect(sw.ack("ADD_MEM_REG", memRegion(last), sw.fds(1))).toBe(0n);
    // Neighbours do not overlap.
    expect(sw.ack("ADD_MEM_REG", memRegion(region(0n, MIB)), sw.fds(1))).toBe(0n);
    expect(sw.ack("ADD_MEM_REG", memRegion(region(MIB, MIB)), sw.fds(1))).toBe(0n);
  });

  test.each([0, 1, 3])("M22: %i descriptors for two regions", (count) => {
    const sw = negotiated();
    const answer = sw.send("SET_MEM_TABLE", memTable(region(0n, MIB), region(MIB, MIB)), sw.fds(count), true);
    expect(answer.reply?.[0]).toBe(1);
    expect(answer.logs[0]).toContain(`${count} descriptors came for 2 memory regions`);
    expect(sw.regions).toEqual([]);
  });

  test("M22: a table whose size is not that of its regions is refused, the connection goes on", () => {
    const sw = negotiated();
    const payload = new Uint8Array(40);
    payload[0] = 2;
    const answer = sw.sendRaw(5, payload, sw.fds(2));
    expect(answer).toMatchObject({ fault: undefined, reply: expect.anything() });
    expect(answer.reply?.[0]).toBe(1);
  });

  test("M22: nine regions in one table", () => {
    const sw = negotiated();
    const nine = Array.from({ length: 9 }, (_, i) => region(BigInt(i) * MIB, MIB));
    expect(sw.ack("SET_MEM_TABLE", memTable(...nine), sw.fds(8))).toBe(1n);
    expect(sw.ack("SET_MEM_TABLE", memTable(...nine.slice(1)), sw.fds(8))).toBe(0n);
  });

  test("ADD_MEM_REG without a descriptor, and one too many for the 509 slots", () => {
    const sw = negotiated();
    expect(sw.ack("ADD_MEM_REG", memRegion(region(0n, MIB)))).toBe(1n);
    for (let i = 0n; i < 509n; i++) {
      expect(sw.ack("ADD_MEM_REG", memRegion(region(i * MIB, MIB)), sw.fds(1))).toBe(0n);
    }
    expect(sw.ack("ADD_MEM_REG", memRegion(region(509n * MIB, MIB)), sw.fds(1))).toBe(1n);
    expect(sw.regions).toHaveLength(509);
  });
});

describe("a region that is added once for each queue pair, as QEMU 7.2 does", () => {
  const dimm = region(64n * MIB, MIB);
  const readyWithPairs = (queuePairs: number) => {
    const sw = negotiatedPairs(queuePairs);
    giveMemory(sw);
    return sw;
  };

  test("is there once, and each of its descriptors but the first is closed", () => {
    const sw = readyWithPairs(3);
    const before = sw.open.size;
    expect(sw.send("ADD_MEM_REG", memRegion(dimm), sw.fds(1)).effects.map(({ kind }) => kind)).toContain("addRegion");
    for (let pair = 1; pair < 3; pair++) {
      expect(sw.ack("ADD_MEM_REG", memRegion(dimm), sw.fds(1))).toBe(0n);
    }
    expect(sw.regions).toHaveLength(2);
    expect(sw.open.size).toBeLessThanOrEqual(before + 1);
    // More often than there are pairs it is no repetition.
    expect(sw.ack("ADD_MEM_REG", memRegion(dimm), sw.fds(1))).toBe(1n);
  });

  test("goes with the first removal, so that another can take its place; the other pairs' removals are in order", () => {
    const sw = readyWithPairs(2);
    for (let pair = 0; pair < 2; pair++) sw.send("ADD_MEM_REG", memRegion(dimm), sw.fds(1));
    const larger = region(64n * MIB, 2n * MIB);
    for (let pair = 0; pair < 2; pair++) {
      expect(sw.ack("REM_MEM_REG", memRegion(dimm))).toBe(0n);
      expect(sw.ack("ADD_MEM_REG", memRegion(larger), sw.fds(1))).toBe(0n);
    }
    expect(sw.regions).toHaveLength(2);
    expect(sw.ack("REM_MEM_REG", memRegion(dimm))).toBe(1n);
    for (let pair = 0; pair < 2; pair++) expect(sw.ack("REM_MEM_REG", memRegion(larger))).toBe(0n);
    expect(sw.ack("REM_MEM_REG", memRegion(larger))).toBe(1n);
    expect(sw.regions).toHaveLength(1);
  });

  test("is forgotten with the table; a region that differs in anything is none", () => {
    const sw = readyWithPairs(2);
    for (let pair = 0; pair < 2; pair++) sw.send("ADD_MEM_REG", memRegion(dimm), sw.fds(1));
    for (const other of [{ size: 2n * MIB }, { userAddress: dimm.userAddress + 0x1000n }, { mmapOffset: 0x1000n }]) {
      expect(sw.ack("ADD_MEM_REG", memRegion({ ...dimm, ...other }), sw.fds(1))).toBe(1n);
    }
    expect(sw.ack("SET_MEM_TABLE", memTable(region(0n, MIB)), sw.fds(1))).toBe(0n);
    expect(sw.ack("REM_MEM_REG", memRegion(dimm))).toBe(1n);
  });
});

describe("REM_MEM_REG", () => {
  test("names a region by its addresses and size, whatever the file offset; a descriptor is tolerated", () => {
    const sw = ready();
    sw.send("ADD_MEM_REG", memRegion(region(64n * MIB, MIB)), sw.fds(1));
    for (const other of [{ guestAddress: 65n * MIB }, { userAddress: UVA }, { size: 2n * MIB }]) {
      expect(sw.ack("REM_MEM_REG", memRegion({ ...region(64n * MIB, MIB), ...other }))).toBe(1n);
    }
    expect(sw.ack("REM_MEM_REG", memRegion(region(64n * MIB, MIB, { mmapOffset: 5n })), sw.fds(1))).toBe(0n);
    expect(sw.regions).toHaveLength(1);
    expect(sw.ack("REM_MEM_REG", memRegion(region(64n * MIB, MIB)))).toBe(1n);
  });

  test("stops only the rings in the region, which start again when it comes back", () => {
    const sw = negotiated();
    const second = region(MIB + 0x10000n, MIB);
    sw.send("ADD_MEM_REG", memRegion(region(0n, MIB + 0x10000n)), sw.fds(1));
    sw.send("ADD_MEM_REG", memRegion(second), sw.fds(1));
    startRing(sw, 0);
    startRing(sw, 1, 30);
    const answer = sw.send("REM_MEM_REG", memRegion(second));
    expect(kinds(answer.effects)).toEqual(["stopQueue", "removeRegion", "log"]);
    expect(answer.logs[0]).toContain("queue 1 stays stopped: its descriptor table");
    expect([...sw.running.keys()]).toEqual([0]);
    expect(kinds(sw.send("ADD_MEM_REG", memRegion(second), sw.fds(1)).effects)).toEqual(["addRegion", "startQueue"]);
    expect(sw.running.get(1)?.ring.nextAvail).toBe(35);
  });

  test("a removal that fails leaves region and rings as they were", () => {
    const sw = ready();
    startRing(sw, 0);
    sw.failing.set("removeRegion", "munmap: EINVAL");
    expect(sw.ack("REM_MEM_REG", memRegion(region(0n, 32n * MIB)))).toBe(1n);
    expect(sw.running.size).toBe(1);
    expect(sw.regions).toHaveLength(1);
  });
});

describe("F44: memory changes while rings run", () => {
  test("SET_MEM_TABLE stops all rings, replaces the memory, and starts them where they stopped", () => {
    const sw = ready();
    startRing(sw, 0, 7);
    startRing(sw, 1, 9);
    const table = memTable(region(0n, 32n * MIB), region(64n * MIB, 8n * MIB));
    const { effects } = sw.send("SET_MEM_TABLE", table, sw.fds(2));
    expect(kinds(effects)).toEqual(["stopQueue", "stopQueue", "setMemory", "startQueue", "startQueue"]);
    expect([...sw.running.values()].map((r) => r.ring.nextAvail)).toEqual([12, 14]);
  });

  test("a ring's addresses are translated anew: the front-end may move a region in guest addresses", () => {
    const sw = ready();
    startRing(sw, 0);
    sw.send("SET_MEM_TABLE", memTable(region(0n, 32n * MIB, { guestAddress: 256n * MIB })), sw.fds(1));
    expect(sw.running.get(0)?.ring.desc).toBe(257n * MIB);
  });

  test("a ring outside the new memory stays stopped, is told to the operator, and costs no other ring", () => {
    const sw = ready();
    startRing(sw, 0);
    startRing(sw, 16);
    const answer = sw.send("SET_MEM_TABLE", memTable(region(0n, 2n * MIB)), sw.fds(1), true);
    expect(answer.reply?.[0]).toBe(0);
    expect(answer.logs).toEqual([expect.stringMatching(/queue 16 stays stopped: .* lies in no memory region/)]);
    expect([...sw.running.keys()]).toEqual([0]);
    giveMemory(sw);
    expect(sw.running.get(16)?.ring.nextAvail).toBe(5);
  });

  test("an empty table takes all memory away: the rings stay stopped and the operator is told", () => {
    const sw = ready();
    startRing(sw, 0);
    const answer = sw.send("SET_MEM_TABLE", memTable(), [], true);
    expect(answer.reply?.[0]).toBe(0);
    expect(answer.logs).toEqual(["SET_MEM_TABLE (5): queue 0 stays stopped: there is no guest memory"]);
    expect(sw.running.size).toBe(0);
  });

  test("ADD_MEM_REG stops no ring", () => {
    const sw = ready();
    startRing(sw, 0);
    expect(kinds(sw.send("ADD_MEM_REG", memRegion(region(64n * MIB, MIB)), sw.fds(1)).effects)).toEqual(["addRegion"]);
  });

  test("memory that can not be mapped: refused with the reason, rings stopped; a later table revives them", () => {
    const sw = ready();
    startRing(sw, 0, 40);
    const reason = "the guest's RAM is not shared: start QEMU with share=on";
    sw.failing.set("setMemory", reason);
    const answer = sw.send("SET_MEM_TABLE", memTable(region(0n, 32n * MIB)), sw.fds(1), true);
    expect(answer.reply?.[0]).toBe(1);
    expect(answer.logs).toContain(`SET_MEM_TABLE (5) failed: ${reason}`);
    expect(sw.state.regions).toEqual([]);
    expect(sw.running.size).toBe(0);
    sw.failing.clear();
    giveMemory(sw);
    expect(sw.running.get(0)?.ring.nextAvail).toBe(45);
  });

  test("a region that can not be mapped is not remembered", () => {
    const sw = ready();
    sw.failing.set("addRegion", "mmap: ENOMEM");
    expect(sw.ack("ADD_MEM_REG", memRegion(region(64n * MIB, MIB)), sw.fds(1))).toBe(1n);
    expect(sw.regions).toHaveLength(1);
  });
});

describe("M44: the place of a ring", () => {
  const { desc, avail, used } = ringAddresses(0);
  const end = UVA + 32n * MIB;
  const bad: [string, { desc?: bigint; avail?: bigint; used?: bigint }, string][] = [
    ["descriptor table ends one byte after the region", { desc: end - 4096n + 16n }, "lies in no memory region"],
    ["avail ring ends past the region", { avail: end - 516n }, "lies in no memory region"],
    ["used ring ends past the region", { used: end - 2052n }, "lies in no memory region"],
    ["used ring before the region", { used: UVA - 4n }, "lies in no memory region"],
    ["used ring at the end of all addresses", { used: (1n << 64n) - 4n }, "lies in no memory region"],
    ["address 0", { desc: 0n }, "lies in no memory region"],
    ["descriptor table not aligned to 16", { desc: desc + 8n }, "descriptor table .* not aligned to 16"],
    ["avail ring not aligned to 2", { avail: avail + 1n }, "avail ring .* not aligned to 2"],
    ["used ring not aligned to 4", { used: used + 2n }, "used ring .* not aligned to 4"],
    ["avail ring in the descriptor table", { avail: desc + 4094n }, "avail ring overlaps its descriptor table"],
    ["used ring around the descriptor table", { used: desc - 4n }, "used ring overlaps its descriptor table"],
    ["used ring over the avail ring's end", { used: avail + 516n }, "used ring overlaps its avail ring"],
    ["all at one place", { avail: desc, used: desc }, "overlaps"],
  ];

  test.each(bad)("refused: %s", (_, change, text) => {
    const sw = ready();
    sw.send("SET_VRING_NUM", vring(0, 256));
    const answer = sw.send("SET_VRING_ADDR", vringAddr(0, change), [], true);
    expect(answer.reply?.[0]).toBe(1);
    expect(answer.logs[0]).toMatch(new RegExp(text));
    sw.send("SET_VRING_KICK", vringFd(0), sw.fds(1));
    expect(sw.running.size).toBe(0);
  });

  test.each(bad)("M42, when memory comes after the address: not started: %s", (_, change, text) => {
    const sw = negotiated();
    sw.send("SET_VRING_NUM", vring(0, 256));
    expect(sw.ack("SET_VRING_ADDR", vringAddr(0, change))).toBe(0n);
    giveMemory(sw);
    const answer = sw.send("SET_VRING_KICK", vringFd(0), sw.fds(1), true);
    expect(answer.reply?.[0]).toBe(1);
    expect(answer.logs[0]).toMatch(new RegExp(text));
    expect(sw.running.size).toBe(0);
  });

  test("accepted: parts that touch one another and the region's ends exactly", () => {
    const sw = ready();
    sw.send("SET_VRING_NUM", vring(0, 256));
    // 256 entries: 4096, 518 and 2054 bytes.
    const touching = { desc: UVA, avail: UVA + 4096n, used: end - 2056n };
    expect(sw.ack("SET_VRING_ADDR", vringAddr(0, touching))).toBe(0n);
    expect(sw.ack("SET_VRING_ADDR", vringAddr(0, { ...touching, used: UVA + 4096n + 520n }))).toBe(0n);
  });

  test.each([
    ["descriptor table", 4096n, "desc"],
    ["avail ring", 518n, "avail"],
    ["used ring", 2054n, "used"],
  ] as const)(
    "M1: the region may end with the last byte of the %s (%i bytes), not one byte before",
    (_, length, part) => {
      const at = 16n * MIB;
      for (const [missing, ack] of [
        [0n, 0n],
        [1n, 1n],
      ] as const) {
        const sw = negotiated();
        sw.send("SET_MEM_TABLE", memTable(region(0n, 2n * MIB), region(at, length - missing)), sw.fds(2));
        sw.send("SET_VRING_NUM", vring(0, 256));
        expect(sw.ack("SET_VRING_ADDR", vringAddr(0, { [part]: UVA + at }))).toBe(ack);
      }
    },
  );

  test("a part across two regions that are neighbours is refused: they may be mapped apart", () => {
    const sw = negotiated();
    const border = MIB + 0x800n;
    sw.send("SET_MEM_TABLE", memTable(region(0n, border), region(border, 8n * MIB)), sw.fds(2));
    sw.send("SET_VRING_NUM", vring(0, 256));
    expect(sw.ack("SET_VRING_ADDR", vringAddr(0))).toBe(1n);
    sw.send("SET_VRING_NUM", vring(0, 128));
    expect(sw.ack("SET_VRING_ADDR", vringAddr(0))).toBe(0n);
  });

  test("alignment counts in the file too: an odd file offset would make every access a trap", () => {
    const sw = negotiated();
    sw.send("SET_MEM_TABLE", memTable(region(0n, 32n * MIB, { mmapOffset: 2n })), sw.fds(1));
    sw.send("SET_VRING_NUM", vring(0, 256));
    expect(sw.ack("SET_VRING_ADDR", vringAddr(0))).toBe(1n);
  });
});
