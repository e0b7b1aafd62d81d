// What the core makes of frames that were left to it, judged by Wireshark's dissectors: every checksum that they can
// check is good, and fragments come together again. The core's own tests compare it with a model of ours.
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { OffloadPair } from "../core/support/offload-guests.js";
import { tcp4, tcp6, udp4, udp6, VARIANTS } from "../core/support/offload-kinds.js";
import { packet, parse } from "../core/support/packets.js";
import { testMemory } from "../core/support/test-switch.js";
import { ask } from "../core/support/wire.js";
import { describeNeeding, programOnPath } from "./lib/needs.js";

/** Wireshark's words for a checksum: 0 bad, 1 good, 2 not checked. */
const FIELDS = ["ip.checksum.status", "tcp.checksum.status", "udp.checksum.status"];
const CHECKS = ["ip.check_checksum", "tcp.check_checksum", "udp.check_checksum"];

describeNeeding(["tshark"], "frames from the core, as tshark sees them", () => {
  let folder: string;
  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), "ringbridge-tshark-"));
  });
  afterAll(() => rmSync(folder, { recursive: true }));

  /** The checksums that tshark found in the frames, by their state. */
  function judge(frames: Uint8Array[]): { bad: number; good: number; other: number } {
    const file = join(folder, "frames.pcap");
    writeFileSync(file, pcap(frames));
    const options = [...CHECKS.flatMap((key) => ["-o", `${key}:TRUE`]), "-T", "fields"];
    const text = execFileSync(programOnPath("tshark")!, ["-r", file, ...options, ...FIELDS.flatMap((f) => ["-e", f])], {
      encoding: "utf8",
      stdio: ["ignore", "pipe", "ignore"],
    });
    const states = text.split(/\s+/).filter(Boolean);
    const count = (state: string) => states.filter((one) => one === state).length;
    return { bad: count("0"), good: count("1"), other: states.length - count("0") - count("1") };
  }

  test("segments, datagrams and fragments of every kind, and finished checksums", async () => {
    const memory = testMemory();
    const frames: Uint8Array[] = [];
    let datagrams = 0;
    for (const [i, { gsoType, gsoSize, shape }] of VARIANTS.entries()) {
      const frame = packet({ ...shape, identification: 1000 * i, seed: i });
      const pair = await OffloadPair.create({ target: "release", memory });
      const received = pair.pass(frame, ask(frame, gsoType, gsoSize), [77, 500]);
      frames.push(...received.map(({ frame }) => frame));
      // IPv4 headers, and one TCP or UDP checksum for each segment, or for all fragments together.
      datagrams += (shape.version === 4 ? received.length : 0) + (gsoType === 3 ? 1 : received.length);
    }
    for (const shape of [tcp4, tcp6, udp4, udp6]) {
      const frame = packet({ ...shape, payload: 333 });
      const pair = await OffloadPair.create({ target: "release", memory });
      frames.push(...pair.pass(frame, ask(frame)).map(({ frame }) => frame));
      datagrams += shape.version === 4 ? 2 : 1;
    }
    expect(judge(frames)).toEqual({ bad: 0, good: datagrams, other: 0 });
  });

  test("a checksum that is only begun is bad: tshark would have said so", () => {
    const frame = packet({ ...tcp4, payload: 333 });
    expect(judge([frame])).toEqual({ bad: 1, good: 1, other: 0 });
    const broken = frame.slice();
    broken[parse(frame).network + 8]! ^= 1;
    expect(judge([broken])).toEqual({ bad: 2, good: 0, other: 0 });
  });
});

/** A capture file of Ethernet frames (libpcap's format, microseconds, little-endian). */
function pcap(frames: Uint8Array[]): Buffer {
  const header = Buffer.alloc(24);
  header.writeUInt32LE(0xa1b2c3d4, 0);
  header.writeUInt16LE(2, 4);
  header.writeUInt16LE(4, 6);
  header.writeUInt32LE(262_144, 16);
  header.writeUInt32LE(1, 20);
  const records = frames.flatMap((frame, i) => {
    const record = Buffer.alloc(16);
    record.writeUInt32LE(i, 0);
    record.writeUInt32LE(frame.length, 8);
    record.writeUInt32LE(frame.length, 12);
    return [record, Buffer.from(frame)];
  });
  return Buffer.concat([header, ...records]);
}
