// A postcopy migration as the switch sees it: rings and buffers in pages that come when somebody waits for them, late, or
// never. The worker that waits is everybody's; the main thread waits for nobody.

import { setTimeout as sleep } from "node:timers/promises";
import { describe, expect, test } from "vitest";
import { closeFd, createMemfd } from "../../src/sys/memfd.js";
import { userfaultFault } from "../../src/sys/userfault.js";
import { numberOf } from "../core/support/frames.js";
import { describeLinux, testHugePages } from "../sys/linux.js";
import { handFrame, pass } from "./support/hand-guest.js";
import { Lab, until } from "./support/lab.js";
import { PostcopyGuest } from "./support/postcopy-guest.js";
import { useLab } from "./support/use-lab.js";

const ROLE = "listen,postcopy=true";
/** More than a worker has for a poll when nobody waits for pages. */
const LONG_MS = 5500;
const FRAMES = 8;
const reason = userfaultFault();

describeLinux("a postcopy migration to a port", () => {
  if (reason !== undefined) {
    console.log(`skipped: postcopy migration: ${reason}`);
    describe.skip(`no userfaultfd: ${reason}`, () => test("is skipped", () => {}));
    return;
  }
  const group = useLab([], ROLE);

  async function start() {
    const { lab } = group;
    const [vm1, vm2] = group.ports(2) as [string, string];
    const [moved, peer] = [group.later(new PostcopyGuest()), group.hand()];
    await peer.start(lab.file(vm2));
    await moved.listen(lab.file(vm1));
    return { lab, vm1, vm2, moved, peer };
  }

  /** The rings run, their pages are there, and frames for the guest have made a worker wait for a receive buffer. */
  async function stuck() {
    const scene = await start();
    const { lab, vm1, moved, peer } = scene;
    const rings = new Set(moved.hand.rings.flatMap((ring) => moved.pagesOf(ring)));
    moved.brings = (page) => rings.has(page);
    await moved.describeRings();
    await lab.when(vm1, ({ queues }) => queues.length === 2 && queues.every(({ state }) => state === "running"));
    // The first buffers lie in the last page of the rings.
    for (let number = 0; number < FRAMES; number++) peer.send(handFrame(moved.hand.number, peer.number, 200, number));
    const page = await until("a page that is waited for", () => moved.asked.find((asked) => !rings.has(asked)));
    return { ...scene, page };
  }

  test("frames go into pages that are brought for them, and out of them; then all have come", async () => {
    const { lab, vm1, moved, peer } = await start();
    await moved.describeRings();
    await lab.when(vm1, ({ queues }) => queues.length === 2 && queues.every(({ state }) => state === "running"));
    for (let number = 0; number < 100; number++) await pass(peer, moved.hand, number);
    expect(moved.asked.length).toBeGreaterThan(10);
    moved.bringAll();
    expect(await moved.number("POSTCOPY_END")).toBe(0n);
    expect((await lab.port(vm1)).migration).toBeUndefined();
    for (let number = 0; number < 100; number++) {
      await pass(moved.hand, peer, number);
      await pass(peer, moved.hand, number);
    }
    expect((await lab.port(vm1)).lastError).toBeUndefined();
  });

  testHugePages(8, "memory of huge pages: they come one by one as well", async () => {
    const { lab } = group;
    const [vm1, vm2] = group.ports(2) as [string, string];
    const [moved, peer] = [group.later(new PostcopyGuest(true)), group.hand()];
    await peer.start(lab.file(vm2));
    await moved.listen(lab.file(vm1));
    await moved.describeRings();
    await lab.when(vm1, ({ queues }) => queues.length === 2 && queues.every(({ state }) => state === "running"));
    for (let number = 0; number < 20; number++) await pass(peer, moved.hand, number);
    expect(moved.asked.length).toBeGreaterThan(0);
    moved.bringAll();
    expect(await moved.number("POSTCOPY_END")).toBe(0n);
    for (let number = 0; number < 20; number++) await pass(moved.hand, peer, number);
  });

  test("while a worker waits for a page the switch answers, and who needs the worker waits with it, however long", async () => {
    const { lab, vm1, moved, page } = await stuck();
    const [vm3] = group.ports(1) as [string];
    const other = group.hand();
    let started = false;
    const start = other.start(lab.file(vm3)).then(() => {
      started = true;
    });
    await lab.when(vm3, ({ state }) => state === "connected");
    await sleep(LONG_MS);
    expect([(await lab.port(vm3)).lastError, started]).toEqual([undefined, false]);
    // An operator sees why.
    const { workers } = await lab.control.status();
    expect(workers.map(({ state }) => state)).toContain("stalled");
    const lateBytes = moved.hand.files.reduce((sum, { region }) => sum + Number(region.size), 0);
    expect((await lab.port(vm1)).migration).toEqual({ role: "postcopy", lateBytes });
    moved.brings = () => true;
    moved.bring(page);
    await start;
    const got: number[] = [];
    await until("the frames", () => {
      got.push(
        ...moved.hand
          .receive()
          .filter(({ length }) => length === 200)
          .map(numberOf),
      );
      return got.length >= FRAMES || undefined;
    });
    expect(got).toEqual(Array.from({ length: FRAMES }, (_, number) => number));
    moved.bringAll();
    expect(await moved.number("POSTCOPY_END")).toBe(0n);
  });

  test.each([
    ["dies", undefined],
    ["leaves, but for the userfaultfd", "userfaultfd"],
  ] as const)("the front-end %s: the worker goes on, and the guest's file has no page by it", async (_, keeps) => {
    const { lab, vm1, moved } = await stuck();
    const before = moved.presentBytes;
    moved.leave(keeps);
    await lab.vacant(vm1);
    await group.steady.more(30);
    expect(moved.presentBytes).toBe(before);
    expect(Object.keys(lab.descriptors())).not.toContain("anon_inode:[userfaultfd]");
  });

  test("the front-end dies while a ring waits for its pages", async () => {
    const { lab, vm1, moved } = await start();
    moved.brings = () => false;
    await moved.describeRings();
    await until("a page that is waited for", () => moved.asked.length > 0 || undefined);
    expect((await lab.port(vm1)).state).toBe("connected");
    moved.leave();
    await lab.vacant(vm1);
    expect(Object.keys(lab.descriptors())).not.toContain("anon_inode:[userfaultfd]");
  });

  test("memory that can only be mapped in chunks is refused, with a word on what to do; the session goes on", async () => {
    const { lab, vm1, moved } = await start();
    const size = 8n << 30n;
    const fd = createMemfd("big", size);
    const region = { guestAddress: 0n, size, userAddress: 0x1000n, mmapOffset: 0n };
    expect((await moved.give(region, fd)).regions).toEqual([]);
    closeFd(fd);
    expect(await lab.error(vm1, /can not be mapped in chunks/)).toContain("migrate without postcopy");
    expect(await moved.number("POSTCOPY_END")).toBe(0n);
  });

  test("the switch is ended while a worker waits for a page", async () => {
    const lab = new Lab();
    await lab.start([`vm1=${ROLE}`, "vm2=listen"]);
    const moved = group.later(new PostcopyGuest());
    try {
      await moved.listen(lab.file("vm1"));
      moved.brings = () => false;
      await moved.describeRings();
      await until("a page that is waited for", () => moved.asked.length > 0 || undefined);
    } finally {
      await lab.close();
    }
  });
});

describeLinux("a port without postcopy", () => {
  const group = useLab();

  test("does not offer it", async () => {
    const hand = group.hand();
    const [vm1] = group.ports(1) as [string];
    hand.connect(group.lab.file(vm1));
    const offered = await hand.get("GET_PROTOCOL_FEATURES");
    expect(offered.kind === "u64" && offered.value & (1n << 8n)).toBe(0n);
  });
});
