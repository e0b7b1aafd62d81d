// Epoll: events, tokens, changes from another thread, and a worker that sleeps in it.

import { once } from "node:events";
import { openSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Worker } from "node:worker_threads";
import { expect, it } from "vitest";
import { Epoll, EPOLLET, EPOLLHUP, EPOLLIN, EPOLLOUT, EPOLLRDHUP, epollAdd } from "../../src/sys/epoll.js";
import { createEventFd, drain, signal } from "../../src/sys/eventfd.js";
import { countOpenFds } from "../../src/sys/open-fds.js";
import { socketPair } from "../../src/sys/socket.js";
import { compileSys } from "./compiled.js";
import { describeLinux, useDescriptors, useFolders } from "./linux.js";

describeLinux("epoll", () => {
  const folder = useFolders();
  const { own, close } = useDescriptors();

  function withEpoll<T>(body: (epoll: Epoll) => T, capacity?: number): T {
    const epoll = new Epoll(capacity);
    try {
      return body(epoll);
    } finally {
      epoll.close();
    }
  }

  const events = (epoll: Epoll, count: number) =>
    Array.from({ length: count }, (_, i) => [epoll.tokens[i], epoll.flags[i]]).sort((a, b) => a[0] - b[0]);

  it("reports which descriptors are ready, by token", () => {
    withEpoll((epoll) => {
      const fds = [own(createEventFd()), own(createEventFd()), own(createEventFd())];
      for (const [i, fd] of fds.entries()) epoll.add(fd, -100 + i, EPOLLIN);
      expect(epoll.wait(0)).toBe(0);
      signal(fds[0]);
      signal(fds[2]);
      expect(events(epoll, epoll.wait(-1))).toEqual([
        [-100, EPOLLIN],
        [-98, EPOLLIN],
      ]);
      epoll.modify(fds[0], 0x7fffffff, EPOLLIN | EPOLLOUT);
      expect(events(epoll, epoll.wait(0))).toContainEqual([0x7fffffff, EPOLLIN | EPOLLOUT]);
      epoll.remove(fds[0]);
      epoll.remove(fds[0]);
      expect(events(epoll, epoll.wait(0))).toEqual([[-98, EPOLLIN]]);
    });
  });

  it("returns at most what fits, and the rest next time", () => {
    withEpoll((epoll) => {
      for (let i = 0; i < 5; i++) epoll.add(own(createEventFd(1)), i, EPOLLIN | EPOLLET);
      const seen: number[] = [];
      for (let count = epoll.wait(0); count > 0; count = epoll.wait(0)) {
        expect(count).toBeLessThanOrEqual(2);
        seen.push(...epoll.tokens.subarray(0, count));
      }
      expect(seen.sort()).toEqual([0, 1, 2, 3, 4]);
      epoll.modify(own(createEventFd(1)) - 1, 9, EPOLLIN);
      expect(epoll.wait(0, 100)).toBeLessThanOrEqual(2);
    }, 2);
  });

  it("reports hang-ups", () => {
    withEpoll((epoll) => {
      const [a, b] = socketPair().map(own);
      epoll.add(a, 1, EPOLLRDHUP);
      close(b);
      expect(events(epoll, epoll.wait(0))).toEqual([[1, EPOLLHUP | EPOLLRDHUP]]);
    });
  });

  it("names what it refuses", () => {
    const path = join(folder(), "file");
    writeFileSync(path, "");
    withEpoll((epoll) => {
      const fd = own(createEventFd());
      epoll.add(fd, 1, EPOLLIN);
      expect(() => epoll.add(fd, 2, EPOLLIN)).toThrow(/epoll_ctl\(ADD\): .*\(EEXIST\)/);
      expect(() => epoll.add(own(openSync(path, "r")), 3, EPOLLIN)).toThrow(/EPERM/);
      expect(() => epoll.modify(own(createEventFd()), 4, EPOLLIN)).toThrow(/ENOENT/);
      expect(() => epoll.remove(9999)).toThrow(/EBADF/);
    });
    const closed = new Epoll();
    closed.close();
    expect(() => closed.wait(0)).toThrow(/epoll_wait: .*\(EBADF\)/);
  });

  it("waits without blocking the thread", async () => {
    const before = countOpenFds();
    const epoll = new Epoll();
    const fd = createEventFd();
    epoll.add(fd, 8, EPOLLIN);
    expect(await epoll.waitAsync(0)).toBe(0);
    expect(await epoll.waitAsync(1)).toBe(0);
    setImmediate(() => signal(fd));
    expect(await epoll.waitAsync(-1)).toBe(1);
    expect(epoll.tokens[0]).toBe(8);
    expect(await epoll.waitAsync(1000)).toBe(1);
    drain(fd);
    const interrupted = epoll.waitAsync(-1);
    await expect(epoll.waitAsync(-1)).rejects.toThrow(/already being waited for/);
    epoll.close();
    expect(await interrupted).toBe(0);
    close(own(fd));
    expect(countOpenFds()).toBe(before);
  });

  it("wakes a worker thread, also through a descriptor that is added while it sleeps", async () => {
    const compiled = compileSys(folder());
    const script = join(compiled, "worker.js");
    writeFileSync(
      script,
      `import { parentPort, workerData } from "node:worker_threads";
       import { Epoll } from "./sys/epoll.js";
       import { drain, signal } from "./sys/eventfd.js";
       const { set, wake, answer } = workerData;
       const epoll = new Epoll(8, set);
       parentPort.postMessage("sleeping soon");
       const sums = new Map();
       for (let going = true; going; ) {
         const count = epoll.wait(-1);
         for (let i = 0; i < count; i++) {
           const token = epoll.tokens[i];
           sums.set(token, (sums.get(token) ?? 0n) + drain(token === 0 ? wake : token));
           if (token === 0) going = false; else signal(answer);
         }
       }
       epoll.close();
       parentPort.postMessage(sums);`,
    );
    const [wake, answer, added] = [own(createEventFd()), own(createEventFd()), own(createEventFd())];
    const sleeps = new Epoll();
    sleeps.add(wake, 0, EPOLLIN);
    const worker = new Worker(script, { workerData: { set: sleeps.fd, wake, answer } });
    const exited = once(worker, "exit"); // It may come in the same turn as the last message.
    await once(worker, "message");
    epollAdd(sleeps.fd, added, added, EPOLLIN);
    const answers = new Epoll();
    answers.add(answer, 1, EPOLLIN);
    for (let round = 0; round < 100; round++) {
      signal(added);
      expect(await answers.waitAsync(-1)).toBe(1);
      expect(drain(answer)).toBe(1n);
    }
    signal(wake);
    const [sums] = (await once(worker, "message")) as [Map<number, bigint>];
    expect(sums).toEqual(
      new Map([
        [added, 100n],
        [0, 1n],
      ]),
    );
    answers.close();
    expect(await exited).toEqual([0]);
    expect(sleeps.wait(0)).toBe(0); // The worker left the set to its owner, and nothing undone.
    sleeps.close();
  });
});
