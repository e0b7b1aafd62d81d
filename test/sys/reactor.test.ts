// The reactor: callbacks on the main thread, and none for a watch that is stopped.

import { spawnSync } from "node:child_process";
import { once } from "node:events";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { Worker } from "node:worker_threads";
import { expect, it, onTestFinished } from "vitest";
import { createEventFd, drain, signal } from "../../src/sys/eventfd.js";
import { closeFd } from "../../src/sys/memfd.js";
import { countOpenFds } from "../../src/sys/open-fds.js";
import { Reactor, type ReactorErrorHandler, type Watch } from "../../src/sys/reactor.js";
import { receive, send, socketPair } from "../../src/sys/socket.js";
import { compileSys } from "./compiled.js";
import { describeLinux, useDescriptors, useFolders } from "./linux.js";

const BYTE = new Uint8Array([1]);

describeLinux("the reactor", () => {
  const folder = useFolders();
  const { own, close } = useDescriptors();
  const pair = () => socketPair().map(own) as [number, number];

  function open(onError?: ReactorErrorHandler): Reactor {
    const reactor = new Reactor(onError);
    onTestFinished(() => reactor.close());
    return reactor;
  }

  /** Let the event loop turn until whatever was ready has been delivered. */
  async function settle(reactor: Reactor): Promise<void> {
    const fence = createEventFd(1);
    for (let turn = 0; turn < 3; turn++) {
      await new Promise<void>((resolve) => {
        const watch = reactor.watch(fence, {
          readable: () => {
            watch.stop();
            resolve();
          },
        });
      });
    }
    closeFd(fence);
  }

  it("calls back when a descriptor is readable, again and again until it is read", async () => {
    const reactor = open();
    const fd = own(createEventFd());
    let calls = 0;
    const done = new Promise<void>((resolve) => {
      reactor.watch(fd, {
        readable: () => {
          if (++calls < 3) return;
          expect(drain(fd)).toBe(2n);
          resolve();
        },
      });
    });
    await settle(reactor);
    expect(calls).toBe(0);
    signal(fd);
    signal(fd);
    await done;
    await settle(reactor);
    expect(calls).toBe(3);
  });

  it("runs promise jobs and ticks right after a callback", async () => {
    const reactor = open();
    const fd = own(createEventFd(1));
    const order: string[] = [];
    await new Promise<void>((resolve) => {
      const watch = reactor.watch(fd, {
        readable: () => {
          watch.stop();
          setImmediate(() => {
            order.push("next turn");
            resolve();
          });
          process.nextTick(() => order.push("tick"));
          Promise.resolve().then(() => order.push("promise"));
        },
      });
    });
    expect(order).toEqual(["tick", "promise", "next turn"]);
  });

  it("calls writable when there is room, and lets callbacks be changed", async () => {
    const reactor = open();
    const [a, b] = pair();
    const chunk = new Uint8Array(1 << 16);
    let sent = 0;
    for (let taken = send(a, chunk); taken !== "again"; taken = send(a, chunk)) sent += taken;
    let writable = 0;
    const watch = reactor.watch(a, { writable: () => void writable++ });
    await settle(reactor);
    expect(writable).toBe(0);
    const seen = new Promise<void>((resolve) => {
      watch.update({
        writable: () => {
          watch.update({ writable: undefined });
          resolve();
        },
      });
    });
    while (sent > 0) {
      const got = receive(b, chunk);
      if (got === "again") throw new Error("what was sent did not arrive");
      sent -= got.bytes;
    }
    await seen;
    let readable = 0;
    watch.update({
      readable: () => {
        readable++;
        receive(a, chunk);
      },
    });
    send(b, BYTE);
    await settle(reactor);
    expect(readable).toBe(1);
    expect(writable).toBe(0);
  });

  it("delivers nothing to a watch that another callback of the same batch has stopped", async () => {
    const reactor = open();
    const fds = [own(createEventFd(1)), own(createEventFd(1))];
    const called: number[] = [];
    const watches: Watch[] = fds.map((fd, i) =>
      reactor.watch(fd, {
        readable: () => {
          called.push(i);
          for (const watch of watches) watch.stop();
        },
      }),
    );
    await settle(reactor);
    expect(called).toHaveLength(1);
  });

  it("does not give a stopped watch's event to the new owner of its descriptor number", async () => {
    const reactor = open();
    const first = own(createEventFd(1));
    const second = own(createEventFd(1));
    const called: string[] = [];
    const both: [Watch, Watch] = [
      reactor.watch(first, { readable: () => replace(1, second, "first") }),
      reactor.watch(second, { readable: () => replace(0, first, "second") }),
    ];
    // Whichever comes first closes the other's descriptor; an empty eventfd gets the number and is watched.
    function replace(other: 0 | 1, fd: number, name: string): void {
      called.push(name);
      for (const watch of both) watch.stop();
      close(fd);
      const reused = own(createEventFd());
      expect(reused).toBe(fd);
      both[other] = reactor.watch(reused, { readable: () => called.push("reused") });
    }
    await settle(reactor);
    expect(called).toHaveLength(1);
    signal(both[called[0] === "first" ? 1 : 0].fd);
    await settle(reactor);
    expect(called[1]).toBe("reused");
  });

  it("tells of the end through readable, and once through hangup", async () => {
    const reactor = open();
    const [a, b] = pair();
    const calls: string[] = [];
    const buffer = new Uint8Array(8);
    const watch = reactor.watch(b, {
      readable: () => {
        const got = receive(b, buffer);
        calls.push(got === "again" ? "again" : `read ${got.bytes}`);
        if (calls.length > 3) watch.stop();
      },
      hangup: () => calls.push("hangup"),
    });
    send(a, BYTE);
    close(a);
    await settle(reactor);
    expect(calls).toEqual(["read 1", "hangup", "read 0", "read 0"]);
  });

  it("tells of a hang-up while nothing is read, and does not turn in circles after it", async () => {
    const reactor = open();
    const [a, b] = pair();
    const silent = reactor.watch(b, {});
    let hangups = 0;
    const watched = pair();
    reactor.watch(watched[1], { hangup: () => void hangups++ });
    close(a);
    close(watched[0]);
    await settle(reactor);
    await settle(reactor);
    expect(hangups).toBe(1);
    silent.stop();
  });

  it("hands an exception to onError and goes on", async () => {
    const errors: unknown[] = [];
    const reactor = open((error, watch) => {
      errors.push((error as Error).message, watch.fd);
      watch.stop();
    });
    const fd = own(createEventFd(1));
    reactor.watch(fd, {
      readable: () => {
        throw new Error("broken callback");
      },
    });
    await settle(reactor);
    expect(errors).toEqual(["broken callback", fd]);
  });

  it("refuses a descriptor it cannot watch", () => {
    const reactor = open();
    const fd = own(createEventFd());
    const watch = reactor.watch(fd, { readable: () => undefined });
    expect(() => reactor.watch(fd, { readable: () => undefined })).toThrow(/EEXIST/);
    watch.stop();
    watch.stop();
    expect(() => reactor.watch(9999, { readable: () => undefined })).toThrow(/EBADF/);
  });

  it("closes: no callback comes any more, and its descriptors are gone", async () => {
    const before = countOpenFds();
    const reactor = new Reactor();
    const fd = createEventFd(1);
    let calls = 0;
    const watch = reactor.watch(fd, { readable: () => void calls++ });
    await reactor.close();
    await reactor.close();
    watch.update({ writable: () => void calls++ });
    watch.stop();
    expect(() => reactor.watch(fd, {})).toThrow(/closed/);
    await new Promise((resolve) => setImmediate(() => setImmediate(resolve)));
    expect(calls).toBe(0);
    closeFd(fd);
    expect(countOpenFds()).toBe(before);
  });

  it("closes inside a callback, before the rest of the batch", async () => {
    const reactor = new Reactor();
    const fds = [own(createEventFd(1)), own(createEventFd(1))];
    let calls = 0;
    await new Promise<void>((resolve) => {
      const readable = () => {
        calls++;
        void reactor.close().then(() => setImmediate(resolve));
      };
      for (const fd of fds) reactor.watch(fd, { readable });
    });
    expect(calls).toBe(1);
  });

  it("keeps a process alive while it watches, lets it end afterwards, and never stands in the way of exit", () => {
    const compiled = compileSys(folder());
    const run = (body: string) => {
      const script = join(compiled, "script.js");
      writeFileSync(
        script,
        `import { Reactor } from "./sys/reactor.js";
         import { createEventFd, signal, drain } from "./sys/eventfd.js";
         const reactor = new Reactor();
         const fd = createEventFd();
         ${body}`,
      );
      const { status, stdout, stderr } = spawnSync(process.execPath, [script], { encoding: "utf8", timeout: 20_000 });
      return { status, stdout, stderr };
    };
    const woken = `const watch = reactor.watch(fd, {readable: () => { drain(fd); console.log("read"); watch.stop(); }});
                   setTimeout(() => signal(fd), 20).unref();
                   setTimeout(() => {}, 60);`;
    expect(run(woken)).toEqual({ status: 0, stdout: "read\n", stderr: "" });
    // Nothing but the watch keeps this one alive until the signal of its child arrives.
    const alive = `import("node:child_process").then(({ spawn }) => {
                     spawn("sh", ["-c", "sleep 0.1; printf '\\\\1\\\\0\\\\0\\\\0\\\\0\\\\0\\\\0\\\\0' >&3"],
                       { stdio: ["ignore", "ignore", "inherit", fd], detached: true }).unref();
                   });
                   const watch = reactor.watch(fd, {readable: () => { console.log("woken"); void reactor.close(); }});`;
    expect(run(alive)).toEqual({ status: 0, stdout: "woken\n", stderr: "" });
    expect(run("")).toEqual({ status: 0, stdout: "", stderr: "" });
    expect(run("reactor.watch(fd, {readable() {}}); setTimeout(() => process.exit(7), 10)").status).toBe(7);
    const thrown = run("signal(fd); reactor.watch(fd, {readable() { throw new Error('not caught'); }})");
    expect(thrown.status).toBe(1);
    expect(thrown.stderr).toContain("Error: not caught");
  });

  it("refuses to work in a worker thread, where an open poll would end the process", async () => {
    const script = join(compileSys(folder()), "worker.js");
    writeFileSync(script, 'import { Reactor } from "./sys/reactor.js"; new Reactor();');
    const [error] = (await once(new Worker(script), "error")) as [Error];
    expect(error.message).toContain("main thread only");
  });
});
