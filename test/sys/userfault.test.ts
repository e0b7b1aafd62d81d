// Pages that are missing: who touches one waits, and goes on when it has come, or when nothing is to come any more.

import { fstatSync } from "node:fs";
import { Worker } from "node:worker_threads";
import { afterEach, describe, expect, it } from "vitest";
import { hostPageSize, keepSmallPages, mapInto, memoryBase, unmap } from "../../src/sys/mapping.js";
import { createMemfd } from "../../src/sys/memfd.js";
import { createUserfault, registerMissing, unregister, userfaultFault, wakeFaults } from "../../src/sys/userfault.js";
import { describeLinux, useDescriptors } from "./linux.js";
import { bringPages, nextFault } from "./page-server.js";

interface Memory {
  buffer: SharedArrayBuffer;
}
declare const WebAssembly: {
  Memory: new (descriptor: { initial: number; maximum: number; shared: boolean }) => Memory;
};

const WINDOW = 65_536;
const PAGES = 4;

/** Reads one byte of the memory for each message, which is an offset, and answers with it. */
const READER = `
  const { parentPort, workerData } = require("node:worker_threads");
  const bytes = new Uint8Array(workerData.buffer);
  parentPort.on("message", (at) => parentPort.postMessage(Atomics.load(bytes, at)));
`;

describeLinux("userfaultfd", () => {
  const reason = userfaultFault();
  if (reason !== undefined) {
    console.log(`skipped: userfaultfd: ${reason}`);
    describe.skip(`not here: ${reason}`, () => it("is skipped", () => {}));
    return;
  }
  const { own } = useDescriptors();
  const workers: Worker[] = [];
  afterEach(async () => {
    for (const worker of workers.splice(0)) await worker.terminate();
  });

  /** A file of four pages, of which the first is there, registered in a linear memory. */
  function start() {
    const page = hostPageSize();
    const memory = new WebAssembly.Memory({ initial: 16, maximum: 16, shared: true });
    const base = memoryBase(memory);
    const length = PAGES * page;
    const file = own(createMemfd("pages", length));
    mapInto(base, WINDOW, file, 0, length);
    new Uint8Array(memory.buffer)[WINDOW] = 7;
    keepSmallPages(base, WINDOW, length);
    const fd = own(createUserfault());
    const address = base + BigInt(WINDOW);
    registerMissing(fd, address, length);
    const worker = new Worker(READER, { eval: true, workerData: { buffer: memory.buffer } });
    workers.push(worker);
    const read = (at: number) =>
      new Promise<number>((resolve) => {
        worker.once("message", resolve);
        worker.postMessage(at);
      });
    return { page, memory, base, length, file, fd, address, read };
  }

  async function fault(fd: number): Promise<bigint> {
    for (;;) {
      const at = nextFault(fd);
      if (at !== undefined) return at;
      await new Promise((resolve) => setTimeout(resolve, 1));
    }
  }

  it("a thread waits for a missing page, and has it when it is brought; a page that is there needs nobody", async () => {
    const { page, fd, address, read } = start();
    expect(await read(WINDOW)).toBe(7);
    expect(nextFault(fd)).toBeUndefined();
    const byte = read(WINDOW + 2 * page + 5);
    expect(await fault(fd)).toBe(address + BigInt(2 * page));
    bringPages(fd, address + BigInt(2 * page), new Uint8Array(page).fill(42));
    expect(await byte).toBe(42);
  });

  it("when nothing is to come any more a page is zero, and who waits goes on", async () => {
    const { page, length, fd, address, read } = start();
    const byte = read(WINDOW + page);
    await fault(fd);
    unregister(fd, address, length);
    expect(await byte).toBe(0);
    expect(await read(WINDOW + 3 * page)).toBe(0);
  });

  it("who waits in memory that is unmapped goes on in what is there instead; the file gets no page by it", async () => {
    const { page, base, length, file, fd, address, memory, read } = start();
    const byte = read(WINDOW + page);
    await fault(fd);
    const before = fstatSync(file).blocks;
    unmap(base, WINDOW, length);
    wakeFaults(fd, address, length);
    expect(await byte).toBe(0);
    expect(new Uint8Array(memory.buffer)[WINDOW]).toBe(0);
    expect(fstatSync(file).blocks).toBe(before);
  });

  it("memory that is no multiple of pages is refused", () => {
    const { fd, address } = start();
    expect(() => registerMissing(fd, address, 100)).toThrow("UFFDIO_REGISTER");
  });
});
