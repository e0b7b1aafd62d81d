// What is written as pcapng is read again, and what others write is read in pieces of any length.

import fc from "fast-check";
import { expect, test } from "vitest";
import { PcapngWriter } from "../../src/capture/pcapng.js";
import { CaptureReader, type ReadFrame, readCapture } from "../../src/capture/read.js";

/** Reads a file that comes in pieces of these lengths in turn. */
function read(file: Uint8Array, lengths: readonly number[]): { frames: ReadFrame[]; reader: CaptureReader } {
  const frames: ReadFrame[] = [];
  const reader = new CaptureReader((frame) => frames.push(frame));
  for (let at = 0, i = 0; at < file.length; i++) {
    const length = lengths[i % lengths.length]!;
    reader.push(file.subarray(at, at + length));
    at += length;
  }
  reader.end();
  return { frames, reader };
}

const time = (nanoseconds: bigint) => ({ high: Number(nanoseconds >> 32n), low: Number(nanoseconds & 0xffff_ffffn) });

test("frames, names, directions, comments, cut lengths and counts come back, however the file is cut up", () => {
  const frame = fc.record({
    interface: fc.nat(1),
    time: fc.bigInt(0n, (1n << 63n) - 1n),
    bytes: fc.uint8Array({ minLength: 1, maxLength: 70 }),
    more: fc.nat(100),
    direction: fc.constantFrom("in" as const, "out" as const, undefined),
    comment: fc.option(fc.string({ unit: "grapheme", maxLength: 9 }), { nil: undefined }),
  });
  fc.assert(
    fc.property(
      fc.array(frame, { maxLength: 20 }),
      fc.array(fc.integer({ min: 1, max: 200 }), { minLength: 1 }),
      (given, cuts) => {
        const writer = new PcapngWriter();
        writer.section();
        writer.interface("vm1");
        writer.interface("größer", { snapLength: 96, filter: "arp" });
        const pieces = [writer.take()];
        for (const { more, time: at, ...rest } of given) {
          writer.packet({ ...rest, time: time(at), length: rest.bytes.length + more });
        }
        writer.statistics(1, { received: 2 ** 40, dropped: 7, accepted: 5, delivered: 4 }, time(1n), time(2n));
        pieces.push(writer.take());
        const { frames, reader } = read(Buffer.concat(pieces), cuts);
        expect(frames).toEqual(
          given.map(({ more, direction, comment, ...rest }) => ({
            ...rest,
            length: rest.bytes.length + more,
            ...(direction === undefined ? {} : { direction }),
            ...(comment === undefined ? {} : { comment }),
          })),
        );
        expect(reader.interfaces.map(({ name }) => name)).toEqual(["vm1", "größer"]);
        expect(reader.interfaces[1]).toMatchObject({ received: 2 ** 40, dropped: 7 });
      },
    ),
    { numRuns: 200 },
  );
});

/** A big-endian pcapng file with an interface of a resolution of its own and a time offset. */
function foreign(resolution: number, ticks: bigint): Buffer {
  const block = (type: number, body: Buffer) => {
    const whole = Buffer.alloc(12 + body.length);
    whole.writeUInt32BE(type, 0);
    whole.writeUInt32BE(whole.length, 4);
    body.copy(whole, 8);
    whole.writeUInt32BE(whole.length, whole.length - 4);
    return whole;
  };
  const section = Buffer.alloc(16, 0xff);
  section.writeUInt32BE(0x1a2b3c4d, 0);
  section.writeUInt32BE(0x0001_0000, 4);
  const description = Buffer.from([
    0,
    1,
    0,
    0,
    0,
    0,
    0,
    0,
    0,
    9,
    0,
    1,
    resolution,
    0,
    0,
    0,
    0,
    14,
    0,
    8,
    0,
    0,
    0,
    0,
    0,
    0,
    0,
    3,
  ]);
  const packet = Buffer.alloc(24);
  packet.writeBigUInt64BE(ticks, 4);
  packet.writeUInt32BE(2, 12);
  packet.writeUInt32BE(60, 16);
  packet.set([0xaa, 0xbb], 20);
  const unknown = block(0x0bad, Buffer.from("ignored!"));
  return Buffer.concat([block(0x0a0d0d0a, section), unknown, block(1, description), block(6, packet), unknown]);
}

test.each([
  [6, 5n, 3_000_005_000n],
  [9, 5n, 3_000_000_005n],
  [0x80 | 10, 1024n, 4_000_000_000n],
])("big-endian pcapng of resolution %i", (resolution, ticks, nanoseconds) => {
  const { frames } = read(foreign(resolution, ticks), [11]);
  expect(frames).toEqual([{ time: nanoseconds, bytes: Uint8Array.of(0xaa, 0xbb), length: 60, interface: 0 }]);
});

test("a file that is damaged anywhere is refused with a sentence, or read as something", () => {
  const writer = new PcapngWriter();
  writer.section();
  writer.interface("vm1");
  for (let i = 0; i < 3; i++) {
    writer.packet({
      interface: 0,
      direction: "in",
      time: time(5n),
      bytes: new Uint8Array(20 + i),
      length: 90,
      comment: "x",
    });
  }
  const file = writer.take();
  const damage = fc.record({
    at: fc.nat(file.length - 1),
    value: fc.nat(255),
    length: fc.integer({ min: 24, max: file.length }),
  });
  let refused = 0;
  fc.assert(
    fc.property(damage, ({ at, value, length }) => {
      const bad = file.slice(0, length);
      if (at < bad.length) bad[at] = value;
      try {
        for (const { bytes } of readCapture(bad)) expect(bytes.length).toBeLessThanOrEqual(file.length);
      } catch (error) {
        refused++;
        expect((error as Error).message).toMatch(/damaged|ends within|neither|link type|does not describe|byte order/);
      }
    }),
    { numRuns: 2000 },
  );
  expect(refused).toBeGreaterThan(500);
});

test("a block or record of absurd length is refused at once, not waited for", () => {
  const writer = new PcapngWriter();
  writer.section();
  const file = writer.take();
  const more = Buffer.alloc(16);
  more.writeUInt32LE(6, 0);
  more.writeUInt32LE(0x7fff_fff0, 4);
  expect(() => readCapture(Buffer.concat([file, more]))).toThrow("damaged: it has 2147483632 bytes");
  const pcap = Buffer.alloc(40, 0);
  pcap.writeUInt32LE(0xa1b2c3d4, 0);
  pcap.writeUInt32LE(1, 20);
  pcap.writeUInt32LE(0x4000_0000, 32);
  expect(() => readCapture(pcap)).toThrow("damaged: it has 1073741824 bytes");
});
