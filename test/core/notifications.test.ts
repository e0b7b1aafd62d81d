// Notifications: calls only when the driver wants one, kicks only before a worker sleeps, and none lost in between.

import { describe, expect, test } from "vitest";
import {
  RING_EVENT_FLAGS_DESC,
  RING_EVENT_FLAGS_DISABLE,
  VIRTIO_F_EVENT_IDX,
  VIRTIO_F_VERSION_1,
  VIRTQ_DESC_F_NEXT,
  VIRTQ_USED_F_NO_NOTIFY,
} from "../../assembly/spec/virtio.js";
import { PACKED_WRAP, packedAfter } from "../../src/core/packed-ring.js";
import { BROADCAST, frame, TestGuest, TestSwitch, VARIANTS } from "./support/bench-guest.js";

const VERSION_1 = 1n << BigInt(VIRTIO_F_VERSION_1);
const SIZE = 256;

/** Where a ring starts whose index is `first`: in a packed one as many descriptors before the end of the first round. */
function startAt(first: number, packed: boolean): number {
  return packed ? PACKED_WRAP | (first & (SIZE - 1)) : first;
}

/** As a driver with event idx: asks for a call with the chain `count` after index `first`, each in one descriptor. */
function askForCall(guest: TestGuest, index: number, first: number, count: number): void {
  const { data } = guest.sw.bridge.views;
  const avail = guest.memory.at(guest.driver(index).ring.avail);
  if (guest.rings.packed) {
    data.setUint16(avail, packedAfter(startAt(first, true), count, SIZE), true);
    data.setUint16(avail + 2, RING_EVENT_FLAGS_DESC, true);
  } else {
    data.setUint16(avail + 4 + SIZE * 2, (first + count) & 0xffff, true);
  }
}

describe.each(VARIANTS)("calls, $target build, $form ring", ({ target, form, ring }) => {
  const MODERN = VERSION_1 | ring;
  const EVENT_IDX = MODERN | (1n << BigInt(VIRTIO_F_EVENT_IDX));

  /** Port 0 sends, port 1 receives. */
  async function pair(features: bigint, first = 0) {
    const sw = new TestSwitch({ target });
    const firstIndex = startAt(first, form === "packed");
    const a = await TestGuest.create(sw, { features, firstIndex, rxBuffers: 0 });
    const b = await TestGuest.create(sw, { features, firstIndex, rxBuffers: 200, rxBufferBytes: 128 });
    return { sw, a, b };
  }

  function send(guest: TestGuest, count: number): void {
    for (let i = 0; i < count; i++) guest.send(frame(BROADCAST, 1, 60, i));
  }

  test("event idx: a first burst that uses the whole ring is called for, of receiver and sender", async () => {
    const sw = new TestSwitch({ target });
    const options = { features: EVENT_IDX, size: 16, rxBuffers: 0 };
    const a = await TestGuest.create(sw, options);
    const b = await TestGuest.create(sw, { ...options, rxBuffers: 16, rxBufferBytes: 128 });
    a.driver(1).wantCalls(true);
    b.driver(0).wantCalls(true);
    send(a, 16);
    sw.poll();
    expect(sw.calls()).toEqual([`${b.port.id}/0`, `${a.port.id}/1`]);
  });

  test("each queue that used something is called once a poll, whatever the number of frames", async () => {
    const { sw, a, b } = await pair(MODERN);
    send(a, 40);
    sw.poll();
    expect(sw.calls()).toEqual([`${b.port.id}/0`, `${a.port.id}/1`]);
    expect(a.queue(1).counters().calls).toBe(1);
    expect(b.queue(0).counters().calls).toBe(1);
    sw.poll();
    expect(sw.calls()).toEqual([]);
  });

  test("a receiveq that several transmitqs fill in one poll is called once", async () => {
    const { sw, a, b } = await pair(MODERN);
    const c = await TestGuest.create(sw, { features: MODERN, rxBuffers: 0 });
    send(a, 64);
    c.send(frame(1, 3, 60));
    c.send(frame(BROADCAST, 3, 60));
    a.send(frame(3, 1, 60));
    sw.poll();
    const calls = sw.calls();
    expect(calls.filter((name) => name === `${b.port.id}/0`)).toHaveLength(1);
    expect(b.receive()).toHaveLength(65);
  });

  test("a call that is not yet written is not asked for again; the next one is", async () => {
    const { sw, a, b } = await pair(MODERN);
    send(a, 1);
    sw.poll();
    // Nobody has written the eventfds: both queues are still marked.
    send(a, 1);
    sw.poll();
    expect(sw.bridge.workers[0]!.get("callCount")).toBe(0);
    a.queue(1).struct.publish("callPending", 0);
    b.queue(0).struct.publish("callPending", 0);
    send(a, 1);
    sw.poll();
    expect(sw.calls()).toHaveLength(2);
  });

  test("no call for a driver that set NO_INTERRUPT, nor without a call eventfd", async () => {
    const { sw, a, b } = await pair(MODERN);
    a.tx[0]!.wantCalls(false);
    send(a, 3);
    sw.poll();
    expect(sw.calls()).toEqual([`${b.port.id}/0`]);
    a.tx[0]!.wantCalls(true);
    await sw.bridge.setCallFd(b.port, 0, -1);
    send(a, 3);
    sw.poll();
    expect(sw.calls()).toEqual([`${a.port.id}/1`]);
    expect(b.receive()).toHaveLength(6);
  });

  test.each([0, 65_530])(
    "event idx: a call when the used index steps over used_event, from index %i",
    async (first) => {
      const { sw, a, b } = await pair(EVENT_IDX, first);
      const askAfter = (count: number) => askForCall(b, 0, first, count);
      a.tx[0]!.wantCalls(false);

      askAfter(4); // with the fifth chain
      send(a, 4);
      sw.poll();
      expect(sw.calls()).toEqual([]);
      send(a, 1);
      sw.poll();
      expect(sw.calls()).toEqual([`${b.port.id}/0`]);
      send(a, 10); // the event lies behind us
      sw.poll();
      expect(sw.calls()).toEqual([]);
      askAfter(20); // in the middle of a burst
      send(a, 20);
      sw.poll();
      expect(sw.calls()).toEqual([`${b.port.id}/0`]);
      askAfter(35); // the first of a burst
      send(a, 29);
      sw.poll();
      expect(sw.calls()).toEqual([`${b.port.id}/0`]);
      expect(b.receive()).toHaveLength(64);
    },
  );

  test("F28: event idx: an event that lies at the edge of a burst is met exactly", async () => {
    const { sw, a, b } = await pair(EVENT_IDX, 65_533);
    a.tx[0]!.wantCalls(false);
    const rounds: [event: number, called: boolean][] = [
      [0, true], // used goes from 65533 to 0: the first of three
      [5, true], // from 0 to 3: the last of three
      [9, false], // from 3 to 6: the one behind
      [8, false], // from 6 to 9: the one before
    ];
    for (const [event, called] of rounds) {
      askForCall(b, 0, 65_533, event);
      send(a, 3);
      sw.poll();
      expect(sw.calls()).toEqual(called ? [`${b.port.id}/0`] : []);
    }
  });

  test("event idx: what was used without a call eventfd is called for as soon as there is one", async () => {
    const { sw, a, b } = await pair(EVENT_IDX);
    a.tx[0]!.wantCalls(false);
    await sw.bridge.setCallFd(b.port, 0, -1);
    send(a, 5); // the driver waits for the first of them
    sw.poll();
    expect(sw.calls()).toEqual([]);
    await sw.bridge.setCallFd(b.port, 0, 1);
    send(a, 1);
    sw.poll();
    expect(sw.calls()).toEqual([`${b.port.id}/0`]);
  });

  test.each([0, 65_534])(
    "event idx: a queue started again at %i calls for what was used before it stopped",
    async (first) => {
      const { sw, a, b } = await pair(EVENT_IDX, first);
      a.tx[0]!.wantCalls(false);
      send(a, 5);
      sw.poll();
      // Whoever served the queue died before it wrote the eventfd; the driver still waits for index `first`.
      sw.calls();
      const nextAvail = await sw.bridge.stopQueue(b.port, 0);
      await b.startQueue(0, nextAvail);
      send(a, 1);
      sw.poll();
      expect(sw.calls()).toEqual([`${b.port.id}/0`]);
      // It woke and has seen all: from now on the event counts again.
      expect(b.receive()).toHaveLength(6);
      askForCall(b, 0, first, 8);
      send(a, 2);
      sw.poll();
      expect(sw.calls()).toEqual([]);
    },
  );
});

describe.each(VARIANTS)("kicks, $target build, $form ring", ({ target, form, ring }) => {
  const MODERN = VERSION_1 | ring;
  const EVENT_IDX = MODERN | (1n << BigInt(VIRTIO_F_EVENT_IDX));

  const packed = form === "packed";
  const NO_KICK = packed ? RING_EVENT_FLAGS_DISABLE : VIRTQ_USED_F_NO_NOTIFY;

  async function guest(features: bigint, first = 0) {
    const sw = new TestSwitch({ target });
    const a = await TestGuest.create(sw, { features, firstIndex: startAt(first, packed) });
    const used = a.memory.at(a.tx[0]!.ring.used);
    const { data } = sw.bridge.views;
    const flags = () => data.getUint16(packed ? used + 2 : used, true);
    const availEvent = () => data.getUint16(packed ? used : used + 4 + SIZE * 8, true);
    const sendAndAsk = () => {
      const before = a.tx[0]!.availIndex;
      a.send(frame(BROADCAST, 1, 60));
      return a.tx[0]!.needsKick(before);
    };
    return { sw, a, flags, availEvent, sendAndAsk };
  }

  test("while the worker polls, drivers are told not to kick: transmitqs and receiveqs", async () => {
    const { sw, a, flags, sendAndAsk } = await guest(MODERN);
    expect(flags()).toBe(NO_KICK);
    expect(a.rx[0]!.needsKick(0)).toBe(false);
    expect(sendAndAsk()).toBe(false);
    sw.settle();
    expect(flags()).toBe(NO_KICK);
  });

  test("arm asks for the next kick by the flag, disarm takes it back; receive buffers never need one", async () => {
    const { sw, a, flags, sendAndAsk } = await guest(MODERN);
    expect(sw.arm()).toBe(false);
    expect(flags()).toBe(0);
    expect(sendAndAsk()).toBe(true);
    expect(a.rx[0]!.needsKick(0)).toBe(false);
    sw.disarm();
    expect(flags()).toBe(NO_KICK);
    expect(sendAndAsk()).toBe(false);
  });

  test.each([0, 65_535])("event idx: arm asks for the kick of the very next chain, from index %i", async (first) => {
    const { sw, availEvent, flags, sendAndAsk } = await guest(EVENT_IDX, first);
    for (let round = 0; round < 3; round++) {
      expect(sw.arm()).toBe(false);
      const next = packed ? packedAfter(startAt(first, true), round * 2, SIZE) : (first + round * 2) & 0xffff;
      expect(availEvent()).toBe(next);
      if (packed) expect(flags()).toBe(RING_EVENT_FLAGS_DESC);
      expect(sendAndAsk()).toBe(true);
      sw.disarm();
      expect(sendAndAsk()).toBe(false);
      sw.settle();
    }
    // Split: reserved with event idx; the driver must not look at it, we do not write it.
    expect(flags()).toBe(packed ? RING_EVENT_FLAGS_DISABLE : 0);
  });

  test.each([
    ["flag", MODERN],
    ["event idx", EVENT_IDX],
  ])("arm says so when frames came before the driver could see it (%s)", async (_, features) => {
    const { sw, a } = await guest(features);
    a.send(frame(BROADCAST, 1, 60));
    expect(sw.arm()).toBe(true);
    sw.disarm();
    sw.settle();
    expect(sw.arm()).toBe(false);
    expect(a.reclaim()).toBe(1);
  });

  test.runIf(!packed)(
    "a broken transmitq is not armed: it neither keeps a worker awake nor is it written to",
    async () => {
      const { sw, a, flags } = await guest(MODERN);
      sw.bridge.views.data.setUint16(a.memory.at(a.tx[0]!.ring.avail) + 2, 1000, true);
      sw.settle();
      expect(a.state(1)).toBe("QUEUE_BAD_AVAIL_INDEX at 1000");
      expect(sw.arm()).toBe(false);
      expect(flags()).toBe(NO_KICK);
    },
  );

  test.runIf(!packed)(
    "an avail index that is bad just when the worker wants to sleep breaks the queue and lets it sleep",
    async () => {
      const { sw, a } = await guest(MODERN);
      sw.bridge.views.data.setUint16(a.memory.at(a.tx[0]!.ring.avail) + 2, 257, true);
      expect(sw.arm()).toBe(false);
      expect(a.state(1)).toBe("QUEUE_BAD_AVAIL_INDEX at 257");
    },
  );

  test.runIf(packed)("a transmitq that breaks does not keep the worker awake", async () => {
    const { sw, a } = await guest(MODERN);
    const address = a.allocate(16);
    const endless = Array.from({ length: SIZE }, () => ({ buffer: { address, length: 1 }, flags: VIRTQ_DESC_F_NEXT }));
    a.packedDriver(1).makeAvailable(endless, 0);
    expect(sw.arm()).toBe(true);
    sw.disarm();
    sw.settle();
    expect(a.state(1)).toBe("QUEUE_CHAIN_LOOP at 0");
    expect(sw.arm()).toBe(false);
  });
});
