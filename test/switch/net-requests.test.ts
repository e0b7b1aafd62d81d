// A network device's own requests to a running switch, and a single ring that is stopped and started beside the others.

import { expect, test } from "vitest";
import { VIRTIO_F_VERSION_1, VIRTIO_NET_F_MTU } from "../../assembly/spec/virtio.js";
import { bits } from "../../src/core/feature-bits.js";
import { parseMac } from "../../src/core/mac.js";
import { createEventFd, drain } from "../../src/sys/eventfd.js";
import type { Payload } from "../../src/vhost-user/message.js";
import { describeLinux, useDescriptors } from "../sys/linux.js";
import { u64, vringFd } from "../vhost-user/requests.js";
import { handFrame, pass } from "./support/hand-guest.js";
import { Lab, until } from "./support/lab.js";
import { Pair } from "./support/traffic.js";
import { useLab } from "./support/use-lab.js";

const { own } = useDescriptors();
const MAC = "52:54:00:00:be:ef";
const CONFIG = 1n << 9n;

describeLinux("SEND_RARP", () => {
  const group = useLab();

  test("F9: a broadcast RARP request reaches the others, and the address moves to the port", async () => {
    const { lab } = group;
    const names = group.ports(3) as [string, string, string];
    const [moved, other, third] = [group.hand({ pairs: 2 }), group.hand(), group.hand()];
    for (const [i, guest] of [moved, other, third].entries()) await guest.start(lab.file(names[i]!));
    const fdb = () => lab.control.fdb();
    // Until now the address was elsewhere.
    const mac = parseMac(MAC)!;
    const before = handFrame(third.number, 1, 60, 0);
    before.set(Buffer.from(MAC.replaceAll(":", ""), "hex"), 6);
    third.send(before);
    await until("the address at the third", async () =>
      (await fdb()).find((e) => e.mac === MAC && e.port === names[2]),
    );
    for (let round = 0; round < 3; round++) {
      await moved.expectDone("SEND_RARP", u64(mac));
      for (const guest of [other, third]) {
        const isRarp = (bytes: Uint8Array) => bytes[12] === 0x80 && bytes[13] === 0x35;
        const got = await until("the RARP request", () => guest.receive().find(isRarp));
        expect(Buffer.from(got).toString("hex")).toBe(
          `ffffffffffff${hex(MAC)}8035${"0001080006040003"}${hex(MAC)}00000000${hex(MAC)}00000000${"00".repeat(18)}`,
        );
      }
      expect((await fdb()).find((entry) => entry.mac === MAC)?.port).toBe(names[0]);
    }
    expect([...moved.receive(0), ...moved.receive(1)].filter((bytes) => bytes[12] === 0x80)).toEqual([]);
    // The guest's own queues never noticed, and its counters have none of it.
    for (let i = 0; i < 10; i++) await pass(moved, other, i);
    const { queues, rxFrames, regions } = await lab.port(names[0]);
    expect([queues.length, rxFrames, regions.length]).toEqual([4, 10, 1]);
    // Before it has any ring or features it can do so too.
    const early = group.hand();
    const [name] = group.ports(1) as [string];
    early.connect(lab.file(name));
    await early.say("SET_PROTOCOL_FEATURES", u64(8n));
    await early.expectDone("SEND_RARP", u64(mac));
    expect((await fdb()).find((entry) => entry.mac === MAC)?.port).toBe(name);
  });
});

describeLinux("MTU and configuration space", () => {
  const group = useLab();

  test("NET_SET_MTU is shown, and refused beyond its limits", async () => {
    const { lab } = group;
    const [vm1] = group.ports(1) as [string];
    const guest = group.hand();
    await guest.start(lab.file(vm1));
    expect((await lab.port(vm1)).mtu).toBeUndefined();
    await guest.expectDone("NET_SET_MTU", u64(9000n));
    expect((await lab.port(vm1)).mtu).toBe(9000);
    expect(await guest.ack("NET_SET_MTU", u64(67n))).toBe(1n);
    expect(await lab.error(vm1, /NET_SET_MTU/)).toContain("67 is no MTU, which is 68 to 65535");
    expect((await lab.port(vm1)).mtu).toBe(9000);
  });

  test("F26, F37: a driver that agrees to it gets nothing longer, and whoever comes after it is not bound by it", async () => {
    const { lab } = group;
    const [vm1, vm2] = group.ports(2) as [string, string];
    const other = group.hand();
    await other.start(lab.file(vm2));
    const longer = async (features: bigint, mtu?: bigint) => {
      const guest = group.hand({ features });
      await guest.start(lab.file(vm1));
      if (mtu !== undefined) await guest.expectDone("NET_SET_MTU", u64(mtu));
      await pass(guest, other, 0);
      for (const [i, length] of [1515, 1514].entries()) {
        expect(other.send(handFrame(guest.number, other.number, length, i))).toBe(true);
      }
      const lengths: number[] = [];
      await until("the frame that fits", () => {
        lengths.push(...guest.receive().map((bytes) => bytes.length));
        return lengths.includes(1514) || undefined;
      });
      const { drops } = await lab.port(vm1);
      guest.leave();
      await lab.when(vm1, ({ state }) => state === "waiting");
      return { lengths, dropped: drops.mtu ?? 0 };
    };
    const agreed = bits(VIRTIO_F_VERSION_1, VIRTIO_NET_F_MTU);
    expect(await longer(agreed, 1500n)).toEqual({ lengths: [1514], dropped: 1 });
    expect(await longer(agreed)).toEqual({ lengths: [1515, 1514], dropped: 1 });
    expect(await longer(bits(VIRTIO_F_VERSION_1), 1500n)).toEqual({ lengths: [1515, 1514], dropped: 1 });
  });

  test("a port with a MAC address and an MTU offers them in the configuration space, others offer none", async () => {
    const lab = group.later(new Lab());
    const path = lab.file("tuned");
    await lab.start(["plain=listen"], ["--port", `tuned=listen:${path},mac=${MAC},mtu=9000,queues=3`]);
    const [guest, plain] = [group.hand(), group.hand()];
    guest.connect(path);
    plain.connect(lab.file("plain"));
    const offered = async (who: typeof guest) => {
      const payload = await who.get("GET_PROTOCOL_FEATURES");
      return payload.kind === "u64" && (payload.value & CONFIG) !== 0n;
    };
    expect([await offered(guest), await offered(plain)]).toEqual([true, false]);
    const all: Payload = { kind: "config", offset: 0, flags: 0, data: new Uint8Array(12) };
    const space = await guest.get("GET_CONFIG", all);
    expect(space.kind === "config" && Buffer.from(space.data).toString("hex")).toBe(`${hex(MAC)}010003002823`);
    expect(await plain.get("GET_CONFIG", all)).toEqual({ kind: "none" });
    expect((await lab.port("tuned")).mtu).toBe(9000);
  });
});

describeLinux("SET_VRING_ERR", () => {
  const group = useLab();

  test("is signalled when the guest breaks the ring, once, and again to a descriptor that comes later", async () => {
    const { lab } = group;
    const [vm1, vm2] = group.ports(2) as [string, string];
    const [guest, other] = [group.hand(), group.hand()];
    await other.start(lab.file(vm2));
    await guest.start(lab.file(vm1));
    const [err, later, wrong] = [createEventFd(), createEventFd(), createEventFd()].map(own) as [
      number,
      number,
      number,
    ];
    await guest.expectDone("SET_VRING_ERR", vringFd(1), [err]);
    await guest.expectDone("SET_VRING_ERR", vringFd(0), [wrong]);
    await pass(guest, other, 1);
    expect(drain(err)).toBeNull();
    const ring = guest.rings[1]!;
    guest.data.setUint16(guest.at(ring.place.avail) + 2, 5000, true);
    ring.notify();
    expect(await until("the signal", () => drain(err) ?? undefined)).toBe(1n);
    await guest.expectDone("SET_VRING_ERR", vringFd(1), [later]);
    expect(drain(later)).toBe(1n);
    expect([drain(err), drain(wrong)]).toEqual([null, null]);
  });
});

describeLinux("A ring that is set up anew", () => {
  const group = useLab();

  test("one ring is stopped and started as new while the others go on and lose nothing", async () => {
    const { lab } = group;
    const [vm1, vm2, a, b] = group.ports(4) as [string, string, string, string];
    const [guest, other] = [group.hand({ pairs: 2 }), group.hand()];
    await other.start(lab.file(vm2));
    await guest.start(lab.file(vm1));
    const pair = group.later(await Pair.attach(lab, [a, b], 40)).go();
    for (let round = 0; round < 10; round++) {
      for (const index of [1, 0]) {
        await guest.stopRing(index);
        // Its other pair sends and the port's other receiveq takes meanwhile.
        await pass(guest, other, round, [0, 1]);
        await pass(other, guest, round, [index === 0 ? 1 : 0, 0]);
        const ring = guest.rings[index]!;
        ring.reset();
        if (index === 0) ring.offer(ring.buffers);
        await guest.setUp(ring);
      }
      await pass(guest, other, 100 + round);
      await pass(other, guest, 100 + round);
    }
    await pair.settle();
    expect((await lab.port(vm1)).lastError).toBeUndefined();
  });
});

function hex(mac: string): string {
  return mac.replaceAll(":", "");
}
