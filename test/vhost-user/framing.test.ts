// From a stream of bytes to whole messages, however it is split, each with the descriptors that came with its first byte.

import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { Fd } from "../../src/vhost-user/effects.js";
import { type Framed, Framer } from "../../src/vhost-user/framing.js";
import {
  encodeMessage,
  encodeReply,
  FLAG_NEED_REPLY,
  HEADER_SIZE,
  PAYLOAD_SIZE_MAX,
  type WireMessage,
} from "../../src/vhost-user/message.js";

const kick = encodeMessage(12, FLAG_NEED_REPLY, { kind: "vringFd", index: 1, noFd: false, reserved: 0n });
const owner = encodeMessage(3, 0, { kind: "none" });

function header(request: number, flags: number, size: number): Uint8Array {
  const bytes = new Uint8Array(HEADER_SIZE);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, request, true);
  view.setUint32(4, flags, true);
  view.setUint32(8, size, true);
  return bytes;
}

function join(...parts: Uint8Array[]): Uint8Array {
  return Uint8Array.from(parts.flatMap((part) => [...part]));
}

/** Push the bytes in chunks that end at these positions; descriptors come with the chunk that has their byte. */
function pushSplit(bytes: Uint8Array, ends: number[], fdsAt: Map<number, Fd[]>): WireMessage[] {
  const framer = new Framer("requests");
  const messages: WireMessage[] = [];
  let from = 0;
  for (const to of [...ends, bytes.length]) {
    const fds = [...fdsAt].filter(([at]) => at >= from && at < to).flatMap(([, f]) => f);
    const framed = framer.push(bytes.subarray(from, to), fds);
    expect(framed.fault).toBeUndefined();
    messages.push(...framed.messages);
    from = to;
  }
  expect(framer.midMessage).toBe(false);
  return messages;
}

describe("Framer", () => {
  test("M41, F13: one byte at a time gives the same message, with the descriptors of its first byte", () => {
    const bytes = join(owner, kick, owner);
    const everyByte = Array.from({ length: bytes.length - 1 }, (_, i) => i + 1);
    const messages = pushSplit(bytes, everyByte, new Map([[owner.length, [7]]]));
    expect(messages.map((m) => [m.request, m.fds])).toEqual([
      [3, []],
      [12, [7]],
      [3, []],
    ]);
    expect(messages[1]!.payload).toEqual(kick.subarray(HEADER_SIZE));
    expect(messages[1]!.flags).toBe(9);
  });

  test("M41: many messages in one read come out in order", () => {
    const { messages, fault } = new Framer("requests").push(join(owner, owner, kick, owner));
    expect(fault).toBeUndefined();
    expect(messages.map((m) => m.request)).toEqual([3, 3, 12, 3]);
  });

  test("M41: reading no more than `wanted` bytes never joins two messages, so descriptors find their owner", () => {
    const stream = join(owner, kick, owner, kick);
    const fdsAt = new Map([
      [owner.length, [7]],
      [2 * owner.length + kick.length, [8]],
    ]);
    const framer = new Framer("requests");
    const messages: WireMessage[] = [];
    for (let at = 0; at < stream.length; ) {
      expect(framer.wanted).toBeGreaterThan(0);
      const to = Math.min(at + framer.wanted, stream.length);
      const fds = [...fdsAt].filter(([x]) => x >= at && x < to).flatMap(([, f]) => f);
      messages.push(...framer.push(stream.subarray(at, to), fds).messages);
      at = to;
    }
    expect(messages.map((m) => m.fds)).toEqual([[], [7], [], [8]]);
  });

  test("M41: any splitting of any messages gives the messages", () => {
    const message = fc.record({ size: fc.nat({ max: 300 }), fds: fc.boolean() });
    fc.assert(
      fc.property(fc.array(message, { minLength: 1, maxLength: 6 }), fc.array(fc.nat()), (list, cuts) => {
        const fdsAt = new Map<number, Fd[]>();
        let length = 0;
        const parts = list.map(({ size, fds }, i) => {
          if (fds) fdsAt.set(length, [10 + i]);
          length += HEADER_SIZE + size;
          return join(header(i + 1, 1, size), new Uint8Array(size).fill(i + 1));
        });
        // A read never goes past the end of a message: every message end is a chunk end too.
        const messageEnds = parts.map((_, i) => join(...parts.slice(0, i + 1)).length);
        const ends = [...new Set([...messageEnds, ...cuts.map((cut) => cut % length)])].filter((x) => x > 0);
        ends.sort((a, b) => a - b);
        ends.pop();
        const messages = pushSplit(join(...parts), ends, fdsAt);
        expect(messages).toEqual(
          list.map(({ size, fds }, i) => ({
            request: i + 1,
            flags: 1,
            payload: new Uint8Array(size).fill(i + 1),
            fds: fds ? [10 + i] : [],
          })),
        );
      }),
    );
  });

  test("a message's payload is its own: later bytes do not change it", () => {
    const framer = new Framer("requests");
    const [first] = framer.push(kick).messages;
    const before = [...first!.payload];
    framer.push(encodeMessage(8, 0, { kind: "vringState", index: 0xffffffff, num: 0xffffffff }));
    expect([...first!.payload]).toEqual(before);
  });

  test("the largest payload passes", () => {
    const framed = new Framer("requests").push(join(header(5, 1, PAYLOAD_SIZE_MAX), new Uint8Array(PAYLOAD_SIZE_MAX)));
    expect(framed.messages).toHaveLength(1);
  });

  test("F12: a back-end's replies are framed for a front-end", () => {
    const reply = encodeReply(1, { kind: "u64", value: 5n });
    expect(new Framer("replies").push(reply).messages).toHaveLength(1);
  });

  test("F13: half a message and then the end: its descriptors are handed back once", () => {
    const framer = new Framer("requests");
    framer.push(kick.subarray(0, 15), [4, 5]);
    expect(framer.midMessage).toBe(true);
    expect(framer.abandon()).toEqual([4, 5]);
    expect(framer.abandon()).toEqual([]);
  });
});

describe("a framing fault hands back every descriptor and ends the connection", () => {
  const fault = (bytes: Uint8Array, fds: Fd[] = [], expect_: "requests" | "replies" = "requests"): Framed =>
    new Framer(expect_).push(bytes, fds);

  test.each([
    ["no REPLY", 1],
    ["NEED_REPLY as well", 0xd],
    ["a flag that does not exist", 0x15],
    ["version 2", 6],
    ["no version", 4],
  ])("F12: a reply whose header flags have %s", (_, flags) => {
    const framed = fault(header(1, flags, 8), [4], "replies");
    expect(framed.fault).toMatchObject({ reason: expect.stringContaining("GET_FEATURES (1)"), fds: [4] });
    expect(framed.messages).toEqual([]);
  });

  test.each([0, 2, 3])("M27, F14: protocol version %i", (version) => {
    const framed = fault(header(3, version, 0), [4]);
    expect(framed.fault).toMatchObject({ reason: expect.stringContaining(`version ${version}`), fds: [4] });
  });

  test("M27: the REPLY bit in a request", () => {
    expect(fault(header(1, 5, 0), [4]).fault?.reason).toContain("marked as a reply");
  });

  test("F14: header flags that do not exist", () => {
    expect(fault(header(3, 0x11, 0)).fault?.reason).toContain("unknown header flags 0x11");
    expect(fault(header(3, 0x80000001, 0)).fault?.reason).toContain("unknown header flags");
  });

  test.each([PAYLOAD_SIZE_MAX + 1, 0xffffffff])("M26, F14: %i bytes of payload announced", (size) => {
    const framed = fault(header(5, 1, size), [4]);
    expect(framed.fault).toMatchObject({ reason: expect.stringContaining(`${size} bytes`), fds: [4] });
  });

  test("a reply that is no reply, or that echoes NEED_REPLY", () => {
    expect(fault(header(1, 1, 8), [], "replies").fault?.reason).toContain("0x1 instead of 0x5");
    expect(fault(header(1, 0xd, 8), [], "replies").fault?.reason).toContain("0xd instead of 0x5");
  });

  test("M10: lost descriptors (MSG_CTRUNC), also those of a message begun before", () => {
    const framer = new Framer("requests");
    framer.push(kick.subarray(0, 3), [4]);
    const framed = framer.push(kick.subarray(3), [5], true);
    expect(framed).toMatchObject({ messages: [], fault: { fds: [4, 5] } });
  });

  test("M10: more than 8 descriptors", () => {
    const fds = [1, 2, 3, 4, 5, 6, 7, 8, 9];
    expect(fault(owner, fds).fault?.fds).toEqual(fds);
    expect(fault(owner, fds.slice(0, 8)).messages[0]?.fds).toHaveLength(8);
  });

  test("descriptors in the middle of a message", () => {
    const framer = new Framer("requests");
    framer.push(kick.subarray(0, 12), [4]);
    expect(framer.push(kick.subarray(12), [5]).fault?.fds).toEqual([5]);
  });

  test("messages before the fault are delivered, nothing after it is", () => {
    const framer = new Framer("requests");
    const framed = framer.push(join(owner, header(3, 0, 0), owner));
    expect(framed.messages).toHaveLength(1);
    expect(framed.fault).toBeDefined();
    const later = framer.push(owner, [6]);
    expect(later).toMatchObject({ messages: [], fault: { fds: [6] } });
  });
});
