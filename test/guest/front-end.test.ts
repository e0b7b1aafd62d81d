// The front-end against back-ends that are absent, silent or wrong: every way ends with a sentence and open nothing.

import { readdirSync } from "node:fs";
import { afterEach, beforeEach, expect, test } from "vitest";
import { createMemory } from "../../src/core/module.js";
import { FrontEnd, type FrontEndOptions } from "../../src/guest/front-end.js";
import { GuestRam } from "../../src/guest/ram.js";
import { closeFd } from "../../src/sys/memfd.js";
import { Reactor } from "../../src/sys/reactor.js";
import { acceptUnix, connectUnix, listenUnix, receive, send } from "../../src/sys/socket.js";
import { encodeReply, HEADER_SIZE, MESSAGES } from "../../src/vhost-user/message.js";
import { describeLinux } from "../sys/linux.js";
import { SwitchFolder } from "./support/switch-process.js";

const PAGES = 32;

let folder: SwitchFolder;
let reactor: Reactor;
let closing: (() => void)[];

beforeEach(() => {
  folder = new SwitchFolder();
  reactor = new Reactor();
  closing = [];
});
afterEach(async () => {
  for (const close of closing.reverse()) close();
  await reactor.close();
  await folder.close();
});

function frontEnd(options: Partial<FrontEndOptions> = {}): FrontEnd {
  const made = new FrontEnd({
    path: folder.file("vm"),
    reactor,
    memory: createMemory(PAGES),
    window: 65536,
    bytes: 256 * 1024,
    queueSize: 64,
    features: 0n,
    timeoutMs: 200,
    ...options,
  });
  closing.push(() => made.close());
  return made;
}

/** A back-end that does to the first connection what the test says, with the bytes of the first request. */
function backEnd(behave: (fd: number) => void): void {
  const listener = listenUnix(folder.file("vm"));
  closing.push(() => closeFd(listener));
  const watch = reactor.watch(listener, {
    readable: () => {
      const fd = acceptUnix(listener);
      if (fd === null) return;
      watch.stop();
      let open = true;
      closing.push(() => open && closeFd(fd));
      const request = reactor.watch(fd, {
        readable: () => {
          const received = receive(fd, new Uint8Array(HEADER_SIZE));
          if (received === "again" || received.bytes === 0) return request.stop();
          behave(fd);
          if (closed.has(fd)) {
            open = false;
            request.stop();
            closeFd(fd);
          }
        },
      });
    },
  });
}

const closed = new Set<number>();

describeLinux("front-end", () => {
  test("no switch there", async () => {
    await expect(frontEnd().connect()).rejects.toThrow(
      `no switch listens on ${folder.file("vm")} (ENOENT, tried for 0.2 s): start it, or correct the path`,
    );
  });

  test("a switch that never connects", async () => {
    await expect(frontEnd({ role: "listen" }).connect()).rejects.toThrow(
      `the switch did not connect to ${folder.file("vm")} within 0.2 s: give its port role connect and this path`,
    );
  });

  test("a switch that does not answer", async () => {
    backEnd(() => {});
    const silent = frontEnd();
    await expect(silent.connect()).rejects.toThrow(
      `the switch at ${folder.file("vm")} did not answer GET_FEATURES within 0.2 s`,
    );
  });

  test("a switch that leaves in the middle", async () => {
    backEnd((fd) => closed.add(fd));
    await expect(frontEnd().connect()).rejects.toThrow(`the switch closed the connection at ${folder.file("vm")}`);
    closed.clear();
  });

  test("a switch that answers something else", async () => {
    backEnd((fd) => send(fd, encodeReply(MESSAGES.GET_QUEUE_NUM.number, { kind: "u64", value: 1n })));
    await expect(frontEnd().connect()).rejects.toThrow(
      "the back-end answered GET_QUEUE_NUM (17) when GET_FEATURES had been asked",
    );
  });

  test("something that does not speak the protocol", async () => {
    backEnd((fd) => send(fd, new TextEncoder().encode("HTTP/1.1 400 Bad Request\r\n\r\n")));
    await expect(frontEnd().connect()).rejects.toThrow(`the switch at ${folder.file("vm")} broke the protocol: `);
  });

  test("answers that nobody asked for are the end of the connection", async () => {
    const answer = encodeReply(MESSAGES.GET_FEATURES.number, { kind: "u64", value: 0n });
    backEnd((fd) => send(fd, new Uint8Array([...answer, ...answer])));
    const made = frontEnd();
    const reason = `the switch at ${folder.file("vm")} sent a reply that nothing had asked for`;
    let heard = "";
    made.onLost = (error) => {
      heard = error.message;
    };
    await expect(made.connect()).rejects.toThrow(reason);
    expect(heard).toBe(reason);
    await expect(made.start()).rejects.toThrow("this front-end is not connected");
  });

  test("stop and start go on at the same index, and memory is sent once for a connection", async () => {
    await folder.start(["vm=listen"]);
    for (const script of ["qemu", "dpdk"] as const) {
      const made = frontEnd({ script, timeoutMs: 5000 });
      await made.connect();
      await made.start();
      await expect(made.connect()).rejects.toThrow("this front-end is connected already");
      await made.stop();
      expect(made.rings.map(({ nextAvail }) => nextAvail)).toEqual([0, 0]);
      await made.start();
      expect((await folder.control.status()).ports[0]!.state).toBe("running");
      made.disconnect();
    }
  });

  test("nothing stays open", async () => {
    const count = () => readdirSync("/proc/self/fd").length;
    await folder.start(["vm=listen"]);
    const before = count();
    for (let i = 0; i < 3; i++) {
      const made = new FrontEnd({
        ...{ path: folder.file("vm"), reactor, memory: createMemory(PAGES), window: 65536 },
        ...{ bytes: 256 * 1024, queueSize: 64, features: 0n, regions: 2 as const, pairs: 2 },
      });
      await made.connect();
      await made.start();
      made.close();
    }
    expect(count()).toBe(before);
    expect(() => connectUnix(folder.file("vm-other"))).toThrow("ENOENT");
  });
});

describeLinux("guest RAM", () => {
  test("a place has three different addresses, and its bytes are those of the file", () => {
    const memory = createMemory(PAGES);
    const ram = new GuestRam({ memory, window: 70_000, bytes: 64 * 1024, regions: 2 });
    const [low, high] = [ram.allocate(16, 64, 0), ram.allocate(16, 64, 1)];
    expect(new Set([low.offset, Number(low.guestAddress), Number(low.userAddress)]).size).toBe(3);
    expect(high.offset - low.offset).toBe(32 * 1024);
    expect(ram.regions.map(({ size, mmapOffset }) => [size, mmapOffset])).toEqual([
      [32768n, 0n],
      [32768n, 32768n],
    ]);
    expect(high.guestAddress).toBe(ram.regions[1]!.guestAddress);
    expect(() => ram.allocate(32 * 1024, 64, 1)).toThrow("guest RAM is used up: 32768 more bytes are needed");
    new Uint8Array(memory.buffer)[high.offset] = 42;
    ram.close();
    expect(new Uint8Array(memory.buffer)[high.offset]).toBe(0);
    expect(() => new GuestRam({ memory, window: 0, bytes: 64 * 1024 * 1024 })).toThrow("do not fit the linear memory");
  });
});
