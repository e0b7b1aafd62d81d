// Guests behind a virtual IOMMU on a real switch: what it does not know it asks for, and what it is told to forget it uses
// no more. Two plain guests on ports that offer the same notice nothing.

import { expect, test } from "vitest";
import { VIRTIO_F_INDIRECT_DESC, VIRTIO_F_RING_PACKED } from "../../assembly/spec/virtio.js";
import { bits } from "../../src/core/feature-bits.js";
import { inflightBytes } from "../../src/core/inflight.js";
import { createEventFd } from "../../src/sys/eventfd.js";
import { closeFd, createMemfd } from "../../src/sys/memfd.js";
import { PROTOCOL_F_INFLIGHT_SHMFD, PROTOCOL_F_REPLY_ACK } from "../../src/vhost-user/features.js";
import type { Payload } from "../../src/vhost-user/message.js";
import { numberOf } from "../core/support/frames.js";
import { describeLinux } from "../sys/linux.js";
import { Flow } from "./support/flow.js";
import { HandGuest, handFrame, pass } from "./support/hand-guest.js";
import { IOMMU_PROTOCOL, IommuGuest, type IommuGuestOptions } from "./support/iommu-guest.js";
import { Lab, until } from "./support/lab.js";
import { useLab } from "./support/use-lab.js";

const ROLE = "listen,iommu=true";
const PAGE = 4096n;
const PACKED = bits(VIRTIO_F_RING_PACKED);
const INDIRECT = bits(VIRTIO_F_INDIRECT_DESC);

const KINDS: [string, IommuGuestOptions][] = [
  ["split", {}],
  ["split, indirect", { features: INDIRECT }],
  ["packed", { features: PACKED }],
  ["packed, indirect", { features: PACKED | INDIRECT }],
  ["without REPLY_ACK", { protocolFeatures: IOMMU_PROTOCOL & ~bits(PROTOCOL_F_REPLY_ACK) }],
];

/** Frames that these ports have dropped, for whatever cause. */
async function dropsOf(lab: Lab, names: readonly string[]): Promise<number> {
  const ports = await Promise.all(names.map((name) => lab.port(name)));
  return ports.flatMap(({ drops }) => Object.values(drops)).reduce((sum, count) => sum + count, 0);
}

describeLinux("guests behind a virtual IOMMU", () => {
  const group = useLab([], ROLE);

  const running = (vm: string) =>
    group.lab.when(vm, ({ queues }) => queues.length > 0 && queues.every(({ state }) => state === "running"));

  /** A guest behind an IOMMU whose rings run, and a plain one with room for all that the first one may have held back. */
  async function scene(options: IommuGuestOptions = {}) {
    const { lab } = group;
    const [vm, other] = group.ports(2) as [string, string];
    const [iommu, plain] = [group.later(new IommuGuest(options)), group.hand({ size: 256 })];
    await plain.start(lab.file(other));
    await iommu.begin(lab.file(vm));
    await running(vm);
    return { iommu, plain, vm, drops: () => dropsOf(lab, [vm, other]) };
  }

  test.each(KINDS)("%s: rings start and frames flow both ways as the switch asks", async (_, options) => {
    const { iommu, plain, drops } = await scene(options);
    for (let number = 0; number < 100; number++) await pass(iommu, plain, number);
    for (let number = 0; number < 100; number++) await pass(plain, iommu, number);
    expect(await drops()).toBe(0);
    expect(new Set(iommu.misses).size).toBeGreaterThan(20);
  });

  test.each(KINDS)("%s: buffers invalidated under load: none that is sent is lost or changed", async (_, options) => {
    const { iommu, plain, drops } = await scene(options);
    const flow = new Flow(iommu, plain).go();
    const { buffers } = iommu.rings[1]!;
    for (let round = 0; round < 100; round++) {
      expect(await iommu.invalidate(buffers[(round * 7) % buffers.length]!)).toBe(0n);
      if (round % 10 === 0) await flow.more(5);
    }
    await flow.more(20);
    expect(await flow.settle(drops)).toBe(0);
  });

  test.each(KINDS)("%s: invalidated under load: what is received is whole, the rest counted", async (_, options) => {
    const { iommu, plain, drops } = await scene(options);
    await pass(plain, iommu, 1);
    const before = await drops();
    const flow = new Flow(plain, iommu).go();
    const { buffers } = iommu.rings[0]!;
    for (let round = 0; round < 100; round++) {
      expect(await iommu.invalidate(buffers[(round * 7) % buffers.length]!)).toBe(0n);
      if (round % 10 === 0) await flow.more(5);
    }
    await flow.more(20);
    const dropped = await flow.settle(async () => (await drops()) - before);
    expect(dropped).toBeLessThan(flow.sent);
  });

  test.each(KINDS)("M51: %s: pages of rings invalidated under load: they wait, and go on", async (_, options) => {
    const { iommu, plain, vm, drops } = await scene(options);
    const flow = new Flow(iommu, plain).go();
    for (let round = 0; round < 24; round++) {
      const { desc, avail, used } = iommu.rings[round % 2]!.place;
      expect(await iommu.invalidate([desc, avail, used][round % 3]!)).toBe(0n);
      await flow.more(5);
    }
    expect(await flow.settle(drops)).toBe(0);
    await running(vm);
  });

  test("M51: a page of which nobody says where it is keeps that transmitq waiting, no other", async () => {
    const { iommu, plain, vm } = await scene({ pairs: 2 });
    const [first, second] = [iommu.rings[1]!, iommu.rings[3]!];
    const page = first.buffers[0]! - (first.buffers[0]! % PAGE);
    iommu.answers = (asked) => asked !== page;
    expect(await iommu.invalidate(page)).toBe(0n);
    iommu.misses.length = 0;
    const sent = handFrame(plain.number, iommu.number, 80, 7777);
    // Its first buffer is in that page, which no buffer of the other transmitq shares.
    expect(second.buffers.some((address) => address - (address % PAGE) === page)).toBe(false);
    expect(iommu.send(sent, 0)).toBe(true);
    await until("the question", () => iommu.misses.includes(page) || undefined);
    // Meanwhile the other pair goes on, and others too.
    for (let number = 0; number < 40; number++) await pass(iommu, plain, number, [0, 1]);
    await group.steady.more(30);
    // It is asked again, now and then.
    await until("it again", () => iommu.misses.filter((iova) => iova === page).length > 1 || undefined);
    expect(plain.receive().filter((bytes) => numberOf(bytes) === 7777)).toEqual([]);
    expect((await group.lab.port(vm)).queues[1]!.state).toBe("running");
    expect(await iommu.translate(page)).toBe(0n);
    const got = await until("the frame", () => plain.receive().find((bytes) => numberOf(bytes) === 7777));
    expect(Buffer.from(got).equals(sent)).toBe(true);
  });

  test("M51: where only reading is allowed nothing is received", async () => {
    const { iommu, plain, vm } = await scene();
    const ring = iommu.rings[0]!;
    iommu.answers = () => false;
    expect(await iommu.invalidate(ring.buffers[0]!, PAGE * 64n)).toBe(0n);
    for (const address of ring.buffers) expect(await iommu.translate(address, 1)).toBe(0n);
    const before = ring.buffers.map((address) => Buffer.from(iommu.bytes(address, 64)).toString("hex"));
    for (let number = 0; number < 20; number++) {
      await until("room", () => plain.send(handFrame(iommu.number, plain.number, 64, number)) || undefined);
    }
    // Flooded the same frame reaches the steady guests, who do not take it.
    await group.lab.when(vm, ({ drops }) => drops.translation === 20);
    expect(iommu.receive()).toEqual([]);
    expect(ring.buffers.map((address) => Buffer.from(iommu.bytes(address, 64)).toString("hex"))).toEqual(before);
    for (const address of ring.buffers) expect(await iommu.translate(address, 3)).toBe(0n);
    for (let number = 0; number < 20; number++) await pass(plain, iommu, number);
  });

  test("M51: translations that are none are refused, and as many as come are borne", async () => {
    const { iommu, plain, vm } = await scene();
    const { region } = iommu.files[0]!;
    const good = { iova: 0x7000_0000n, userAddress: region.userAddress };
    const end = region.userAddress + region.size;
    for (const bad of [
      { size: 0n },
      { size: 1n << 63n },
      { size: (1n << 64n) - 1n },
      { iova: (1n << 64n) - PAGE, size: 2n * PAGE },
      { userAddress: (1n << 64n) - PAGE, size: 2n * PAGE },
      { userAddress: end },
      { userAddress: end - PAGE, size: 2n * PAGE },
      { userAddress: region.userAddress - 1n },
      { userAddress: 0n },
      { permission: 0 },
      { permission: 4 },
      { permission: 255 },
    ]) {
      expect([bad, await iommu.update({ ...good, ...bad })]).toEqual([bad, 1n]);
    }
    const plainEntry = { kind: "iotlb", ...good, size: PAGE, permission: 3 } as const;
    for (const type of [0, 1, 4, 255]) {
      const { value } = (await iommu.get("IOTLB_MSG", { ...plainEntry, type })) as Payload & { value: bigint };
      expect([type, value]).toEqual([type, 1n]);
    }
    // None beside another, so that each takes an entry of its own.
    for (let i = 0n; i < 2500n; i++) {
      if ((await iommu.update({ ...good, iova: good.iova + i * 2n * PAGE })) !== 0n)
        throw new Error(`${i} was refused`);
    }
    await group.lab.error(vm, /IOTLB_MSG \(22\)/);
    for (let number = 0; number < 40; number++) await pass(iommu, plain, number);
    for (let number = 0; number < 40; number++) await pass(plain, iommu, number);
    // All at once is forgotten, and asked for again.
    expect(await iommu.invalidate(0n, (1n << 64n) - 1n)).toBe(0n);
    await running(vm);
    for (let number = 0; number < 40; number++) await pass(iommu, plain, number);
  });

  test("M51: a guest whose memory is not mapped whole is told why its rings do not run, and others go on", async () => {
    const { lab } = group;
    const [vm] = group.ports(1) as [string];
    const iommu = group.later(new IommuGuest({ scattered: {} }));
    await iommu.begin(lab.file(vm));
    await lab.error(vm, /memory at 0x100000000 is too large to be mapped whole, which a guest behind a virtual IOMMU/);
    expect((await lab.port(vm)).queues.filter(({ state }) => state === "running")).toEqual([]);
    await group.steady.more(30);
  });

  test("M51: a front-end that never reads its socket blocks nobody, and can be stopped", async () => {
    const { lab } = group;
    const [vm] = group.ports(1) as [string];
    const before = lab.descriptors();
    const iommu = group.later(new IommuGuest({ pairs: 4 }));
    await iommu.begin(lab.file(vm));
    await running(vm);
    iommu.deaf();
    for (let round = 0; round < 1000; round++) {
      // Each makes a ring ask anew.
      const ring = iommu.rings[round % 8]!;
      await iommu.translate(ring.place.desc);
      await iommu.invalidate(ring.place.desc);
    }
    await group.steady.more(30);
    expect(await iommu.stopRing(1)).toBe(0);
    iommu.leave();
    await lab.vacant(vm);
    iommu.hangUp();
    await lab.noMoreDescriptors(before);
  });

  test("M31, M40: a descriptor that is no socket is refused, replaced ones are closed, a lost one is told of", async () => {
    const { lab } = group;
    const { iommu, plain, vm } = await scene();
    const { buffers } = iommu.rings[1]!;
    for (const address of buffers) expect(await iommu.translate(address)).toBe(0n);
    const before = lab.descriptors();
    const bad = createEventFd();
    expect(await iommu.ack("SET_BACKEND_REQ_FD", { kind: "none" }, [bad])).toBe(1n);
    closeFd(bad);
    await lab.error(vm, /SET_BACKEND_REQ_FD.*no socket/);
    for (let i = 0; i < 20; i++) await iommu.giveSocket();
    await lab.noMoreDescriptors(before);
    // What is known holds without one.
    iommu.hangUp();
    for (let number = 0; number < 10; number++) await pass(iommu, plain, number);
    await lab.error(vm, /own requests.*the front-end closed it/);
    // With a new one that is asked for which could not be.
    await iommu.invalidate(0n, (1n << 64n) - 1n);
    await iommu.giveSocket();
    await running(vm);
    for (let number = 0; number < 10; number++) await pass(iommu, plain, number);
  });

  test("M51: answers that answer nothing end the socket, not the connection", async () => {
    const { iommu, plain, vm } = await scene();
    iommu.sayBack(new Uint8Array(4096).fill(0xff));
    await group.lab.error(vm, /own requests.*can ?not be used any more/);
    expect(await iommu.invalidate(0n, (1n << 64n) - 1n)).toBe(0n);
    await iommu.giveSocket();
    await running(vm);
    for (let number = 0; number < 10; number++) await pass(iommu, plain, number);
  });
});

describeLinux("guests behind a virtual IOMMU whose switch is killed", () => {
  const SIZE = 64;

  test.each([
    ["split", false],
    ["packed", true],
  ])("%s: with an inflight area nothing that was made available is lost", async (_, packed) => {
    const bytes = 2 * inflightBytes(SIZE, packed);
    const shape = { mmapSize: BigInt(bytes), mmapOffset: 0n, queues: 2, queueSize: SIZE, padded: true };
    const lab = new Lab();
    const plain = new HandGuest({ size: SIZE });
    const iommu = new IommuGuest({
      ...{ size: SIZE, features: packed ? PACKED : 0n },
      protocolFeatures: IOMMU_PROTOCOL | bits(PROTOCOL_F_INFLIGHT_SHMFD),
    });
    const area = { payload: { kind: "inflight", ...shape } as Payload, fd: createMemfd("area", bytes) };
    const connect = async () => {
      await plain.start(lab.file("b"));
      await iommu.attach(lab.file("a"), (ring) => ring.driver.availIndex, area);
    };
    try {
      await lab.start([`a=${ROLE}`, `b=${ROLE}`]);
      await connect();
      iommu.rings[0]!.offer(iommu.rings[0]!.buffers);
      let number = 0;
      for (let round = 0; round < 3; round++) {
        for (const end = number + 20; number < end; number++) {
          await pass(iommu, plain, number);
          await pass(plain, iommu, number);
        }
        await lab.stop("SIGKILL");
        iommu.leave();
        plain.leave();
        const waiting = [0, 1, 2, 3, 4].map(() => number++);
        for (const n of waiting) expect(iommu.send(handFrame(plain.number, iommu.number, 60, n))).toBe(true);
        await lab.start([`a=${ROLE}`, `b=${ROLE}`]);
        await connect();
        const got: number[] = [];
        await until("the frames that waited", () => {
          for (const frame of plain.receive()) if (frame.length === 60) got.push(numberOf(frame));
          return waiting.every((n) => got.includes(n)) || undefined;
        });
        expect(got).toEqual(waiting);
      }
    } finally {
      iommu.close();
      plain.close();
      closeFd(area.fd);
      await lab.close();
    }
  });
});
