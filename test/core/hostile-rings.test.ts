// Guests that change memory while it is read, fill it with noise, never let go, or come back with old addresses.

import { Worker } from "node:worker_threads";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { VIRTQ_DESC_F_AVAIL, VIRTQ_DESC_SIZE } from "../../assembly/spec/virtio.js";
import { QUEUE_OK } from "../../assembly/spec/status.js";
import { BURST } from "../../src/core/layout.js";
import { BROADCAST, frame, TARGETS, TestGuest, TestSwitch, VARIANTS } from "./support/bench-guest.js";
import {
  HostileScene,
  INDIRECT_DESC,
  MERGEABLE,
  type RawDescriptor,
  RING_SIZE,
  VERSION_1,
} from "./support/hostile-guest.js";
import { Witness } from "./support/witness.js";
import { runs } from "../sample.js";

const FORMS = VARIANTS.filter(({ target }) => target === "release").map(({ form, ring }) => ({ form, ring }));

/** All of a guest's RAM: what it may do to itself. */
function wholeRam(guest: TestGuest) {
  return guest.regions.map(({ window, size }) => ({ offset: window, length: Number(size) }));
}

/** Frames of a queue that were not delivered: all its drops. */
function dropped(guest: TestGuest, index: number): number {
  return Object.values(guest.drops(index)).reduce((sum, count) => sum + count, 0);
}

describe.each(VARIANTS)(
  "M13: rings that change while they are read, $target build, $form ring",
  ({ target, form, ring }) => {
    test.each([1, 2])(
      "nothing outside the guest changes, nothing traps, every frame is accounted for (seed %i)",
      async (seed) => {
        const sw = new TestSwitch({ target });
        const features = VERSION_1 | INDIRECT_DESC | ring | (seed === 1 ? MERGEABLE : 0n);
        const hostile = await TestGuest.create(sw, {
          features,
          regions: [65_536, 8192, 65_536],
          size: 64,
          rxBuffers: 0,
        });
        const peer = await TestGuest.create(sw, { features: VERSION_1, rxBufferBytes: 2048, rxBuffers: 64 });
        await sw.bridge.setRegions(hostile.port, [hostile.regions[0]!, hostile.regions[2]!]);
        const buffers = hostile.allocate(16_384);
        const [rx, tx] = [hostile.rx[0]!.ring, hostile.tx[0]!.ring].map((ring) => ({
          desc: hostile.memory.at(ring.desc),
          avail: hostile.memory.at(ring.avail),
          used: hostile.memory.at(ring.used),
          size: 64,
        }));
        const end = hostile.base + 65_536n;
        const freeSent = peer.mark();
        const witness = new Witness(sw);
        const control = new Int32Array(new SharedArrayBuffer(8));
        const thread = new Worker(new URL("./support/scrambler.mjs", import.meta.url), {
          workerData: {
            buffer: sw.memory.buffer,
            control: control.buffer,
            seed,
            packed: form === "packed",
            rings: [rx, tx],
            frames: hostile.memory.at(buffers),
            addresses: [buffers, buffers + 1000n, end - 50n, end, end + 8192n, 0n, 0xffff_ffff_ffff_fff0n],
            lengths: [0, 1, 12, 13, 60, 100, 1514, 65_562, 70_000, 0x8000_0000, 0xffff_ffff],
          },
        });
        const failed = new Promise<never>((_, reject) => thread.once("error", reject));
        try {
          await Promise.race([waitUntil(() => Atomics.load(control, 1) > 0), failed]);
          let restarts = 0;
          for (let round = 0; round < 200_000; round++) {
            sw.poll();
            if (round % 64 === 0) {
              peer.receive(0, true);
              peer.reclaim();
              freeSent();
              peer.send(frame(BROADCAST, 2, 60 + (round % 500)));
            }
            for (const index of [0, 1]) {
              const queue = hostile.queue(index);
              if (queue.status === QUEUE_OK) continue;
              const { data } = sw.bridge.views;
              // Of a packed ring the place stays: it goes on when a descriptor there is available again.
              if (form === "split")
                queue.struct.set("nextAvail", data.getUint16((index === 0 ? rx : tx)!.avail + 2, true));
              sw.core.startQueue(queue.struct.at);
              restarts++;
            }
          }
          // Noise seldom breaks a packed ring: all its descriptors have to say NEXT at once.
          if (form === "split") expect(restarts).toBeGreaterThan(0);
        } finally {
          Atomics.store(control, 0, 1);
          await thread.terminate();
        }
        expect(witness.firstChange([...wholeRam(hostile), ...wholeRam(peer)])).toBeNull();

        // With two ports a flooded frame has one copy: all frames taken were delivered to the other port or counted once.
        const taken = (guest: TestGuest) => guest.queue(1).counters().frames;
        const delivered = (guest: TestGuest) => guest.queue(0).counters().frames;
        expect(taken(hostile)).toBe(dropped(hostile, 1) + delivered(peer) + dropped(peer, 0));
        expect(taken(peer)).toBe(dropped(peer, 1) + delivered(hostile) + dropped(hostile, 0));
        expect(delivered(peer)).toBeGreaterThan(0);
        expect(delivered(hostile)).toBeGreaterThan(0);
      },
      60_000,
    );
  },
);

/** Sets the bits of a packed ring's descriptors so that those up to the first that `heads` spares are available. */
function makeSomeAvailable(guest: TestGuest, index: number, heads: number[]): void {
  const { data } = guest.sw.bridge.views;
  const desc = guest.memory.at(guest.driver(index).ring.desc);
  for (let slot = 0; slot < RING_SIZE; slot++) {
    const at = desc + slot * VIRTQ_DESC_SIZE + 14;
    const spared = (heads[slot] ?? 0) >= RING_SIZE;
    data.setUint16(at, (data.getUint16(at, true) & 7) | (spared ? 0 : VIRTQ_DESC_F_AVAIL), true);
  }
}

async function waitUntil(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise(setImmediate);
}

describe.each(VARIANTS)("noise, $target build, $form ring", ({ target, form, ring }) => {
  const descriptor = (at: bigint[]) =>
    fc.tuple(
      fc.oneof(fc.constantFrom(...at), fc.bigInt(0n, 0xffff_ffff_ffff_ffffn)),
      fc.oneof(fc.constantFrom(0, 12, 16, 32, 80, 2000), fc.integer({ min: 0, max: 0xffff_ffff })),
      fc.integer({ min: 0, max: 7 }),
      fc.oneof(fc.integer({ min: 0, max: RING_SIZE }), fc.constant(65_535)),
    );

  test("random descriptor tables and avail rings, direct and indirect: only the guest's own RAM changes", async () => {
    const probe = await HostileScene.create(target, VERSION_1 | INDIRECT_DESC | ring);
    const { good, hole, behind, end } = probe.at;
    const table = good + 32_768n;
    const places = [good, good, table, hole - 50n, hole, behind, end - 50n, end];
    const tables = fc.array(descriptor(places), { minLength: RING_SIZE, maxLength: RING_SIZE });
    const heads = fc.array(fc.oneof({ weight: 20, arbitrary: fc.nat(RING_SIZE - 1) }, fc.nat(65_535)), {
      maxLength: 70,
    });
    await fc.assert(
      fc.asyncProperty(
        tables,
        tables,
        tables,
        heads,
        heads,
        fc.boolean(),
        async (rx, tx, inner, rxHeads, txHeads, merge) => {
          const scene = await HostileScene.create(target, VERSION_1 | INDIRECT_DESC | ring | (merge ? MERGEABLE : 0n));
          const { hostile, sw, peer, other } = scene;
          scene.table(hostile.driver(0).ring.desc, rx as RawDescriptor[]);
          scene.table(hostile.driver(1).ring.desc, tx as RawDescriptor[]);
          scene.table(table, inner as RawDescriptor[]);
          for (const [index, heads] of [rxHeads, txHeads].entries()) {
            if (form === "split") for (const head of heads) hostile.splitDriver(index).makeAvailable(head);
            else makeSomeAvailable(hostile, index, heads);
          }
          for (let i = 0; i < 20; i++) peer.send(frame(1, 2, 60 + i * 70, i));
          const witness = new Witness(sw);
          sw.settle();
          const mapped = [wholeRam(hostile)[0]!, wholeRam(hostile)[2]!];
          expect(witness.firstChange([...mapped, ...peer.deviceWritable(), ...other.deviceWritable()])).toBeNull();
          expect(peer.reclaim()).toBe(21);
          peer.receive(0, true);
          other.receive(0, true);
          for (const index of [0, 1]) await hostile.restartQueue(index);
          scene.expectTransmits();
          scene.expectReceives();
          scene.expectOthersGoOn();
        },
      ),
      { numRuns: runs(100) },
    );
  });
});

describe.each(TARGETS)("guests that come back or never let go, %s build", (target) => {
  test.each(FORMS)(
    "M28: a $form ring started where an old one lies is refused or carries noise, and works when it is set up anew",
    async ({ form, ring: bit }) => {
      const scene = await HostileScene.create(target, VERSION_1 | INDIRECT_DESC | bit);
      const { hostile, sw } = scene;
      // The guest rebooted: its RAM holds other things now, the rings are still where they were.
      for (const index of [0, 1]) {
        const { ring } = hostile.driver(index);
        const { bytes, fresh } = hostile.rings;
        for (const part of ["desc", "avail", "used"] as const) {
          hostile.write(
            ring[part],
            new Uint8Array(bytes[part]).map((_, i) => (i * 37) & 0xff),
          );
        }
        await sw.bridge.stopQueue(hostile.port, index);
        await hostile.startQueue(index, fresh);
      }
      scene.peer.send(frame(1, 2, 60));
      scene.settle();
      for (const index of [0, 1])
        if (form === "split") expect(hostile.state(index)).toMatch(/^QUEUE_BAD_AVAIL_INDEX at /);
      scene.expectOthersGoOn();
      for (const index of [0, 1]) await hostile.restartQueue(index);
      scene.expectTransmits();
      scene.expectReceives();
    },
  );

  test("M28: a port with memory and no rings takes part in nothing", async () => {
    const sw = new TestSwitch({ target });
    const silent = sw.bridge.addPort();
    const a = await TestGuest.create(sw, { features: VERSION_1 });
    expect(await sw.bridge.stopQueue(silent, 0)).toBe(0);
    await sw.bridge.setEnabled(silent, 1, true);
    await sw.bridge.setCallFd(silent, 7, 3);
    a.send(frame(BROADCAST, 1, 60));
    sw.settle();
    expect(a.drops(1)).toEqual({ DROP_NO_PORT: 1 });
    await sw.bridge.removePort(silent);
  });

  test("M32: a guest whose ring is always full gets one burst a round, as everybody else does", async () => {
    const sw = new TestSwitch({ target });
    const options = { features: VERSION_1, rxBuffers: 0, size: 1024, ramBytes: 4 * 1024 * 1024 };
    const hog = await TestGuest.create(sw, options);
    const sender = await TestGuest.create(sw, { ...options, rxBuffers: 0 });
    const receiver = await TestGuest.create(sw, { ...options, rxBuffers: 1024 });
    for (let i = 0; i < 1024; i++) hog.send(frame(9, 1, 60));
    for (let round = 0; round < 10; round++) {
      const bytes = frame(BROADCAST, 2, 100, round);
      sender.send(bytes);
      expect(sw.poll()).toBe(BURST + 1);
      expect(receiver.receive(0, true)).toContainEqual(bytes);
      expect(sender.reclaim()).toBe(1);
      expect(hog.reclaim()).toBe(BURST);
      for (let i = 0; i < BURST; i++) hog.send(frame(9, 1, 60));
    }
  });
});
