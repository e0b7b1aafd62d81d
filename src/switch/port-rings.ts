// A port's rings as its front-end has set them up: where they lie, the eventfds that belong to them, and which worker has
// them while they run.

import type { Logger } from "pino";
import { QUEUE_OK } from "../../assembly/spec/status.js";
import type { Bridge } from "../core/bridge.js";
import type { BridgePort, MappedRegion, RingInMemory } from "../core/bridge-port.js";
import { queueStatusText } from "../core/causes.js";
import { type RingPart, ringParts } from "../core/ring-parts.js";
import { adoptNotifier, drain, isFull, signal } from "../sys/eventfd.js";
import type { Fd, RingFds, RingSetup } from "../vhost-user/effects.js";
import type { PortInflight } from "./inflight.js";
import type { PortMemory } from "./port-memory.js";
import type { PortPostcopy } from "./port-postcopy.js";
import type { RingPlace } from "./ring-windows.js";
import type { WorkerPool } from "./worker-pool.js";

/** What a running ring has of its front-end. */
interface RunningQueue {
  kick: Fd | null;
  /** Signalled when the guest breaks the ring. */
  err: Fd | null;
  /** Only transmitqs have one. */
  worker?: number;
  /** Where its parts lie. */
  places: readonly RingPlace[];
}

const NO_CALL = -1;

/** What rings need of their port. */
export interface RingsOwner {
  bridge: Bridge;
  port: BridgePort;
  pool: WorkerPool;
  memory: PortMemory;
  inflight: PortInflight;
  postcopy: PortPostcopy;
  log: Logger;
  /** Says what has gone wrong. */
  fail(text: string): void;
  /** The guest has broken a ring. */
  broken(index: number, reason: string): void;
}

export class PortRings {
  private readonly running = new Map<number, RunningQueue>();
  private readonly reportedBroken = new Set<number>();

  constructor(private readonly owner: RingsOwner) {}

  /** True while at least one ring runs. */
  get areRunning(): boolean {
    return this.running.size > 0;
  }

  /** Starts a ring. Throws an Error that says why that cannot be done. */
  async start(index: number, setup: RingSetup, fds: RingFds, enabled: boolean): Promise<void> {
    const { bridge, port, pool, inflight, postcopy, log } = this.owner;
    const { kick, call, err } = fds;
    for (const [name, fd] of Object.entries({ kick, call, err })) {
      mustBeEventFd(fd, `the ${name} descriptor of queue ${index}`);
    }
    const { ring, places } = this.place(index, setup);
    // From here on this thread reads and writes the ring's parts.
    const parts = ringParts(setup.size, setup.packed);
    await postcopy.wait(parts.map(({ key, bytes }) => ({ offset: ring[key], bytes })));
    const isTransmitq = index % 2 === 1;
    let worker: number | undefined;
    try {
      if (isTransmitq) worker = pool.assign(kick);
    } catch (error) {
      for (const place of places) place.release();
      throw error;
    }
    this.running.set(index, { kick, err, worker, places });
    this.reportedBroken.delete(index);
    const from = inflight.open(index, ring);
    await bridge.startQueue(port, index, from, { callFd: call ?? NO_CALL, enabled, worker: worker ?? 0 });
    // What a switch before us completed and could not tell any more.
    if (call !== null) signal(call);
    log.debug(`queue ${index} runs, ${setup.size} entries from ${from.nextAvail}`);
  }

  /** Stops a ring, or, `untranslated`, pauses it. Returns the next avail index. */
  async stop(index: number, untranslated = false): Promise<number> {
    const { bridge, port, pool, inflight, log } = this.owner;
    const queue = this.running.get(index);
    if (queue?.worker !== undefined) pool.unassign(queue.worker, queue.kick);
    this.running.delete(index);
    const nextAvail = await (untranslated ? bridge.pauseQueue(port, index) : bridge.stopQueue(port, index));
    for (const place of queue?.places ?? []) place.release();
    inflight.close(index, nextAvail);
    log.debug(`queue ${index} stopped at ${nextAvail}`);
    return nextAvail;
  }

  async setCall(index: number, call: Fd | null): Promise<void> {
    mustBeEventFd(call, `the call descriptor of queue ${index}`);
    await this.owner.bridge.setCallFd(this.owner.port, index, call ?? NO_CALL);
    // What was completed before the driver could be told through this descriptor.
    if (call !== null && this.running.has(index)) signal(call);
  }

  setKick(index: number, kick: Fd | null): void {
    mustBeEventFd(kick, `the kick descriptor of queue ${index}`);
    const queue = this.running.get(index);
    if (queue === undefined) return;
    if (queue.worker !== undefined) {
      const { pool } = this.owner;
      pool.unwatch(queue.worker, queue.kick);
      pool.watch(queue.worker, kick);
      // A kick that went to the old descriptor must not be waited for.
      pool.wake(queue.worker);
    }
    queue.kick = kick;
  }

  setErr(index: number, err: Fd | null): void {
    mustBeEventFd(err, `the err descriptor of queue ${index}`);
    const queue = this.running.get(index);
    if (queue === undefined) return;
    queue.err = err;
    // It is told at once of what the one before it was told, or nobody.
    if (err !== null && this.reportedBroken.has(index)) signal(err);
  }

  /** Reports, once each, rings that the guest has broken since the last look. */
  lookForBroken(): void {
    for (const [index, queue] of this.owner.port.queues) {
      if (!queue.running || queue.status === QUEUE_OK || this.reportedBroken.has(index)) continue;
      this.reportedBroken.add(index);
      this.owner.broken(index, `${queueStatusText(queue.status)} (at ${queue.statusDescriptor})`);
      const err = this.running.get(index)?.err ?? null;
      if (err !== null) signal(err);
    }
  }

  /**
   * A front-end shares its call eventfds with us, and so the flag that keeps a write to a full one from waiting. When a
   * worker stands still, this ends its wait and uses such a descriptor no more.
   */
  releaseBlockedCalls(): void {
    for (const [index, queue] of this.owner.port.queues) {
      const fd = queue.struct.get("callFd");
      if (!queue.running || fd < 0 || !isFull(fd)) continue;
      queue.struct.publish("callFd", NO_CALL);
      adoptNotifier(fd);
      drain(fd);
      this.owner.fail(
        `the call eventfd of queue ${index} blocked a worker: it is not used any more; the guest must poll`,
      );
    }
  }

  /** The ring's parts as offsets in linear memory. The core's atomic accesses trap when they are misaligned. */
  private place(index: number, setup: RingSetup): { ring: RingInMemory; places: RingPlace[] } {
    const { size, packed, nextAvail } = setup;
    const places: RingPlace[] = [];
    const apart: MappedRegion[] = [];
    try {
      const [desc, avail, used] = ringParts(size, packed).map(({ key, name, bytes, align }: RingPart): number => {
        const place = this.owner.memory.placeRing(setup[key], bytes);
        if (place === null) throw new Error(`the ${name} of queue ${index} lies outside the mapped memory`);
        places.push(place);
        if (place.apart) apart.push({ guestAddress: setup[key], size: BigInt(bytes), window: place.offset });
        if (place.offset % align !== 0)
          throw new Error(`the ${name} of queue ${index} is not aligned to ${align} bytes`);
        return place.offset;
      });
      return { ring: { size, packed, desc: desc!, avail: avail!, used: used!, nextAvail, apart }, places };
    } catch (error) {
      for (const place of places) place.release();
      throw error;
    }
  }
}

/** A worker writes to it and sleeps on it: anything but an eventfd could block it, or wake it for ever. */
export function mustBeEventFd(fd: Fd | null, what: string): void {
  if (fd === null) return;
  const { kind, target } = adoptNotifier(fd);
  if (kind !== "eventfd") throw new Error(`${what} is no eventfd but ${target}`);
}
