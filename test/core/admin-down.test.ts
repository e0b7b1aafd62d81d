// A port that the operator has put out of use: nothing passes, all is counted, and its front-end notices nothing.

import { describe, expect, test } from "vitest";
import { VIRTIO_F_VERSION_1 } from "../../assembly/spec/virtio.js";
import { bits } from "../../src/core/feature-bits.js";
import { frame, TestGuest, TestSwitch, VARIANTS } from "./support/bench-guest.js";
import { IommuGuest } from "./support/iommu-guest.js";

const V1 = bits(VIRTIO_F_VERSION_1);

describe.each(VARIANTS)("a port that is administratively down, $target build, $form ring", ({ target, ring }) => {
  /** Three guests, 1, 2 and 3, that have heard of each other; the second's port is down. */
  async function down() {
    const sw = new TestSwitch({ target });
    const [a, b, c] = [
      await TestGuest.create(sw, { features: V1 | ring }),
      await TestGuest.create(sw, { features: V1 | ring }),
      await TestGuest.create(sw, { features: V1 | ring }),
    ];
    for (const [i, guest] of [a, b, c].entries()) guest.send(frame(9, i + 1, 60));
    sw.settle();
    for (const guest of [a, b, c]) {
      guest.receive();
      guest.reclaim();
    }
    await sw.bridge.setAdminUp(b.port, false);
    return { sw, a, b, c };
  }

  test("takes what its guest sends and discards it, at once and counted", async () => {
    const { sw, a, b, c } = await down();
    b.send(frame(1, 2, 60));
    b.send(frame(9, 2, 61));
    sw.settle();
    expect([b.reclaim(), b.drops(1)]).toEqual([2, { DROP_ADMIN_DOWN: 2 }]);
    expect([a.receive(), c.receive()]).toEqual([[], []]);
  });

  test("gets nothing, neither its own nor floods, and its address is forgotten", async () => {
    const { sw, a, b, c } = await down();
    expect(
      sw.bridge
        .fdbEntries()
        .map(({ port }) => port)
        .sort(),
    ).toEqual([a.port.id, c.port.id]);
    a.send(frame(2, 1, 60));
    a.send(frame(9, 1, 61));
    a.send(frame(3, 1, 62));
    sw.settle();
    expect(b.receive()).toEqual([]);
    expect(c.receive().map(({ length }) => length)).toEqual([60, 61, 62]);
    expect([a.reclaim(), a.drops(1)]).toEqual([3, {}]);
  });

  test("who sends to an address there, learned while it went down, has the frame counted", async () => {
    const { sw, a, b } = await down();
    sw.bridge.learn(b.port, "02:00:00:00:00:02", sw.now);
    const [entry] = sw.bridge.fdbEntries().filter(({ port }) => port === b.port.id);
    expect(entry).toBeDefined();
    const toB = frame(2, 1, 60);
    toB.set(entry!.mac.split(":").map((octet) => Number.parseInt(octet, 16)));
    a.send(toB);
    sw.settle();
    expect([a.reclaim(), a.drops(1)]).toEqual([1, { DROP_ADMIN_DOWN: 1 }]);
  });

  test("goes on where it stood when it is up again: no frame of meanwhile comes late", async () => {
    const { sw, a, b } = await down();
    b.send(frame(1, 2, 60));
    sw.settle();
    await sw.bridge.setAdminUp(b.port, true);
    b.send(frame(1, 2, 61));
    a.send(frame(2, 1, 62));
    sw.settle();
    expect(a.receive().map(({ length }) => length)).toEqual([61]);
    expect(b.receive().map(({ length }) => length)).toEqual([62]);
  });

  test("what the front-end enables and starts meanwhile holds when it is up again, and not before", async () => {
    const { sw, a, b } = await down();
    const bases = [await sw.bridge.stopQueue(b.port, 0), await sw.bridge.stopQueue(b.port, 1)] as const;
    await b.startQueue(0, bases[0], 1, false);
    await b.startQueue(1, bases[1], 1, false);
    for (const index of [0, 1]) await sw.bridge.setEnabled(b.port, index, true);
    b.send(frame(1, 2, 60));
    a.send(frame(9, 1, 60));
    sw.settle();
    expect([a.receive(), b.receive(), b.drops(1)]).toEqual([[], [], { DROP_ADMIN_DOWN: 1 }]);
    await sw.bridge.setEnabled(b.port, 0, false);
    await sw.bridge.setAdminUp(b.port, true);
    b.send(frame(1, 2, 61));
    a.send(frame(9, 1, 61));
    sw.settle();
    expect(a.receive().map(({ length }) => length)).toEqual([61]);
    expect(b.receive()).toEqual([]);
    await sw.bridge.setEnabled(b.port, 0, true);
    a.send(frame(9, 1, 62));
    sw.settle();
    expect(b.receive().map(({ length }) => length)).toEqual([62]);
  });

  test("a port that begins so", async () => {
    const sw = new TestSwitch({ target });
    const a = await TestGuest.create(sw, { features: V1 | ring });
    const port = sw.bridge.addPort(false);
    expect(port.adminUp).toBe(false);
    a.send(frame(9, 1, 60));
    sw.settle();
    expect(a.drops(1)).toEqual({ DROP_NO_PORT: 1 });
  });
});

describe.each(VARIANTS)(
  "frames that wait for a receiver behind an IOMMU, $target build, $form ring",
  ({ target, ring }) => {
    /** Three frames, each for one of the guest's pages, of which no place is known. */
    async function waiting() {
      const sw = new TestSwitch({ target });
      const a = await IommuGuest.create(sw, { features: V1 | ring });
      const b = await TestGuest.create(sw, { features: V1 | ring });
      const pages = a.give(6);
      for (const number of [1, 2, 3]) b.send(frame(1, 2, 60, number));
      sw.settle();
      expect([b.reclaim(), b.drops(1), a.guest.drops(0)]).toEqual([3, {}, {}]);
      expect(sw.arm()).toBe(false);
      return { sw, a, b, pages };
    }

    test("its port is put out of use: they are dropped and counted, though the workers sleep", async () => {
      const { sw, a, pages } = await waiting();
      const woken: number[] = [];
      sw.bridge.onTransmitqs = (worker) => woken.push(worker);
      await sw.bridge.setAdminUp(a.guest.port, false);
      expect(woken).toContain(0);
      // What it would look at before it slept again.
      expect(sw.arm()).toBe(true);
      sw.disarm();
      sw.settle();
      expect([a.guest.drops(0), sw.arm()]).toEqual([{ DROP_ADMIN_DOWN: 3 }, false]);
      sw.disarm();
      await a.tell(pages);
      await sw.bridge.setAdminUp(a.guest.port, true);
      sw.settle();
      expect(a.guest.receive()).toEqual([]);
    });

    test("its front-end disables the queue: the same, under that cause", async () => {
      const { sw, a, b, pages } = await waiting();
      await sw.bridge.setEnabled(a.guest.port, 0, false);
      sw.disarm();
      sw.settle();
      expect([a.guest.drops(0), sw.arm()]).toEqual([{ DROP_PORT_DOWN: 3 }, false]);
      sw.disarm();
      await a.tell(pages);
      await sw.bridge.setEnabled(a.guest.port, 0, true);
      const later = frame(1, 2, 60, 4);
      b.send(later);
      sw.settle();
      expect(a.guest.receive()).toEqual([later]);
      expect(a.guest.drops(0)).toEqual({ DROP_PORT_DOWN: 3 });
    });

    test("a ring of which it is not known where it lies, and its port: dropped too, and none waits meanwhile", async () => {
      const { sw, a, b, pages } = await waiting();
      const at = await sw.bridge.pauseQueue(a.guest.port, 0);
      await sw.bridge.setAdminUp(a.guest.port, false);
      b.send(frame(1, 2, 60, 4));
      sw.disarm();
      sw.settle();
      expect(a.guest.drops(0)).toEqual({ DROP_ADMIN_DOWN: 3 });
      await a.tell(pages);
      await sw.bridge.setAdminUp(a.guest.port, true);
      await a.guest.startQueue(0, at);
      sw.settle();
      expect(a.guest.receive()).toEqual([]);
    });
  },
);
