// Two workers in two threads over one memory: receiveqs that they share, receiveqs of their own, and changes meanwhile.

import { afterEach, describe, expect, test } from "vitest";
import { VIRTIO_F_VERSION_1 } from "../../assembly/spec/virtio.js";
import { BROADCAST, frame, TARGETS, type Target, TestGuest, TestSwitch } from "./support/bench-guest.js";
import { numbered, numberOf } from "./support/frames.js";
import { Witness } from "./support/witness.js";
import { WorkerThreads } from "./support/worker-threads.js";

const VERSION_1 = 1n << BigInt(VIRTIO_F_VERSION_1);
/** Frames that a sender makes available at once: several bursts of a worker. */
const BURST = 192;
const RECEIVER = 3;

let threads: WorkerThreads | undefined;
afterEach(async () => {
  await threads?.stop();
  threads = undefined;
});

/** Two senders, each polled by a worker of its own, and a receiver whose address is known. */
async function scene(target: Target, pairs: number) {
  const sw = new TestSwitch({ target, workers: 2 });
  const a = await TestGuest.create(sw, { features: VERSION_1, rxBuffers: 1 });
  const b = await TestGuest.create(sw, { features: VERSION_1, rxBuffers: 1, firstWorker: 1 });
  const c = await TestGuest.create(sw, {
    features: VERSION_1,
    size: 512,
    rxBuffers: 2 * BURST,
    rxBufferBytes: 256,
    pairs,
  });
  c.send(frame(BROADCAST, RECEIVER, 60));
  sw.poll();
  c.reclaim();
  threads = new WorkerThreads(sw, target);
  await threads.rounds(1);
  const senders = [a, b].map((guest, i) => ({ guest, address: i + 1, sent: 0, free: guest.mark() }));
  return { sw, c, senders, threads };
}

type Sender = Awaited<ReturnType<typeof scene>>["senders"][number];

/** Makes a burst of numbered frames available; the memory of the one before must be free again. */
function sendBurst(sender: Sender): void {
  sender.free();
  for (let i = 0; i < BURST; i++) {
    sender.guest.send(numbered(RECEIVER, sender.address, 60 + (sender.sent % 150), sender.sent));
    sender.sent++;
  }
}

async function sendAndWait(senders: Sender[], workers: WorkerThreads): Promise<void> {
  workers.hold();
  for (const sender of senders) sendBurst(sender);
  workers.release();
  for (const { guest } of senders) {
    let back = 0;
    await workers.until(() => {
      back += guest.reclaim();
      return back === BURST;
    });
  }
}

/** The senders write it as well: frames, descriptors, avail rings. */
function wholeRam(guest: TestGuest) {
  return guest.regions.map(({ window, size }) => ({ offset: window, length: Number(size) }));
}

/** Frames by the number of their sender's address, each list in the order of arrival. */
function bySource(frames: Uint8Array[]): number[][] {
  const lists: number[][] = [[], []];
  for (const bytes of frames) lists[bytes[11]! - 1]!.push(numberOf(bytes));
  return lists;
}

const count = (length: number) => Array.from({ length }, (_, i) => i);
const total = (drops: Record<string, number>) => Object.values(drops).reduce((sum, each) => sum + each, 0);

describe.each(TARGETS)("two workers, %s build", (target) => {
  const ROUNDS = 60;

  test("one receiveq that both fill: nothing lost, nothing twice, each sender's order kept", async () => {
    const { c, senders, threads } = await scene(target, 1);
    expect(c.queue(0).struct.get("shared")).toBe(1);
    const received: Uint8Array[] = [];
    for (let round = 0; round < ROUNDS; round++) {
      await sendAndWait(senders, threads);
      received.push(...c.receive(0, true));
    }
    const [fromA, fromB] = bySource(received);
    expect(fromA).toEqual(count(ROUNDS * BURST));
    expect(fromB).toEqual(count(ROUNDS * BURST));
    expect(c.drops(0)).toEqual({});
    for (const bytes of received.slice(-BURST)) {
      expect(bytes).toEqual(numbered(RECEIVER, bytes[11]!, 60 + (numberOf(bytes) % 150), numberOf(bytes)));
    }
  });

  test("a port with a receiveq for each worker: each fills its own and takes no lock", async () => {
    const { c, senders, threads } = await scene(target, 2);
    expect([0, 2].map((index) => c.queue(index).struct.get("shared"))).toEqual([0, 0]);
    const received: Uint8Array[][] = [[], []];
    for (let round = 0; round < ROUNDS; round++) {
      await sendAndWait(senders, threads);
      for (const pair of [0, 1]) received[pair]!.push(...c.receive(pair, true));
    }
    expect(bySource(received[0]!)).toEqual([count(ROUNDS * BURST), []]);
    expect(bySource(received[1]!)).toEqual([[], count(ROUNDS * BURST)]);
  });

  test.each([2, 3, 4, 5])(
    "a port with %i receiveqs: a sender with as many transmitqs fills all of them, in no two workers one",
    async (pairs) => {
      const sw = new TestSwitch({ target, workers: 2 });
      const a = await TestGuest.create(sw, { features: VERSION_1, pairs, size: 64 });
      const c = await TestGuest.create(sw, { features: VERSION_1, pairs, size: 64 });
      c.send(frame(BROADCAST, RECEIVER, 60));
      const all = Array.from({ length: pairs }, (_, pair) => pair);
      const workerOf: Set<number>[] = all.map(() => new Set());
      const poll = () => [0, 1].map((worker) => sw.poll(worker));
      poll();
      for (const from of all) {
        const before = all.map((pair) => c.queue(2 * pair).counters().frames);
        for (let i = 0; i < 3; i++) a.send(frame(RECEIVER, 1, 60), { pair: from });
        poll();
        const more = all.map((pair) => c.queue(2 * pair).counters().frames - before[pair]!);
        // One and the same for all frames of a transmitq.
        expect(more.filter((frames) => frames > 0)).toEqual([3]);
        workerOf[more.indexOf(3)]!.add(a.queue(2 * from + 1).worker!);
      }
      expect(workerOf.map(({ size }) => size)).toEqual(all.map(() => 1));
    },
  );

  test("a receiveq that comes and goes: order is kept in each, all frames are accounted for, no lock is left", async () => {
    const { c, senders, threads, sw } = await scene(target, 2);
    const received: Uint8Array[][] = [[], []];
    let done = false;
    const changes = (async () => {
      for (let change = 0; !done; change++) await sw.bridge.setEnabled(c.port, 2, change % 2 === 1);
    })();
    for (let round = 0; round < ROUNDS; round++) {
      await sendAndWait(senders, threads);
      for (const pair of [0, 1]) received[pair]!.push(...c.receive(pair, true));
    }
    done = true;
    await changes;
    const lost =
      total(c.drops(0)) + total(c.drops(2)) + senders.reduce((sum, { guest }) => sum + total(guest.drops(1)), 0);
    expect(received[0]!.length + received[1]!.length + lost).toBe(2 * ROUNDS * BURST);
    expect(received[1]!.length).toBeGreaterThan(0);
    for (const frames of received) {
      for (const numbers of bySource(frames)) {
        expect(numbers.every((number, i) => i === 0 || numbers[i - 1]! < number)).toBe(true);
      }
    }
    expect([0, 2].map((index) => c.queue(index).struct.load("lock"))).toEqual([0, 0]);
  });

  test("a worker that waits for the lock while sharing ends gives it back all the same", async () => {
    const { c, senders, threads, sw } = await scene(target, 1);
    const { struct } = c.queue(0);
    struct.publish("lock", 1); // as if the other worker held it
    sendBurst(senders[0]!);
    const [waiting, other] = sw.bridge.workers;
    let epoch = -1;
    await threads.until(() => {
      // It stands still while the other one goes round: it waits.
      const before = epoch;
      epoch = waiting!.load("epoch");
      return before === epoch && other!.load("epoch") > epoch + 100;
    });
    struct.publish("shared", 0);
    struct.publish("lock", 0);
    await threads.until(() => c.queue(0).counters().frames >= BURST);
    await threads.rounds(2);
    expect(struct.load("lock")).toBe(0);
  });

  test("after stopQueue and setRegions nobody writes there any more, and the queue goes on where it stopped", async () => {
    const { c, senders, threads, sw } = await scene(target, 1);
    let received = 0;
    for (let round = 0; round < 40; round++) {
      for (const sender of senders) sendBurst(sender);
      const nextAvail = await sw.bridge.stopQueue(c.port, 0);
      await sw.bridge.setRegions(c.port, []);
      let back = 0;
      await threads.until(() => {
        back += senders.reduce((sum, { guest }) => sum + guest.reclaim(), 0);
        return back === 2 * BURST;
      });
      // The port's memory could be unmapped now.
      const witness = new Witness(sw);
      expect(sw.bridge.views.data.getUint16(c.memory.at(c.rx[0]!.ring.used) + 2, true)).toBe(nextAvail);
      await sendAndWait(senders, threads);
      await threads.rounds(2);
      const writable = senders.flatMap(({ guest }) => wholeRam(guest));
      expect(witness.firstChange(writable)).toBeNull();
      received += c.receive(0, true).length;
      await sw.bridge.setRegions(c.port, c.regions);
      await c.startQueue(0, nextAvail);
    }
    await sendAndWait(senders, threads);
    const last = c.receive(0, true);
    expect(last).toHaveLength(2 * BURST);
    const lost = total(c.drops(0)) + senders.reduce((sum, { guest }) => sum + total(guest.drops(1)), 0);
    expect(received + last.length + lost).toBe((2 * 40 + 1) * 2 * BURST);
    for (const { guest } of senders) {
      expect(guest.drops(1).DROP_PORT_DOWN).toBeGreaterThanOrEqual(40 * BURST);
      expect(Object.keys(guest.drops(1))).toEqual(["DROP_PORT_DOWN"]);
    }
  });
});
