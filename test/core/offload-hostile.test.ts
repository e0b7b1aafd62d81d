// Headers that ask for what makes no sense, from a guest that means harm or knows no better. Each is dropped and counted
// under one cause before anything is done with it, and the switch goes on. M numbers: cases that other back-ends were
// bitten by (M12 csum_start beyond the packet, M19 senseless gso fields, M20 headers that run past the end).

import { once } from "node:events";
import { Worker } from "node:worker_threads";
import fc from "fast-check";
import { describe, expect, test, vi } from "vitest";
import * as virtio from "../../assembly/spec/virtio.js";
import { bits } from "../../src/core/feature-bits.js";
import { TARGETS, type TestGuest } from "./support/bench-guest.js";
import { expectArrival, GUEST_ALL, HOST_ALL, OffloadPair } from "./support/offload-guests.js";
import { tcp4, tcp6, udp4, udp6 } from "./support/offload-kinds.js";
import { encodeHeader, NO_OFFLOAD, type NetHeader, packet, parse } from "./support/packets.js";
import { testMemory } from "./support/test-switch.js";
import { ask } from "./support/wire.js";
import type { Span } from "../../src/testing/ram.js";
import { Witness } from "./support/witness.js";
import { runs } from "../sample.js";

const TCPV4 = virtio.VIRTIO_NET_HDR_GSO_TCPV4;
const TCPV6 = virtio.VIRTIO_NET_HDR_GSO_TCPV6;
const UFO = virtio.VIRTIO_NET_HDR_GSO_UDP;
const USO = virtio.VIRTIO_NET_HDR_GSO_UDP_L4;
const ECN = virtio.VIRTIO_NET_HDR_GSO_ECN;

const small = packet({ ...udp4, payload: 60 });
const long = packet(tcp4);
const long6 = packet(tcp6);
const datagram = packet(udp4);
const datagram6 = packet({ ...udp6, extensions: [[0, 8]] });
const good = ask(long, TCPV4, 1448);
const { network, transport } = parse(long);

/** The frame with some of its bytes changed: [offset, byte]. */
function bent(frame: Uint8Array, ...changes: [at: number, byte: number][]): Uint8Array {
  const bytes = frame.slice();
  for (const [at, byte] of changes) bytes[at] = byte;
  return bytes;
}

/** A frame cut off behind `length` bytes, still called a TCP segment to be cut. */
function short(length: number): [Uint8Array, Partial<NetHeader>] {
  return [long.slice(0, length), { ...good, gsoSize: 1 }];
}

const BAD: [name: string, frame: Uint8Array, header: Partial<NetHeader>][] = [
  ["M12 csum_start at the end of the frame", small, { flags: 1, checksumStart: small.length }],
  [
    "M12 the checksum's second byte behind the end",
    small,
    { flags: 1, checksumStart: 14, checksumOffset: small.length - 15 },
  ],
  [
    "M12 csum_start and csum_offset as large as can be",
    small,
    { flags: 1, checksumStart: 65_535, checksumOffset: 65_535 },
  ],
  ["M12 csum_offset that would wrap 16 bits", small, { flags: 1, checksumStart: 34, checksumOffset: 65_534 }],
  ["M12 csum_start in the Ethernet header", small, { flags: 1, checksumStart: 12, checksumOffset: 0 }],
  ["M12 csum_start beyond the frame of one to be cut", long, { ...good, checksumStart: 60_000 }],
  ["M12 csum_start beside the TCP header", long, { ...good, checksumStart: good.checksumStart + 2 }],
  ["M12 csum_offset beside the checksum", long, { ...good, checksumOffset: 6 }],
  ["M19 gso_size 0", long, { ...good, gsoSize: 0 }],
  ["M19 an unknown gso_type", long, { ...good, gsoType: 2 }],
  ["M19 another unknown gso_type", long, { ...good, gsoType: 0x7f }],
  ["M19 a gso_type without NEEDS_CSUM", long, { ...good, flags: 0 }],
  ["M19 ECN alone", long, { ...good, gsoType: ECN }],
  ["M19 ECN alone and no checksum", long, { gsoType: ECN }],
  ["M19 ECN with UDP", datagram, ask(datagram, UFO | ECN, 1480)],
  ["M19 TCPV6 for an IPv4 packet", long, { ...good, gsoType: TCPV6 }],
  ["M19 TCPV4 for an IPv6 packet", long6, ask(long6, TCPV4, 1428)],
  ["M19 UDP for a TCP packet", long, { ...good, gsoType: UFO }],
  ["M19 UDP_L4 for a TCP packet", long, { ...good, gsoType: USO }],
  ["M19 TCPV4 for a UDP packet", datagram, ask(datagram, TCPV4, 1448)],
  ["M19 fragments of less than 8 bytes", datagram, ask(datagram, UFO, 7)],
  ["M20 no IP packet", bent(long, [12, 0x88], [13, 0xb5]), good],
  ["M20 IP version 6 behind IPv4's EtherType", bent(long, [network, 0x65]), good],
  ["M20 an IPv4 header of less than 20 bytes", bent(long, [network, 0x44]), good],
  ["M20 a fragment", bent(long, [network + 6, 0x20]), good],
  ["M20 a later fragment", bent(long, [network + 7, 1]), good],
  ["M20 neither TCP nor UDP", bent(long, [network + 9, 132]), good],
  ["M20 a TCP header of less than 20 bytes", bent(long, [transport + 12, 0x40]), good],
  ["M20 a TCP header that runs past the end", bent(long.slice(0, 70), [transport + 12, 0xf0]), { ...good, gsoSize: 1 }],
  ["M20 an IPv4 header that runs past the end", bent(long.slice(0, 40), [network, 0x4f]), { ...good, gsoSize: 1 }],
  ["M20 nothing behind the Ethernet header", ...short(34)],
  ["M20 half an IPv4 header", ...short(26)],
  ["M20 half a TCP header", ...short(52)],
  ["M20 half a tag", bent(long.slice(0, 36), [12, 0x81], [13, 0], [16, 0x81], [17, 0]), good],
  ["M20 three tags", packet({ ...tcp4, tags: [0x88a8, 0x8100, 0x8100] }), { ...good, checksumStart: transport + 12 }],
  ["M20 an IPv6 extension header that runs past the end", bent(datagram6, [55, 255]), ask(datagram6, USO, 1400)],
  ["M20 extension headers longer than are looked at", ...extended(640)],
  ["M20 an IPv6 fragment header", bent(datagram6, [20, 44]), ask(datagram6, USO, 1400)],
  ["M20 an IPv6 packet of version 4", bent(datagram6, [14, 0x45]), ask(datagram6, USO, 1400)],
];

function extended(length: number): [Uint8Array, Partial<NetHeader>] {
  const frame = packet({ ...tcp6, extensions: [[60, length]] });
  return [frame, ask(frame, TCPV6, 1428)];
}

const NEGOTIATED: [name: string, bit: number, frame: Uint8Array, header: Partial<NetHeader>][] = [
  ["TSO4", virtio.VIRTIO_NET_F_HOST_TSO4, long, good],
  ["TSO6", virtio.VIRTIO_NET_F_HOST_TSO6, long6, ask(long6, TCPV6, 1428)],
  ["ECN", virtio.VIRTIO_NET_F_HOST_ECN, long, { ...good, gsoType: TCPV4 | ECN }],
  ["UFO", virtio.VIRTIO_NET_F_HOST_UFO, datagram, ask(datagram, UFO, 1480)],
  ["UFO of IPv6", virtio.VIRTIO_NET_F_HOST_UFO, datagram6, ask(datagram6, UFO, 1448)],
  ["USO", virtio.VIRTIO_NET_F_HOST_USO, datagram, ask(datagram, USO, 1400)],
  ["USO of IPv6", virtio.VIRTIO_NET_F_HOST_USO, datagram6, ask(datagram6, USO, 1400)],
];

describe.each(TARGETS)("hostile offload headers, %s build", (target) => {
  const memory = testMemory();

  test.each(BAD)("%s: dropped and counted, and nothing of it delivered", async (_, frame, header) => {
    for (const receiver of [0n, GUEST_ALL]) {
      for (const pieces of [[], [1, 11, 5, 9, 20, 3]]) {
        const pair = await OffloadPair.create({ target, memory, receiver });
        const witness = new Witness(pair.sw);
        expect(pair.pass(frame, header, pieces)).toEqual([]);
        expect(pair.sender.drops(1)).toEqual({ DROP_TX_OFFLOAD: 1 });
        expect(pair.sender.state(1)).toBe("QUEUE_OK");
        expect(witness.firstChange(ramOf(pair.sender))).toBeNull();
        expectArrival(pair.pass(small, {}), [{ header: NO_OFFLOAD, frame: small }]);
      }
    }
  });

  test.each(NEGOTIATED)("%s without its feature bit: dropped and counted", async (_, bit, frame, header) => {
    const pair = await OffloadPair.create({ target, memory, sender: HOST_ALL & ~bits(bit), receiver: GUEST_ALL });
    expect(pair.pass(frame, header)).toEqual([]);
    expect(pair.sender.drops(1)).toEqual({ DROP_TX_OFFLOAD: 1 });
  });

  test("any header on any packet: delivered or counted, and nothing is written where it must not be", async () => {
    const word = fc.oneof(fc.nat(65_535), fc.constantFrom(0, 1, 6, 7, 8, 14, 16, 34, 54, 65_535));
    await fc.assert(
      fc.asyncProperty(
        fc.constantFrom(small, long, long6, datagram, datagram6),
        fc.array(fc.tuple(fc.nat(90), fc.nat(255)), { maxLength: 3 }),
        fc.nat(3000),
        fc.array(fc.integer({ min: 1, max: 90 }), { maxLength: 5 }),
        fc.tuple(fc.constantFrom(1, 1, 1, 0, 3, 255), fc.oneof(fc.constantFrom(0, 1, 3, 4, 5, 0x81), fc.nat(255))),
        fc.tuple(word, word, fc.option(word), fc.option(word)),
        fc.constantFrom(0n, GUEST_ALL, bits(virtio.VIRTIO_NET_F_GUEST_CSUM)),
        fc.integer({ min: 20, max: 2048 }),
        async (original, changes, cutOff, pieces, [flags, gsoType], [hint, gsoSize, start, offset], receiver, room) => {
          const guest = { rxBufferBytes: room, size: 512 };
          const pair = await OffloadPair.create({ target, memory, receiver, guest });
          const frame = bent(original, ...changes.filter(([at]) => at >= 12 && at < original.length));
          const truth = ask(original);
          const header = {
            flags,
            gsoType,
            headerLength: hint,
            gsoSize,
            checksumStart: start ?? truth.checksumStart,
            checksumOffset: offset ?? truth.checksumOffset,
          };
          const whole = cutOff < frame.length && cutOff >= 14 ? frame.slice(0, cutOff) : frame;
          const witness = new Witness(pair.sw);
          const received = pair.pass(whole, header, pieces);
          const allowed = [...ramOf(pair.sender), ...ringsOf(pair.receiver), ...pair.receiver.deviceWritable()];
          expect(witness.firstChange(allowed)).toBeNull();
          const { segmented, segments } = pair.counters;
          const lost = [...Object.values(pair.sender.drops(1)), ...Object.values(pair.receiver.drops(0))];
          expect(received.length + lost.reduce((sum, count) => sum + count, 0)).toBe(1 + segments - segmented);
          expect([pair.sender.state(1), pair.receiver.state(0)]).toEqual(["QUEUE_OK", "QUEUE_OK"]);
          for (const { header } of received) {
            if (!receiver) expect(header).toEqual(NO_OFFLOAD);
            expect([0, 1]).toContain(header.flags);
          }
        },
      ),
      { numRuns: runs(400) },
    );
  });
});

test("headers that change while the frame is sent are believed as they were read once", async () => {
  const pair = await OffloadPair.create({ target: "release", guest: { rxBuffers: 200 } });
  const { sender, receiver, sw } = pair;
  const at = sender.allocate(sender.headerBytes + long.length);
  const [span] = sender.spans(at, sender.headerBytes + long.length);
  const frame = span!.offset + sender.headerBytes;
  const header = encodeHeader(good);
  const control = new SharedArrayBuffer(8);
  const bytes = [
    [frame + network, 0x4f, 0x45],
    [frame + network + 9, 17, 6],
    [frame + transport + 12, 0xf0, 0x80],
    [frame + 13, 0xdd, 0x00],
    [span!.offset + 4, 0, good.gsoSize & 255],
  ];
  sender.write(at, new Uint8Array(sender.headerBytes));
  sender.write(at, header);
  sender.write(at + BigInt(sender.headerBytes), long);
  const workerData = { buffer: sw.memory.buffer, control, bytes };
  const thread = new Worker(new URL("./support/flipper.mjs", import.meta.url), { workerData });
  const words = new Int32Array(control);
  await vi.waitUntil(() => Atomics.load(words, 1) > 0, 10_000);
  let received = 0;
  const sent = 4000;
  const witness = new Witness(sw);
  for (let i = 0; i < sent; i++) {
    expect(sender.tx[0]!.add([{ address: at, length: sender.headerBytes + long.length }], [])).not.toBeNull();
    sw.settle();
    expect(sender.reclaim()).toBe(1);
    received += receiver.receiveWithHeaders(0, true).length;
  }
  Atomics.store(words, 0, 1);
  await once(thread, "exit");
  const { segmented, segments } = pair.counters;
  const { DROP_TX_OFFLOAD: refused = 0, ...others } = sender.drops(1);
  expect(others).toEqual({});
  expect(receiver.drops(0)).toEqual({});
  expect(received + refused).toBe(sent + segments - segmented);
  expect(segmented).toBeGreaterThan(0);
  const allowed = [...ramOf(sender), ...ringsOf(receiver), ...receiver.deviceWritable()];
  expect(witness.firstChange(allowed)).toBeNull();
});

/** A guest's rings, which it writes itself when it gives its buffers anew. */
function ringsOf(guest: TestGuest): Span[] {
  const { ring } = guest.rx[0]!;
  return (["desc", "avail", "used"] as const).flatMap((part) => guest.spans(ring[part], guest.rings.bytes[part]));
}

/** A guest's whole RAM: what it may write itself. */
function ramOf(guest: TestGuest): Span[] {
  return guest.regions.map(({ window, size }) => ({ offset: window, length: Number(size) }));
}
