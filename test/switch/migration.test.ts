// A live migration as the switch sees it: while frames flow, the front-end shares a dirty log, follows its marks and stops
// the rings at last. And the port's state, which the next switch is given.

import { execFileSync } from "node:child_process";
import { closeSync, constants, openSync, readSync, writeSync } from "node:fs";
import { expect, test } from "vitest";
import { VHOST_F_LOG_ALL } from "../../assembly/spec/virtio.js";
import { createEventFd, drain } from "../../src/sys/eventfd.js";
import { closeFd } from "../../src/sys/memfd.js";
import { setNonBlocking } from "../../src/sys/socket.js";
import { QEMU_PROTOCOL_FEATURES } from "../../src/vhost-user/front-end-session.js";
import type { Payload } from "../../src/vhost-user/message.js";
import { describeLinux } from "../sys/linux.js";
import { u64 } from "../vhost-user/requests.js";
import { Flow } from "./support/flow.js";
import { type HandGuest, handFrame, pass } from "./support/hand-guest.js";
import { until } from "./support/lab.js";
import { RamFile } from "../../src/guest/ram-file.js";
import { useLab } from "./support/use-lab.js";

const PAGE = 4096;
const LOG_ALL = 1n << BigInt(VHOST_F_LOG_ALL);
const PROTOCOL_FEATURES_BIT = 1n << 30n;
const LOG_SHMFD = 1n << 1n;
const DEVICE_STATE = 1n << 19n;

/** Whoever migrates a guest: a copy of its memory, and the dirty log that says what has to be copied again. */
class Migration {
  private readonly file: RamFile;
  private readonly log: Uint8Array;
  private readonly copy: Uint8Array;
  marked = 0;

  constructor(
    private readonly guest: HandGuest,
    window = guest.files[0]!.windowEnd,
  ) {
    const { region } = guest.files[0]!;
    // The log begins in the middle of a file's page, as mmap_offset may say.
    const bytes = Math.ceil(Number(region.guestAddress + region.size) / PAGE / 8);
    this.file = new RamFile(guest.memory, { window, guestAddress: 0n, bytes, mmapOffset: 512 });
    this.log = new Uint8Array(guest.memory.buffer, this.file.at(0n), bytes);
    this.copy = this.memory.slice();
  }

  /** Where the test's memory is free behind the log. */
  get windowEnd(): number {
    return this.file.windowEnd;
  }

  /** Has the switch log. */
  async begin(): Promise<void> {
    expect(await setLog(this.guest, this.file.fd, { mmapSize: BigInt(this.log.length), mmapOffset: 512n })).toBe(0n);
    await logAll(this.guest, true);
    this.copy.set(this.memory);
  }

  /** Takes the marks, then the pages, as a front-end does. */
  round(): void {
    const first = Number(this.guest.files[0]!.region.guestAddress) / PAGE;
    for (let byte = 0; byte < this.log.length; byte++) {
      const bits = Atomics.exchange(this.log, byte, 0);
      for (let bit = 0; bit < 8; bit++) {
        if ((bits & (1 << bit)) === 0) continue;
        this.marked++;
        const at = (byte * 8 + bit - first) * PAGE;
        if (at < 0 || at >= this.copy.length)
          throw new Error(`page ${byte * 8 + bit} is marked, which the guest has not`);
        this.copy.set(this.memory.subarray(at, at + PAGE), at);
      }
    }
  }

  /** Pages that differ, but for those that the guest itself writes. */
  lost(own: Set<number>): number[] {
    const pages = Array.from({ length: this.copy.length / PAGE }, (_, page) => page);
    return pages.filter((page) => {
      const [from, to] = [page * PAGE, (page + 1) * PAGE];
      return !own.has(page) && Buffer.compare(this.copy.subarray(from, to), this.memory.subarray(from, to)) !== 0;
    });
  }

  close(): void {
    this.file.close();
  }

  private get memory(): Uint8Array {
    const { region } = this.guest.files[0]!;
    return this.guest.bytes(region.guestAddress, Number(region.size));
  }
}

async function setLog(guest: HandGuest, fd: number, log: { mmapSize: bigint; mmapOffset: bigint }): Promise<bigint> {
  return guest.ack("SET_LOG_BASE", { kind: "log", ...log }, [fd]);
}

function logAll(guest: HandGuest, on: boolean): Promise<void> {
  return guest.expectDone("SET_FEATURES", u64(guest.features | PROTOCOL_FEATURES_BIT | (on ? LOG_ALL : 0n)));
}

/** Rings whose used parts lie in pages of their own; returns the numbers of the pages that the guest writes. */
function setApart(guest: HandGuest): Set<number> {
  const file = guest.files[0]!;
  const own = new Set<number>();
  const note = (from: bigint, to: bigint) => {
    for (let at = from; at < to; at += BigInt(PAGE)) own.add(Number(at - file.region.guestAddress) / PAGE);
  };
  const page = () => file.allocate(0, PAGE);
  for (const [index, ring] of guest.rings.entries()) {
    const begin = page();
    const [desc, avail] = [file.allocate(16 * ring.size, 64), file.allocate(6 + 2 * ring.size, 64)];
    note(begin, page());
    const used = file.allocate(6 + 8 * ring.size, PAGE);
    const buffers = page();
    guest.rings[index] = guest.makeRing(index, ring.size, file, { desc, avail, used });
    // A transmitq's buffers are the guest's.
    if (index % 2 === 1) note(buffers, page());
  }
  return own;
}

describeLinux("a migration under load", () => {
  const group = useLab();

  async function start() {
    const { lab } = group;
    const [vm1, vm2] = group.ports(2) as [string, string];
    const [sender, receiver] = [group.hand(), group.hand()];
    const own = setApart(receiver);
    await receiver.start(lab.file(vm2));
    await sender.start(lab.file(vm1));
    await receiver.say("SET_PROTOCOL_FEATURES", u64(QEMU_PROTOCOL_FEATURES | LOG_SHMFD));
    receiver.send(handFrame(1, 2, 60, 0));
    await until("the receiver's first frame", () => sender.receive().length > 0 || undefined);
    const drops = async () => {
      const ports = await Promise.all([lab.port(vm1), lab.port(vm2)]);
      return ports.flatMap((port) => Object.values(port.drops)).reduce((sum, count) => sum + count, 0);
    };
    return { lab, vm1, vm2, sender, receiver, own, drops };
  }

  test("no frame is lost, and the copy is the memory when the rings have stopped", async () => {
    const { lab, vm2, sender, receiver, own, drops } = await start();
    const before = lab.guestMappings();
    const migration = group.later(new Migration(receiver));
    const flow = new Flow(sender, receiver).go();
    await flow.more(50);
    expect((await lab.port(vm2)).migration).toBeUndefined();
    await migration.begin();
    expect((await lab.port(vm2)).migration).toEqual({ role: "source" });
    expect(lab.guestMappings()).toBe(before + 1);
    for (let round = 0; round < 20; round++) {
      await flow.more(30);
      migration.round();
    }
    expect(await flow.settle(drops)).toBe(0);
    flow.go();
    await flow.more(20);
    // The guest stands still, its rings do not yet: what comes now fills the receive buffers.
    flow.stop();
    for (let i = 0; i < 20; i++) sender.send(handFrame(2, 1, 900, 100_000 + i));
    for (const ring of receiver.rings) await receiver.stopRing(ring.index);
    migration.round();
    expect(migration.lost(own)).toEqual([]);
    expect(migration.marked).toBeGreaterThan(100);
  });

  test("it is given up: no mark comes after LOG_ALL has gone, and the rings notice nothing of either", async () => {
    const { sender, receiver, own, drops } = await start();
    const migration = group.later(new Migration(receiver));
    const flow = new Flow(sender, receiver).go();
    for (let round = 0; round < 10; round++) {
      await migration.begin();
      await flow.more(20);
      await logAll(receiver, false);
      migration.round();
      const { marked } = migration;
      await flow.more(20);
      migration.round();
      expect(migration.marked).toBe(marked);
    }
    expect(await flow.settle(drops)).toBe(0);
    expect(migration.lost(own).length).toBeGreaterThan(0);
  });

  test("a log takes the place of another while frames flow, as when memory is added", async () => {
    const { lab, sender, receiver, drops } = await start();
    const flow = new Flow(sender, receiver).go();
    const before = lab.guestMappings();
    const first = group.later(new Migration(receiver));
    const logs = [first, group.later(new Migration(receiver, first.windowEnd))];
    for (let round = 0; round < 10; round++) {
      const [old, next] = round % 2 === 0 ? logs : [...logs].reverse();
      await next!.begin();
      old!.round();
      const { marked } = old!;
      await flow.more(20);
      old!.round();
      expect(old!.marked).toBe(marked);
      next!.round();
      expect(lab.guestMappings()).toBe(before + 1);
    }
    expect(await flow.settle(drops)).toBe(0);
    expect(logs.map(({ marked }) => marked > 20)).toEqual([true, true]);
  });

  test("SET_LOG_FD: an eventfd is signalled whenever pages were marked, and no more when LOG_ALL has gone", async () => {
    const { sender, receiver } = await start();
    const migration = group.later(new Migration(receiver));
    const marks = createEventFd();
    group.later({ close: () => closeFd(marks) });
    await receiver.expectDone("SET_LOG_FD", { kind: "none" }, [marks]);
    await pass(sender, receiver, 1);
    expect(drain(marks)).toBeNull();
    await migration.begin();
    for (let number = 2; number < 50; number++) {
      drain(marks);
      await pass(sender, receiver, number);
      // A front-end that waits for the signal finds the marks.
      await until("the signal", () => drain(marks) ?? undefined);
      const { marked } = migration;
      migration.round();
      expect(migration.marked).toBeGreaterThan(marked);
    }
    await logAll(receiver, false);
    drain(marks);
    for (let number = 50; number < 60; number++) await pass(sender, receiver, number);
    expect(drain(marks)).toBeNull();
  });

  test("SET_LOG_FD: what is no eventfd is refused, the one before stays; a full one, made to block, holds nobody up", async () => {
    const { lab, vm2, sender, receiver } = await start();
    const migration = group.later(new Migration(receiver));
    const marks = createEventFd();
    group.later({ close: () => closeFd(marks) });
    await receiver.expectDone("SET_LOG_FD", { kind: "none" }, [marks]);
    expect(await receiver.ack("SET_LOG_FD", { kind: "none" }, [receiver.files[0]!.fd])).toBe(1n);
    await lab.error(vm2, /the descriptor of SET_LOG_FD is no eventfd but /);
    await migration.begin();
    await pass(sender, receiver, 1);
    await until("the signal", () => drain(marks) ?? undefined);
    writeSync(marks, Uint8Array.of(0xfe, 255, 255, 255, 255, 255, 255, 255));
    setNonBlocking(marks, false);
    for (let number = 2; number < 20; number++) await pass(sender, receiver, number);
    expect((await lab.port(vm2)).state).toBe("running");
  });

  test("M3: a log that its file does not hold, or no file at all, is refused, and LOG_ALL with it", async () => {
    const { lab, vm2, sender, receiver } = await start();
    const descriptors = lab.descriptors();
    const bytes = BigInt(receiver.files[0]!.region.size);
    const short = receiver.files[0]!.fd;
    expect(await setLog(receiver, short, { mmapSize: bytes + 1n, mmapOffset: 0n })).toBe(1n);
    await lab.error(vm2, /SET_LOG_BASE \(6\) failed: the dirty log of \d+ bytes: its file has/);
    const eventFd = createEventFd();
    expect(await setLog(receiver, eventFd, { mmapSize: 4096n, mmapOffset: 0n })).toBe(1n);
    closeFd(eventFd);
    await lab.error(vm2, /the dirty log of 4096 bytes: its descriptor is no memory file/);
    await expect(logAll(receiver, true)).rejects.toThrow("refused SET_FEATURES");
    await pass(sender, receiver, 1);
    receiver.leave();
    await lab.vacant(vm2);
    await lab.noMoreDescriptors(descriptors);
  });

  test("who leaves in the middle leaves nothing behind", async () => {
    const { lab, vm2, receiver } = await start();
    const before = lab.guestMappings();
    const migration = group.later(new Migration(receiver));
    await migration.begin();
    receiver.leave();
    await lab.vacant(vm2);
    expect(lab.guestMappings()).toBe(before - 1);
  });
});

describeLinux("the state of a port", () => {
  const group = useLab();
  const [SAVE, LOAD] = [0, 1].map((direction): Payload => ({ kind: "deviceState", direction, phase: 0 }));
  const NO_FD = 0x100n;
  let pipes = 0;

  /** A pipe: its reading and its writing end, neither of which blocks. */
  function pipe(): { read: number; write: number } {
    const path = group.lab.file(`pipe${pipes++}`);
    execFileSync("mkfifo", [path]);
    const read = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
    return { read, write: openSync(path, constants.O_WRONLY | constants.O_NONBLOCK) };
  }

  async function device(name: string): Promise<HandGuest> {
    const guest = group.hand();
    await guest.start(group.lab.file(name));
    await guest.say("SET_PROTOCOL_FEATURES", u64(QEMU_PROTOCOL_FEATURES | DEVICE_STATE));
    return guest;
  }

  async function stopped(guest: HandGuest): Promise<HandGuest> {
    for (const ring of guest.rings) await guest.stopRing(ring.index);
    return guest;
  }

  async function value(guest: HandGuest, name: "CHECK_DEVICE_STATE"): Promise<bigint> {
    const payload = await guest.get(name);
    return payload.kind === "u64" ? payload.value : -1n;
  }

  /** The whole of a load: these bytes, then the end; the verdict. */
  async function load(guest: HandGuest, bytes: Uint8Array): Promise<bigint> {
    const { read, write } = pipe();
    expect(await guest.ack("SET_DEVICE_STATE_FD", LOAD!, [read])).toBe(NO_FD);
    closeSync(read);
    writeSync(write, bytes);
    closeSync(write);
    return value(guest, "CHECK_DEVICE_STATE");
  }

  async function save(guest: HandGuest): Promise<Buffer> {
    const { read, write } = pipe();
    expect(await guest.ack("SET_DEVICE_STATE_FD", SAVE!, [write])).toBe(NO_FD);
    closeSync(write);
    expect(await value(guest, "CHECK_DEVICE_STATE")).toBe(0n);
    const bytes = Buffer.alloc(65_536);
    const length = readSync(read, bytes);
    // The writing end has been closed by the switch too.
    expect(readSync(read, bytes, length, 1, null)).toBe(0);
    closeSync(read);
    return bytes.subarray(0, length);
  }

  test("F42: moves to another port: addresses and counters with it", async () => {
    const { lab } = group;
    const [vm1, vm2, other] = group.ports(3) as [string, string, string];
    const [source, peer] = [await device(vm1), await device(other)];
    for (let i = 0; i < 5; i++) source.send(handFrame(peer.number, source.number, 100, i));
    for (let i = 0; i < 3; i++) source.send(handFrame(peer.number, 0x4444, 100, i));
    const sent = await lab.when(vm1, ({ rxFrames }) => rxFrames === 8);
    const addresses = async (name: string) =>
      (await lab.control.fdb()).filter(({ port }) => port === name).map(({ mac }) => mac);
    const learned = await addresses(vm1);
    expect(learned).toHaveLength(2);
    await stopped(source);
    const state = await save(source);
    expect(JSON.parse(state.toString())).toMatchObject({ format: "ringbridge-port", version: 1 });
    const destination = await stopped(await device(vm2));
    expect(await load(destination, state)).toBe(0n);
    expect((await addresses(vm2)).sort()).toEqual(learned.sort());
    expect(await addresses(vm1)).toEqual([]);
    const { rxFrames, rxBytes } = await lab.port(vm2);
    expect([rxFrames, rxBytes]).toEqual([sent.rxFrames, sent.rxBytes]);
  });

  test("M53: refused while rings run; a wrong document, a directory, a stream without end: an error, and all goes on", async () => {
    const { lab } = group;
    const [vm1] = group.ports(1) as [string];
    const guest = await device(vm1);
    const { read, write } = pipe();
    expect(await guest.ack("SET_DEVICE_STATE_FD", LOAD!, [read])).toBe(NO_FD | 1n);
    await stopped(guest);
    const good = JSON.parse((await save(guest)).toString());
    const descriptors = lab.descriptors();
    for (const [bad, reason] of [
      ["no JSON", /is no JSON document/],
      [JSON.stringify({ ...good, version: 2 }), /not one of ringbridge, version 1: version/],
      [JSON.stringify({ ...good, addresses: [["ff:ff", 1]] }), /addresses\.0\.0/],
      [
        JSON.stringify({ ...good, queues: [{ index: 0, frames: -1, bytes: 0, calls: 0, drops: {} }] }),
        /queues\.0\.frames/,
      ],
      ["", /\(0 bytes\) is no JSON/],
    ] as const) {
      expect(await load(guest, Buffer.from(bad))).toBe(1n);
      await lab.error(vm1, reason);
    }
    const folder = openSync(lab.path, constants.O_RDONLY);
    expect(await guest.ack("SET_DEVICE_STATE_FD", SAVE!, [folder])).toBe(NO_FD | 1n);
    closeSync(folder);
    await lab.error(vm1, /is no pipe/);
    expect(await guest.ack("SET_DEVICE_STATE_FD", LOAD!, [read])).toBe(NO_FD);
    closeSync(read);
    const noise = Buffer.alloc(60_000, "x");
    let refused = false;
    for (let sent = 0; !refused && sent < 100 * 2 ** 20; ) {
      try {
        sent += writeSync(write, noise);
      } catch (error) {
        const { code } = error as NodeJS.ErrnoException;
        // EPIPE: the switch has closed its end.
        refused = code === "EPIPE";
        if (code !== "EAGAIN" && !refused) throw error;
        await new Promise(setImmediate);
      }
    }
    expect(refused).toBe(true);
    closeSync(write);
    expect(await value(guest, "CHECK_DEVICE_STATE")).toBe(1n);
    await lab.error(vm1, /more than \d+ bytes/);
    await lab.noMoreDescriptors(descriptors);
    expect(await load(guest, Buffer.from(JSON.stringify(good)))).toBe(0n);
  });

  test("a transfer that never ends is given up", { timeout: 30_000 }, async () => {
    const { lab } = group;
    const [vm1] = group.ports(1) as [string];
    const guest = await stopped(await device(vm1));
    const { read, write } = pipe();
    await guest.ack("SET_DEVICE_STATE_FD", LOAD!, [read]);
    closeSync(read);
    expect(await value(guest, "CHECK_DEVICE_STATE")).toBe(1n);
    closeSync(write);
    await lab.error(vm1, /did not end within/);
  });
});
