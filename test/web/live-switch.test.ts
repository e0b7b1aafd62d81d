// The live page's server on a real switch with real front-ends: rings of both kinds as they move, memory that goes away
// while it is looked at, messages as they come.

import { expect, test } from "vitest";
import { VIRTIO_F_EVENT_IDX, VIRTIO_F_RING_PACKED, VIRTIO_F_VERSION_1 } from "../../assembly/spec/virtio.js";
import { bits } from "../../src/core/feature-bits.js";
import type { PackedRingView, SplitRingView } from "../../src/core/ring-view.js";
import type { LiveChange, LiveMessage, LiveRing, LiveState } from "../../src/web/live.js";
import { pass } from "../switch/support/hand-guest.js";
import { until } from "../switch/support/lab.js";
import { useLab } from "../switch/support/use-lab.js";
import { describeLinux } from "../sys/linux.js";
import { EventReader } from "./support/events.js";

const TOKEN = "a-token-of-this-test";
const PACKED = bits(VIRTIO_F_VERSION_1, VIRTIO_F_RING_PACKED);

describeLinux("a switch that is looked at", () => {
  const group = useLab(["--web", "127.0.0.1:0", "--web-token", TOKEN]);

  async function look(path: string): Promise<EventReader> {
    const { web } = await group.lab.control.status();
    return group.later(await EventReader.open(web + path, TOKEN));
  }
  const ring = (port: string, queue: number) => look(`v1/ring?port=${port}&queue=${queue}`);

  test("shows a split ring as its driver knows it", async () => {
    const [vm1, vm2] = group.ports(2) as [string, string];
    const features = bits(VIRTIO_F_VERSION_1, VIRTIO_F_EVENT_IDX);
    const [a, b] = [group.hand({ size: 8, features }), group.hand({ size: 8 })];
    await a.start(group.lab.file(vm1));
    await b.start(group.lab.file(vm2));
    const receiveq = await ring(vm2, 0);
    const first = (await receiveq.next<LiveRing>())!.data.ring as SplitRingView;
    expect(first).toMatchObject({ kind: "split", size: 8, availIndex: 8, usedIndex: 0, movedBy: 0 });
    expect(first.device).toEqual({ nextAvail: 0, nextUsed: 0 });
    expect(first).not.toHaveProperty("usedEvent");
    // Its eight buffers, each in a descriptor of its own that the device may write.
    const { descriptors, entries } = first;
    expect(descriptors.map(({ index }) => index)).toEqual([0, 1, 2, 3, 4, 5, 6, 7]);
    expect(entries.map(({ head }) => descriptors[head]!.address)).toEqual(
      b.rings[0]!.buffers.map((address) => `0x${address.toString(16)}`),
    );
    expect(descriptors.every(({ length, flags }) => length === 2048 && flags === 2)).toBe(true);

    for (let number = 1; number <= 3; number++) await pass(a, b, number);
    const moved = await receiveq.until<LiveRing>(({ ring }) => (ring as SplitRingView).usedIndex === 3);
    const after = moved.ring as SplitRingView;
    expect(after.device).toEqual({ nextAvail: 3, nextUsed: 3 });
    expect(after.entries.slice(0, 3).map(({ usedId }) => usedId)).toEqual(entries.slice(0, 3).map(({ head }) => head));
    // Frames of 61, 62 and 63 bytes behind a header of 12.
    expect(after.entries.slice(0, 3).map(({ usedLength }) => usedLength)).toEqual([73, 74, 75]);

    // The sender's: chains of two descriptors, and the fields of VIRTIO_F_EVENT_IDX.
    const transmitq = (await (await ring(vm1, 1)).next<LiveRing>())!.data.ring as SplitRingView;
    expect(transmitq).toMatchObject({ availIndex: 3, usedIndex: 3, usedEvent: expect.any(Number) });
    const head = transmitq.descriptors[transmitq.entries[2]!.head]!;
    expect(head).toMatchObject({ flags: 1, length: 12 });
    expect(transmitq.descriptors[head.next]).toMatchObject({ flags: 0, length: 63 });
  });

  test("shows a packed ring as its driver knows it", async () => {
    const [vm1, vm2] = group.ports(2) as [string, string];
    const [a, b] = [group.hand({ size: 4, features: PACKED }), group.hand({ size: 4, features: PACKED })];
    await a.start(group.lab.file(vm1));
    await b.start(group.lab.file(vm2));
    const receiveq = await ring(vm2, 0);
    const first = (await receiveq.next<LiveRing>())!.data.ring as PackedRingView;
    expect(first).toMatchObject({ kind: "packed", size: 4, device: { position: 0, wrap: 1 }, movedBy: 0 });
    // Available in the first round: AVAIL is set, USED is not; the device may write.
    const [AVAIL, USED, WRITE] = [1 << 7, 1 << 15, 2];
    expect(first.entries.map(({ flags }) => flags & (AVAIL | USED | WRITE))).toEqual(
      [0, 1, 2, 3].map(() => AVAIL | WRITE),
    );
    expect(first.entries.map(({ address }) => address)).toEqual(
      b.rings[0]!.buffers.map((address) => `0x${address.toString(16)}`),
    );
    for (let number = 1; number <= 3; number++) await pass(a, b, number);
    const moved = await receiveq.until<LiveRing>(({ ring }) => (ring as PackedRingView).device.position === 3);
    const { entries } = moved.ring as PackedRingView;
    // Taken, given back, and made available again in the second round, but for the last.
    expect(entries.map(({ flags }) => flags & (AVAIL | USED))).toEqual([USED, USED, USED, AVAIL]);
  });

  test("shows a window of a long ring, wherever the device is", async () => {
    const [vm1, vm2] = group.ports(2) as [string, string];
    const ram = { ram: { bytes: 16 << 20 } };
    const [a, b] = [group.hand({ size: 1024, ...ram }), group.hand({ size: 1024, features: PACKED, ...ram })];
    await a.start(group.lab.file(vm1));
    await b.start(group.lab.file(vm2));
    for (let number = 1; number <= 100; number++) await pass(a, b, number);
    const split = (await (await ring(vm1, 1)).next<LiveRing>())!.data.ring as SplitRingView;
    const packed = (await (await ring(vm2, 0)).next<LiveRing>())!.data.ring as PackedRingView;
    const window = Array.from({ length: 256 }, (_, i) => i + 100 - 64);
    for (const { entries } of [split, packed]) expect(entries.map(({ position }) => position)).toEqual(window);
    expect(split.descriptors.length).toBeLessThanOrEqual(256);
  });

  test("loses nothing by it while traffic flows and rings go away and come back", async () => {
    const { lab, steady } = group;
    const [vm1] = group.ports(1) as [string];
    const guest = group.hand();
    await guest.start(lab.file(vm1));
    const file = guest.files[0]!;
    const reader = await ring(vm1, 0);
    const busy = await ring("vm0", 1);
    const place = async () => ((await busy.next<LiveRing>())!.data.ring as SplitRingView).device.nextAvail;
    const from = await place();
    for (let round = 0; round < 5; round++) {
      await reader.until<LiveRing>(({ ring }) => ring !== undefined);
      for (const { index } of guest.rings) await guest.stopRing(index);
      // Its memory goes, all of it.
      await guest.expectDone("REM_MEM_REG", { kind: "memRegion", region: file.region });
      await reader.until<LiveRing>(({ absent }) => absent === "queue 0 does not run");
      await guest.expectDone("ADD_MEM_REG", { kind: "memRegion", region: file.region }, [file.fd]);
      guest.fresh();
      for (const each of guest.rings) await guest.setUp(each);
    }
    await reader.until<LiveRing>(({ ring }) => ring !== undefined);
    guest.leave();
    await lab.vacant(vm1);
    await reader.until<LiveRing>(({ absent }) => absent === "queue 0 does not run");
    await until("a ring that moves", async () => (await place()) !== from || undefined);
    await steady.more(50);
  });

  test("tells of messages that were before, and as they come", async () => {
    const { lab } = group;
    const [vm1] = group.ports(1) as [string];
    const [first, second] = [group.hand(), group.hand()];
    const mine = (messages: LiveMessage[]) => messages.filter(({ port }) => port === vm1);
    await first.start(lab.file(vm1));
    const reader = await look("v1/live");
    const before = mine((await reader.next<LiveState>())!.data.messages);
    expect(before[0]).toMatchObject({ kind: "opened", text: expect.stringMatching(/ \(pid \d+\)$/) });
    const [asked, answered] = before.filter(({ name }) => name === "GET_FEATURES");
    expect([asked?.kind, answered?.kind]).toEqual(["front-end", "back-end"]);
    expect(answered?.text).toMatch(/^0x[0-9a-f]+ .*VERSION_1/);
    expect(before.find(({ name }) => /^(SET_MEM_TABLE|ADD_MEM_REG)$/.test(name))?.text).toContain("memfd");
    expect(before.filter(({ kind, name }) => kind === "ring" && name === "started")).toHaveLength(2);

    first.leave();
    const said: LiveMessage[] = [];
    const more = async (wanted: (message: LiveMessage) => boolean) => {
      await reader.until<LiveChange>(({ messages = [] }) => {
        said.push(...mine(messages));
        return said.some(wanted);
      });
    };
    await more(({ kind }) => kind === "closed");
    await lab.vacant(vm1);
    await second.start(lab.file(vm1));
    await more(({ name, kind }) => name === "enabled" && kind === "ring");
    const connections = new Set(said.map(({ connection }) => connection));
    expect(connections.size).toBe(2);
    expect(said.map(({ number }) => number)).toEqual(said.map(({ number }) => number).sort((x, y) => x - y));
  });

  test("says where it is, and not the token", async () => {
    const status = await group.lab.control.status();
    expect(status.web).toMatch(/^http:\/\/127\.0\.0\.1:\d+\/$/);
    expect(JSON.stringify(status)).not.toContain(TOKEN);
  });
});
