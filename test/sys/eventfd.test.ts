// Notifications: eventfds, and everything else a front-end may pass for one (case M40).

import { constants, openSync, readFileSync, writeFileSync, writeSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
import { adoptNotifier, createEventFd, drain, signal } from "../../src/sys/eventfd.js";
import { createMemfd } from "../../src/sys/memfd.js";
import { setNonBlocking, socketPair } from "../../src/sys/socket.js";
import { describeLinux, makeFifo, useDescriptors, useFolders } from "./linux.js";

describeLinux("notifications", () => {
  const folder = useFolders();
  const { own, close } = useDescriptors();

  it("counts signals and resets with a drain", () => {
    const fd = own(createEventFd());
    expect(drain(fd)).toBeNull();
    expect(signal(fd)).toBe("ok");
    expect(signal(fd)).toBe("ok");
    expect(drain(fd)).toBe(2n);
    expect(drain(fd)).toBeNull();
    expect(drain(own(createEventFd(5)))).toBe(5n);
  });

  it("says what was passed, and makes it non-blocking", () => {
    const fd = own(createEventFd());
    setNonBlocking(fd, false);
    expect(adoptNotifier(fd)).toEqual({ kind: "eventfd", target: "anon_inode:[eventfd]" });
    expect(drain(fd)).toBeNull(); // It would block for ever otherwise.
    const [a] = socketPair().map(own);
    expect(adoptNotifier(a).kind).toBe("socket");
    const file = join(folder(), "file");
    writeFileSync(file, "");
    expect(adoptNotifier(own(openSync(file, "r+")))).toEqual({ kind: "file", target: file });
    expect(adoptNotifier(own(createMemfd("memory", 8))).kind).toBe("file");
    expect(() => adoptNotifier(9999)).toThrow(/EBADF/);
  });

  it("does not block on a full eventfd, and the reader still has something to read", () => {
    const fd = own(createEventFd());
    setNonBlocking(fd, false);
    const most = Buffer.alloc(8);
    most.writeBigUInt64LE(0xffff_ffff_ffff_fffen);
    writeSync(fd, most);
    adoptNotifier(fd);
    expect(signal(fd)).toBe("full");
    expect(drain(fd)).toBe(0xffff_ffff_ffff_fffen);
    expect(signal(fd)).toBe("ok");
  });

  it("does not block on a full pipe that was passed in blocking mode", () => {
    const fd = own(openSync(makeFifo(folder()), constants.O_RDWR));
    expect(adoptNotifier(fd).kind).toBe("pipe");
    let written = 0;
    while (signal(fd) === "ok") written++;
    expect(written).toBeGreaterThan(0);
    expect(signal(fd)).toBe("full");
    expect(drain(fd)).toBe(1n);
  });

  it("reports a pipe without a reader, and lives on", () => {
    const path = makeFifo(folder());
    const reader = own(openSync(path, constants.O_RDONLY | constants.O_NONBLOCK));
    const writer = own(openSync(path, constants.O_WRONLY));
    adoptNotifier(writer);
    expect(signal(writer)).toBe("ok");
    close(reader);
    expect(signal(writer)).toBe("EPIPE");
    expect(signal(writer)).toBe("EPIPE");
  });

  it("reports sockets without a peer, read-only files and closed descriptors", () => {
    const [a, b] = socketPair().map(own);
    close(b);
    expect(signal(a)).toBe("EPIPE");
    expect(drain(a)).toBe(0n);
    const path = join(folder(), "file");
    writeFileSync(path, "");
    const file = own(openSync(path, "r"));
    expect(signal(file)).toBe("EBADF");
    expect(drain(file)).toBe(0n);
    expect(signal(9999)).toBe("EBADF");
    expect(drain(9999)).toBe(0n);
  });

  it("takes a writable regular file and /dev/zero for what they are: always ready, never a notification", () => {
    const path = join(folder(), "file");
    writeFileSync(path, "");
    const file = own(openSync(path, "r+"));
    adoptNotifier(file);
    expect(signal(file)).toBe("ok");
    expect(readFileSync(path)).toHaveLength(8);
    const zero = own(openSync("/dev/zero", "r+"));
    expect(adoptNotifier(zero)).toEqual({ kind: "other", target: "/dev/zero" });
    expect(drain(zero)).toBe(0n);
  });
});
