// Workers of a running switch: several of them, asleep and awake, with and without kick and call descriptors.

import { afterEach, beforeEach, expect, test } from "vitest";
import { VIRTIO_F_EVENT_IDX } from "../../assembly/spec/virtio.js";
import { bits } from "../../src/core/feature-bits.js";
import { drain } from "../../src/sys/eventfd.js";
import { describeLinux } from "../sys/linux.js";
import { vring, vringFd } from "../vhost-user/requests.js";
import { HandGuest, type HandGuestOptions, handFrame, MODERN, pass } from "./support/hand-guest.js";
import { Lab, until } from "./support/lab.js";
import { Pair } from "./support/traffic.js";

const PORTS = ["vm1=listen", "vm2=listen", "vm3=listen", "vm4=listen"];
const TWO = ["--workers", "2"];

let lab: Lab;
const ends: (() => void)[] = [];

beforeEach(() => {
  lab = new Lab();
});

afterEach(async () => {
  for (const end of ends.splice(0)) end();
  await lab.close();
});

function hand(options?: HandGuestOptions): HandGuest {
  const guest = new HandGuest(options);
  ends.push(() => guest.close());
  return guest;
}

async function attach(...words: Parameters<typeof Pair.attach>): Promise<Pair> {
  const pair = await Pair.attach(...words);
  ends.push(() => pair.release());
  return pair;
}

/** A guest connected, with memory, whose rings are not set up yet. */
async function ready(name: string, options?: HandGuestOptions): Promise<HandGuest> {
  const guest = hand(options);
  guest.connect(lab.file(name));
  guest.fresh();
  await guest.negotiate();
  await guest.giveMemory();
  return guest;
}

/** Nobody has anything to do: all workers sleep. */
function asleep(): Promise<true> {
  return until("sleeping workers", async () => {
    const { workers } = await lab.control.status();
    return workers.every(({ state }) => state === "parked") || undefined;
  });
}

describeLinux("two workers", () => {
  test("share two pairs of guests; every frame arrives in order", async () => {
    await lab.start(PORTS, TWO);
    const pairs = [await attach(lab, ["vm1", "vm2"], 1), await attach(lab, ["vm3", "vm4"], 3)];
    for (const pair of pairs) pair.go();
    for (const pair of pairs) await pair.more(1000);
    for (const pair of pairs) await pair.settle();
    const { workers, ports } = await lab.control.status();
    expect(workers.map(({ queues }) => queues)).toEqual([2, 2]);
    expect(workers.every(({ frames }) => frames > 300)).toBe(true);
    // What the workers took is what the ports got from their guests.
    const taken = workers.reduce((sum, { frames }) => sum + frames, 0);
    expect(ports.reduce((sum, { rxFrames }) => sum + rxFrames, 0)).toBe(taken);
    expect(ports.map(({ drops }) => drops)).toEqual([{}, {}, {}, {}]);
  });

  test.each([4, 1, 3])("F19: a guest with 4 queue pairs and one with %i", async (queuePairs) => {
    await lab.start(PORTS, TWO);
    // As many flows each way as the larger has queue pairs; the smaller sends several on one.
    const pair = await attach(lab, ["vm1", "vm2"], 1, [{ pairs: 4 }, { pairs: queuePairs }]);
    pair.go();
    await pair.more(2000);
    await pair.settle();
    const { workers, ports } = await lab.control.status();
    const transmitqs = ports[0]!.queues.filter(({ kind }) => kind === "transmitq");
    expect(transmitqs.map(({ worker }) => worker).sort()).toEqual([0, 0, 1, 1]);
    expect(transmitqs.every(({ frames }) => frames > 0)).toBe(true);
    expect(workers.reduce((sum, { queues }) => sum + queues, 0)).toBe(4 + queuePairs);
    expect(Math.abs(workers[0]!.queues - workers[1]!.queues)).toBeLessThan(2);
    // No receiveq is left out, whichever worker has which transmitq.
    const receiveqs = ports[1]!.queues.filter(({ kind, frames }) => kind === "receiveq" && frames > 0);
    expect(receiveqs.length).toBe(queuePairs);
    expect(ports[0]!.rxFrames).toBe(pair.a.counters().sent.frames);
    expect(ports[1]!.txFrames).toBe(ports[0]!.rxFrames);
    expect(ports.map(({ drops }) => drops)).toEqual([{}, {}, {}, {}]);
  });

  test("queues that come and go are given to the worker with fewer", async () => {
    await lab.start(PORTS, TWO);
    const other = hand();
    await other.start(lab.file("vm2"));
    const guest = await ready("vm1", { pairs: 3 });
    for (const ring of guest.rings) await guest.setUp(ring);
    for (let i = 0; i < 40; i++) {
      const index = 2 * (i % 3) + 1;
      await guest.stopRing(index);
      guest.rings[index]!.reset();
      await guest.setUp(guest.rings[index]!);
      await pass(guest, other, i, [0, i % 3]);
    }
    const { workers } = await lab.control.status();
    expect(workers.map(({ queues }) => queues)).toEqual([2, 2]);
  });
});

describeLinux("a worker's sleep", () => {
  const VARIANTS: [string, bigint][] = [
    ["flags", MODERN],
    ["event idx", MODERN | bits(VIRTIO_F_EVENT_IDX)],
  ];

  test.each(VARIANTS)("ends with the kick that the switch has asked for (%s)", async (_, features) => {
    await lab.start(PORTS);
    const [guest, other] = [hand({ features }), hand({ features })];
    await other.start(lab.file("vm2"));
    await guest.start(lab.file("vm1"));
    const transmitq = guest.rings[1]!;
    let kicks = 0;
    for (let i = 0; i < 200 && kicks < 20; i++) {
      await asleep();
      const before = transmitq.driver.availIndex;
      guest.send(handFrame(2, 1, 60, i), 0, false);
      // A worker just waking up for an older kick wants none; else only a kick makes it look.
      if (transmitq.driver.needsKick(before)) {
        kicks++;
        transmitq.notify();
      }
      await until(`frame ${i}`, () => other.receive().length > 0 || undefined);
    }
    expect(kicks).toBe(20);
    expect((await lab.control.status()).workers[0]!.parks).toBeGreaterThan(0);
  });

  test("ends for a call only when the driver wants one", async () => {
    await lab.start(PORTS);
    const [guest, other] = [hand(), hand()];
    await other.start(lab.file("vm2"));
    await guest.start(lab.file("vm1"));
    const { call, driver } = other.rings[0]!;
    await pass(guest, other, 0);
    await asleep();
    drain(call);
    driver.wantCalls(false);
    await pass(guest, other, 1);
    await asleep();
    expect(drain(call)).toBeNull();
    driver.wantCalls(true);
    await pass(guest, other, 2);
    expect(await until("a call", () => drain(call) ?? undefined)).toBeGreaterThan(0n);
  });

  test("there is none while a transmitq has no kick descriptor, and again when it has", async () => {
    await lab.start(PORTS);
    const other = hand();
    await other.start(lab.file("vm2"));
    const guest = await ready("vm1");
    const transmitq = guest.rings[1]!;
    await guest.setUp(guest.rings[0]!, { kick: null });
    await asleep(); // A receiveq needs nobody's attention.
    await guest.setUp(transmitq, { kick: null });
    const send = async (number: number) => {
      guest.send(handFrame(2, 1, 60, number), 0, false);
      await until(`frame ${number}`, () => other.receive().length > 0 || undefined);
    };
    for (let i = 0; i < 50; i++) await send(i);
    expect((await lab.control.status()).workers[0]!.state).toBe("polling");
    // A descriptor for a running ring, and none again.
    await guest.expectDone("SET_VRING_KICK", vringFd(1), [transmitq.kick]);
    await asleep();
    await pass(guest, other, 100);
    await guest.expectDone("SET_VRING_KICK", vringFd(1, true));
    await send(101);
    expect((await lab.control.status()).workers[0]!.state).toBe("polling");
    await guest.stopRing(1);
    await asleep();
  });

  test("rings without call descriptors are polled by their driver", async () => {
    await lab.start(PORTS);
    const other = await ready("vm2");
    const guest = await ready("vm1");
    for (const ring of guest.rings) await guest.setUp(ring, { call: null });
    for (const ring of other.rings) await other.setUp(ring, { call: null });
    for (let i = 0; i < 200; i++) await pass(guest, other, i);
    expect((await lab.port("vm2")).queues.map(({ calls }) => calls)).toEqual([0, 0]);
    // With one from now on, what has been used is told at once.
    const { call } = other.rings[0]!;
    await other.expectDone("SET_VRING_CALL", vringFd(0), [call]);
    await until("a call", () => drain(call) ?? undefined);
  });

  test("a switch that polls never sleeps, and needs no kick", async () => {
    await lab.start(PORTS, ["--poll"]);
    const [guest, other] = [hand(), hand()];
    await other.start(lab.file("vm2"));
    await guest.start(lab.file("vm1"));
    for (let i = 0; i < 50; i++) {
      guest.send(handFrame(2, 1, 60, i), 0, false);
      await until(`frame ${i}`, () => other.receive().length > 0 || undefined);
    }
    const [worker] = (await lab.control.status()).workers;
    expect([worker!.state, worker!.parks]).toEqual(["polling", 0]);
  });
});

describeLinux("a disabled queue", () => {
  test("of a sender is drained, its frames counted; of a receiver it is given nothing", async () => {
    await lab.start(PORTS, TWO);
    const [guest, other] = [hand(), hand()];
    await other.start(lab.file("vm2"));
    await guest.start(lab.file("vm1"));
    await pass(guest, other, 0);
    await pass(other, guest, 0);
    const frame = handFrame(other.number, guest.number, 60, 9999);
    let disabled = 0;
    for (let round = 0; round < 3; round++) {
      await guest.expectDone("SET_VRING_ENABLE", vring(1, 0));
      expect((await lab.port("vm1")).queues[1]!.state).toBe("disabled");
      for (let i = 0; i < 10; i++) {
        await until("room", () => guest.send(frame) || undefined);
        disabled++;
      }
      const { drops } = await lab.when("vm1", ({ drops }) => drops.disabled === disabled);
      expect(drops).toEqual({ disabled });
      expect(other.receive()).toEqual([]);
      await guest.expectDone("SET_VRING_ENABLE", vring(1, 1));
      await pass(guest, other, round + 1);
    }

    await other.expectDone("SET_VRING_ENABLE", vring(0, 0));
    const { txFrames } = await lab.port("vm2");
    for (let i = 0; i < 10; i++) guest.send(frame);
    const { drops } = await lab.when("vm1", ({ drops }) => drops["port-down"] === 10);
    expect(drops).toEqual({ disabled, "port-down": 10 });
    const port = await lab.port("vm2");
    expect([port.queues[0]!.state, port.txFrames]).toEqual(["disabled", txFrames]);
    expect(other.receive()).toEqual([]);
    // Its own frames go on.
    await pass(other, guest, 50);
    await other.expectDone("SET_VRING_ENABLE", vring(0, 1));
    await pass(guest, other, 51);
  });
});
