// The learning bridge: who gets which frame.

import { describe, expect, test } from "vitest";
import {
  DROP_BAD_SOURCE,
  DROP_HAIRPIN,
  DROP_NO_PORT,
  DROP_PORT_DOWN,
  DROP_RESERVED,
} from "../../assembly/spec/status.js";
import { VIRTIO_F_VERSION_1, VIRTIO_NET_F_MRG_RXBUF } from "../../assembly/spec/virtio.js";
import { BROADCAST, frame, TARGETS, TestGuest, TestSwitch } from "./support/bench-guest.js";

const MODERN = (1n << BigInt(VIRTIO_F_VERSION_1)) | (1n << BigInt(VIRTIO_NET_F_MRG_RXBUF));

function drops(guest: TestGuest, index: number, cause: number): number {
  return guest.port.queues.get(index)!.counters().drops[cause]!;
}

describe.each(TARGETS)("learning bridge, %s build", (target) => {
  async function three() {
    const sw = new TestSwitch({ target });
    const [a, b, c] = [
      await TestGuest.create(sw, { features: MODERN }),
      await TestGuest.create(sw, { features: 0n, base: 0n }),
      await TestGuest.create(sw, { features: MODERN, base: 0xffff_0000_0000n }),
    ];
    return { sw, a: a!, b: b!, c: c! };
  }

  test("an unknown destination is flooded to all others once, a learned one reaches its port only", async () => {
    const { sw, a, b, c } = await three();
    const first = frame(2, 1, 64);
    a.send(first);
    sw.settle();
    expect(a.reclaim()).toBe(1);
    expect(b.receive()).toEqual([first]);
    expect(c.receive()).toEqual([first]);
    expect(a.receive()).toEqual([]);

    const answer = frame(1, 2, 128);
    b.send(answer);
    sw.settle();
    expect(a.receive()).toEqual([answer]);
    expect(c.receive()).toEqual([]);

    const again = frame(2, 1, 1500);
    a.send(again);
    sw.settle();
    expect(b.receive()).toEqual([again]);
    expect(c.receive()).toEqual([]);
  });

  test("broadcast and multicast reach every other port once, also from a sender that is alone", async () => {
    const { sw, a, b, c } = await three();
    const broadcast = frame(BROADCAST, 1, 60);
    const multicast = frame([0x33, 0x33, 0, 0, 0, 1], 1, 86);
    a.send(broadcast);
    a.send(multicast);
    sw.settle();
    expect(b.receive()).toEqual([broadcast, multicast]);
    expect(c.receive()).toEqual([broadcast, multicast]);
    expect(a.receive()).toEqual([]);

    const alone = new TestSwitch({ target });
    const only = await TestGuest.create(alone);
    only.send(broadcast);
    alone.settle();
    expect(only.reclaim()).toBe(1);
    expect(drops(only, 1, DROP_NO_PORT)).toBe(1);
  });

  test("a moved address is learned at its new port", async () => {
    const { sw, a, b, c } = await three();
    b.send(frame(BROADCAST, 9, 60));
    sw.settle();
    c.send(frame(BROADCAST, 9, 60));
    sw.settle();
    for (const guest of [a, b, c]) guest.receive();
    const probe = frame(9, 1, 60);
    a.send(probe);
    sw.settle();
    expect(b.receive()).toEqual([]);
    expect(c.receive()).toEqual([probe]);
    expect(sw.bridge.fdb.get("moved")).toBe(1);
  });

  test("no hairpin: a frame to an address behind its own port is dropped and counted", async () => {
    const { sw, a, b } = await three();
    a.send(frame(BROADCAST, 1, 60));
    a.send(frame(1, 5, 60));
    sw.settle();
    expect(drops(a, 1, DROP_HAIRPIN)).toBe(1);
    expect(b.receive()).toHaveLength(1);
    expect(a.receive()).toEqual([]);
  });

  test("group or zero sources and 802.1D reserved destinations are dropped and counted, nothing is learned", async () => {
    const { sw, a, b } = await three();
    a.send(frame(2, [1, 0, 0, 0, 0, 1], 60));
    a.send(frame(2, [0, 0, 0, 0, 0, 0], 60));
    a.send(frame([0x01, 0x80, 0xc2, 0, 0, 0x0e], 1, 60));
    a.send(frame([0x01, 0x80, 0xc2, 0, 0, 0x10], 1, 60));
    sw.settle();
    expect(drops(a, 1, DROP_BAD_SOURCE)).toBe(2);
    expect(drops(a, 1, DROP_RESERVED)).toBe(1);
    expect(b.receive()).toHaveLength(1);
    expect(sw.bridge.fdbEntries().map(({ mac }) => mac)).toEqual(["02:00:00:00:00:01"]);
  });

  test("order between two ports is kept when unicast, broadcast and unknown frames mix in one burst", async () => {
    const { sw, a, b, c } = await three();
    b.send(frame(BROADCAST, 2, 60));
    c.send(frame(BROADCAST, 3, 60));
    sw.settle();
    for (const guest of [a, b, c]) guest.receive();
    const sent: Uint8Array[] = [];
    for (let i = 0; i < 60; i++) {
      const to = [2, BROADCAST, 3, 77][i % 4]!;
      const bytes = frame(to, 1, 60 + i, i);
      sent.push(bytes);
      a.send(bytes);
    }
    sw.settle();
    expect(b.receive()).toEqual(sent.filter((_, i) => i % 4 !== 2));
    expect(c.receive()).toEqual(sent.filter((_, i) => i % 4 !== 0));
  });

  test("an address is forgotten after the ageing time, and kept while its owner speaks", async () => {
    const { sw, a, b } = await three();
    sw.now = 1000;
    a.send(frame(BROADCAST, 1, 60));
    b.send(frame(BROADCAST, 2, 60));
    sw.settle();
    sw.now = 1200;
    a.send(frame(BROADCAST, 1, 60));
    sw.settle();
    expect(sw.bridge.ageFdb(1300)).toBe(0);
    expect(sw.bridge.ageFdb(1301)).toBe(1);
    expect(sw.bridge.fdbEntries()).toEqual([{ mac: "02:00:00:00:00:01", port: 0, seen: 1200 }]);
    expect(sw.bridge.ageFdb(1501)).toBe(1);
    expect(sw.bridge.fdb.get("aged")).toBe(2);
    expect(sw.bridge.fdb.get("count")).toBe(0);
  });

  test("M49: random sources fill one port's share; the addresses of others stay", async () => {
    const sw = new TestSwitch({ target, fdb: { limit: 256, portLimit: 128 } });
    const a = await TestGuest.create(sw, { ramBytes: 4 * 1024 * 1024, rxBuffers: 0 });
    const b = await TestGuest.create(sw, { rxBuffers: 0 });
    b.send(frame(BROADCAST, [2, 9, 9, 9, 9, 9], 60));
    sw.settle();
    for (let i = 0; i < 5000; i++) {
      a.send(frame(BROADCAST, [2, (i * 7) & 255, i & 255, (i >> 8) & 255, (i * 13) & 255, 1], 60));
      if (i % 64 === 63) {
        sw.settle();
        a.reclaim();
      }
    }
    sw.settle();
    const entries = sw.bridge.fdbEntries();
    expect(entries.filter(({ port }) => port === a.port.id)).toHaveLength(128);
    expect(entries.filter(({ port }) => port === b.port.id)).toHaveLength(1);
    expect(sw.bridge.fdb.get("refused")).toBe(5000 - 128);
  });

  test("a table filled to its limit learns every address: no bucket overflows", async () => {
    const limit = 2048;
    const sw = new TestSwitch({ target, fdb: { limit, portLimit: limit } });
    const a = await TestGuest.create(sw, { ramBytes: 4 * 1024 * 1024 });
    await TestGuest.create(sw, { rxBuffers: 0 });
    for (let i = 0; i < limit; i++) {
      a.send(frame(BROADCAST, [0x52, 0x54, 0, i >> 16, (i >> 8) & 255, i & 255], 60));
      if (i % 64 === 63) {
        sw.settle();
        a.reclaim();
      }
    }
    expect(sw.bridge.fdbEntries()).toHaveLength(limit);
    expect(sw.bridge.fdb.get("refused")).toBe(0);
  });

  test("a port without a running receiveq: unicast is counted, a removed port's addresses are forgotten", async () => {
    const { sw, a, b, c } = await three();
    b.send(frame(BROADCAST, 2, 60));
    sw.settle();
    await sw.bridge.stopQueue(b.port, 0);
    a.send(frame(2, 1, 60));
    sw.settle();
    expect(drops(a, 1, DROP_PORT_DOWN)).toBe(1);
    await sw.bridge.stopQueue(b.port, 1);
    await sw.bridge.removePort(b.port);
    expect(sw.bridge.fdbEntries().map(({ port }) => port)).toEqual([a.port.id]);
    c.receive();
    const probe = frame(2, 1, 60);
    a.send(probe);
    sw.settle();
    expect(c.receive()).toEqual([probe]);
  });

  test("100 ports: unicast among all pairs in one burst, each frame to its port only", async () => {
    const sw = new TestSwitch({ target });
    const guests: TestGuest[] = [];
    for (let i = 0; i < 100; i++) {
      guests.push(await TestGuest.create(sw, { size: 128, ramBytes: 128 * 1024, rxBuffers: 110, rxBufferBytes: 128 }));
    }
    for (const [i, guest] of guests.entries()) guest.send(frame(BROADCAST, i, 60));
    sw.settle();
    for (const guest of guests) expect(guest.receive()).toHaveLength(99);
    for (const guest of guests) {
      for (let i = 0; i < 100; i++) guest.giveBuffers([{ address: guest.allocate(128), length: 128, writable: true }]);
      guest.reclaim();
    }
    for (let to = 1; to < 100; to++) guests[0]!.send(frame(to, 0, 60, to));
    sw.settle();
    for (let to = 1; to < 100; to++) expect(guests[to]!.receive()).toEqual([frame(to, 0, 60, to)]);
  });
});
