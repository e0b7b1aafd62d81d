// What a lab keeps of each frame: the ledger's table by bytes, and the capture's bytes.

import { expect, test } from "vitest";
import { Capture } from "../../src/testing/capture.js";
import { FrameTable } from "../../src/testing/frame-table.js";
import { readCapture, udp } from "../../src/testing/index.js";

const from = { mac: "02:00:00:00:00:01", ip4: "10.0.0.1" };
const to = { mac: "02:00:00:00:00:02", ip4: "10.0.0.2" };

test.each([60, 61, 62, 63])("frames of %i bytes that differ in one bit, or in two, are different ones", (length) => {
  const table = new FrameTable();
  const frame = udp({ from, to, payload: length - 42 });
  const flip = (bit: number) => {
    frame[bit >> 3]! ^= 1 << (bit & 7);
  };
  const rows = new Map<string, number>();
  for (let one = 0; one < length * 8; one++) {
    // The other one anywhere, and in the same byte of each word.
    for (const other of [
      one,
      (one * 7 + 3) % (length * 8),
      ...[32, 64, 128].map((far) => (one + far) % (length * 8)),
    ]) {
      flip(one);
      if (other !== one) flip(other);
      const name = [one, other].sort((a, b) => a - b).join();
      if (!rows.has(name)) {
        expect(table.find(frame)).toBe(-1);
        rows.set(name, table.add(one, 0, 0));
      }
      expect(table.find(frame)).toBe(rows.get(name));
      if (other !== one) flip(other);
      flip(one);
    }
  }
  expect(table.rows).toBe(rows.size);
  expect(table.find(frame)).toBe(-1);
});

test("the table finds what it has after it has grown, and frames that are one the beginning of the other", () => {
  const table = new FrameTable();
  const bytes = Uint8Array.from({ length: 5000 }, (_, i) => i * 31);
  for (let length = 0; length < bytes.length; length++) {
    expect(table.find(bytes.subarray(0, length))).toBe(-1);
    expect(table.add(length, length % 7, length)).toBe(length);
  }
  for (let length = 0; length < bytes.length; length++) expect(table.find(bytes.subarray(0, length))).toBe(length);
  expect([table.at[4321], table.flow[4321], table.place[4321], table.guest[4321]]).toEqual([4321, 4321 % 7, 4321, -1]);
});

test("a capture has copies of all frames, of any length, in order", () => {
  const capture = new Capture(true);
  const [a, b] = [capture.addInterface("a"), capture.addInterface("b")];
  const lengths = [60, 1514, 65_550, 0, 300_000, 61, ...Array.from({ length: 400 }, (_, i) => 1000 + i)];
  const frames = lengths.map((length, i) => Uint8Array.from({ length }, (_, j) => i + j));
  for (const [i, frame] of frames.entries()) {
    const bytes = frame.slice();
    capture.frame(i % 2 ? b : a, i % 3 ? "in" : "out", bytes, i * 1000);
    bytes.fill(0);
  }
  expect(capture.frames).toHaveLength(frames.length);
  for (const [i, frame] of capture.frames.entries()) {
    expect([frame.interface, frame.direction, frame.time]).toEqual([i % 2, i % 3 ? "in" : "out", i * 1000]);
    expect(Buffer.compare(frame.bytes, frames[i]!)).toBe(0);
  }
  expect(readCapture(capture.pcapng()).map(({ bytes }) => bytes.length)).toEqual(lengths);
});
