// What the load driver notices of the frames that it receives: each change, loss, double and detour, and how long they took.

import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { latencyQuantile } from "../../src/guest/driver.js";
import { FLOW_WINDOW } from "../../src/guest/driver-layout.js";
import { TARGETS } from "../core/support/test-switch.js";
import { CLEAN, type DriverGuest, FEATURES, faults, nextReceived, pair, transfer } from "./support/driver-guest.js";
import { cases, runs } from "../sample.js";

describe.each(TARGETS)("load driver, %s build", (target) => {
  test("every changed byte is noticed, wherever it is", async () => {
    const { sw, a, b } = await pair({ target, features: FEATURES.modern });
    const length = 77;
    a.tx.setTraffic([length], true);
    transfer(a, b, 1);
    for (let offset = 0; offset < length; offset++) {
      a.tx.send(1);
      sw.settle();
      const buffer = nextReceived(b);
      sw.bridge.views.bytes[buffer + 12 + offset]! ^= 0x20;
      b.rx.receive(1);
      const { corrupt, foreign } = b.rx.counters();
      expect([offset, corrupt + foreign]).toEqual([offset, offset + 1]);
    }
    // A frame whose EtherType or flow number is changed is not known to be ours; its number is missing all the same.
    expect(b.rx.counters().foreign).toBe(4);
    transfer(a, b, 1);
    expect(b.rx.counters().lost).toBe(length);
  });

  test("without the payload's check only header, numbers and length are looked at", async () => {
    const { sw, a, b } = await pair({ target, features: FEATURES.modern });
    a.tx.setTraffic([100], false);
    a.tx.send(2);
    sw.settle();
    b.rx.receive(1, "payload");
    expect(b.rx.counters().corrupt).toBe(1);
    b.rx.receive(1, "sequence");
    expect(b.rx.counters()).toMatchObject({ corrupt: 1, frames: 2, lost: 1 });
    a.tx.send(1);
    sw.settle();
    sw.bridge.views.bytes.fill(0, nextReceived(b), nextReceived(b) + 112);
    b.rx.receive(1, "nothing");
    expect(b.rx.counters()).toMatchObject({ corrupt: 1, foreign: 0, frames: 3, bytes: 300 });
  });

  test("lost, doubled, late and stale frames are counted exactly", async () => {
    const { sw, a, b } = await pair({ target, features: FEATURES.modern });
    a.tx.setTraffic([64], true);
    /** Sends frames with these sequence numbers. */
    const send = (...numbers: number[]) => {
      for (const number of numbers) {
        sw.bridge.views.u32[(a.flows.pointer(0) + 24) >>> 2] = number;
        expect(a.tx.send(1) >>> 1).toBe(1);
        sw.settle();
        b.rx.receive(1);
      }
      return faults(b.rx.counters());
    };
    expect(send(0, 1, 2)).toEqual(CLEAN);
    expect(send(6)).toEqual({ ...CLEAN, lost: 3 });
    expect(send(4)).toEqual({ ...CLEAN, lost: 2, reordered: 1 });
    expect(send(4)).toEqual({ ...CLEAN, lost: 2, reordered: 1, duplicates: 1 });
    expect(send(6, 7, 7)).toEqual({ ...CLEAN, lost: 2, reordered: 1, duplicates: 3 });
    expect(send(0)).toEqual({ ...CLEAN, lost: 2, reordered: 1, duplicates: 4 });
    // In order through the whole window: 3 is then too far behind to be told from a double, 7's like is not.
    const next = Array.from({ length: FLOW_WINDOW }, (_, i) => 8 + i);
    expect(send(...next)).toEqual({ ...CLEAN, lost: 2, reordered: 1, duplicates: 4 });
    expect(send(3)).toEqual({ ...CLEAN, lost: 2, reordered: 1, duplicates: 4, stale: 1 });
    expect(send(8)).toEqual({ ...CLEAN, lost: 2, reordered: 1, duplicates: 5, stale: 1 });
    // A gap longer than the window.
    const far = 8 + FLOW_WINDOW + 5000;
    expect(send(far)).toEqual({ ...CLEAN, lost: 5002, reordered: 1, duplicates: 5, stale: 1 });
    expect(send(far - 1, far - FLOW_WINDOW + 1)).toMatchObject({ lost: 5000, reordered: 3 });
    expect(send(far + 1, far + 2)).toMatchObject({ lost: 5000, reordered: 3, duplicates: 5 });
  });

  test.each(cases(Object.entries(FEATURES)))(
    "a quick look in bursts counts as a close look one by one does, %s",
    async (_, features) => {
      const frame = fc.record({
        /** What is added to the sequence number of the flow, and the bit of the first 32 bytes that is changed. */
        jump: fc.oneof(
          { weight: 6, arbitrary: fc.constant(0) },
          { weight: 1, arbitrary: fc.integer({ min: -3, max: 3 }) },
        ),
        flip: fc.oneof({ weight: 9, arbitrary: fc.constant(-1) }, { weight: 1, arbitrary: fc.nat(255) }),
      });
      const script = fc.array(fc.array(frame, { minLength: 1, maxLength: 20 }), { minLength: 1, maxLength: 8 });
      await fc.assert(
        fc.asyncProperty(script, async (bursts) => {
          const run = async (receive: (b: DriverGuest, count: number) => void) => {
            const { sw, a, b } = await pair({ target, features, size: 32 });
            a.tx.setTraffic([64, 100, 77], true);
            const { bytes, u32 } = sw.bridge.views;
            for (const burst of bursts) {
              for (const { jump } of burst) {
                u32[(a.flows.pointer(0) + 24) >>> 2]! += jump;
                a.tx.send(1, 5);
                sw.settle();
              }
              burst.forEach(({ flip }, i) => {
                const at = nextReceived(b, i) + b.rx.struct.get("headerSize");
                if (flip >= 0) bytes[at + (flip >>> 3)]! ^= 1 << (flip & 7);
              });
              receive(b, burst.length);
            }
            return [b.rx.counters(), b.flows.seen(0), b.rx.latencies(), b.rx.struct.get("nextAvail"), b.rx.fault];
          };
          const quick = await run((b, count) => expect(b.rx.receive(count, "sequence", 9) >>> 1).toBe(count));
          const close = await run((b, count) => {
            for (let i = 0; i < count; i++) expect(b.rx.receive(1, "payload", 9) >>> 1).toBe(1);
          });
          expect(quick).toEqual(close);
        }),
        { numRuns: runs(30) },
      );
    },
  );

  test("the sequence goes on through the end of 32 bits", async () => {
    const { sw, a, b } = await pair({ target, features: FEATURES.modern });
    sw.bridge.views.u32[(a.flows.pointer(0) + 24) >>> 2] = 0xffff_fff0;
    sw.bridge.views.u32[(b.flows.pointer(0) + 28) >>> 2] = 0xffff_fff0;
    expect(transfer(a, b, 64)).toBe(64);
    expect(faults(b.rx.counters())).toEqual(CLEAN);
    expect(b.flows.seen(0)).toBe(48);
  });

  test("frames the switch drops are the receiver's lost ones", async () => {
    const { sw, a, b } = await pair({ target, features: FEATURES.modern, size: 64 });
    for (let i = 0; i < 3; i++) {
      a.tx.send(64);
      sw.settle();
    }
    expect(b.rx.receive(1000) >>> 1).toBe(64);
    a.tx.send(1);
    sw.settle();
    b.rx.receive(1);
    expect(b.rx.counters()).toMatchObject({ frames: 65, lost: 128, corrupt: 0 });
    expect(b.port.queues.get(0)!.counters().drops[0]).toBe(128);
  });

  test("frames flooded to a guest they are not for are foreign to it", async () => {
    const { sw, a, b } = await pair({ target, features: FEATURES.modern });
    sw.bridge.views.u32[(b.flows.pointer(0) + 20) >>> 2] = 0;
    a.tx.send(3);
    sw.settle();
    b.rx.receive(10);
    expect(b.rx.counters()).toMatchObject({ frames: 3, foreign: 3, corrupt: 0, lost: 0 });
  });

  test("latency is the difference of the clocks, to 3 %", async () => {
    const { sw, a, b } = await pair({ target, features: FEATURES.modern });
    for (const [sentAt, receivedAt] of [
      [100, 103],
      [0xffff_ff00, 744],
      [0, 1_000_000],
    ]) {
      a.tx.send(1, sentAt);
      sw.settle();
      b.rx.receive(1, "payload", receivedAt);
    }
    const histogram = b.rx.latencies();
    expect(latencyQuantile(histogram, 0.3)).toBe(3);
    const middle = latencyQuantile(histogram, 0.5)!;
    expect(middle).toBeGreaterThanOrEqual(1000);
    expect(middle).toBeLessThan(1032);
    const longest = latencyQuantile(histogram, 1)!;
    expect(longest).toBeGreaterThanOrEqual(1_000_000);
    expect(longest).toBeLessThan(1_032_000);
    expect(latencyQuantile(a.rx.latencies(), 0.5)).toBeUndefined();
  });

  test("the frames of a burst have stamps that go on by a step", async () => {
    const { sw, a, b } = await pair({ target, features: FEATURES.modern });
    a.tx.struct.set("stampStep", 2.5 * 256);
    a.tx.send(9, 1000);
    sw.settle();
    b.rx.receive(9, "payload", 1020);
    expect(b.rx.counters()).toMatchObject({ frames: 9, corrupt: 0 });
    const histogram = b.rx.latencies();
    // 20, 18 (for 17.5), 15, 13 (for 12.5), ...
    const found = histogram.flatMap((count, bucket) => (count > 0 ? [[bucket, count]] : []));
    expect(found).toEqual([0, 3, 5, 8, 10, 13, 15, 18, 20].map((bucket) => [bucket, 1]));
  });
});
