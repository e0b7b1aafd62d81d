// The inflight area through a session: who makes it, which ones are accepted, and when what it says is forgotten.

import { describe, expect, test } from "vitest";
import { inflightBytes } from "../../src/core/inflight.js";
import type { Payload } from "../../src/vhost-user/message.js";
import { FakeSwitch, REPLY_ACK_ON } from "./fake-switch.js";
import { giveMemory, kinds, ready, startRing, stopRing, u64, vring } from "./requests.js";

const SIZE = 256;
const PART = BigInt(inflightBytes(SIZE, false));

function area(change: Partial<Extract<Payload, { kind: "inflight" }>> = {}): Payload {
  const shape = { queues: 2, queueSize: SIZE, padded: true };
  return { kind: "inflight", mmapSize: 2n * PART, mmapOffset: 0n, ...shape, ...change };
}

/** The reply to GET_INFLIGHT_FD: mmap size, queues and entries. */
function get(sw: FakeSwitch, payload: Payload): { size: bigint; shape: number[]; fds: number; bytes: number } {
  const { reply, replyFds } = sw.send("GET_INFLIGHT_FD", payload);
  const view = new DataView(reply!.buffer, reply!.byteOffset, reply!.byteLength);
  expect(view.getBigUint64(8, true)).toBe(0n);
  const shape = [view.getUint16(16, true), view.getUint16(18, true)];
  return { size: view.getBigUint64(0, true), shape, fds: replyFds, bytes: reply!.length };
}

describe("GET_INFLIGHT_FD", () => {
  test("makes an area large enough for its queues, and sends it with the reply", () => {
    const sw = ready();
    expect(get(sw, area())).toEqual({ size: 2n * PART, shape: [2, SIZE], fds: 1, bytes: 24 });
    expect(get(sw, area({ queues: 256, queueSize: 32768 })).size).toBe(256n * BigInt(inflightBytes(32768, false)));
  });

  test("packed rings take more", () => {
    const sw = new FakeSwitch();
    sw.send("SET_FEATURES", u64(5n << 32n));
    expect(get(sw, area()).size).toBe(2n * BigInt(inflightBytes(SIZE, true)));
  });

  test("a struct without the padding of C is answered in kind", () => {
    expect(get(ready(), area({ padded: false }))).toMatchObject({ size: 2n * PART, bytes: 20 });
  });

  test.each([{ queues: 0 }, { queues: 257 }, { queues: 65535 }, { queueSize: 0 }, { queueSize: 32769 }])(
    "M9: %o is answered with no size and no descriptor",
    (change) => {
      expect(get(ready(), area(change))).toMatchObject({ size: 0n, fds: 0 });
    },
  );

  test("M7: asked again and again it holds nothing", () => {
    const sw = ready();
    for (let i = 0; i < 1000; i++) expect(get(sw, area()).fds).toBe(1);
    expect(sw.open.size).toBe(0);
  });

  test("an area that can not be made is a reply without one", () => {
    const sw = ready();
    sw.failing.set("createInflight", "memfd_create: EMFILE");
    expect(get(sw, area())).toMatchObject({ size: 0n, fds: 0 });
  });
});

describe("SET_INFLIGHT_FD", () => {
  test("hands the file over with its shape; a later one takes its place", () => {
    const sw = ready();
    expect(sw.ack("SET_INFLIGHT_FD", area({ mmapOffset: 4096n }), sw.fds(1))).toBe(0n);
    expect(sw.inflight).toMatchObject({ size: 2n * PART, offset: 4096n, queues: 2, queueSize: SIZE });
    expect(sw.ack("SET_INFLIGHT_FD", area({ queues: 1 }), sw.fds(1))).toBe(0n);
    expect(sw.inflight).toMatchObject({ queues: 1, size: PART });
    expect(sw.open.size).toBe(0);
  });

  test.each<[string, Parameters<typeof area>[0]]>([
    ["too small for its queues", { mmapSize: 2n * PART - 1n }],
    ["more queues than there are", { queues: 257, mmapSize: 1n << 40n }],
    ["longer rings than there are", { queueSize: 65535, mmapSize: 1n << 40n }],
    ["no queue", { queues: 0 }],
    ["rings of no entry", { queueSize: 0 }],
    ["past any file", { mmapOffset: (1n << 63n) - 64n }],
    ["a sum that wraps", { mmapSize: (1n << 64n) - 1n, mmapOffset: (1n << 64n) - 64n }],
    ["an odd offset", { mmapOffset: 8n }],
  ])("M9: refused: %s", (_, change) => {
    const sw = ready();
    expect(sw.ack("SET_INFLIGHT_FD", area(change), sw.fds(1))).toBe(1n);
    expect([sw.inflight, sw.open.size, sw.state.inflight]).toEqual([null, 0, false]);
  });

  test("M9: packed rings need more", () => {
    const sw = new FakeSwitch();
    sw.send("SET_PROTOCOL_FEATURES", u64(REPLY_ACK_ON));
    sw.send("SET_FEATURES", u64(5n << 32n));
    expect(sw.ack("SET_INFLIGHT_FD", area(), sw.fds(1))).toBe(1n);
    expect(sw.ack("SET_INFLIGHT_FD", area({ mmapSize: 2n * BigInt(inflightBytes(SIZE, true)) }), sw.fds(1))).toBe(0n);
  });

  test("without a descriptor it is refused; one that can not be mapped leaves things as they were", () => {
    const sw = ready();
    expect(sw.ack("SET_INFLIGHT_FD", area())).toBe(1n);
    sw.failing.set("setInflight", "no memory file");
    expect(sw.ack("SET_INFLIGHT_FD", area(), sw.fds(1))).toBe(1n);
    expect(sw.state.inflight).toBe(false);
  });

  test("running rings stand while it changes", () => {
    const sw = ready();
    startRing(sw, 0, 7);
    const { effects } = sw.send("SET_INFLIGHT_FD", area(), sw.fds(1));
    expect(kinds(effects)).toEqual(["stopQueue", "setInflight", "startQueue"]);
  });
});

describe("what the area says is forgotten", () => {
  function started(): FakeSwitch {
    const sw = ready();
    sw.send("SET_INFLIGHT_FD", area(), sw.fds(1));
    startRing(sw, 0);
    startRing(sw, 1);
    return sw;
  }

  test("when GET_VRING_BASE tells it to the front-end: that ring's alone", () => {
    const sw = started();
    stopRing(sw, 0);
    expect(sw.cleared).toEqual([0]);
  });

  test("when the device is reset", () => {
    for (const reset of [
      ["SET_STATUS", u64(0n)],
      ["RESET_DEVICE", { kind: "none" }],
    ] as const) {
      const sw = started();
      sw.send(reset[0], reset[1]);
      expect(sw.cleared).toEqual([0, 1]);
    }
  });

  test("not when memory changes, nor when the connection ends: then somebody goes on from there", () => {
    const sw = started();
    giveMemory(sw);
    sw.send("SET_VRING_ENABLE", vring(0, 0));
    expect(kinds(sw.close())).toEqual(["stopQueue", "stopQueue", "setInflight", "setMemory", "close"]);
    expect(sw.cleared).toEqual([]);
    expect(sw.inflight).toBeNull();
  });
});
