// Notifications: calls only when the driver wants one, kicks only before a worker sleeps, and none lost in between.

import { describe, expect, test } from "vitest";
import { VIRTIO_F_EVENT_IDX, VIRTIO_F_VERSION_1, VIRTQ_USED_F_NO_NOTIFY } from "../../assembly/spec/virtio.js";
import { BROADCAST, frame, TARGETS, TestGuest, TestSwitch } from "./support/bench-guest.js";

const MODERN = 1n << BigInt(VIRTIO_F_VERSION_1);
const EVENT_IDX = MODERN | (1n << BigInt(VIRTIO_F_EVENT_IDX));

describe.each(TARGETS)("calls, %s build", (target) => {
  /** Port 0 sends, port 1 receives. */
  async function pair(features: bigint, firstIndex = 0) {
    const sw = new TestSwitch({ target });
    const a = await TestGuest.create(sw, { features, firstIndex, rxBuffers: 0 });
    const b = await TestGuest.create(sw, { features, firstIndex, rxBuffers: 200, rxBufferBytes: 128 });
    return { sw, a, b };
  }

  function send(guest: TestGuest, count: number): void {
    for (let i = 0; i < count; i++) guest.send(frame(BROADCAST, 1, 60, i));
  }

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
      const avail = b.memory.at(b.rx[0]!.ring.avail);
      const askAfter = (count: number) =>
        sw.bridge.views.data.setUint16(avail + 4 + b.size * 2, (first + count) & 0xffff, true);
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
    const avail = b.memory.at(b.rx[0]!.ring.avail);
    const ask = (index: number) => sw.bridge.views.data.setUint16(avail + 4 + b.size * 2, index & 0xffff, true);
    a.tx[0]!.wantCalls(false);
    const rounds: [event: number, called: boolean][] = [
      [65_533, true], // used goes from 65533 to 0: the first of three
      [2, true], // from 0 to 3: the last of three
      [6, false], // from 3 to 6: the one behind
      [5, false], // from 6 to 9: the one before
    ];
    for (const [event, called] of rounds) {
      ask(event);
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
      sw.bridge.views.data.setUint16(b.memory.at(b.rx[0]!.ring.avail) + 4 + b.size * 2, (first + 8) & 0xffff, true);
      send(a, 2);
      sw.poll();
      expect(sw.calls()).toEqual([]);
    },
  );
});

describe.each(TARGETS)("kicks, %s build", (target) => {
  async function guest(features: bigint, firstIndex = 0) {
    const sw = new TestSwitch({ target });
    const a = await TestGuest.create(sw, { features, firstIndex });
    const flags = () => sw.bridge.views.data.getUint16(a.memory.at(a.tx[0]!.ring.used), true);
    const availEvent = () => sw.bridge.views.data.getUint16(a.memory.at(a.tx[0]!.ring.used) + 4 + a.size * 8, true);
    const sendAndAsk = () => {
      const before = a.tx[0]!.availIndex;
      a.send(frame(BROADCAST, 1, 60));
      return a.tx[0]!.needsKick(before);
    };
    return { sw, a, flags, availEvent, sendAndAsk };
  }

  test("while the worker polls, drivers are told not to kick: transmitqs and receiveqs", async () => {
    const { sw, a, flags, sendAndAsk } = await guest(MODERN);
    expect(flags()).toBe(VIRTQ_USED_F_NO_NOTIFY);
    expect(a.rx[0]!.needsKick(0)).toBe(false);
    expect(sendAndAsk()).toBe(false);
    sw.settle();
    expect(flags()).toBe(VIRTQ_USED_F_NO_NOTIFY);
  });

  test("arm asks for the next kick by the flag, disarm takes it back; receive buffers never need one", async () => {
    const { sw, a, flags, sendAndAsk } = await guest(MODERN);
    expect(sw.arm()).toBe(false);
    expect(flags()).toBe(0);
    expect(sendAndAsk()).toBe(true);
    expect(a.rx[0]!.needsKick(0)).toBe(false);
    sw.disarm();
    expect(flags()).toBe(VIRTQ_USED_F_NO_NOTIFY);
    expect(sendAndAsk()).toBe(false);
  });

  test.each([0, 65_535])("event idx: arm asks for the kick of the very next chain, from index %i", async (first) => {
    const { sw, availEvent, flags, sendAndAsk } = await guest(EVENT_IDX, first);
    for (let round = 0; round < 3; round++) {
      expect(sw.arm()).toBe(false);
      expect(availEvent()).toBe((first + round * 2) & 0xffff);
      expect(sendAndAsk()).toBe(true);
      sw.disarm();
      expect(sendAndAsk()).toBe(false);
      sw.settle();
    }
    expect(flags()).toBe(0); // reserved with event idx: the driver must not look at it, we do not write it
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

  test("a broken transmitq is not armed: it neither keeps a worker awake nor is it written to", async () => {
    const { sw, a, flags } = await guest(MODERN);
    sw.bridge.views.data.setUint16(a.memory.at(a.tx[0]!.ring.avail) + 2, 1000, true);
    sw.settle();
    expect(a.state(1)).toBe("QUEUE_BAD_AVAIL_INDEX at 1000");
    expect(sw.arm()).toBe(false);
    expect(flags()).toBe(VIRTQ_USED_F_NO_NOTIFY);
  });

  test("an avail index that is bad just when the worker wants to sleep breaks the queue and lets it sleep", async () => {
    const { sw, a } = await guest(MODERN);
    sw.bridge.views.data.setUint16(a.memory.at(a.tx[0]!.ring.avail) + 2, 257, true);
    expect(sw.arm()).toBe(false);
    expect(a.state(1)).toBe("QUEUE_BAD_AVAIL_INDEX at 257");
  });
});
