// The judge of the rings: what each of its rules says when it is broken, by a device that is the test's own hand; and that a
// lab with guests of every kind and a judge says nothing.

import { describe, expect, test } from "vitest";
import "../../src/testing/vitest.js";
import { VIRTQ_DESC_F_AVAIL, VIRTQ_DESC_F_USED, VIRTQ_DESC_F_WRITE } from "../../assembly/spec/virtio.js";
import {
  createLab,
  drawFaults,
  drawShape,
  type GuestShape,
  IMIX,
  poisson,
  RingJudge,
  RingViolation,
  udp,
} from "../../src/testing/index.js";
import { runs } from "../sample.js";

const USED_FIRST_ROUND = VIRTQ_DESC_F_AVAIL | VIRTQ_DESC_F_USED;

/** A guest whose rings only the test's hand uses: it sits between the judge's two looks. */
async function scene(shape: GuestShape) {
  const lab = await createLab({ judge: true, memoryMiB: 16 });
  const guest = await lab.guest("a", { size: 8, rxBuffers: 4, ...shape });
  await lab.settle();
  const { device } = guest;
  const { data } = device.ram;
  const judge = lab.judge!;
  const place = (index: number) => {
    const { desc, avail, used } = device.driver(index).ring;
    return { desc: device.ram.at(desc), avail: device.ram.at(avail), used: device.ram.at(used) };
  };
  return {
    ...{ lab, guest, device, data, judge, place },
    /** Where the first receive buffer of a split ring lies. */
    buffer: (head = 0) => device.ram.at(data.getBigUint64(place(0).desc + head * 16, true)),
    /** What the device does, or what it gets away with. */
    act(work: () => void, call: "poll" | "arm" = "poll", result = 0): void {
      judge.before();
      work();
      judge.after(call, result);
    },
    /** A split ring's device gives a chain back. */
    give(index: number, head: number, length: number, at = 0): void {
      const { used } = place(index);
      data.setUint32(used + 4 + at * 8, head, true);
      data.setUint32(used + 8 + at * 8, length, true);
      data.setUint16(used + 2, at + 1, true);
    },
  };
}

describe("split rings", () => {
  test("a chain given back that the device does not have, or twice", async () => {
    const { act, give } = await scene({});
    expect(() => act(() => give(0, 7, 0))).toThrow(/receiveq 0 \(split, 8 entries\): chain 7 was given back/);
    const second = await scene({});
    const twice = () => {
      second.give(0, 0, 0);
      second.give(0, 0, 0, 1);
    };
    expect(() => second.act(twice)).toThrow(RingViolation);
  });

  test("a used index that runs ahead", async () => {
    const { act, place, data } = await scene({});
    expect(() => act(() => data.setUint16(place(0).used + 2, 5, true))).toThrow(/moved by 5 from 0, .* had 4 chains/);
  });

  test("more written than there is room for, and more than it says", async () => {
    const { act, give } = await scene({});
    expect(() => act(() => give(0, 0, 2049))).toThrow(/2049 bytes written, and has room for 2048/);
    const other = await scene({});
    const behind = () => {
      other.data.setUint16(other.buffer() + 10, 1, true);
      other.data.setUint8(other.buffer() + 100, 1);
      other.give(0, 0, 100);
      other.device.queue(0).struct.publish("callPending", 1);
    };
    expect(() => other.act(behind)).toThrow(/guest memory of port 0 at 0x/);
  });

  test("a store to the driver's part, to a buffer that is kept, and to a ring that was stopped", async () => {
    const { act, place, data } = await scene({});
    expect(() => act(() => data.setUint16(place(1).avail, 1, true))).toThrow(
      /byte 0 of port 0, transmitq 1 .*'s avail/,
    );
    const kept = await scene({});
    expect(() => kept.act(() => kept.data.setUint8(kept.buffer(3) + 2047, 1))).toThrow(
      /a byte of chain 3 .* has not come back/,
    );
    const stopped = await scene({});
    await stopped.lab.sw.bridge.stopQueue(stopped.device.port, 0);
    expect(() => stopped.act(() => stopped.give(0, 0, 0))).toThrow(/byte 2 of port 0, receiveq 0/);
  });

  test("num_buffers that counts what is not there", async () => {
    const { act, give, data, buffer } = await scene({ mergeable: true });
    const wrong = () => {
      data.setUint16(buffer() + 10, 2, true);
      give(0, 0, 72);
    };
    expect(() => act(wrong)).toThrow(/num_buffers is 2, and 1 buffers are there/);
  });

  test("a driver that is not called, and one that is called for nothing", async () => {
    const { act, give, device } = await scene({});
    expect(() => act(() => give(0, 0, 0))).toThrow(
      /1 chains came back and its driver, who asked for it, is not called/,
    );
    const other = await scene({});
    expect(() => other.act(() => other.device.queue(0).struct.publish("callPending", 1))).toThrow(/has not asked/);
    expect(device.port.id).toBe(0);
  });

  test("sleep without a kick asked for, and with work left", async () => {
    const { act, data, place, guest } = await scene({});
    expect(() => act(() => data.setUint16(place(1).used, 1, true), "arm")).toThrow(/has not asked for a kick/);
    const other = await scene({});
    other.device.transmit(udp({ from: guest, to: "broadcast" }), {});
    expect(() => other.act(() => {}, "arm", 0)).toThrow(/goes to sleep, and 1 chains wait/);
    expect(() => other.act(() => {}, "arm", 1)).not.toThrow();
  });
});

describe("packed rings", () => {
  const use = (at: number, data: DataView, id: number, length: number, flags: number) => {
    data.setUint32(at + 8, length, true);
    data.setUint16(at + 12, id, true);
    data.setUint16(at + 14, flags, true);
  };

  test("an id that the device does not have, flags that mean nothing, a descriptor out of turn", async () => {
    const { act, place, data } = await scene({ ring: "packed" });
    expect(() => act(() => use(place(0).desc, data, 0, 0, USED_FIRST_ROUND))).toThrow(/buffer 0 was given back/);
    const flags = await scene({ ring: "packed" });
    expect(() => flags.act(() => use(flags.place(0).desc, flags.data, 7, 0, USED_FIRST_ROUND | 1))).toThrow(
      /slot 0 is used with flags 0x8081/,
    );
    const early = await scene({ ring: "packed" });
    const out = () => use(early.place(0).desc + 16, early.data, 6, 0, USED_FIRST_ROUND | VIRTQ_DESC_F_WRITE);
    expect(() => early.act(out)).toThrow(/byte 25 of port 0, receiveq 0 \(packed, 8 entries\)'s desc/);
  });
});

test("a lab with a judge: guests of every kind, faults of every kind, and no rule is broken", async () => {
  for (const judge of [true, "rings"] as const) {
    let judged = 0;
    for (let seed = 1; seed <= runs(6); seed++) {
      const lab = await createLab({ seed, judge, memoryMiB: 16 });
      const shape = () => ({ ...drawShape(lab.random), rxBuffers: 16, transmitBytes: 64 * 1024 });
      for (const name of ["a", "b", "c"]) await lab.guest(name, shape());
      lab.inject(...drawFaults(lab.random, { guests: ["b", "c"], until: 8, count: 5 }));
      for (const from of ["a", "b"]) {
        lab.traffic(lab.named(from), poisson({ to: lab.named("c"), perSecond: 20_000, sizes: IMIX, count: 120 }));
      }
      await lab.run(20);
      await lab.settle();
      expect(lab.judge).toBeInstanceOf(RingJudge);
      judged += lab.judge!.judged;
    }
    expect(judged).toBeGreaterThan(runs(1000));
  }
});
