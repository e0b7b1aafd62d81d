// Guests that break a ring under a running switch: that queue stops and says why, nobody else notices, and the guest's
// driver can set it up again. Every way to break one is tried in test/core; this is what an operator sees.

import { expect, test } from "vitest";
import { VIRTQ_DESC_F_NEXT, VIRTQ_DESC_F_WRITE } from "../../assembly/spec/virtio.js";
import { describeLinux } from "../sys/linux.js";
import { vring } from "../vhost-user/requests.js";
import { type HandGuest, type HandRing, handFrame, pass } from "./support/hand-guest.js";
import { until } from "./support/lab.js";
import { useLab } from "./support/use-lab.js";

const SIZE = 64;
/** Passed before a transmitq is broken. */
const FRAMES = 3;

interface Break {
  name: string;
  reason: string;
  /** Where it was seen; of an avail index that jumps, the index. */
  descriptor: number;
  /** Breaks a ring whose indices are where they are; the flags are those of its descriptors. */
  how(guest: HandGuest, ring: HandRing, flags: number): void;
}

/** Writes the avail index and kicks. */
function setAvailIndex(guest: HandGuest, ring: HandRing, index: number): void {
  guest.data.setUint16(guest.at(ring.place.avail) + 2, index, true);
  ring.notify();
}

const BREAKS: Break[] = [
  {
    name: "an avail index that jumps",
    reason: "the guest's avail index ran ahead by more entries than the ring has",
    descriptor: FRAMES + SIZE + 1,
    how: (guest, ring) => setAvailIndex(guest, ring, (ring.driver.availIndex + SIZE + 1) & 0xffff),
  },
  {
    name: "a head that the table does not have",
    reason: "the guest's avail ring names a descriptor that the table does not have",
    descriptor: SIZE + 7,
    how: (_, ring) => {
      ring.split.makeAvailable(SIZE + 7);
      ring.notify();
    },
  },
  {
    name: "a chain that loops",
    reason: "a descriptor chain of the guest is longer than its ring: it loops",
    descriptor: 5,
    how: (_, ring, flags) => {
      const buffer = { address: ring.buffers[5]!, length: 1 };
      ring.driver.writeDescriptor(ring.place.desc, 5, buffer, flags | VIRTQ_DESC_F_NEXT, 6);
      ring.driver.writeDescriptor(ring.place.desc, 6, buffer, flags | VIRTQ_DESC_F_NEXT, 5);
      ring.split.makeAvailable(5);
      ring.notify();
    },
  },
];

describeLinux("a ring that its guest breaks", () => {
  const group = useLab();

  test.each(BREAKS)("a transmitq with $name", async ({ reason, descriptor, how }) => {
    const { lab } = group;
    const [vm1, vm2] = group.ports(2) as [string, string];
    const [guest, other] = [group.hand({ pairs: 2, size: SIZE }), group.hand()];
    await other.start(lab.file(vm2));
    await guest.start(lab.file(vm1));
    for (let i = 0; i < FRAMES; i++) await pass(guest, other, i);
    how(guest, guest.rings[1]!, 0);
    const port = await lab.when(vm1, ({ queues }) => queues[1]!.state === "broken");
    expect(port.queues[1]!.broken).toEqual({ reason, descriptor: expect.any(Number) });
    expect(port.queues.map(({ state }) => state)).toEqual(["running", "broken", "running", "running"]);
    expect(port.state).toBe("running");
    expect(await lab.error(vm1, /^the guest broke queue 1: /)).toBe(
      `the guest broke queue 1: ${reason} (at ${port.queues[1]!.broken!.descriptor}); ` +
        "the queue is stopped until the guest's driver sets it up again",
    );
    expect(port.queues[1]!.broken!.descriptor).toBe(descriptor);
    // Its other queues go on, both ways.
    for (let i = 3; i < 20; i++) {
      await pass(guest, other, i, [0, 1]);
      await pass(other, guest, i);
    }
    await heal(guest, 1);
    for (let i = 20; i < 40; i++) await pass(guest, other, i);
    expect((await lab.port(vm1)).queues.map(({ state }) => state)).toEqual([
      "running",
      "running",
      "running",
      "running",
    ]);
    // Broken again it is told again.
    how(guest, guest.rings[1]!, 0);
    await lab.when(vm1, ({ queues }) => queues[1]!.state === "broken");
    const told = () => lab.log.split("the guest broke queue 1").length - 1;
    await until("the second report", () => told() >= 2 || undefined);
  });

  test.each(BREAKS)("a receiveq with $name", async ({ reason, how }) => {
    const { lab } = group;
    const [vm1, vm2] = group.ports(2) as [string, string];
    const [guest, other] = [group.hand({ size: SIZE }), group.hand()];
    await other.start(lab.file(vm2));
    await guest.start(lab.file(vm1));
    // A ring without a buffer, so that what comes next is what is broken.
    await guest.stopRing(0);
    guest.rings[0]!.reset();
    await guest.setUp(guest.rings[0]!);
    how(guest, guest.rings[0]!, VIRTQ_DESC_F_WRITE);
    let sent = 0;
    const port = await lab.when(vm1, ({ queues }) => {
      if (other.send(handFrame(9, 8, 60, 0))) sent++;
      return queues[0]!.state === "broken";
    });
    expect(sent).toBeGreaterThan(0);
    expect(port.queues[0]!.broken!.reason).toBe(reason);
    expect(port.queues[1]!.state).toBe("running");
    await lab.error(vm1, /^the guest broke queue 0: /);
    // What it sends still arrives; what is for it is dropped and counted.
    for (let i = 0; i < 10; i++) await pass(guest, other, i);
    await heal(guest, 0);
    for (let i = 10; i < 20; i++) await pass(other, guest, i);
  });

  test("what is dropped has its cause's name in the status, on the queue and on the port", async () => {
    const { lab } = group;
    const [vm1, vm2] = group.ports(2) as [string, string];
    const [guest, other] = [group.hand(), group.hand()];
    await other.start(lab.file(vm2));
    await guest.start(lab.file(vm1));
    await pass(guest, other, 0);
    await pass(other, guest, 0);
    const bad: [string, (ring: HandRing) => void][] = [
      ["tx-runt", ({ driver, buffers }) => driver.add([{ address: buffers[0]!, length: 20 }], 0n)],
      ["tx-address", ({ driver }) => driver.add([{ address: 0xdead_0000_0000n, length: 100 }], 0n)],
      [
        "tx-direction",
        ({ driver, buffers }) => driver.add([{ address: buffers[0]!, length: 100, writable: true }], 0n),
      ],
      ["bad-source", () => guest.send(handFrame(2, 1, 60, 0).fill(255, 6, 12))],
      [
        "reserved",
        () =>
          guest.send(
            handFrame(2, 1, 60, 0)
              .fill(0)
              .map((b, i) => RESERVED[i] ?? b),
          ),
      ],
      ["hairpin", () => guest.send(handFrame(1, 1, 60, 0))],
    ];
    for (const [cause, make] of bad) {
      const ring = guest.rings[1]!;
      while (ring.driver.take() !== null);
      make(ring);
      ring.notify();
      const port = await lab.when(vm1, ({ drops }) => drops[cause] === 1);
      expect(port.queues[1]!.drops[cause]).toBe(1);
    }
    expect((await lab.port(vm1)).drops).toEqual(Object.fromEntries(bad.map(([cause]) => [cause, 1])));
    await pass(guest, other, 1);
  });

  /** What a driver does whose device says that it needs a reset: the ring is stopped and set up as new. */
  async function heal(guest: HandGuest, index: number): Promise<void> {
    await guest.stopRing(index);
    const ring = guest.rings[index]!;
    ring.reset();
    if (index % 2 === 0) ring.offer(ring.buffers);
    await guest.setUp(ring);
    await guest.expectDone("SET_VRING_ENABLE", vring(index, 1));
  }
});

/** A frame to a bridge itself, from a good address. */
const RESERVED = [0x01, 0x80, 0xc2, 0, 0, 0x0e, 2, 0, 0, 0, 0, 1, 0x88, 0xcc];
