// Front-ends that come, go, come back, come twice and differ: what they leave behind is nothing.

import { rmSync } from "node:fs";
import { afterEach, beforeEach, expect, test } from "vitest";
import {
  VIRTIO_F_EVENT_IDX,
  VIRTIO_F_IN_ORDER,
  VIRTIO_F_INDIRECT_DESC,
  VIRTIO_NET_F_MRG_RXBUF,
} from "../../assembly/spec/virtio.js";
import { bits } from "../../src/core/feature-bits.js";
import { bufferBytesFor } from "../../src/guest/driver.js";
import { LoadGuest, type LoadGuestOptions } from "../../src/guest/load-guest.js";
import { guestMac } from "../../src/guest/traffic.js";
import { describeLinux } from "../sys/linux.js";
import { handFrame, MODERN, pass } from "./support/hand-guest.js";
import { Lab, until } from "./support/lab.js";
import { expectGoodGuests, Pair } from "./support/traffic.js";
import { useLab } from "./support/use-lab.js";

describeLinux("front-ends that come and go", () => {
  const group = useLab();

  test("F3, F4: 200 of them, half cut off at every step of their setup, leave no descriptor and no mapping", async () => {
    const [vm1, vm2] = group.ports(2) as [string, string];
    const guest = group.hand();
    const other = group.hand();
    await other.start(group.lab.file(vm2));
    const steps = [...guest.script()].length;
    let number = 0;
    const whole = async () => {
      await guest.start(group.lab.file(vm1));
      await pass(guest, other, number++);
      guest.leave();
    };
    const cut = async (step: number) => {
      guest.connect(group.lab.file(vm1));
      guest.fresh();
      let left = step;
      for (const request of guest.script()) {
        if (left-- === 0) break;
        await guest.link.exchange(request);
      }
      guest.leave();
    };
    // Warm up: whatever the process opens once and keeps is there afterwards.
    await whole();
    await cut(steps);
    await group.lab.vacant(vm1);
    const before = group.lab.descriptors();
    const mapped = [group.lab.guestMappings(), await group.lab.linearMappings()];
    for (let i = 0; i < 100; i++) {
      await whole();
      await cut(i % (steps + 1));
    }
    const status = await group.lab.vacant(vm1);
    expect(status.connections).toBe(202);
    expect(status.regions).toEqual([]);
    expect(status.queues.map(({ state }) => state)).toEqual(["stopped", "stopped"]);
    await group.lab.noMoreDescriptors(before);
    expect([group.lab.guestMappings(), await group.lab.linearMappings()]).toEqual(mapped);
    expect((await group.lab.port(vm2)).txFrames).toBeGreaterThanOrEqual(101);
  });

  test("one that leaves in the middle of a message is told apart", async () => {
    const [vm1, vm2] = group.ports(2) as [string, string];
    const guest = group.hand();
    guest.connect(group.lab.file(vm1));
    // With the descriptors of the message, which never becomes whole.
    const before = group.lab.descriptors();
    guest.raw(Uint8Array.of(13, 0, 0, 0, 1), [guest.rings[0]!.kick, guest.rings[1]!.kick]);
    guest.leave();
    await group.lab.error(vm1, /^the front-end closed its socket in the middle of a message$/);
    await group.lab.noMoreDescriptors(before);
    await expectGoodGuests(group.lab, [vm1, vm2]);
  });

  test("a second front-end is turned away after a while and named; the first notices nothing", async () => {
    const [vm1, vm2] = group.ports(2) as [string, string];
    const pair = group.later(await Pair.attach(group.lab, [vm1, vm2], 5)).go();
    const second = group.hand();
    second.connect(group.lab.file(vm1));
    expect((await second.lost).message).toBe(`the switch closed the connection at ${group.lab.file(vm1)}`);
    const { lastError, connections, state, peerPid } = await group.lab.port(vm1);
    expect(peerPid).toBe(process.pid);
    expect(lastError).toBe(
      `a second front-end (pid ${process.pid}) was turned away: the port already serves one (pid ${process.pid}); ` +
        "give each guest a port of its own",
    );
    expect([connections, state]).toEqual([1, "running"]);
    await pair.more(200);
    await pair.settle();
  });

  test("of two who wait for a busy port the younger one waits on, the elder is sent away at once", async () => {
    const [vm1] = group.ports(1) as [string];
    const [first, second, third] = [group.hand(), group.hand(), group.hand()];
    await first.start(group.lab.file(vm1));
    second.connect(group.lab.file(vm1));
    third.connect(group.lab.file(vm1));
    await second.lost;
    first.leave();
    await third.negotiate();
    expect((await group.lab.port(vm1)).connections).toBe(2);
  });

  test("a successor who comes before its predecessor's death takes over", async () => {
    const [vm1, vm2] = group.ports(2) as [string, string];
    const other = group.hand();
    await other.start(group.lab.file(vm2));
    let guest = group.hand();
    await guest.start(group.lab.file(vm1));
    for (let i = 0; i < 10; i++) {
      await pass(guest, other, i);
      const successor = group.hand();
      successor.connect(group.lab.file(vm1));
      guest.leave();
      successor.fresh();
      for (const request of successor.script()) await successor.link.exchange(request);
      guest = successor;
    }
    await pass(guest, other, 10);
    const { connections, lastError } = await group.lab.port(vm1);
    expect([connections, lastError]).toEqual([11, undefined]);
  });
});

describeLinux("features", () => {
  const group = useLab();
  const LEGACY = 0n;
  const VARIANTS: [Partial<LoadGuestOptions>, number][] = [
    [{ features: LEGACY }, 10],
    [{ features: MODERN | bits(VIRTIO_NET_F_MRG_RXBUF), rxBufferBytes: bufferBytesFor(500) }, 12],
    [{ features: MODERN | bits(VIRTIO_F_EVENT_IDX) }, 12],
    [{ features: MODERN | bits(VIRTIO_F_IN_ORDER), script: "dpdk" }, 12],
    [{ features: bits(VIRTIO_NET_F_MRG_RXBUF), regions: 2 }, 12],
    [{ features: LEGACY, script: "dpdk" }, 10],
  ];

  test("differ from one front-end to the next on the same port, as between firmware and system", async () => {
    const [vm1, vm2] = group.ports(2) as [string, string];
    for (const [i, [options, headerBytes]] of VARIANTS.entries()) {
      const partner = VARIANTS[(i + 1) % VARIANTS.length]![0];
      const pair = group.later(await Pair.attach(group.lab, [vm1, vm2], 10 * i + 11, [options, partner]));
      expect((await group.lab.port(vm1)).headerBytes).toBe(headerBytes);
      await pair.exchange(100);
      pair.release();
      for (const name of [vm1, vm2]) await group.lab.vacant(name);
    }
  });

  test("differ within one connection: legacy first, then modern with indirect tables and event idx", async () => {
    const [vm1, vm2] = group.ports(2) as [string, string];
    const other = group.hand();
    await other.start(group.lab.file(vm2));
    const firmware = group.hand({ features: 0n });
    await firmware.start(group.lab.file(vm1));
    await pass(firmware, other, 1);
    firmware.leave();
    const system = group.hand({ features: MODERN | bits(VIRTIO_F_INDIRECT_DESC, VIRTIO_F_EVENT_IDX) });
    await system.start(group.lab.file(vm1));
    for (let i = 2; i < 200; i++) await pass(system, other, i);
    // The same connection: the driver resets the device and negotiates anew.
    for (const { index } of system.rings) await system.stopRing(index);
    await system.say("SET_STATUS", { kind: "u64", value: 0n });
    (system as { features: bigint }).features = 0n;
    system.fresh();
    await system.negotiate();
    for (const ring of system.rings) await system.setUp(ring);
    expect((await group.lab.port(vm1)).headerBytes).toBe(10);
    for (let i = 200; i < 230; i++) await pass(system, other, i);
    other.send(handFrame(1, 2, 77, 0));
    await until("the answer", () => system.receive().find((bytes) => bytes.length === 77));
  });
});

describeLinux("a switch that connects", () => {
  let lab: Lab;
  let ends: { release(): void }[];
  beforeEach(() => {
    lab = new Lab();
    ends = [];
  });
  afterEach(async () => {
    for (const it of ends) it.release();
    await lab.close();
  });

  test("waits for the guest's socket, and again whenever it goes", async () => {
    await lab.start(["vm1=connect"]);
    for (let i = 1; i <= 3; i++) {
      const { lastError, state } = await lab.vacant("vm1");
      // Nobody there is no error: guests start when they start.
      expect([lastError, state]).toEqual([undefined, "waiting"]);
      const guest = await LoadGuest.attach({
        ...{ path: lab.file("vm1"), role: "listen", timeoutMs: 15_000 },
        ...{ mac: guestMac(1), flows: [{ from: guestMac(1), to: guestMac(2) }] },
      });
      ends.push(guest);
      expect(guest.send(3)).toBe(3);
      await lab.when("vm1", ({ connections, rxFrames }) => connections === i && rxFrames === 3 * i);
      guest.release();
      rmSync(lab.file("vm1"));
    }
  });

  test("is killed and started again: listening guests go on where they were", async () => {
    const listen = { role: "listen" as const };
    const starting = lab.start(["vm1=connect", "vm2=connect"]);
    const pair = await Pair.attach(lab, ["vm1", "vm2"], 1, listen);
    ends.push(pair);
    await starting;
    for (let i = 0; i < 2; i++) {
      await pair.exchange(300);
      const lost = Promise.all([pair.a, pair.b].map((guest) => new Promise((resolve) => (guest.onLost = resolve))));
      await lab.stop("SIGKILL");
      await lost;
      // What is sent meanwhile waits in the ring.
      pair.a.send(7);
      await lab.start(["vm1=connect", "vm2=connect"]);
      await pair.b.reattach();
      await pair.a.reattach();
      await pair.settle();
    }
    await pair.exchange(300);
    // A worker counts a burst after it has given it away.
    const ports = await until("all frames counted", async () => {
      const { ports: now } = await lab.control.status();
      return now.every(({ rxFrames }) => rxFrames >= 300) ? now : undefined;
    });
    expect(ports.map(({ drops }) => drops)).toEqual([{}, {}]);
  });
});
