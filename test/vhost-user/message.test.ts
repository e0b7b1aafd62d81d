// The table of messages, and what stands in each on the wire.

import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { HANDLERS } from "../../src/vhost-user/handlers.js";
import { encodeMessage, encodeReply, MESSAGES, messageByNumber, requestLabel } from "../../src/vhost-user/message.js";
import { decodePayload, encodePayload, type Payload } from "../../src/vhost-user/payload.js";

const u32 = fc.nat({ max: 0xffffffff });
const u64 = fc.bigInt({ min: 0n, max: (1n << 64n) - 1n });
const region = fc.record({ guestAddress: u64, size: u64, userAddress: u64, mmapOffset: u64 });

/** Every payload kind, with every value that its fields can have. */
const payload: fc.Arbitrary<Payload> = fc.oneof(
  fc.constant<Payload>({ kind: "none" }),
  u64.map((value): Payload => ({ kind: "u64", value })),
  fc.record({ kind: fc.constant("vringState" as const), index: u32, num: u32 }),
  fc.record({
    kind: fc.constant("vringAddr" as const),
    index: u32,
    flags: u32,
    desc: u64,
    used: u64,
    avail: u64,
    log: u64,
  }),
  fc.record({
    kind: fc.constant("vringFd" as const),
    index: fc.nat({ max: 255 }),
    noFd: fc.boolean(),
    reserved: u64.map((value) => value & ~0x1ffn),
  }),
  fc.array(region, { maxLength: 8 }).map((regions): Payload => ({ kind: "memTable", regions })),
  region.map((r): Payload => ({ kind: "memRegion", region: r })),
  fc.record({
    kind: fc.constant("config" as const),
    offset: u32,
    flags: u32,
    data: fc.uint8Array({ maxLength: 256 }),
  }),
);

const bytesOf = (hex: string) => Uint8Array.from(Buffer.from(hex.replaceAll(" ", ""), "hex"));

describe("payload codecs", () => {
  test("every payload decodes to what was encoded", () => {
    fc.assert(
      fc.property(payload, (p) => {
        expect(decodePayload(p.kind, encodePayload(p))).toEqual(p);
      }),
    );
  });

  test("M35: the bytes are those of the specification's structures", () => {
    expect(encodeReply(11, { kind: "vringState", index: 1, num: 0x1234 })).toEqual(
      bytesOf("0b000000 05000000 08000000 01000000 34120000"),
    );
    expect(encodeMessage(12, 8, { kind: "vringFd", index: 3, noFd: true, reserved: 0n })).toEqual(
      bytesOf("0c000000 09000000 08000000 0301000000000000"),
    );
    const r = { guestAddress: 1n, size: 2n, userAddress: 3n, mmapOffset: 4n };
    const regionBytes = "0100000000000000 0200000000000000 0300000000000000 0400000000000000";
    expect(encodePayload({ kind: "memTable", regions: [r] })).toEqual(bytesOf(`01000000 00000000 ${regionBytes}`));
    expect(encodePayload({ kind: "memRegion", region: r })).toEqual(bytesOf(`0000000000000000 ${regionBytes}`));
    // SET_VRING_ADDR has used before avail.
    expect(encodePayload({ kind: "vringAddr", index: 1, flags: 1, desc: 2n, used: 3n, avail: 4n, log: 5n })).toEqual(
      bytesOf("01000000 01000000 0200000000000000 0300000000000000 0400000000000000 0500000000000000"),
    );
  });

  test("M26: a payload of any other size than its structure's is told to close the connection", () => {
    for (const kind of ["none", "u64", "vringState", "vringAddr", "vringFd", "memRegion", "config"] as const) {
      const right =
        kind === "none" ? 0 : kind === "config" ? 12 : kind.startsWith("mem") || kind === "vringAddr" ? 40 : 8;
      expect(decodePayload(kind, new Uint8Array(right)).kind).toBe(kind);
      for (const size of [right - 1, right + 1].filter((n) => n >= 0)) {
        expect(decodePayload(kind, new Uint8Array(size))).toMatchObject({ kind: "bad", closes: true });
      }
    }
  });

  test("M26: a config payload must have the size that it names, and at most 256 bytes of data", () => {
    const config = encodePayload({ kind: "config", offset: 0, flags: 0, data: new Uint8Array(4) });
    expect(decodePayload("config", config.subarray(0, 15))).toMatchObject({ kind: "bad", closes: true });
    const large = encodePayload({ kind: "config", offset: 0, flags: 0, data: new Uint8Array(257) });
    expect(decodePayload("config", large)).toMatchObject({ kind: "bad", closes: true });
  });

  test("M22: a memory table of more than 8 regions, or of another size than its count takes, is refused", () => {
    const r = { guestAddress: 0n, size: 4096n, userAddress: 0n, mmapOffset: 0n };
    const nine = encodePayload({ kind: "memTable", regions: Array(9).fill(r) });
    expect(decodePayload("memTable", nine)).toMatchObject({ kind: "bad", closes: false });
    const two = encodePayload({ kind: "memTable", regions: [r, r] });
    expect(decodePayload("memTable", two.subarray(0, two.length - 1))).toMatchObject({ kind: "bad", closes: false });
    two[0] = 1;
    expect(decodePayload("memTable", two)).toMatchObject({ kind: "bad", closes: false });
    expect(decodePayload("memTable", new Uint8Array(7))).toMatchObject({ kind: "bad", closes: true });
  });

  test("bytes at an odd offset of a larger buffer decode the same", () => {
    const bytes = encodePayload({ kind: "vringState", index: 7, num: 9 });
    const shifted = new Uint8Array(20);
    shifted.set(bytes, 3);
    expect(decodePayload("vringState", shifted.subarray(3, 11))).toEqual({ kind: "vringState", index: 7, num: 9 });
  });
});

describe("MESSAGES", () => {
  test("lists requests 1 to 45, each once", () => {
    const numbers = Object.values(MESSAGES).map((spec) => spec.number);
    expect(numbers).toEqual(Array.from({ length: 45 }, (_, i) => i + 1));
    for (const [name, spec] of Object.entries(MESSAGES)) {
      expect(spec.name).toBe(name);
      expect(messageByNumber(spec.number)).toBe(spec);
    }
  });

  test("a message has a handler exactly when it is supported", () => {
    const supported = Object.values(MESSAGES).filter((spec) => spec.supported);
    expect(Object.keys(HANDLERS).sort()).toEqual(supported.map((spec) => spec.name).sort());
    expect(supported.filter((spec) => spec.payload === "opaque")).toEqual([]);
  });

  test("M25: logs name a request, known or not", () => {
    expect(requestLabel(5)).toBe("SET_MEM_TABLE (5)");
    expect(requestLabel(6)).toBe("SET_LOG_BASE (6)");
    for (const number of [0, 46, 0x80000000, 0xffffffff]) {
      expect(messageByNumber(number)).toBeUndefined();
      expect(requestLabel(number)).toBe(`request ${number}`);
    }
  });
});
