// Checksums and segments that a sender leaves to the device: passed on to a receiver that takes them, else done here.

import { describe, expect, test } from "vitest";
import * as virtio from "../../assembly/spec/virtio.js";
import { bits } from "../../src/core/feature-bits.js";
import { TARGETS, TestGuest } from "./support/bench-guest.js";
import {
  expectArrival,
  expectFrames,
  GUEST_ALL,
  GUEST_CSUM,
  MODERN,
  OffloadPair,
  PACKED,
  withoutFragmentId,
} from "./support/offload-guests.js";
import { KINDS, QINQ, tcp4, tcp6, udp4, udp6, VARIANTS } from "./support/offload-kinds.js";
import { encodeHeader, NO_OFFLOAD, packet, parse, put16, sum16 } from "./support/packets.js";
import { testMemory } from "./support/test-switch.js";
import { ask, finished, segments } from "./support/wire.js";

const { VIRTIO_NET_HDR_GSO_TCPV4, VIRTIO_NET_HDR_GSO_UDP, VIRTIO_NET_HDR_GSO_UDP_L4 } = virtio;
const ECN = virtio.VIRTIO_NET_HDR_GSO_ECN;

const RINGS = [
  ["split", 0n],
  ["packed", PACKED],
] as const;

describe.each(TARGETS)("offloads, %s build", (target) => {
  const memory = testMemory();

  describe.each(RINGS)("%s ring", (_, ring) => {
    const common = MODERN | ring;

    test.each(VARIANTS)("$name goes on whole to a receiver that takes it", async ({ gsoType, gsoSize, shape }) => {
      const pair = await OffloadPair.create({ target, memory, common, receiver: GUEST_ALL });
      const frame = packet(shape);
      const header = ask(frame, gsoType, gsoSize);
      // hdr_len is only a hint, so a wrong one is put right.
      expectArrival(pair.pass(frame, { ...header, headerLength: 3 }), [{ header, frame }]);
      expect(pair.counters).toEqual({ segmented: 0, segments: 0, checksums: 0 });
    });

    test.each(VARIANTS)("$name is cut for a receiver that takes nothing", async ({ gsoType, gsoSize, shape }) => {
      const pair = await OffloadPair.create({ target, memory, common });
      const frame = packet(shape);
      const header = ask(frame, gsoType, gsoSize);
      const received = pair.pass(frame, header, [5, 30, 100, 1, 999]);
      const expected = segments(frame, header);
      expect(received.map(({ header }) => header)).toEqual(expected.map(() => NO_OFFLOAD));
      expectFrames(
        received.map(({ frame }) => withoutFragmentId(frame)),
        expected,
      );
      expect(pair.counters).toEqual({ segmented: 1, segments: expected.length, checksums: 0 });
      expect(pair.receiver.queue(0).counters().frames).toBe(expected.length);
      expect(pair.receiver.queue(0).counters().bytes).toBe(expected.reduce((sum, { length }) => sum + length, 0));
    });

    test.each(VARIANTS)(
      "$name is cut, checksums left open, for one with GUEST_CSUM and all other types",
      async (kind) => {
        const others = GUEST_ALL & ~bits(kind.bit);
        const pair = await OffloadPair.create({ target, memory, common, receiver: others });
        const frame = packet(kind.shape);
        const header = ask(frame, kind.gsoType, kind.gsoSize);
        const received = pair.pass(frame, header);
        const fragments = kind.gsoType === VIRTIO_NET_HDR_GSO_UDP;
        const own = fragments ? NO_OFFLOAD : { ...header, gsoType: 0, gsoSize: 0, headerLength: 0 };
        for (const { header } of received) expect(header).toEqual(own);
        expectFrames(
          received.map(({ header, frame }) => withoutFragmentId(finished(frame, header))),
          segments(frame, header),
        );
      },
    );

    test.each([tcp4, tcp6, udp4, udp6])("a checksum is passed on or finished: %o", async (shape) => {
      const frame = packet({ ...shape, payload: 333 });
      const header = ask(frame);
      const takes = await OffloadPair.create({ target, memory, common, receiver: GUEST_CSUM });
      expectArrival(takes.pass(frame, header, [100]), [{ header, frame }]);
      expect(takes.counters.checksums).toBe(0);
      for (const pieces of [[], [13, 40, 1, 1, 50]]) {
        const lacks = await OffloadPair.create({
          target,
          memory,
          common,
          guest: { rxBufferBytes: pieces.length ? 67 : 2048 },
        });
        expectArrival(lacks.pass(frame, header, pieces), [{ header: NO_OFFLOAD, frame: finished(frame, header) }]);
        expect(lacks.counters).toEqual({ segmented: 0, segments: 0, checksums: 1 });
      }
    });

    test("segments are spread over buffers smaller than they are", async () => {
      const pair = await OffloadPair.create({ target, memory, common, guest: { rxBufferBytes: 301 } });
      const frame = packet(tcp4);
      const header = ask(frame, VIRTIO_NET_HDR_GSO_TCPV4, 1448);
      expectFrames(
        pair.pass(frame, header, [60, 4096]).map(({ frame }) => frame),
        segments(frame, header),
      );
    });

    test("64 KiB behind two tags, whole and cut", async () => {
      const frame = packet({ ...tcp4, tags: QINQ, payload: 65_535 - 20 - 32 });
      expect(frame.length).toBe(65_557);
      const header = ask(frame, VIRTIO_NET_HDR_GSO_TCPV4, 1448);
      const cut = await OffloadPair.create({ target, memory, common });
      expectFrames(
        cut.pass(frame, header, [54, 32_768]).map(({ frame }) => frame),
        segments(frame, header),
      );
      const whole = await OffloadPair.create({ target, memory, common, receiver: GUEST_ALL });
      expectArrival(whole.pass(frame, header), [{ header, frame }]);
    });
  });

  test("a burst of every kind at once arrives in the order in which it was sent", async () => {
    const pair = await OffloadPair.create({ target, memory, guest: { size: 1024, rxBuffers: 400 } });
    const { sender, sw, receiver } = pair;
    const expected: Uint8Array[] = [];
    for (const kind of KINDS) {
      const plain = packet({ ...udp4, payload: 64, seed: kind.bit });
      const frame = packet({ ...kind.shape, payload: 4000 });
      const header = ask(frame, kind.gsoType, kind.gsoSize);
      sender.send(plain);
      sender.send(frame, { header: encodeHeader(header), pieces: [1000] });
      sender.send(plain, { header: encodeHeader(ask(plain)) });
      expected.push(plain, ...segments(frame, header), finished(plain, ask(plain)));
    }
    expect(sw.poll()).toBe(3 * KINDS.length);
    expectFrames(receiver.receive().map(withoutFragmentId), expected);
    expect(receiver.queue(0).counters().frames).toBe(expected.length);
  });

  test("fragments of a datagram have one identification, datagrams have different ones", async () => {
    const pair = await OffloadPair.create({ target, memory });
    const frame = packet(udp6);
    const header = ask(frame, VIRTIO_NET_HDR_GSO_UDP, 1448);
    const ids = [1, 2].map(() => {
      const made = pair.pass(frame, header).map(({ frame }) => {
        const { repeated } = parse(frame);
        return Buffer.from(frame.subarray(repeated + 4, repeated + 8)).toString("hex");
      });
      expect(made.length).toBeGreaterThan(1);
      expect(new Set(made).size).toBe(1);
      return made[0];
    });
    expect(ids[0]).not.toBe(ids[1]);
  });

  test("CWR goes with the first segment only, and ECN needs a receiver with GUEST_ECN", async () => {
    const frame = packet({ ...tcp4, tcpFlags: 0x98 });
    const header = ask(frame, VIRTIO_NET_HDR_GSO_TCPV4 | ECN, 1448);
    const takes = await OffloadPair.create({ target, memory, receiver: GUEST_ALL });
    expectArrival(takes.pass(frame, header), [{ header, frame }]);
    const lacks = await OffloadPair.create({
      target,
      memory,
      receiver: GUEST_ALL & ~bits(virtio.VIRTIO_NET_F_GUEST_ECN),
    });
    const flags = lacks.pass(frame, header).map(({ frame }) => frame[parse(frame).transport + 13]);
    expect(flags).toEqual([0x90, 0x10, 0x10, 0x10, 0x10, 0x10, 0x18]);
  });

  test("a checksum that comes out as 0 is sent as 0xffff: 0 would mean that there is none", async () => {
    const frame = packet({ ...udp4, payload: 64 });
    const header = ask(frame);
    // The last word is chosen so that all sums to 0xffff.
    put16(frame, frame.length - 2, 0);
    put16(frame, frame.length - 2, ~foldOf(frame.subarray(header.checksumStart)));
    const pair = await OffloadPair.create({ target, memory });
    const [received] = pair.pass(frame, header);
    const { checksum } = parse(frame);
    expect([...received!.frame.subarray(checksum, checksum + 2)]).toEqual([0xff, 0xff]);
  });

  test("what fits one segment is no long frame: it goes to a receiver with GUEST_CSUM alone", async () => {
    for (const { gsoType, shape } of KINDS) {
      const frame = packet({ ...shape, payload: 1000 });
      const pair = await OffloadPair.create({ target, memory, receiver: GUEST_CSUM });
      const header = ask(frame);
      expectArrival(pair.pass(frame, { ...header, gsoType, gsoSize: 1480, headerLength: 54 }), [{ header, frame }]);
    }
  });

  test("flags that a driver has no business with are not passed on", async () => {
    const pair = await OffloadPair.create({ target, memory, receiver: GUEST_ALL });
    const frame = packet({ ...udp4, payload: 64 });
    expectArrival(pair.pass(frame, { flags: virtio.VIRTIO_NET_HDR_F_DATA_VALID, headerLength: 99 }), [
      { header: NO_OFFLOAD, frame },
    ]);
    const header = ask(frame);
    expectArrival(pair.pass(frame, { ...header, flags: 0xff }), [{ header, frame }]);
  });

  test("without CSUM negotiated the header is not looked at", async () => {
    const pair = await OffloadPair.create({ target, memory, sender: 0n, receiver: GUEST_ALL });
    const frame = packet({ ...udp4, payload: 64 });
    expectArrival(pair.pass(frame, { flags: 1, gsoType: 77, checksumStart: 60_000 }), [{ header: NO_OFFLOAD, frame }]);
  });

  test("the legacy bit GSO stands for TSO, ECN and UFO; a header of 10 bytes serves as well", async () => {
    const sender = bits(virtio.VIRTIO_NET_F_CSUM, virtio.VIRTIO_NET_F_GSO);
    for (const { gsoType, gsoSize, shape } of KINDS.slice(0, 4)) {
      const pair = await OffloadPair.create({ target, memory, common: 0n, sender });
      const frame = packet(shape);
      const header = ask(frame, gsoType, gsoSize);
      expectFrames(
        pair.pass(frame, header).map(({ frame }) => withoutFragmentId(frame)),
        segments(frame, header),
      );
    }
  });

  test("segments that find no room are dropped and counted, those before them arrive", async () => {
    const pair = await OffloadPair.create({ target, memory, guest: { rxBuffers: 3 } });
    const frame = packet(tcp4);
    const header = ask(frame, VIRTIO_NET_HDR_GSO_TCPV4, 1448);
    const expected = segments(frame, header);
    expectFrames(
      pair.pass(frame, header).map(({ frame }) => frame),
      expected.slice(0, 3),
    );
    expect(pair.receiver.drops(0)).toEqual({ DROP_NO_RX_BUFFER: expected.length - 3 });
    expect(pair.counters).toEqual({ segmented: 1, segments: expected.length, checksums: 0 });
  });

  test("buffers too small for a segment and not to be merged: all are dropped, none of the buffers is used up", async () => {
    const common = bits(virtio.VIRTIO_F_VERSION_1);
    const pair = await OffloadPair.create({ target, memory, common, guest: { rxBufferBytes: 1400 } });
    const frame = packet(tcp4);
    const header = ask(frame, VIRTIO_NET_HDR_GSO_TCPV4, 1448);
    expect(pair.pass(frame, header)).toEqual([]);
    expect(pair.receiver.drops(0)).toEqual({ DROP_RX_BUFFER_TOO_SMALL: segments(frame, header).length });
    const small = packet({ ...udp4, payload: 64 });
    expectArrival(pair.pass(small, {}), [{ header: NO_OFFLOAD, frame: small }]);
  });

  test("each receiver of a flooded frame gets it as it can take it", async () => {
    const pair = await OffloadPair.create({ target, memory, receiver: GUEST_ALL });
    const plain = await TestGuest.create(pair.sw, { features: MODERN, rxBuffers: 64 });
    const frame = packet(udp4);
    const header = ask(frame, VIRTIO_NET_HDR_GSO_UDP_L4, 1400);
    expectArrival(pair.pass(frame, header, [99]), [{ header, frame }]);
    expectFrames(plain.receive(), segments(frame, header));
  });
});

function foldOf(bytes: Uint8Array): number {
  let sum = sum16(bytes);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  return sum;
}
