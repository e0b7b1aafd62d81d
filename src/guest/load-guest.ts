// A simulated guest under load: a front-end with RAM and rings (front-end.ts), driven by the Wasm load driver. It
// sends the flows that come from its address, and checks those that are for it.

import {
  VIRTIO_F_IN_ORDER,
  VIRTIO_F_VERSION_1,
  VIRTIO_NET_F_MRG_RXBUF,
  VIRTIO_NET_HDR_SIZE,
} from "../../assembly/spec/virtio.js";
import { bits } from "../core/feature-bits.js";
import { type BuildTarget, createMemory } from "../core/module.js";
import { RangeAllocator } from "../core/ranges.js";
import { Views } from "../core/views.js";
import { loadModule } from "../core/wasm-files.js";
import { EPOLLIN, Epoll } from "../sys/epoll.js";
import { createEventFd, drain, signal } from "../sys/eventfd.js";
import { closeFd } from "../sys/memfd.js";
import { Reactor } from "../sys/reactor.js";
import {
  bufferBytesFor,
  COUNTER_NAMES,
  type DriverCounters,
  type DriverQueue,
  FlowTable,
  instantiateDriver,
  type Verify,
} from "./driver.js";
import type { Fd } from "../vhost-user/effects.js";
import { FrontEnd } from "./front-end.js";
import { createGuestQueues, queuesControlBytes, queuesRamBytes, type QueueShape } from "./guest-queues.js";
import { guestRamBytes } from "./ram.js";
import type { FrameSizes, TrafficFlow } from "./traffic.js";

const PAGE = 65536;
/** Pages that the module wants at least (asconfig.json). */
const PAGES_MIN = 16;
/** The driver's own structs are from here to the guest's RAM. */
const CONTROL_START = 4096;

/** What most guests' drivers use of what the switch may offer. */
export const LOAD_FEATURES: bigint = bits(VIRTIO_F_VERSION_1, VIRTIO_NET_F_MRG_RXBUF, VIRTIO_F_IN_ORDER);

export interface LoadGuestOptions {
  /** The vhost-user socket, and whether the switch listens there ("connect", the default) or this guest does. */
  path: string;
  role?: "connect" | "listen";
  script?: "qemu" | "dpdk";
  /** All flows of the network, the same list for every guest; this guest's own stand side by side in it. */
  flows: readonly TrafficFlow[];
  /** This guest's MAC address. */
  mac: string;
  /** Longest frame it will send, or receive in one buffer. Default 1518. */
  frameBytes?: number;
  /** Bytes of a receive buffer, header included; default a whole frame. Smaller ones need merged buffers. */
  rxBufferBytes?: number;
  /** Entries of each ring. Default 256. */
  queueSize?: number;
  /** Queue pairs; the flows sent are shared out among them. Default 1. */
  pairs?: number;
  features?: bigint;
  regions?: 1 | 2;
  hugePages?: boolean;
  verify?: Verify;
  target?: BuildTarget;
  timeoutMs?: number;
}

/** What a guest has sent and received since it was attached. */
export interface LoadCounters {
  sent: { frames: number; bytes: number };
  received: DriverCounters;
  /** Frames that the device still has: made available and not given back. */
  pending: number;
}

export class LoadGuest {
  /** Told when the switch leaves. Traffic then stands still. */
  onLost: (error: Error) => void = () => {};
  private readonly memory: WebAssembly.Memory;
  private readonly views: Views;
  private readonly control: RangeAllocator;
  private readonly reactor = new Reactor();
  private readonly frontEnd: FrontEnd;
  private readonly table: FlowTable;
  private readonly receiveqs: DriverQueue[] = [];
  private readonly transmitqs: DriverQueue[] = [];
  private readonly epoll: Epoll;
  private readonly wakeFd: Fd;
  private readonly own: number[];
  private readonly expected: number[];
  private readonly verify: Verify;
  /** Virtio features in use. */
  features = 0n;
  /** The counters at the end: then the rings are gone. */
  private last: LoadCounters | undefined;

  /**
   * Attaches a guest to a switch; its rings run when this resolves.
   * Rejects with a sentence when the switch is not there or does not answer.
   */
  static async attach(options: LoadGuestOptions): Promise<LoadGuest> {
    const guest = new LoadGuest(options);
    try {
      const { features } = await guest.frontEnd.connect();
      guest.setUpQueues(features);
      await guest.frontEnd.start();
    } catch (error) {
      guest.release();
      throw error;
    }
    return guest;
  }

  private constructor(private readonly options: LoadGuestOptions) {
    const { flows, mac, queueSize = 256, pairs = 1, verify = "payload" } = options;
    this.verify = verify;
    this.own = numbers(flows, ({ from }) => from === mac);
    this.expected = numbers(flows, ({ to }) => to === mac);
    if (this.own.length < pairs || this.own.at(-1)! - this.own[0]! !== this.own.length - 1) {
      throw new Error(`${mac} needs a flow for each of its ${pairs} queue pairs, side by side in the list of flows`);
    }
    const shape = this.shape();
    const ram = { bytes: queuesRamBytes(shape), regions: options.regions, hugePages: options.hugePages };
    const window = CONTROL_START + queuesControlBytes(shape, flows.length);
    this.memory = createMemory(Math.max(Math.ceil((window + guestRamBytes(ram)) / PAGE), PAGES_MIN));
    this.views = new Views(this.memory);
    this.control = new RangeAllocator(CONTROL_START, window);
    this.table = new FlowTable(this.views, this.control, flows, ({ to }) => to === mac);
    const { path, role, script, timeoutMs, features = LOAD_FEATURES } = options;
    const { memory, reactor } = this;
    try {
      this.frontEnd = new FrontEnd({
        ...{ path, role, script, timeoutMs, features, queueSize, pairs },
        ...{ memory, window, reactor, ...ram },
      });
    } catch (error) {
      void reactor.close();
      throw error;
    }
    this.frontEnd.onLost = (error) => this.onLost(error);
    this.epoll = new Epoll();
    this.wakeFd = createEventFd();
    for (const ring of this.frontEnd.rings) this.epoll.add(ring.call, ring.call, EPOLLIN);
    this.epoll.add(this.wakeFd, this.wakeFd, EPOLLIN);
  }

  /** What to send: frame lengths in turn, and whether the payload is written (see DriverQueue.setTraffic). */
  setTraffic(sizes: FrameSizes, payload = true): void {
    for (const queue of this.transmitqs) queue.setTraffic(sizes, payload);
  }

  /** Sends up to `count` frames on one queue pair and kicks if need be. Returns how many there was room for. */
  send(count: number, pair = 0): number {
    const result = this.transmitqs[pair]!.send(count, now());
    if ((result & 1) !== 0) this.frontEnd.kick(2 * pair + 1);
    return result >>> 1;
  }

  /** Receives and checks what is in up to `budget` buffers of one queue pair. Returns the number of frames. */
  receive(budget: number, pair = 0): number {
    const result = this.receiveqs[pair]!.receive(budget, this.verify, now());
    if ((result & 1) !== 0) this.frontEnd.kick(2 * pair);
    return result >>> 1;
  }

  /** Frames sent that have no counterpart yet: own ones less the highest numbers received, over all flows. */
  get lead(): number {
    let lead = 0;
    for (const number of this.own) lead += this.table.sent(number);
    for (const number of this.expected) lead -= this.table.seen(number);
    return lead | 0;
  }

  /** What the device did wrong, if anything: that queue stands still. */
  get fault(): string | undefined {
    for (const queue of [...this.receiveqs, ...this.transmitqs]) if (queue.fault !== undefined) return queue.fault;
    return undefined;
  }

  counters(): LoadCounters {
    if (this.last) return this.last;
    const sent = this.transmitqs.map((queue) => queue.counters());
    const received = this.receiveqs.map((queue) => queue.counters());
    const sum = (list: DriverCounters[], name: keyof DriverCounters) => list.reduce((sum, each) => sum + each[name], 0);
    return {
      sent: { frames: sum(sent, "frames"), bytes: sum(sent, "bytes") },
      received: Object.fromEntries(COUNTER_NAMES.map((name) => [name, sum(received, name)])) as never,
      pending: this.transmitqs.reduce((sum, queue) => sum + queue.reclaim(), 0),
    };
  }

  /** Received frames by nanoseconds under way (latencyQuantile in driver.ts), from send to receive, queues included. */
  latencies(): number[] {
    const histograms = this.receiveqs.map((queue) => queue.latencies());
    return histograms[0]!.map((_, bucket) => histograms.reduce((sum, histogram) => sum + histogram[bucket]!, 0));
  }

  /**
   * Blocks this thread until something is received, `wake` is called, or the time is over; with `room` also until sent
   * frames come back. Does not block when there is something already, and may return early. Milliseconds.
   */
  wait(timeoutMs: number, room = false): void {
    if (this.arm(room)) return;
    this.drain(this.epoll.wait(timeoutMs));
    this.disarm();
  }

  /** The same, for received frames only, while the event loop goes on. */
  async sleep(timeoutMs: number): Promise<void> {
    if (this.arm(false)) return;
    this.drain(await this.epoll.waitAsync(timeoutMs));
    this.disarm();
  }

  /** Ends a `sleep`. */
  wake(): void {
    signal(this.wakeFd);
  }

  /** After the switch was lost: attaches again, rings and counters go on. */
  async reattach(): Promise<void> {
    await this.frontEnd.connect();
    await this.frontEnd.start();
  }

  /** Stops the rings in good order and leaves. The counters stay readable. */
  async detach(): Promise<void> {
    try {
      await this.frontEnd.stop();
    } finally {
      this.release();
    }
  }

  /** Leaves at once, as a guest that was killed. A second call does nothing. */
  release(): void {
    if (this.last) return;
    this.last = this.counters();
    this.epoll.close();
    this.frontEnd.close();
    closeFd(this.wakeFd);
    void this.reactor.close();
  }

  private shape(): QueueShape {
    const { frameBytes = 1518, rxBufferBytes, queueSize = 256, pairs = 1, regions } = this.options;
    const txBufferBytes = bufferBytesFor(frameBytes, VIRTIO_NET_HDR_SIZE);
    return { pairs, queueSize, txBufferBytes, rxBufferBytes: rxBufferBytes ?? txBufferBytes, regions };
  }

  private setUpQueues(features: bigint): void {
    this.features = features;
    const { receiveqs, transmitqs } = createGuestQueues({
      frontEnd: this.frontEnd,
      driver: instantiateDriver(loadModule("driver", this.options.target).module, this.memory),
      views: this.views,
      control: this.control,
      table: this.table,
      own: { first: this.own[0]!, count: this.own.length },
      shape: this.shape(),
      features,
    });
    this.receiveqs.push(...receiveqs);
    this.transmitqs.push(...transmitqs);
  }

  /** True when there is something already; then nothing is armed. */
  private arm(room: boolean): boolean {
    let busy = false;
    for (const queue of this.receiveqs) busy = queue.arm() || busy;
    if (room) for (const queue of this.transmitqs) busy = queue.arm() || busy;
    if (busy) this.disarm();
    return busy;
  }

  private disarm(): void {
    for (const queue of this.receiveqs) queue.disarm();
    for (const queue of this.transmitqs) queue.disarm();
  }

  private drain(events: number): void {
    for (let i = 0; i < events; i++) drain(this.epoll.tokens[i]!);
  }
}

/** Nanoseconds of the machine's monotonic clock, which all processes share, modulo 2^32. */
function now(): number {
  const [seconds, nanoseconds] = process.hrtime();
  return (seconds * 1e9 + nanoseconds) >>> 0;
}

function numbers(flows: readonly TrafficFlow[], which: (flow: TrafficFlow) => boolean): number[] {
  return flows.flatMap((flow, number) => (which(flow) ? [number] : []));
}
