// Front-ends that send descriptors nobody asked for, too many of them, or the wrong kind (cases M2, M10, M31, M40 of
// the vhost-user back-ends' history): each has a named outcome, none is kept, and nobody else notices.

import { closeSync, constants, openSync, writeSync } from "node:fs";
import { expect, test } from "vitest";
import { Epoll } from "../../src/sys/epoll.js";
import { createEventFd, signal } from "../../src/sys/eventfd.js";
import { setNonBlocking, socketPair } from "../../src/sys/socket.js";
import type { Fd } from "../../src/vhost-user/effects.js";
import { QEMU_PROTOCOL_FEATURES } from "../../src/vhost-user/front-end-session.js";
import { MESSAGES, type MessageName, type Payload } from "../../src/vhost-user/message.js";
import { describeLinux, makeFifo, useDescriptors, useFolders } from "../sys/linux.js";
import { memTable, region, u64, vring, vringAddr, vringFd } from "../vhost-user/requests.js";
import { handFrame, MODERN, pass } from "./support/hand-guest.js";
import { Lab, until } from "./support/lab.js";
import { RawSocket } from "./support/raw-socket.js";
import { expectGoodGuests } from "./support/traffic.js";
import { useLab } from "./support/use-lab.js";

const { own } = useDescriptors();
const folder = useFolders();

const INFLIGHT: Payload = { kind: "inflight", mmapSize: 8192n, mmapOffset: 0n, queues: 2, queueSize: 64, padded: true };
/** A payload of each request that is right as such. */
const PAYLOADS: Partial<Record<MessageName, Payload>> = {
  SET_FEATURES: u64(MODERN | (1n << 30n)),
  SET_PROTOCOL_FEATURES: u64(QEMU_PROTOCOL_FEATURES),
  SET_MEM_TABLE: memTable(region(0n, 4096n)),
  SET_VRING_NUM: vring(0, 64),
  SET_VRING_ADDR: vringAddr(0),
  SET_VRING_BASE: vring(0, 0),
  GET_VRING_BASE: vring(0, 0),
  SET_VRING_KICK: vringFd(0),
  SET_VRING_CALL: vringFd(0),
  SET_VRING_ERR: vringFd(0),
  SET_VRING_ENABLE: vring(0, 1),
  SEND_RARP: u64(2n),
  NET_SET_MTU: u64(1500n),
  IOTLB_MSG: { kind: "iotlb", iova: 0n, size: 4096n, userAddress: 0n, permission: 3, type: 2 },
  SET_VRING_ENDIAN: vring(0, 0),
  GET_CONFIG: { kind: "config", offset: 0, flags: 0, data: new Uint8Array(8) },
  SET_CONFIG: { kind: "config", offset: 0, flags: 0, data: new Uint8Array(8) },
  VRING_KICK: vring(0, 0),
  ADD_MEM_REG: { kind: "memRegion", region: region(0n, 4096n) },
  REM_MEM_REG: { kind: "memRegion", region: region(0n, 4096n) },
  SET_STATUS: u64(1n),
  SET_LOG_BASE: { kind: "log", mmapSize: 4096n, mmapOffset: 0n },
  GET_INFLIGHT_FD: { ...INFLIGHT, mmapSize: 0n },
  SET_INFLIGHT_FD: INFLIGHT,
  SET_DEVICE_STATE_FD: { kind: "deviceState", direction: 2, phase: 0 },
};
/** Of those that are supported, the ones that eight eventfds make wrong, and those that this port does not offer. */
const REFUSED: MessageName[] = [
  ...(["SET_BACKEND_REQ_FD", "SET_CONFIG", "SET_MEM_TABLE", "ADD_MEM_REG", "REM_MEM_REG", "SET_INFLIGHT_FD"] as const),
  "POSTCOPY_LISTEN",
];

describeLinux("surplus descriptors", () => {
  const group = useLab();

  test("eight of them with every request are closed, and the request means what it says", async () => {
    const { lab } = group;
    const [vm1, vm2] = group.ports(2) as [string, string];
    const before = lab.descriptors();
    const raw = group.later(new RawSocket(lab.file(vm1)));
    const eight = new Array<Fd>(8).fill(own(createEventFd()));
    await raw.write(Uint8Array.of(16, 0, 0, 0, 1, 0, 0, 0, 8, 0, 0, 0, 9, 0, 0, 0, 0, 0, 0, 0), eight);
    for (let round = 0; round < 3; round++) {
      for (const { name, supported, reply } of Object.values(MESSAGES)) {
        const { payload } = await raw.ask(name, PAYLOADS[name], eight);
        const view = new DataView(payload.buffer, payload.byteOffset);
        const outcome = payload.length === 8 ? view.getBigUint64(0, true) : null;
        if (!supported || REFUSED.includes(name)) expect([name, outcome]).toEqual([name, 1n]);
        else if (reply === "ack") expect([name, outcome]).toEqual([name, 0n]);
      }
    }
    // What may be kept: the connection itself and one kick, one call and one err.
    expect(lab.descriptors()["anon_inode:[eventfd]"]!).toBeLessThanOrEqual(before["anon_inode:[eventfd]"]! + 3);
    const said = /ADD_MEM_REG \(37\) failed: memory region 0x0 of 0\.0 MiB: its descriptor is no memory file \(other\)/;
    await until("the refusal in the log", () => said.test(lab.log) || undefined);
    raw.close();
    await lab.vacant(vm1);
    await lab.noMoreDescriptors(before);
    await expectGoodGuests(lab, [vm1, vm2]);
  });

  test.each([9, 64, 253])("%i of them at once end the connection, and that one only", async (count) => {
    const { lab } = group;
    const [vm1, vm2] = group.ports(2) as [string, string];
    const before = lab.descriptors();
    const raw = group.later(new RawSocket(lab.file(vm1)));
    await raw.ask("GET_FEATURES");
    raw.some(Uint8Array.of(1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0), new Array<Fd>(count).fill(own(createEventFd())));
    await raw.closed();
    expect((await lab.vacant(vm1)).lastError).toBe("connection closed: descriptors were lost on the way (MSG_CTRUNC)");
    raw.close();
    await lab.noMoreDescriptors(before);
    await expectGoodGuests(lab, [vm1, vm2]);
  });

  test("descriptors in the middle of a message end the connection", async () => {
    const { lab } = group;
    const [vm1, vm2] = group.ports(2) as [string, string];
    const before = lab.descriptors();
    const raw = group.later(new RawSocket(lab.file(vm1)));
    raw.some(Uint8Array.of(13, 0, 0, 0, 1, 0, 0, 0, 8, 0, 0, 0), [own(createEventFd())]);
    raw.some(new Uint8Array(8), [own(createEventFd())]);
    await raw.closed();
    expect((await lab.vacant(vm1)).lastError).toBe("connection closed: descriptors came in the middle of a message");
    await lab.noMoreDescriptors(before);
    await expectGoodGuests(lab, [vm1, vm2]);
  });

  test("1000 times the same descriptor request on running rings: their number stays", async () => {
    const { lab } = group;
    const [vm1, vm2] = group.ports(2) as [string, string];
    const [guest, other] = [group.hand(), group.hand()];
    await other.start(lab.file(vm2));
    await guest.start(lab.file(vm1));
    const spare = own(createEventFd());
    // It can be replaced only.
    await guest.expectDone("SET_LOG_FD", { kind: "none" }, [spare]);
    const before = lab.descriptors();
    const requests: [MessageName, Payload, bigint][] = [
      ["SET_VRING_KICK", vringFd(1), 0n],
      ["SET_VRING_CALL", vringFd(1), 0n],
      ["SET_VRING_ERR", vringFd(1), 0n],
      ["SET_VRING_KICK", vringFd(0), 0n],
      ["SET_VRING_CALL", vringFd(0), 0n],
      ["SET_LOG_FD", { kind: "none" }, 0n],
      ["SET_BACKEND_REQ_FD", { kind: "none" }, 1n],
    ];
    for (const [name, payload, outcome] of requests) {
      for (let i = 0; i < 999; i++) await guest.say(name, payload, [spare]);
      expect([name, await guest.ack(name, payload, [spare])]).toEqual([name, outcome]);
      // The err descriptor is kept, as the one that the ring had not had before.
      if (name === "SET_VRING_ERR") await guest.expectDone(name, vringFd(1, true));
      await lab.noMoreDescriptors(before);
    }
    for (const ring of guest.rings) {
      await guest.expectDone("SET_VRING_KICK", vringFd(ring.index), [ring.kick]);
      await guest.expectDone("SET_VRING_CALL", vringFd(ring.index), [ring.call]);
    }
    for (let i = 0; i < 20; i++) await pass(guest, other, i);
    guest.leave();
    other.leave();
    for (const name of [vm1, vm2]) await lab.vacant(name);
    await expectGoodGuests(lab, [vm1, vm2]);
  });
});

describeLinux("a kick or call that is no eventfd", () => {
  const group = useLab();
  const KINDS: [string, () => Fd, RegExp][] = [
    ["a pipe", () => openFifo(), /\/fifo$/],
    ["a full pipe that blocks", () => fullFifo(), /\/fifo$/],
    ["a regular file", () => opened(`${folder()}/file`, "w+"), /\/file$/],
    ["/dev/zero, which is always readable", () => opened("/dev/zero", "r+"), /\/dev\/zero$/],
    ["a socket", () => own(socketPair().map(own)[0]!), /socket:\[\d+\]$/],
    ["an epoll descriptor", () => own(new Epoll().fd), /anon_inode:\[eventpoll\]$/],
    ["a folder", () => opened(folder(), "r"), /ringbridge-sys-/],
  ];

  test.each(KINDS)("%s", async (_, make, target) => {
    const { lab } = group;
    const [vm1, vm2] = group.ports(2) as [string, string];
    const [guest, other] = [group.hand(), group.hand()];
    await other.start(lab.file(vm2));
    const fd = make();
    guest.connect(lab.file(vm1));
    guest.fresh();
    await guest.negotiate();
    await guest.giveMemory();
    const [receiveq, transmitq] = [guest.rings[0]!, guest.rings[1]!];
    const refused = async (what: string, index: number) => {
      const error = await lab.error(vm1, new RegExp(`the ${what} descriptor of queue ${index} is no eventfd but `));
      expect(error).toMatch(target);
    };

    // As the kick that would start a transmitq.
    await expect(guest.setUp(transmitq, { kick: fd })).rejects.toThrow("the switch refused SET_VRING_KICK");
    await refused("kick", 1);
    // As a call, which is used only when the ring starts.
    await guest.stopRing(1);
    await expect(guest.setUp(transmitq, { call: fd })).rejects.toThrow("the switch refused SET_VRING_KICK");
    await refused("call", 1);
    // As the kick of a receiveq, which nobody waits for.
    await expect(guest.setUp(receiveq, { kick: fd })).rejects.toThrow("the switch refused SET_VRING_KICK");
    await refused("kick", 0);

    // The same connection with good ones, and then bad ones while the rings run: the good ones stay.
    for (const ring of guest.rings) {
      await guest.stopRing(ring.index);
      await guest.setUp(ring);
    }
    await pass(guest, other, 1);
    expect(await guest.ack("SET_VRING_KICK", vringFd(1), [fd])).toBe(1n);
    await refused("kick", 1);
    expect(await guest.ack("SET_VRING_CALL", vringFd(0), [fd])).toBe(1n);
    await refused("call", 0);
    for (let i = 2; i < 10; i++) {
      await pass(guest, other, i);
      await pass(other, guest, i);
    }
    guest.leave();
    other.leave();
    for (const name of [vm1, vm2]) await lab.vacant(name);
    await expectGoodGuests(lab, [vm1, vm2]);
  });

  test("an eventfd whose counter is full has been heard: frames flow on", async () => {
    const { lab } = group;
    const [vm1, vm2] = group.ports(2) as [string, string];
    const [guest, other] = [group.hand(), group.hand()];
    for (const { call } of other.rings) {
      writeSync(call, Uint8Array.of(0xfe, 255, 255, 255, 255, 255, 255, 255));
      expect(signal(call)).toBe("full");
    }
    await other.start(lab.file(vm2));
    await guest.start(lab.file(vm1));
    for (let i = 0; i < 50; i++) await pass(guest, other, i);
    other.send(handFrame(1, 2, 100, 0));
    await until("the answer", () => guest.receive().find((bytes) => bytes.length === 100));
    expect((await lab.port(vm2)).lastError).toBeUndefined();
  });

  test("an eventfd that is made blocking again, and full, holds a worker up only until the switch empties it", async () => {
    const { lab } = group;
    const [vm1, vm2] = group.ports(2) as [string, string];
    const [guest, other] = [group.hand(), group.hand()];
    await other.start(lab.file(vm2));
    await guest.start(lab.file(vm1));
    for (const { call } of other.rings) {
      writeSync(call, Uint8Array.of(0xf0, 255, 255, 255, 255, 255, 255, 255));
      while (signal(call) === "ok");
      // The flag belongs to the open file, which the switch shares.
      setNonBlocking(call, false);
    }
    for (let i = 0; i < 5; i++) await pass(guest, other, i);
    expect((await lab.port(vm2)).lastError).toMatch(/call eventfd of queue [01] blocked a worker/);
    await expectGoodGuests(lab, group.ports(2) as [string, string]);
  });

  test("such an eventfd does not keep the switch from ending", async () => {
    const lab = new Lab();
    try {
      await lab.start(["vm1=listen", "vm2=listen"]);
      const [guest, other] = [group.hand(), group.hand()];
      await other.start(lab.file("vm2"));
      await guest.start(lab.file("vm1"));
      await pass(guest, other, 1);
      for (const { call } of other.rings) makeBlocking(call);
      guest.send(handFrame(other.number, guest.number, 100, 2));
      await lab.stop("SIGTERM");
    } finally {
      await lab.close();
    }
  });

  /** Full, and waited for by whoever writes: the flag belongs to the open file, which the switch shares. */
  function makeBlocking(call: Fd): void {
    writeSync(call, Uint8Array.of(0xf0, 255, 255, 255, 255, 255, 255, 255));
    while (signal(call) === "ok");
    setNonBlocking(call, false);
  }

  function opened(path: string, flags: string | number): Fd {
    return own(openSync(path, flags));
  }

  function openFifo(): Fd {
    return opened(makeFifo(folder()), constants.O_RDWR);
  }

  function fullFifo(): Fd {
    const path = makeFifo(folder());
    const blocking = opened(path, constants.O_RDWR);
    const filler = openSync(path, constants.O_RDWR | constants.O_NONBLOCK);
    expect(() => {
      for (;;) writeSync(filler, new Uint8Array(4096));
    }).toThrow("EAGAIN");
    closeSync(filler);
    return blocking;
  }
});
