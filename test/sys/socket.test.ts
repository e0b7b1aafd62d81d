// Unix sockets: bytes and descriptors both ways, everything that ends a connection, and no descriptor left behind.

import { execFileSync } from "node:child_process";
import { existsSync, fstatSync, readFileSync, readSync, statSync, writeFileSync, writeSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
import { isSystemError } from "../../src/sys/libc.js";
import { closeFd, createMemfd } from "../../src/sys/memfd.js";
import { countOpenFds } from "../../src/sys/open-fds.js";
import {
  acceptUnix,
  connectUnix,
  listenUnix,
  peerPid,
  type Received,
  receive,
  SOCKET_PATH_MAX_BYTES,
  send,
  setNonBlocking,
  socketPair,
} from "../../src/sys/socket.js";
import { describeLinux, useDescriptors, useFolders } from "./linux.js";

function received(outcome: Received | "again"): Received {
  if (outcome === "again") throw new Error("nothing has arrived");
  return outcome;
}

function codeOf(action: () => unknown): string {
  try {
    action();
  } catch (error) {
    if (isSystemError(error, error instanceof Error && "code" in error ? String(error.code) : "")) return error.code;
    throw error;
  }
  return "no error";
}

describeLinux("unix sockets", () => {
  const folder = useFolders();
  const { own, close } = useDescriptors();
  const pair = () => socketPair().map(own) as [number, number];

  it("passes bytes and descriptors both ways between a listener's and a connecting socket", () => {
    const path = join(folder(), "s");
    const listener = own(listenUnix(path));
    expect(acceptUnix(listener)).toBeNull();
    const client = own(connectUnix(path));
    const server = own(acceptUnix(listener) ?? -1);
    for (const [from, to] of [
      [client, server],
      [server, client],
    ]) {
      const file = own(createMemfd("passed", 4096));
      writeSync(file, "through the file", 0);
      expect(send(from, new TextEncoder().encode("hello"), [file])).toBe(5);
      const buffer = new Uint8Array(64);
      const got = received(receive(to, buffer));
      expect(got).toMatchObject({ bytes: 5, truncated: false });
      expect(new TextDecoder().decode(buffer.subarray(0, 5))).toBe("hello");
      expect(got.fds).toHaveLength(1);
      const copy = own(got.fds[0]);
      expect(copy).not.toBe(file);
      const text = Buffer.alloc(16);
      readSync(copy, text, 0, 16, 0);
      expect(text.toString()).toBe("through the file");
    }
    expect(peerPid(server)).toBe(process.pid);
    expect(peerPid(client)).toBe(process.pid);
    expect(peerPid(own(createMemfd("no socket", 4096)))).toBeUndefined();
  });

  it("hands the descriptors over with the first byte when the reader takes the data in pieces", () => {
    const [a, b] = pair();
    const files = [own(createMemfd("one", 4096)), own(createMemfd("two", 8192))];
    expect(send(a, new Uint8Array([1, 2, 3, 4, 5]), files)).toBe(5);
    const piece = new Uint8Array(2);
    const first = received(receive(b, piece));
    expect(first.bytes).toBe(2);
    expect(first.fds.map((fd) => fstatSync(own(fd)).size)).toEqual([4096, 8192]);
    expect(received(receive(b, piece))).toEqual({ bytes: 2, fds: [], truncated: false });
    expect(received(receive(b, piece))).toEqual({ bytes: 1, fds: [], truncated: false });
    expect(piece[0]).toBe(5);
    expect(receive(b, piece)).toBe("again");
  });

  it("does not mix the descriptors of two sends", () => {
    const [a, b] = pair();
    const file = own(createMemfd("later", 4096));
    send(a, new Uint8Array([1]));
    send(a, new Uint8Array([2]), [file]);
    const buffer = new Uint8Array(8);
    const all: Received[] = [];
    for (let got = receive(b, buffer); got !== "again"; got = receive(b, buffer)) all.push(got);
    expect(all.reduce((sum, got) => sum + got.bytes, 0)).toBe(2);
    expect(all.flatMap((got) => got.fds.map(own))).toHaveLength(1);
  });

  it("says that descriptors were cut off, hands the others over and keeps none", () => {
    const [a, b] = pair();
    const file = own(createMemfd("many", 4096));
    const before = countOpenFds();
    for (const [sent, taken] of [
      [10, 8],
      [4, 3],
      [1, 0],
    ]) {
      expect(send(a, new Uint8Array([1]), new Array(sent).fill(file))).toBe(1);
      const got = received(receive(b, new Uint8Array(8), taken));
      expect(got).toMatchObject({ bytes: 1, truncated: true });
      expect(got.fds).toHaveLength(taken);
      for (const fd of got.fds) closeFd(fd);
      expect(countOpenFds()).toBe(before);
    }
  });

  it("marks received descriptors close-on-exec", () => {
    const [a, b] = pair();
    send(a, new Uint8Array([1]), [own(createMemfd("cloexec", 4096))]);
    const [fd] = received(receive(b, new Uint8Array(1))).fds;
    own(fd);
    const flags = /flags:\s+0(\d+)/.exec(readFileSync(`/proc/self/fdinfo/${fd}`, "latin1"))?.[1];
    expect(Number.parseInt(flags ?? "0", 8) & 0o2000000).toBe(0o2000000);
  });

  it("reads 0 bytes after the other end has closed, and EPIPE when writing to it", () => {
    const [a, b] = pair();
    send(a, new Uint8Array([7]));
    close(a);
    expect(received(receive(b, new Uint8Array(8))).bytes).toBe(1);
    expect(received(receive(b, new Uint8Array(8)))).toEqual({ bytes: 0, fds: [], truncated: false });
    expect(codeOf(() => send(b, new Uint8Array([1])))).toBe("EPIPE");
  });

  it("sends part of a large message, then says again, and takes the rest when there is room", () => {
    const [a, b] = pair();
    const message = new Uint8Array(4 << 20).fill(3);
    let sent = 0;
    let got = 0;
    let fulls = 0;
    const buffer = new Uint8Array(1 << 20);
    while (got < message.length) {
      const taken = sent < message.length ? send(a, message.subarray(sent)) : "again";
      if (taken !== "again") {
        sent += taken;
        continue;
      }
      fulls++;
      const some = received(receive(b, buffer));
      expect(buffer[some.bytes - 1]).toBe(3);
      got += some.bytes;
    }
    expect(fulls).toBeGreaterThan(1);
    expect(sent).toBe(message.length);
  });

  it("refuses what would look like a close or lose descriptors", () => {
    const [a, b] = pair();
    expect(() => receive(b, new Uint8Array(0))).toThrow(RangeError);
    expect(() => send(a, new Uint8Array(0), [a])).toThrow(RangeError);
    expect(() => send(a, new Uint8Array(1), new Array(254).fill(a))).toThrow(/0 to 253 descriptors/);
    expect(codeOf(() => send(a, new Uint8Array(1), [9999]))).toBe("EBADF");
    expect(codeOf(() => receive(9999, new Uint8Array(1)))).toBe("EBADF");
    expect(codeOf(() => acceptUnix(a))).toBe("EINVAL");
  });

  it("reads into a view over shared memory", () => {
    const [a, b] = pair();
    const shared = new Uint8Array(new SharedArrayBuffer(16), 4, 8);
    send(a, new Uint8Array([1, 2, 3]));
    expect(received(receive(b, shared)).bytes).toBe(3);
    expect([...shared]).toEqual([1, 2, 3, 0, 0, 0, 0, 0]);
    expect(send(b, shared.subarray(0, 3))).toBe(3);
  });

  it("gives the socket file the mode and group asked for, whatever the umask", () => {
    const there = folder();
    const groupName = execFileSync("id", ["-gn"], { encoding: "utf8" }).trim();
    const umask = process.umask(0o077);
    try {
      own(listenUnix(join(there, "a"), { mode: 0o660, group: process.getgid?.() }));
      own(listenUnix(join(there, "b"), { mode: 0o666, group: groupName }));
      own(listenUnix(join(there, "c")));
    } finally {
      process.umask(umask);
    }
    expect(statSync(join(there, "a")).mode & 0o777).toBe(0o660);
    expect(statSync(join(there, "b")).gid).toBe(process.getgid?.());
    expect(statSync(join(there, "b")).mode & 0o777).toBe(0o666);
    expect(statSync(join(there, "c")).mode & 0o777).toBe(0o700);
  });

  it("leaves neither file nor descriptor behind when it cannot listen", () => {
    const there = folder();
    const before = countOpenFds();
    const path = join(there, "s");
    expect(() => listenUnix(path, { group: "no-such-group-here" })).toThrow(/no group "no-such-group-here"/);
    expect(() => listenUnix(path, { group: -1 })).toThrow(RangeError);
    expect(() => listenUnix(path, { mode: 0o1000 })).toThrow(RangeError);
    expect(codeOf(() => listenUnix(join(there, "missing", "s")))).toBe("ENOENT");
    writeFileSync(join(there, "file"), "");
    expect(codeOf(() => listenUnix(join(there, "file")))).toBe("EADDRINUSE");
    expect(statSync(join(there, "file")).size).toBe(0);
    expect(existsSync(path)).toBe(false);
    expect(countOpenFds()).toBe(before);
  });

  it("refuses paths the kernel would cut or take for something else", () => {
    const there = folder();
    const fits = join(there, "x".repeat(SOCKET_PATH_MAX_BYTES - there.length - 1));
    own(listenUnix(fits));
    own(connectUnix(fits));
    const long = `${fits}y`;
    expect(codeOf(() => listenUnix(long))).toBe("ENAMETOOLONG");
    expect(() => listenUnix(long)).toThrow(/at most 107 bytes, this one has 108: shorten it/);
    expect(codeOf(() => connectUnix(`${there}/${"é".repeat(50)}`))).toBe("ENAMETOOLONG");
    expect(codeOf(() => listenUnix(""))).toBe("EINVAL");
    expect(codeOf(() => listenUnix("\0abstract"))).toBe("EINVAL");
  });

  it("tells the ways a connection fails apart", () => {
    const there = folder();
    const path = join(there, "s");
    expect(codeOf(() => connectUnix(path))).toBe("ENOENT");
    const listener = own(listenUnix(path, { backlog: 0 }));
    own(connectUnix(path));
    expect(codeOf(() => own(connectUnix(path)))).toBe("EAGAIN");
    close(listener);
    expect(codeOf(() => connectUnix(path))).toBe("ECONNREFUSED");
    expect(() => connectUnix(path)).toThrow(`connect ${path}: connection refused (ECONNREFUSED)`);
  });

  it("sets and clears non-blocking mode", () => {
    const [a] = pair();
    const blocking = () => !/flags:\s+0\d*[4567]\d{3}\n/.test(readFileSync(`/proc/self/fdinfo/${a}`, "latin1"));
    expect(blocking()).toBe(false);
    setNonBlocking(a, false);
    expect(blocking()).toBe(true);
    setNonBlocking(a, true);
    expect(blocking()).toBe(false);
  });

  it("loses no descriptor over 1000 connections with descriptors in both directions", () => {
    const path = join(folder(), "s");
    const listener = own(listenUnix(path));
    const file = own(createMemfd("leak", 4096));
    const before = countOpenFds();
    const buffer = new Uint8Array(64);
    for (let round = 0; round < 1000; round++) {
      const client = connectUnix(path);
      const server = acceptUnix(listener) ?? -1;
      send(client, buffer, [file, file]);
      send(server, buffer, [file]);
      for (const fd of [...received(receive(server, buffer)).fds, ...received(receive(client, buffer)).fds])
        closeFd(fd);
      // Descriptors nobody receives die with the connection.
      send(client, buffer, [file]);
      closeFd(client);
      closeFd(server);
    }
    expect(countOpenFds()).toBe(before);
  });
});
