// Random packets of every kind between guests with any offloads: what arrives is what would go over a wire, as the plain
// model of wire.ts has it, whether the receiver's driver does the rest or the switch did.

import fc from "fast-check";
import { describe, expect, test } from "vitest";
import * as virtio from "../../assembly/spec/virtio.js";
import { bits } from "../../src/core/feature-bits.js";
import { TARGETS } from "./support/bench-guest.js";
import {
  expectFrames,
  GUEST_CSUM,
  HOST_ALL,
  MODERN,
  OffloadPair,
  PACKED,
  withoutFragmentId,
} from "./support/offload-guests.js";
import { type PacketShape, packet, TCP, UDP } from "./support/packets.js";
import { testMemory } from "./support/test-switch.js";
import { ask, segments } from "./support/wire.js";
import { runs } from "../sample.js";

const GUEST_BITS = [
  virtio.VIRTIO_NET_F_GUEST_TSO4,
  virtio.VIRTIO_NET_F_GUEST_TSO6,
  virtio.VIRTIO_NET_F_GUEST_ECN,
  virtio.VIRTIO_NET_F_GUEST_UFO,
  virtio.VIRTIO_NET_F_GUEST_USO4,
  virtio.VIRTIO_NET_F_GUEST_USO6,
];

const eights = (max: number) => fc.integer({ min: 1, max }).map((n) => n * 8);

const shapes: fc.Arbitrary<PacketShape> = fc.record({
  to: fc.constant(2),
  from: fc.constant(1),
  tags: fc.constantFrom([], [0x8100], [0x88a8, 0x8100], [0x8100, 0x8100]),
  version: fc.constantFrom(4 as const, 6 as const),
  protocol: fc.constantFrom(TCP as 6, UDP as 17),
  options: fc.nat(10).map((n) => n * 4),
  extensions: fc.array(fc.tuple(fc.constantFrom(0, 43, 60), eights(6)), { maxLength: 4 }),
  tcpOptions: fc.nat(10).map((n) => n * 4),
  tcpFlags: fc.nat(255),
  sequence: fc.nat(0xffff_ffff),
  identification: fc.nat(65_535),
  payload: fc.oneof(fc.nat(100), fc.nat(4000), fc.nat(20_000)),
  seed: fc.nat(1000),
});

/** The segmentation that a packet may ask for: none too, and two for UDP. */
function typesOf({ version, protocol, tcpFlags = 0 }: PacketShape): number[] {
  if (protocol === UDP) return [0, virtio.VIRTIO_NET_HDR_GSO_UDP, virtio.VIRTIO_NET_HDR_GSO_UDP_L4];
  const type = version === 4 ? virtio.VIRTIO_NET_HDR_GSO_TCPV4 : virtio.VIRTIO_NET_HDR_GSO_TCPV6;
  return [0, tcpFlags & 0x80 ? type | virtio.VIRTIO_NET_HDR_GSO_ECN : type];
}

describe.each(TARGETS)("random offloads, %s build", (target) => {
  const memory = testMemory();

  test("what arrives, its offload done, is what the model makes of it", async () => {
    await fc.assert(
      fc.asyncProperty(
        shapes,
        fc.nat(),
        // So long that 400 buffers hold what one frame is cut into.
        fc.integer({ min: 160, max: 3000 }),
        fc.array(fc.integer({ min: 1, max: 3000 }), { maxLength: 12 }),
        fc.option(fc.subarray(GUEST_BITS)),
        fc.boolean(),
        fc.integer({ min: 200, max: 4096 }),
        async (shape, which, gsoSize, pieces, able, packed, room) => {
          const receiver = able === null ? 0n : GUEST_CSUM | bits(...able);
          const common = packed ? MODERN | PACKED : MODERN;
          const guest = { rxBufferBytes: room, size: 1024, rxBuffers: 400 };
          const pair = await OffloadPair.create({ target, memory, common, sender: HOST_ALL, receiver, guest });
          const frame = packet(shape);
          const types = typesOf(shape);
          const header = ask(frame, types[which % types.length], gsoSize);
          const received = pair.pass(frame, header, pieces);
          // What the receiver's driver would do with what it got.
          const done = received.flatMap(({ header, frame }) => segments(frame, header));
          expectFrames(done.map(withoutFragmentId), segments(frame, header));
          // Nothing was done for it that it can do itself.
          const { segmented, checksums } = pair.counters;
          if (able?.length === GUEST_BITS.length) expect(received).toHaveLength(1);
          if (able !== null) expect(checksums).toBe(0);
          expect(segmented).toBe(received.length > 1 ? 1 : 0);
        },
      ),
      { numRuns: runs(250) },
    );
  });
});
