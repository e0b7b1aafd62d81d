// The core's bridge and the plain one of support/model-bridge.ts do the same with the same frames.

import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { VIRTIO_F_VERSION_1 } from "../../assembly/spec/virtio.js";
import { TestGuest, TestSwitch, VARIANTS } from "./support/bench-guest.js";
import { numbered, numberOf } from "./support/frames.js";
import { type Delivery, ModelBridge } from "./support/model-bridge.js";
import { testMemory } from "./support/test-switch.js";

const PORTS = 4;
const AGEING = 30;
const BROADCAST = "ff:ff:ff:ff:ff:ff";
const MULTICAST = "33:33:00:00:00:01";
/** Few addresses, so that they move, age and meet. */
const ADDRESSES = Array.from({ length: 7 }, (_, i) => `02:00:00:00:00:0${i}`);

const port = fc.nat(PORTS - 1);
const operation = fc.oneof(
  {
    weight: 12,
    arbitrary: fc.record({
      send: port,
      source: fc.oneof({ weight: 20, arbitrary: fc.constantFrom(...ADDRESSES) }, fc.constant(MULTICAST)),
      destination: fc.constantFrom(...ADDRESSES, BROADCAST, MULTICAST, "02:ff:00:00:00:01"),
    }),
  },
  { weight: 6, arbitrary: fc.constant({ poll: true }) },
  { weight: 2, arbitrary: fc.record({ pass: fc.integer({ min: 1, max: 25 }) }) },
  { weight: 1, arbitrary: fc.constant({ age: true }) },
  { weight: 1, arbitrary: fc.record({ toggle: port }) },
  { weight: 1, arbitrary: fc.record({ flush: port }) },
);

describe.each(VARIANTS)("model of a bridge, $target build, $form ring", ({ target, ring }) => {
  const features = (1n << BigInt(VIRTIO_F_VERSION_1)) | ring;
  const memory = testMemory();

  test("random senders, moves, ageing, stops and starts: the same frames at the same ports, the same table", async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(operation, { maxLength: 120 }), async (operations) => {
        const sw = new TestSwitch({ target, memory, fdb: { ageingSeconds: AGEING } });
        const model = new ModelBridge(AGEING);
        const guests: TestGuest[] = [];
        const running = new Set<number>();
        for (let id = 0; id < PORTS; id++) {
          guests.push(await TestGuest.create(sw, { features, rxBufferBytes: 128 }));
          model.start(id);
          running.add(id);
        }
        let expected: Delivery[] = [];
        const settle = () => {
          sw.settle();
          for (const [id, guest] of guests.entries()) {
            const own = expected.filter((delivery) => delivery.port === id).map(({ frame }) => frame);
            expect(guest.receive(0, true).map(numberOf)).toEqual(own);
            guest.reclaim();
          }
          expected = [];
          const table = sw.bridge.fdbEntries().map(({ mac, port, seen }) => `${mac} ${port} ${seen}`);
          expect(table.sort()).toEqual(model.addresses());
        };

        let last: number | undefined;
        let waiting = 0;
        for (const [number, step] of operations.entries()) {
          if ("send" in step) {
            // One port's burst at a time: between ports the order of service is the switch's own business.
            if ((last !== undefined && last !== step.send) || waiting === 60) {
              settle();
              waiting = 0;
            }
            last = step.send;
            waiting++;
            guests[step.send]!.send(numbered(octets(step.destination), octets(step.source), 60, number));
            expected.push(...model.send(step.send, step.source, step.destination, number, sw.now));
            continue;
          }
          settle();
          waiting = 0;
          last = undefined;
          if ("pass" in step) sw.now += step.pass;
          else if ("age" in step) {
            sw.bridge.ageFdb(sw.now);
            model.age(sw.now);
          } else if ("flush" in step) {
            sw.bridge.flushFdb(guests[step.flush]!.port);
            model.flush(step.flush);
          } else if ("toggle" in step) {
            const id = step.toggle;
            if (running.delete(id)) {
              await sw.bridge.stopQueue(guests[id]!.port, 0);
              model.stop(id);
            } else {
              await guests[id]!.startQueue(0, guests[id]!.queue(0).struct.get("nextAvail"));
              running.add(id);
              model.start(id);
            }
          }
        }
        settle();
      }),
      { numRuns: 100 },
    );
  });
});

function octets(address: string): number[] {
  return address.split(":").map((octet) => Number.parseInt(octet, 16));
}
