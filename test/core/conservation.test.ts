// Nothing is lost unseen: for random guests that keep the rules, frames sent are frames received plus counted drops.

import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  VIRTIO_F_EVENT_IDX,
  VIRTIO_F_IN_ORDER,
  VIRTIO_F_INDIRECT_DESC,
  VIRTIO_F_RING_PACKED,
  VIRTIO_F_VERSION_1,
  VIRTIO_NET_F_MRG_RXBUF,
} from "../../assembly/spec/virtio.js";
import { PACKED_WRAP } from "../../src/core/packed-ring.js";
import { TARGETS, TestGuest, TestSwitch } from "./support/bench-guest.js";
import { numbered } from "./support/frames.js";
import { testMemory } from "./support/test-switch.js";
import { runs } from "../sample.js";

const FEATURES = [VIRTIO_F_VERSION_1, VIRTIO_NET_F_MRG_RXBUF, VIRTIO_F_EVENT_IDX, VIRTIO_F_IN_ORDER];
const PACKED = 1n << BigInt(VIRTIO_F_RING_PACKED);
const UNKNOWN = 99;

const features = fc
  .subarray(FEATURES)
  .map((bits) => bits.reduce((set, bit) => set | (1n << BigInt(bit)), 1n << BigInt(VIRTIO_F_INDIRECT_DESC)));
const buffers = fc.array(fc.integer({ min: 1, max: 2200 }), { maxLength: 100 });
const splitShape = fc.record({
  features,
  size: fc.nat(8).map((power) => 2 ** power),
  firstIndex: fc.constantFrom(0, 1, 65_500, 65_535),
  buffers,
});
const packedShape = fc
  .record({ features, size: fc.integer({ min: 1, max: 256 }), position: fc.nat(), wrap: fc.boolean(), buffers })
  .map(({ position, wrap, ...shape }) => ({
    ...shape,
    features: shape.features | PACKED,
    firstIndex: (position % shape.size) | (wrap ? PACKED_WRAP : 0),
  }));
const guestShape = fc.oneof(splitShape, packedShape);

const frameShape = fc.record({
  from: fc.nat(),
  to: fc.nat(),
  length: fc.oneof(fc.integer({ min: 18, max: 100 }), fc.integer({ min: 18, max: 3000 })),
  pieces: fc.array(fc.integer({ min: 1, max: 200 }), { maxLength: 6 }),
  indirect: fc.boolean(),
  pollAfter: fc.boolean(),
});

describe.each(TARGETS)("conservation, %s build", (target) => {
  const memory = testMemory();

  test("sent = received + drops by cause; each frame once, in order; each chain comes back once", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(guestShape, { minLength: 2, maxLength: 5 }),
        fc.array(frameShape, { maxLength: 120 }),
        async (shapes, traffic) => {
          const sw = new TestSwitch({ target, memory });
          const guests: TestGuest[] = [];
          for (const { buffers, ...options } of shapes) {
            const guest = await TestGuest.create(sw, { ...options, rxBuffers: 0 });
            for (const length of buffers.slice(0, options.size)) guest.giveBuffer(length);
            guests.push(guest);
          }
          await learnAll(sw, guests);

          const sent = guests.map(() => guests.map((): string[] => []));
          const back = guests.map(() => 0);
          const chains = guests.map(() => 0);
          for (const [number, shape] of traffic.entries()) {
            const from = shape.from % guests.length;
            const to = shape.to % guests.length;
            const guest = guests[from]!;
            const room = guest.tx[0]!.freeDescriptors;
            if (room === 0 || (!shape.indirect && room <= shape.pieces.length)) {
              sw.settle();
              back[from]! += guest.reclaim();
            }
            const pieces = shape.pieces.slice(0, guest.size - 1);
            const bytes = numbered(to + 1, from + 1, shape.length, number);
            guest.send(bytes, { pieces, indirect: shape.indirect });
            chains[from]!++;
            sent[from]![to]!.push(hex(bytes));
            if (shape.pollAfter) sw.poll();
          }
          sw.settle();
          for (const [i, guest] of guests.entries()) back[i]! += guest.reclaim();
          expect(back).toEqual(chains);

          let delivered = 0;
          for (const [to, guest] of guests.entries()) {
            const received = guest.receive();
            delivered += received.length;
            for (const from of guests.keys()) {
              const own = received.filter((bytes) => bytes[11] === from + 1).map(hex);
              expect(isSubsequence(own, sent[from]![to]!)).toBe(true);
            }
            expect(guest.queue(0).counters().frames).toBe(received.length);
            expect(guest.queue(0).counters().bytes).toBe(received.reduce((sum, bytes) => sum + bytes.length, 0));
          }
          const dropped = guests.flatMap((guest) => [0, 1].flatMap((index) => Object.values(guest.drops(index))));
          expect(delivered + dropped.reduce((sum, count) => sum + count, 0)).toBe(traffic.length + guests.length);
          for (const guest of guests) expect([guest.state(0), guest.state(1)]).toEqual(["QUEUE_OK", "QUEUE_OK"]);
        },
      ),
      { numRuns: runs(120) },
    );
  });

  /** Lets each guest speak while no other has a receiveq that runs; each of these frames is dropped and counted. */
  async function learnAll(sw: TestSwitch, guests: TestGuest[]): Promise<void> {
    for (const guest of guests) await sw.bridge.setEnabled(guest.port, 0, false);
    for (const [i, guest] of guests.entries()) {
      guest.send(numbered(UNKNOWN, i + 1, 60, 0));
      sw.settle();
      expect(guest.reclaim()).toBe(1);
      expect(guest.drops(1)).toEqual({ DROP_NO_PORT: 1 });
    }
    for (const guest of guests) await sw.bridge.setEnabled(guest.port, 0, true);
  }
});

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex");

/** Whether `part` is `whole` with some items left out. */
function isSubsequence(part: string[], whole: string[]): boolean {
  let at = 0;
  for (const item of part) {
    at = whole.indexOf(item, at) + 1;
    if (at === 0) return false;
  }
  return true;
}
