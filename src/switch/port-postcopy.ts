// What a port does for a postcopy migration of its guest: memory of which pages come late.
//
// Whoever touches a page that has not come stands still until the front-end has brought it. Workers may; the main thread
// may not, for it is to hear the front-end meanwhile, and the other ports'. So a thread of the port's own goes before it.

import { Worker } from "node:worker_threads";
import type { Bridge } from "../core/bridge.js";
import { hostPageSize, keepSmallPages, memoryBase, unmap } from "../sys/mapping.js";
import { closeFd, dupFd } from "../sys/memfd.js";
import { createUserfault, registerMissing, unregister, wakeFaults } from "../sys/userfault.js";
import type { Fd } from "../vhost-user/effects.js";
import type { Mapping } from "./guest-memory.js";
import type { PageWaiterOptions } from "./page-waiter-thread.js";

/** A piece of linear memory. */
interface Piece {
  offset: number;
  bytes: number;
}

export class PortPostcopy {
  private readonly base: bigint;
  private fd: Fd | undefined;
  private readonly late = new Set<Mapping>();
  private waiter: Worker | undefined;

  constructor(private readonly bridge: Bridge) {
    this.base = memoryBase(bridge.views.memory);
  }

  /** Somebody may stand still in this port's memory. */
  get isUnderWay(): boolean {
    return this.late.size > 0;
  }

  /** Of how many bytes the pages come when somebody waits for them. */
  get lateBytes(): number {
    return [...this.late].reduce((sum, { size }) => sum + Number(size), 0);
  }

  /** Begins; returns a descriptor for the front-end. Throws an Error that says why this machine can not. */
  open(): Fd {
    this.fd ??= createUserfault();
    return dupFd(this.fd);
  }

  /** The mapping's pages come late. Nobody has touched it. Returns its address. */
  add(mapping: Mapping): bigint {
    const whole = mapping.whole;
    if (this.fd === undefined || whole === undefined) throw new Error("there is nothing to wait for pages with");
    const { mapStart, mapBytes } = whole;
    keepSmallPages(this.base, mapStart, mapBytes);
    registerMissing(this.fd, this.base + BigInt(mapStart), mapBytes);
    if (!this.isUnderWay) this.bridge.grace.lateMemory++;
    this.late.add(mapping);
    return this.base + BigInt(mapping.window);
  }

  /** The mapping is going to be unmapped, with nobody in it. */
  remove(mapping: Mapping): void {
    if (this.late.delete(mapping) && !this.isUnderWay) this.bridge.grace.lateMemory--;
  }

  /** Waits until these pieces are there, or nothing is to come any more. */
  async wait(pieces: readonly Piece[]): Promise<void> {
    if (!this.isUnderWay) return;
    const page = hostPageSize();
    const offsets = pieces.flatMap(({ offset, bytes }) => {
      const pages = Math.ceil(((offset % page) + bytes) / page);
      return Array.from({ length: pages }, (_, i) => (i === 0 ? offset : offset - (offset % page) + i * page));
    });
    const options: PageWaiterOptions = { memory: this.bridge.views.memory };
    this.waiter ??= new Worker(new URL("./page-waiter-thread.js", import.meta.url), { workerData: options });
    const { waiter } = this;
    await new Promise<void>((resolve) => {
      const done = () => {
        waiter.off("message", done);
        waiter.off("exit", done);
        resolve();
      };
      waiter.on("message", done);
      // With the end of the migration it ends too: then there is nothing to wait for.
      waiter.on("exit", done);
      waiter.postMessage(offsets);
    });
  }

  /** All pages have come. */
  end(): void {
    this.finish((fd, address, bytes) => unregister(fd, address, bytes));
  }

  /**
   * The front-end brings no more pages. The memory is taken away before whoever stands in it goes on: he finds zeros
   * that are nobody's, and the guest's file gets no page that its front-end has not put there.
   */
  abandon(): void {
    this.finish((fd, address, bytes) => {
      unmap(this.base, Number(address - this.base), bytes);
      wakeFaults(fd, address, bytes);
    });
  }

  private finish(release: (fd: Fd, address: bigint, bytes: number) => void): void {
    if (this.fd === undefined) return;
    const { fd } = this;
    this.fd = undefined;
    for (const { whole } of this.late) release(fd, this.base + BigInt(whole!.mapStart), whole!.mapBytes);
    if (this.isUnderWay) this.bridge.grace.lateMemory--;
    this.late.clear();
    closeFd(fd);
    void this.waiter?.terminate();
    this.waiter = undefined;
  }
}
