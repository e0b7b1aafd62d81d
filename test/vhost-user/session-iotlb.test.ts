// Memory behind a virtual IOMMU through a session: what is known of it, what is asked for, and when rings may run.

import { describe, expect, test } from "vitest";
import { VIRTIO_F_ACCESS_PLATFORM, VIRTIO_F_RING_PACKED, VIRTIO_F_VERSION_1 } from "../../assembly/spec/virtio.js";
import { bits } from "../../src/core/feature-bits.js";
import type { Translation } from "../../src/vhost-user/effects.js";
import { PROTOCOL_F_BACKEND_REQ, PROTOCOL_F_BACKEND_SEND_FD } from "../../src/vhost-user/features.js";
import { type Iotlb, IOTLB_ENTRIES_MAX, lookUp, withoutRange, withTranslation } from "../../src/vhost-user/iotlb.js";
import { decodePayload, type Payload } from "../../src/vhost-user/payload.js";
import { FakeSwitch, REPLY_ACK_ON } from "./fake-switch.js";
import {
  giveMemory,
  kinds,
  MIB,
  memTable,
  region,
  startRing,
  stopRing,
  u64,
  UVA,
  vring,
  vringAddr,
  vringFd,
} from "./requests.js";

const PAGE = 4096n;
/** BACKEND_REQ and BACKEND_SEND_FD. */
const PROTOCOL = REPLY_ACK_ON | bits(PROTOCOL_F_BACKEND_REQ, PROTOCOL_F_BACKEND_SEND_FD);
const PLATFORM = bits(30, VIRTIO_F_VERSION_1, VIRTIO_F_ACCESS_PLATFORM);

/** SET_FEATURES with ACCESS_PLATFORM and memory; ring addresses of requests.ts then are I/O virtual ones. */
function behindIommu(features = PLATFORM, socket = true): FakeSwitch {
  const sw = new FakeSwitch({ features: features | PLATFORM, protocolFeatures: PROTOCOL });
  sw.send("SET_PROTOCOL_FEATURES", u64(PROTOCOL));
  if (socket) expect(sw.ack("SET_BACKEND_REQ_FD", { kind: "none" }, sw.fds(1))).toBe(0n);
  sw.send("SET_FEATURES", u64(features));
  giveMemory(sw);
  return sw;
}

function message(type: number, change: Partial<Translation>): Payload {
  const entry = { iova: 0n, size: PAGE, userAddress: UVA, permission: 3, ...change };
  return { kind: "iotlb", type, ...entry };
}

/** IOTLB_MSG without NEED_REPLY: its answer all the same. */
function say(sw: FakeSwitch, payload: Payload): bigint {
  const reply = decodePayload("u64", sw.send("IOTLB_MSG", payload).reply!);
  return reply.kind === "u64" ? reply.value : -1n;
}

function update(sw: FakeSwitch, iova: bigint, change: Partial<Translation> = {}): bigint {
  return say(sw, message(2, { iova, ...change }));
}

function invalidate(sw: FakeSwitch, iova: bigint, size = PAGE): bigint {
  return say(sw, message(3, { iova, size }));
}

/** Changes what is known so many times, without a message for each. */
function know(sw: FakeSwitch, times: number, change: (iotlb: Iotlb, i: number) => Iotlb): void {
  let { iotlb } = sw.state;
  for (let i = 0; i < times; i++) iotlb = change(iotlb, i);
  sw.state = { ...sw.state, iotlb };
  sw.translations = iotlb.entries;
}

/** What is known, in pages: iova, size, offset in the front-end's memory. */
function known(sw: FakeSwitch): number[][] {
  return sw.translations!.map(({ iova, size, userAddress }) =>
    [iova / PAGE, size / PAGE, (userAddress - UVA) / PAGE].map(Number),
  );
}

/** All of a ring's 64 KiB, one to one. */
function mapRing(sw: FakeSwitch, index: number): void {
  const at = MIB + BigInt(index) * 0x10000n;
  expect(update(sw, UVA + at, { size: 0x10000n, userAddress: UVA + at })).toBe(0n);
}

describe("translations", () => {
  test("are answered with a u64 whether that was asked for or not, and kept in order", () => {
    const sw = behindIommu();
    expect([update(sw, 8n * PAGE), update(sw, 2n * PAGE, { size: 2n * PAGE })]).toEqual([0n, 0n]);
    expect(known(sw)).toEqual([
      [2, 2, 0],
      [8, 1, 0],
    ]);
  });

  test("side by side in both address spaces become one; with other rights or in two regions they do not", () => {
    const sw = behindIommu();
    update(sw, 1n * PAGE, { userAddress: UVA + 1n * PAGE });
    update(sw, 3n * PAGE, { userAddress: UVA + 3n * PAGE });
    update(sw, 2n * PAGE, { userAddress: UVA + 2n * PAGE });
    expect(known(sw)).toEqual([[1, 3, 1]]);
    update(sw, 4n * PAGE, { userAddress: UVA + 4n * PAGE, permission: 1 });
    update(sw, 0n, { userAddress: UVA + 9n * PAGE });
    expect(known(sw)).toEqual([
      [0, 1, 9],
      [1, 3, 1],
      [4, 1, 4],
    ]);
    sw.send("SET_MEM_TABLE", memTable(region(0n, MIB), region(MIB, MIB)), sw.fds(2));
    update(sw, MIB - PAGE, { userAddress: UVA + MIB - PAGE });
    update(sw, MIB, { userAddress: UVA + MIB });
    expect(known(sw)).toHaveLength(2);
  });

  test("M51: one that overlaps takes the place of what was there, pieces beside it stay", () => {
    const sw = behindIommu();
    update(sw, 10n * PAGE, { size: 10n * PAGE });
    update(sw, 14n * PAGE, { size: 2n * PAGE, userAddress: UVA + 100n * PAGE });
    expect(known(sw)).toEqual([
      [10, 4, 0],
      [14, 2, 100],
      [16, 4, 6],
    ]);
    update(sw, 0n, { size: 64n * PAGE });
    expect(known(sw)).toEqual([[0, 64, 0]]);
  });

  test.each<[string, Partial<Translation>]>([
    ["size 0", { size: 0n }],
    ["iova + size overflows", { iova: (1n << 64n) - PAGE, size: 2n * PAGE }],
    ["user address + size overflows", { userAddress: (1n << 64n) - PAGE, size: 2n * PAGE }],
    ["outside the memory table", { userAddress: UVA - PAGE }],
    ["past the end of its region", { userAddress: UVA + 32n * MIB - PAGE, size: 2n * PAGE }],
    ["no access", { permission: 0 }],
    ["access that does not exist", { permission: 4 }],
  ])("M51: UPDATE refused: %s", (_, change) => {
    const sw = behindIommu();
    expect(say(sw, message(2, { iova: 4n * PAGE, ...change }))).toBe(1n);
    expect(sw.translations).toEqual([]);
  });

  test.each([0, 1, 4, 5, 255])("M51: type %i is answered with a refusal", (type) => {
    expect(say(behindIommu(), message(type, {}))).toBe(1n);
  });

  test("M51: without ACCESS_PLATFORM an UPDATE is refused, an INVALIDATE has nothing to forget", () => {
    const sw = behindIommu(bits(30, VIRTIO_F_VERSION_1));
    expect([update(sw, 0n), invalidate(sw, 0n)]).toEqual([1n, 0n]);
    expect(sw.translations).toBeNull();
  });

  test("M51: INVALIDATE cuts, size 0 and a size past the end forget all there is", () => {
    const sw = behindIommu();
    update(sw, 10n * PAGE, { size: 10n * PAGE });
    expect(invalidate(sw, 12n * PAGE, 2n * PAGE)).toBe(0n);
    expect(known(sw)).toEqual([
      [10, 2, 0],
      [14, 6, 4],
    ]);
    expect(invalidate(sw, 14n * PAGE, (1n << 64n) - 1n)).toBe(0n);
    expect(known(sw)).toEqual([[10, 2, 0]]);
    expect(invalidate(sw, 77n * PAGE, 0n)).toBe(0n);
    expect(known(sw)).toEqual([]);
  });

  test("M51: more than are kept: the oldest go, rings last; cutting makes no more of them either", () => {
    const sw = behindIommu();
    startRing(sw, 0);
    mapRing(sw, 0);
    const page = (i: number) => BigInt(4 * i) * PAGE;
    const entry = { size: PAGE, userAddress: UVA, permission: 3 };
    // As the handlers do, but for the messages: those of the last ones are enough.
    know(sw, IOTLB_ENTRIES_MAX - 1, (iotlb, i) =>
      withTranslation(iotlb, { iova: page(i), ...entry }, sw.state.regions, () => false),
    );
    for (let i = IOTLB_ENTRIES_MAX - 1; i < IOTLB_ENTRIES_MAX + 10; i++) update(sw, page(i));
    expect(sw.translations).toHaveLength(IOTLB_ENTRIES_MAX);
    expect(lookUp(sw.state.iotlb.entries, page(10), 1n, 3).kind).toBe("missing");
    expect(lookUp(sw.state.iotlb.entries, page(11), 1n, 3).kind).toBe("found");
    expect(sw.running.has(0)).toBe(true);

    const cut = behindIommu();
    update(cut, 0n, { size: 8000n * PAGE });
    know(cut, IOTLB_ENTRIES_MAX - 10, (iotlb, i) => withoutRange(iotlb, BigInt(2 * i + 1) * PAGE, PAGE));
    for (let i = IOTLB_ENTRIES_MAX - 10; i < IOTLB_ENTRIES_MAX + 20; i++) invalidate(cut, BigInt(2 * i + 1) * PAGE);
    expect(cut.translations).toHaveLength(IOTLB_ENTRIES_MAX);
  });

  test("that the switch can not use are refused and not kept", () => {
    const sw = behindIommu();
    sw.failing.set("setTranslations", "the region is mapped in chunks");
    expect(update(sw, 0n)).toBe(1n);
    expect(sw.state.iotlb.entries).toEqual([]);
  });

  test("into memory that goes are forgotten before it does", () => {
    const sw = behindIommu();
    const second = region(64n * MIB, MIB);
    sw.send("ADD_MEM_REG", { kind: "memRegion", region: second }, sw.fds(1));
    update(sw, 0n);
    update(sw, 5n * PAGE, { userAddress: second.userAddress });
    sw.send("REM_MEM_REG", { kind: "memRegion", region: second });
    expect(known(sw)).toEqual([[0, 1, 0]]);
    giveMemory(sw);
    expect(known(sw)).toEqual([]);
  });
});

describe("rings behind a virtual IOMMU", () => {
  test("wait for their translations, which are asked for, and run when the last of them has come", () => {
    const sw = behindIommu();
    startRing(sw, 0, 7);
    const at = UVA + MIB;
    expect(sw.asked.slice(-3)).toEqual([
      [at, 1],
      [at + 0x8000n, 1],
      [at + 0xa000n, 3],
    ]);
    update(sw, at, { size: PAGE, userAddress: UVA + 5n * MIB });
    update(sw, at + 0x8000n, { userAddress: UVA + 6n * MIB });
    expect(sw.running.size).toBe(0);
    update(sw, at + 0xa000n, { userAddress: UVA + 7n * MIB });
    expect(sw.running.get(0)!.ring).toMatchObject({ desc: 5n * MIB, avail: 6n * MIB, used: 7n * MIB, nextAvail: 7 });
  });

  test("that may only be read are not enough for what is written: packed rings, used rings", () => {
    for (const features of [PLATFORM, PLATFORM | bits(VIRTIO_F_RING_PACKED)]) {
      const sw = behindIommu(features);
      startRing(sw, 0);
      update(sw, UVA + MIB, { size: 0x10000n, userAddress: UVA + MIB, permission: 1 });
      expect(sw.running.size).toBe(0);
      update(sw, UVA + MIB, { size: 0x10000n, userAddress: UVA + MIB, permission: 3 });
      expect(sw.running.size).toBe(1);
    }
  });

  test("M51: INVALIDATE of ring pages stops that ring until they are translated again, elsewhere perhaps", () => {
    const sw = behindIommu();
    for (const index of [0, 1]) {
      startRing(sw, index);
      mapRing(sw, index);
    }
    const at = UVA + MIB;
    sw.progress = 3;
    sw.asked.length = 0;
    const { effects } = sw.send("IOTLB_MSG", message(3, { iova: at + 0x8000n }));
    expect(kinds(effects)).toEqual(["stopQueue", "setTranslations", "askTranslation"]);
    expect([...sw.running.keys()]).toEqual([1]);
    expect(sw.asked).toEqual([[at + 0x8000n, 1]]);
    update(sw, at + 0x8000n, { userAddress: UVA + 9n * MIB });
    expect(sw.running.get(0)!.ring).toMatchObject({ avail: 9n * MIB, nextAvail: 3 });
  });

  test("that the change does not touch run on, also when their entry is cut", () => {
    const sw = behindIommu();
    startRing(sw, 0);
    mapRing(sw, 0);
    const { effects } = sw.send("IOTLB_MSG", message(3, { iova: UVA + MIB + 0xf000n }));
    expect(kinds(effects)).toEqual(["setTranslations"]);
  });

  test("an UPDATE that moves a running ring's page stops it and starts it there", () => {
    const sw = behindIommu();
    startRing(sw, 0);
    mapRing(sw, 0);
    const { effects } = sw.send("IOTLB_MSG", message(2, { iova: UVA + MIB + 0xa000n, userAddress: UVA + 3n * MIB }));
    expect(kinds(effects)).toEqual(["stopQueue", "setTranslations", "startQueue"]);
    expect(sw.running.get(0)!.ring.used).toBe(3n * MIB);
  });

  test("M51: what never comes leaves that ring waiting, and GET_VRING_BASE answers", () => {
    const sw = behindIommu();
    startRing(sw, 0, 9);
    startRing(sw, 1);
    mapRing(sw, 1);
    expect([...sw.running.keys()]).toEqual([1]);
    expect(stopRing(sw, 0)).toMatchObject({ num: 9 });
  });

  test("a part in two pieces of memory can not be used, which is said", () => {
    const sw = behindIommu();
    sw.send("SET_VRING_NUM", vring(0, 1024));
    sw.send("SET_VRING_ADDR", vringAddr(0));
    sw.send("SET_VRING_KICK", vringFd(0, true));
    const at = UVA + MIB;
    update(sw, at + 0x8000n, { size: 8n * PAGE, userAddress: at + 0x8000n });
    update(sw, at, { size: 2n * PAGE });
    // The second half of a table of 1024 descriptors lies elsewhere.
    const second = message(2, { iova: at + 2n * PAGE, size: 2n * PAGE, userAddress: UVA + 3n * MIB });
    const { logs } = sw.send("IOTLB_MSG", second);
    expect(sw.running.size).toBe(0);
    expect(logs.join()).toMatch(/queue 0 stays stopped: its descriptor table does not lie in one piece/);
  });

  test("without a socket nobody can be asked, which is said once; when it comes they are", () => {
    const sw = behindIommu(PLATFORM, false);
    startRing(sw, 0);
    expect([sw.asked, sw.state.logged.join()]).toEqual([[], expect.stringMatching(/nobody to ask/)]);
    sw.send("SET_BACKEND_REQ_FD", { kind: "none" }, sw.fds(1));
    expect(sw.asked).toHaveLength(3);
  });

  test("are plain where the front-end can not be asked: ACCESS_PLATFORM without BACKEND_REQ", () => {
    const sw = new FakeSwitch({ features: PLATFORM, protocolFeatures: PROTOCOL });
    sw.send("SET_PROTOCOL_FEATURES", u64(REPLY_ACK_ON));
    sw.send("SET_FEATURES", u64(PLATFORM));
    giveMemory(sw);
    startRing(sw, 0);
    expect(sw.running.size).toBe(1);
  });

  test("the last ring's stop and a reset forget everything: the next guest's addresses are its own", () => {
    const sw = behindIommu();
    for (const index of [0, 1]) {
      startRing(sw, index);
      mapRing(sw, index);
    }
    stopRing(sw, 0);
    expect(known(sw)).toHaveLength(1);
    stopRing(sw, 1);
    expect(known(sw)).toEqual([]);
    mapRing(sw, 0);
    sw.send("RESET_DEVICE");
    expect(sw.translations).toBeNull();
  });
});

describe("SET_BACKEND_REQ_FD", () => {
  test("M31: a thousand of them: one is kept", () => {
    const sw = behindIommu();
    for (let i = 0; i < 1000; i++) sw.send("SET_BACKEND_REQ_FD", { kind: "none" }, sw.fds(1));
    expect(sw.open.size).toBe(1);
  });

  test("is refused without BACKEND_REQ, and when it is no socket: then the one before stays", () => {
    const plain = new FakeSwitch();
    plain.send("SET_PROTOCOL_FEATURES", u64(REPLY_ACK_ON));
    expect(plain.ack("SET_BACKEND_REQ_FD", { kind: "none" }, plain.fds(1))).toBe(1n);
    expect(plain.open.size).toBe(0);
    const sw = behindIommu();
    const before = sw.state.backendSocket;
    sw.failing.set("setBackendSocket", "it is no socket");
    expect(sw.ack("SET_BACKEND_REQ_FD", { kind: "none" }, sw.fds(1))).toBe(1n);
    expect([sw.state.backendSocket, sw.open.size]).toEqual([before, 1]);
  });

  test("the end of the connection leaves nothing open", () => {
    const sw = behindIommu();
    startRing(sw, 0);
    mapRing(sw, 0);
    expect(kinds(sw.close())).toEqual(["stopQueue", "setBackendSocket", "setTranslations", "setMemory", "close"]);
    expect(sw.open.size).toBe(0);
  });
});
