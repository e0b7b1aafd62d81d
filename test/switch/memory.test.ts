// Guest memory that comes and goes while the rings run (hotplug under load, case F44): nothing is lost uncounted,
// nothing is changed on its way, and every mapping goes in the end.

import { expect, test } from "vitest";
import { describeLinux, testHugePages } from "../sys/linux.js";
import { memTable } from "../vhost-user/requests.js";
import { Flow } from "./support/flow.js";
import { type HandGuest, handFrame, pass } from "./support/hand-guest.js";
import { until } from "./support/lab.js";
import { type GuestFile, HUGE_PAGE } from "../../src/guest/ram-file.js";
import { Pair } from "./support/traffic.js";
import { useLab } from "./support/use-lab.js";

const MIB = 1 << 20;
const BUFFER_BYTES = 2048;
const HIGH = 0x1_0000_0000n;

describeLinux("memory that changes under running rings", () => {
  const group = useLab();

  async function start(options: { ram?: object } = {}) {
    const { lab } = group;
    const [vm1, vm2] = group.ports(2) as [string, string];
    const [sender, receiver] = [group.hand(options), group.hand(options)];
    await receiver.start(lab.file(vm2));
    await sender.start(lab.file(vm1));
    // The switch knows where the receiver is: nothing is flooded.
    receiver.send(handFrame(1, 2, 60, 0));
    await until("the receiver's first frame", () => sender.receive().length > 0 || undefined);
    const drops = async () => {
      const ports = await Promise.all([lab.port(vm1), lab.port(vm2)]);
      return ports.flatMap((port) => Object.values(port.drops)).reduce((sum, count) => sum + count, 0);
    };
    return { lab, vm1, vm2, sender, receiver, drops };
  }

  const add = (guest: HandGuest, { region, fd }: GuestFile) =>
    guest.expectDone("ADD_MEM_REG", { kind: "memRegion", region }, [fd]);
  const remove = (guest: HandGuest, { region }: GuestFile) =>
    guest.expectDone("REM_MEM_REG", { kind: "memRegion", region });

  test("regions added and removed beside the ones in use disturb no frame", async () => {
    const { lab, vm2, sender, receiver, drops } = await start();
    const before = lab.guestMappings();
    const linear = await lab.linearMappings();
    const flow = new Flow(sender, receiver).go();
    for (const guest of [receiver, sender]) {
      const dimms = Array.from({ length: 4 }, (_, i) =>
        guest.addFile({ guestAddress: HIGH * BigInt(i + 1), bytes: MIB, mmapOffset: 4096 * i, seals: i % 2 === 0 }),
      );
      for (let round = 0; round < 5; round++) {
        for (const dimm of dimms) await add(guest, dimm);
        expect(lab.guestMappings()).toBe(before + dimms.length);
        await flow.more(50);
        for (const dimm of dimms.reverse()) await remove(guest, dimm);
        expect(lab.guestMappings()).toBe(before);
      }
    }
    await flow.more(100);
    expect(await flow.settle(drops)).toBe(0);
    expect(await lab.linearMappings()).toBe(linear);
    expect((await lab.port(vm2)).regions.map(({ shrinkable }) => shrinkable)).toEqual([false]);
  });

  test("receive buffers move to a hotplugged region and back", async () => {
    const { vm2, lab, sender, receiver, drops } = await start();
    const ring = receiver.rings[0]!;
    const dimm = receiver.addFile({ guestAddress: HIGH, bytes: MIB });
    const there = Array.from({ length: ring.size }, () => dimm.allocate(BUFFER_BYTES, 64));
    let place = ring.buffers;
    // Each buffer given back is replaced by its neighbour in the other file.
    const spare = new Set<bigint>();
    const flow = new Flow(sender, receiver, () => {
      const free = place.filter((address) => !spare.has(address)).slice(0, ring.driver.freeDescriptors);
      for (const address of free) spare.add(address);
      return free;
    });
    const move = (to: bigint[]) => {
      place = to;
      spare.clear();
    };
    for (const address of ring.buffers) spare.add(address);
    flow.go();
    await flow.more(20);
    for (let round = 0; round < 4; round++) {
      await add(receiver, dimm);
      expect((await lab.port(vm2)).regions).toHaveLength(2);
      for (const to of [there, ring.buffers]) {
        move(to);
        const target = flow.received.size + 64;
        await until("all buffers of one file to be used", () => {
          if (ring.driver.freeDescriptors === ring.size) return true;
          return flow.received.size >= target || undefined;
        });
      }
      await remove(receiver, dimm);
    }
    await flow.settle(drops);
  });

  test("M37: a new table for the same memory pauses the rings and loses nothing uncounted", async () => {
    const { lab, vm1, sender, receiver, drops } = await start();
    const before = lab.guestMappings();
    const flow = new Flow(sender, receiver).go();
    // The sender's: what it has made available waits meanwhile.
    for (let round = 0; round < 10; round++) {
      await sender.giveMemory();
      await flow.more(30);
    }
    flow.stop();
    expect(await flow.settle(drops)).toBe(0);
    // The receiver's: what comes while its ring stands is dropped, and counted by cause.
    flow.go();
    for (let round = 0; round < 10; round++) {
      await receiver.giveMemory();
      await flow.more(30);
    }
    const dropped = await flow.settle(drops);
    // The sender's port has all of them: there was no queue to give them to.
    expect((await lab.port(vm1)).drops).toEqual(dropped === 0 ? {} : { "port-down": dropped });
    expect(lab.guestMappings()).toBe(before);
  });

  test("a table without the memory of the rings stops them until it is back", async () => {
    const { lab, vm1, sender, receiver } = await start();
    const dimm = sender.addFile({ guestAddress: HIGH, bytes: MIB });
    for (let i = 0; i < 3; i++) {
      await sender.expectDone("SET_MEM_TABLE", memTable(dimm.region), [dimm.fd]);
      expect(await lab.error(vm1, /stays stopped/)).toMatch(
        /^SET_MEM_TABLE \(5\): queue [01] stays stopped: its descriptor table \(1024 bytes at 0x[0-9a-f]+\) lies in no memory region$/,
      );
      expect((await lab.port(vm1)).state).toBe("connected");
      sender.send(handFrame(2, 1, 100, 1000 + i));
      await sender.giveMemory();
      const arrived = () => receiver.receive().some((bytes) => bytes.length === 100);
      await until("the frame that waited", () => arrived() || undefined);
      await remove(sender, dimm);
    }
  });

  test("rings in the region that is removed stop; another of its kind starts them again", async () => {
    const { lab, vm1, sender, receiver } = await start();
    await pass(sender, receiver, 1);
    await remove(sender, sender.files[0]!);
    expect((await lab.port(vm1)).state).toBe("connected");
    await lab.error(
      vm1,
      /^REM_MEM_REG \(38\): queue 0 stays stopped: |queue 1 stays stopped: there is no guest memory/,
    );
    await add(sender, sender.files[0]!);
    await pass(sender, receiver, 2);
    expect(
      await sender.ack("REM_MEM_REG", { kind: "memRegion", region: { ...sender.files[0]!.region, size: 1n } }),
    ).toBe(1n);
    await lab.error(vm1, /^REM_MEM_REG \(38\) refused: there is no such memory region$/);
    await pass(sender, receiver, 3);
  });

  test("load guests whose receive buffers lie in a second region", async () => {
    const { lab } = group;
    const [vm1, vm2] = group.ports(2) as [string, string];
    const pair = group.later(await Pair.attach(lab, [vm1, vm2], 20, [{ regions: 2, script: "dpdk" }, { regions: 2 }]));
    await pair.exchange(500);
    expect((await lab.port(vm1)).regions).toHaveLength(2);
  });

  testHugePages(8, "huge pages", async () => {
    const ram = { hugePages: true, bytes: 2 * HUGE_PAGE };
    const { lab, sender, receiver, drops } = await start({ ram });
    const before = lab.guestMappings();
    const flow = new Flow(sender, receiver).go();
    for (let round = 0; round < 3; round++) {
      await sender.giveMemory();
      await flow.more(20);
      await receiver.giveMemory();
      await flow.more(20);
    }
    await flow.settle(drops);
    expect(lab.guestMappings()).toBe(before);
  });
});
