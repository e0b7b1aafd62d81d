// Front-ends whose memory is not what they say it is (cases M39, M44), or lies where rings are hard to place.

import { openSync, writeFileSync } from "node:fs";
import { expect, test } from "vitest";
import { splitRingBytes } from "../../src/core/split-ring.js";
import { createEventFd } from "../../src/sys/eventfd.js";
import { check, libc } from "../../src/sys/libc.js";
import { createMemfd } from "../../src/sys/memfd.js";
import { socketPair } from "../../src/sys/socket.js";
import type { Fd, MemoryRegion } from "../../src/vhost-user/effects.js";
import { describeLinux, useDescriptors, useFolders } from "../sys/linux.js";
import { memTable, u64, vring, vringFd } from "../vhost-user/requests.js";
import { HandGuest, type HandRing, MODERN, pass } from "./support/hand-guest.js";
import { expectGoodGuests } from "./support/traffic.js";
import { useLab } from "./support/use-lab.js";

const MIB = 1 << 20;
const GIB = 1n << 30n;
const RAM_BYTES = 4 * MIB;
const RAM_AT = 0x10_0000n;
const SIZE = 64;
const F_ADD_SEALS = 1033;
const F_SEAL_WRITE = 8;
const { own } = useDescriptors();
const folder = useFolders();

describeLinux("a memory descriptor", () => {
  const group = useLab();
  const file = (flags: string) => {
    const path = `${folder()}/ram`;
    writeFileSync(path, new Uint8Array(RAM_BYTES));
    return own(openSync(path, flags));
  };
  const sealed = () => {
    const fd = own(createMemfd("sealed", RAM_BYTES, { seals: true }));
    check(libc().fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE), "fcntl(F_ADD_SEALS)");
    return fd;
  };
  const NO_FILE = (kind: string) =>
    new RegExp(`its descriptor is no memory file \\(${kind}\\): start QEMU with -object`);
  const KINDS: [string, () => Fd, RegExp, Partial<MemoryRegion>?][] = [
    ["of a folder", () => own(openSync(folder(), "r")), NO_FILE("directory")],
    ["of a socket", () => own(socketPair().map(own)[0]!), NO_FILE("socket")],
    ["of a device", () => own(openSync("/dev/zero", "r+")), NO_FILE("character")],
    ["of an eventfd", () => own(createEventFd()), NO_FILE("other")],
    ["open for reading only", () => file("r"), /its file is open for reading only: start QEMU with/],
    ["open for writing only", () => file("a"), /cannot be mapped: mmap: .*\(EACCES\): start QEMU with/],
    ["sealed against writing", sealed, /cannot be mapped: mmap: .*\(EPERM\): start QEMU with/],
    [
      "of a file that is one byte short",
      () => own(createMemfd("short", RAM_BYTES - 1)),
      /of 4\.0 MiB: its file has 4194303 bytes, the region reaches to 4194304: touching it would be a SIGBUS/,
    ],
    [
      "of an empty file",
      () => own(createMemfd("empty", 0)),
      /its file has 0 bytes, the region reaches to 4194304: touching it would be a SIGBUS/,
    ],
    [
      "with an offset past the file's end",
      () => own(createMemfd("offset", RAM_BYTES)),
      /its file has 4194304 bytes, the region reaches to 4198400/,
      { mmapOffset: 4096n },
    ],
  ];

  test.each(KINDS)("%s is refused, and good memory is taken afterwards", async (_, make, error, change) => {
    const { lab } = group;
    const [vm1, vm2] = group.ports(2) as [string, string];
    const [guest, other] = [group.hand(), group.hand()];
    await other.start(lab.file(vm2));
    guest.connect(lab.file(vm1));
    guest.fresh();
    await guest.negotiate();
    const before = lab.descriptors();
    const used = (await lab.control.status()).memory.windowBytesUsed;
    const fd = make();
    const region = { ...guest.files[0]!.region, ...change };
    // One good region before it: of a table all is taken or nothing.
    const good = guest.addFile({ guestAddress: 16n * GIB, bytes: MIB });
    expect(await guest.ack("SET_MEM_TABLE", memTable(good.region, region), [good.fd, fd])).toBe(1n);
    await lab.error(vm1, error);
    expect(await guest.ack("ADD_MEM_REG", { kind: "memRegion", region }, [fd])).toBe(1n);
    await lab.error(vm1, /^ADD_MEM_REG \(37\) failed: memory region 0x100000 of /);
    expect((await lab.port(vm1)).regions).toEqual([]);
    expect((await lab.control.status()).memory.windowBytesUsed).toBe(used);
    await lab.noMoreDescriptors(before);

    await guest.giveMemory();
    for (const ring of guest.rings) await guest.setUp(ring);
    for (let i = 0; i < 5; i++) await pass(guest, other, i);
    // A bad table while the rings run takes the old one away: the rings stand until there is memory again.
    expect(await guest.ack("SET_MEM_TABLE", memTable(region), [fd])).toBe(1n);
    const port = await lab.port(vm1);
    expect([port.state, port.regions]).toEqual(["connected", []]);
    await guest.giveMemory();
    for (let i = 5; i < 10; i++) await pass(guest, other, i);
    guest.leave();
    other.leave();
    for (const name of [vm1, vm2]) await lab.vacant(name);
    await expectGoodGuests(lab, [vm1, vm2]);
  });

  test("two guests that do not fit together: the second is mapped in chunks, and whole when the first has gone", async () => {
    const { lab } = group;
    const [vm1, vm2, vm3] = group.ports(3) as [string, string, string];
    const large = (guest: HandGuest, name: string) => {
      guest.connect(lab.file(name));
      return guest.negotiate();
    };
    const [a, b] = [group.hand(), group.hand()];
    await large(a, vm1);
    await large(b, vm2);
    const fd = own(createMemfd("large", 3n * GIB));
    const region = { guestAddress: 0n, size: 3n * GIB, userAddress: 0x7000_0000_0000n, mmapOffset: 0n };
    await a.expectDone("SET_MEM_TABLE", memTable(region), [fd]);
    await b.expectDone("SET_MEM_TABLE", memTable(region), [fd]);
    const memoryOf = async (name: string) => (await lab.port(name)).memory;
    expect(await memoryOf(vm1)).toEqual({ wholeBytes: Number(3n * GIB), chunkedBytes: 0 });
    expect(await memoryOf(vm2)).toEqual({ wholeBytes: 0, chunkedBytes: Number(3n * GIB) });
    a.leave();
    await lab.vacant(vm1);
    await b.expectDone("SET_MEM_TABLE", memTable(region), [fd]);
    expect(await memoryOf(vm2)).toEqual({ wholeBytes: Number(3n * GIB), chunkedBytes: 0 });
    b.leave();
    await lab.vacant(vm2);
    await expectGoodGuests(lab, [vm2, vm3]);
  });
});

describeLinux("a ring", () => {
  const group = useLab();

  /** Rings of its own making: those of the guest are not used. */
  async function guestWith(
    vm: string,
    ram: { bytes?: number; mmapOffset?: number },
    place?: Partial<HandRing["place"]>,
  ) {
    const guest = new HandGuest({ ram: { bytes: RAM_BYTES, ...ram } });
    group.later(guest);
    guest.connect(group.lab.file(vm));
    await guest.negotiate();
    await guest.giveMemory();
    const tx = guest.rings[1]!;
    if (place) {
      const ring = guest.makeRing(1, SIZE, guest.files[0]!, { ...tx.place, ...place });
      guest.rings[1] = ring;
      // The first one's descriptors go with the guest.
      for (const fd of [tx.kick, tx.call]) own(fd);
    }
    guest.fresh();
    return guest;
  }

  async function works(guest: HandGuest, vm1: string, vm2: string): Promise<void> {
    const other = group.hand();
    await other.start(group.lab.file(vm2));
    for (const ring of guest.rings) await guest.setUp(ring);
    // Round the ring more than once, so that its last entry is used.
    for (let i = 0; i < 3 * SIZE; i++) await pass(guest, other, i);
    for (let i = 0; i < 3; i++) await pass(other, guest, i);
    expect((await group.lab.port(vm1)).lastError).toBeUndefined();
  }

  const END = (bytes: number) => RAM_AT + BigInt(bytes);
  const sizes = splitRingBytes(SIZE);
  // The used ring wants 4 bytes of alignment and is 2 bytes longer than that: the region ends 2 bytes short of a page.
  const NAMES = { desc: "descriptor table", avail: "avail ring", used: "used ring" };
  const AT_END: ["desc" | "avail" | "used", number, number][] = [
    ["desc", RAM_BYTES, 16],
    ["avail", RAM_BYTES, 2],
    ["used", RAM_BYTES - 2, 4],
  ];

  test.each(AT_END)(
    "whose %s ring ends with the region runs, one step later it is refused",
    async (part, bytes, step) => {
      const [vm1, vm2] = group.ports(2) as [string, string];
      const at = END(bytes) - BigInt(sizes[part]);
      const guest = await guestWith(vm1, { bytes }, { [part]: at });
      await works(guest, vm1, vm2);
      await guest.stopRing(1);
      const late = guest.vringAddr(guest.rings[1]!);
      if (late.kind === "vringAddr") late[part] += BigInt(step);
      expect(await guest.ack("SET_VRING_ADDR", late)).toBe(1n);
      await group.lab.error(
        vm1,
        new RegExp(`^SET_VRING_ADDR \\(9\\) refused: queue 1: its ${NAMES[part]} .* lies in no memory region$`),
      );
    },
  );

  test.each([64, 4096 + 64, 3 * 4096 + 2048])("in a region from byte %i of its file on runs", async (mmapOffset) => {
    const [vm1, vm2] = group.ports(2) as [string, string];
    await works(await guestWith(vm1, { mmapOffset, bytes: RAM_BYTES - 2048 }), vm1, vm2);
  });

  test.each([1, 2, 8])("that the file offset moves by %i out of alignment is refused", async (mmapOffset) => {
    const { lab } = group;
    const [vm1, vm2] = group.ports(2) as [string, string];
    const guest = group.hand();
    guest.connect(lab.file(vm1));
    await guest.negotiate();
    const { region } = guest.files[0]!;
    const moved = { ...region, mmapOffset: BigInt(mmapOffset), size: region.size - 64n };
    await guest.expectDone("SET_MEM_TABLE", memTable(moved), [guest.files[0]!.fd]);
    await expect(guest.setUp(guest.rings[1]!)).rejects.toThrow("the switch refused SET_VRING_ADDR");
    await lab.error(
      vm1,
      /^SET_VRING_ADDR \(9\) refused: queue 1: its descriptor table at 0x[0-9a-f]+ is not aligned to 16 bytes$/,
    );
    guest.leave();
    await lab.vacant(vm1);
    await expectGoodGuests(lab, [vm1, vm2]);
  });

  test("whose parts overlap is refused, at the latest when it is to start", async () => {
    const { lab } = group;
    const [vm1, vm2] = group.ports(2) as [string, string];
    const guest = await guestWith(vm1, {});
    const ring = guest.rings[1]!;
    const overlap = guest.vringAddr(ring);
    if (overlap.kind === "vringAddr") overlap.used = overlap.desc + 64n;
    // Without a size nothing can be checked: the start says it.
    await guest.expectDone("SET_VRING_ADDR", overlap);
    await guest.expectDone("SET_VRING_KICK", vringFd(1), [ring.kick]);
    expect(await guest.ack("SET_VRING_NUM", vring(1, SIZE))).toBe(1n);
    await lab.error(
      vm1,
      /^SET_VRING_NUM \(8\) failed: queue 1 can not start: its used ring overlaps its descriptor table$/,
    );
    expect(await guest.ack("SET_VRING_ADDR", overlap)).toBe(1n);
    await lab.error(vm1, /refused: queue 1: its used ring overlaps its descriptor table$/);
    guest.leave();
    await lab.vacant(vm1);
    await expectGoodGuests(lab, [vm1, vm2]);
  });

  test("of a guest that shares no memory: the port says how to share it", async () => {
    const { lab } = group;
    const [vm1, vm2] = group.ports(2) as [string, string];
    const guest = group.hand({ features: MODERN });
    guest.connect(lab.file(vm1));
    await guest.negotiate();
    await lab.error(vm1, /^the front-end set features but shared no memory: is the guest's RAM shared\? QEMU: -object/);
    guest.leave();
    await lab.vacant(vm1);
    await expectGoodGuests(lab, [vm1, vm2]);
  });

  test("of a guest with more queue pairs than the port has, which leaves at once: the port says so", async () => {
    const { lab } = group;
    const [vm1, vm2] = group.ports(2) as [string, string];
    for (let again = 0; again < 2; again++) {
      // As QEMU: the first pair is set up, then it sees the number.
      const guest = group.hand({ features: MODERN });
      guest.connect(lab.file(vm1));
      await guest.say("SET_PROTOCOL_FEATURES", u64(1n));
      await guest.get("GET_QUEUE_NUM");
      for (const index of [0, 1]) await guest.say("SET_VRING_CALL", vringFd(index), [own(createEventFd())]);
      guest.leave();
      await lab.vacant(vm1);
      await lab.error(vm1, /^the front-end left when it had learned that this port has 8 queue pairs: /);
    }
    await expectGoodGuests(lab, [vm1, vm2]);
    // One that stays for longer, or goes before it asks, leaves no such word.
    const short = group.hand({ features: MODERN });
    short.connect(lab.file(vm1));
    await short.say("SET_PROTOCOL_FEATURES", u64(1n));
    short.leave();
    await lab.vacant(vm1);
    expect((await lab.port(vm1)).lastError).toBeUndefined();
  });
});
