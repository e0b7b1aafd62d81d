// What one thread drives: simulated guests on the ports of one or more back-ends, all in one linear memory, so that a
// window of traffic is a flat loop of calls into one instance of the load driver.
//
// Ports work in pairs: guest 2k sends to guest 2k + 1, and back when both send. Each stream (flow) has a source and a
// destination address of its own, and the stream back between the same two addresses is there too, if only to make
// both known to a learning switch.

import { VIRTIO_F_RING_PACKED, VIRTIO_NET_HDR_SIZE } from "../../assembly/spec/virtio.js";
import { bits, hasBit } from "../core/feature-bits.js";
import { createMemory, FULL_MEMORY_PAGES } from "../core/module.js";
import { RangeAllocator } from "../core/ranges.js";
import { Views } from "../core/views.js";
import { loadModule } from "../core/wasm-files.js";
import { bufferBytesFor, type DriverExports, type DriverQueue, FlowTable, instantiateDriver } from "../guest/driver.js";
import { FrontEnd } from "../guest/front-end.js";
import {
  createGuestQueues,
  queuesControlBytes,
  queuesRamBytes,
  type QueueShape,
  SEGMENTATION_FEATURES,
} from "../guest/guest-queues.js";
import { LOAD_FEATURES } from "../guest/load-guest.js";
import { guestRamBytes } from "../guest/ram.js";
import { guestMac, type TrafficFlow } from "../guest/traffic.js";
import { Reactor } from "../sys/reactor.js";
import type { RingForm } from "./options.js";

const CONTROL_START = 4096;
const PAGE = 65536;
const PAGES_MIN = 16;
/** What Linux gives for a receive buffer where long frames come, with merged buffers. */
const RECEIVE_PAGE = 4096;
/** For a back-end to answer; and, where it is the one that connects, to come. */
const ANSWER_MS = 5_000;
const COME_MS = 20_000;

export interface RigShape {
  /** Ports of every back-end; even. */
  ports: number;
  /** Queue pairs of a port. */
  pairs: number;
  /** Entries of a ring. */
  queueSize: number;
  ring: RingForm;
  /** Longest frame. */
  frameBytes: number;
  /** Frames longer than a segment are TCP for segmentation offload, received over merged pages as by Linux. */
  segmentation: boolean;
  /** Streams in each direction, over all ports. */
  flows: number;
  hugePages: boolean;
}

/** Where the guests of one back-end attach, one socket for each port. */
export interface RigTarget {
  sockets: readonly string[];
  /** "connect" to the back-end's sockets; "listen" for it to connect; "none": nobody is there, only rings. */
  role: "connect" | "listen" | "none";
}

export interface RigGuest {
  frontEnd: FrontEnd;
  table: FlowTable;
  receiveqs: DriverQueue[];
  transmitqs: DriverQueue[];
}

/** Streams that each guest sends: at least one for each of its queue pairs. */
export function flowsOfGuest({ ports, pairs, flows }: Pick<RigShape, "ports" | "pairs" | "flows">): number {
  return Math.max(pairs, Math.ceil(flows / (ports / 2)));
}

/** All streams of one back-end, those of a guest side by side. */
export function rigFlows(shape: Pick<RigShape, "ports" | "pairs" | "flows">): TrafficFlow[] {
  const each = flowsOfGuest(shape);
  return Array.from({ length: shape.ports * each }, (_, number) => {
    const guest = Math.floor(number / each);
    const stream = number % each;
    return { from: guestMac(guest + 1, stream), to: guestMac((guest ^ 1) + 1, stream) };
  });
}

export class Rig {
  readonly driver: DriverExports;
  readonly memory: WebAssembly.Memory;
  private readonly reactor = new Reactor();
  /** By back-end, in the order of the targets. */
  readonly guests: RigGuest[][] = [];
  /** Why a back-end was lost, if one was. */
  lost: Error | undefined;

  /** Attaches guests to all targets. Rejects with a sentence when a back-end is not there or does not answer. */
  static async attach(targets: readonly RigTarget[], shape: RigShape): Promise<Rig> {
    const rig = new Rig(targets.length, shape);
    try {
      for (const target of targets) await rig.attachTarget(target);
    } catch (error) {
      rig.release();
      throw error;
    }
    return rig;
  }

  private readonly views: Views;
  private readonly control: RangeAllocator;
  private readonly queueShape: QueueShape;
  private readonly ram: { bytes: number; hugePages: boolean };
  /** What guests ack where it is offered. */
  private readonly features: bigint;
  private window: number;

  private constructor(
    targets: number,
    private readonly shape: RigShape,
  ) {
    const { ports, pairs, queueSize, hugePages } = shape;
    const bufferBytes = bufferBytesFor(shape.frameBytes, VIRTIO_NET_HDR_SIZE);
    const rxBufferBytes = shape.segmentation ? RECEIVE_PAGE : bufferBytes;
    this.queueShape = { pairs, queueSize, txBufferBytes: bufferBytes, rxBufferBytes };
    const packed = shape.ring === "packed" ? bits(VIRTIO_F_RING_PACKED) : 0n;
    this.features = LOAD_FEATURES | packed | (shape.segmentation ? SEGMENTATION_FEATURES : 0n);
    this.ram = { bytes: queuesRamBytes(this.queueShape), hugePages };
    const flows = ports * flowsOfGuest(shape);
    const guests = targets * ports;
    this.window = CONTROL_START + guests * queuesControlBytes(this.queueShape, flows);
    const pages = Math.ceil((this.window + guests * guestRamBytes(this.ram)) / PAGE);
    if (pages > FULL_MEMORY_PAGES) {
      const gib = ((pages * PAGE) / 2 ** 30).toFixed(1);
      throw new Error(`the generator would need ${gib} GiB of its 4: ask for fewer ports, flows or back-ends at once`);
    }
    this.memory = createMemory(Math.max(pages, PAGES_MIN));
    this.views = new Views(this.memory);
    this.control = new RangeAllocator(CONTROL_START, this.window);
    this.driver = instantiateDriver(loadModule("driver").module, this.memory);
  }

  private async attachTarget({ sockets, role }: RigTarget): Promise<void> {
    const { shape, memory, reactor, ram } = this;
    const { ports, queueSize, pairs } = shape;
    const flows = rigFlows(shape);
    const count = flowsOfGuest(shape);
    const guests: RigGuest[] = [];
    this.guests.push(guests);
    const started = Array.from({ length: ports }, async (_, port) => {
      const mine = new Set<TrafficFlow>(flows.slice((port ^ 1) * count, ((port ^ 1) + 1) * count));
      const frontEnd = new FrontEnd({
        path: sockets[port] ?? "",
        role: role === "listen" ? "listen" : "connect",
        ...{
          memory,
          reactor,
          queueSize,
          pairs,
          features: this.features,
          timeoutMs: role === "listen" ? COME_MS : ANSWER_MS,
        },
        ...{ window: this.window, ...ram },
      });
      this.window += guestRamBytes(ram);
      frontEnd.onLost = (error) => {
        this.lost ??= error;
      };
      const table = new FlowTable(this.views, this.control, flows, (flow) => mine.has(flow));
      const guest: RigGuest = { frontEnd, table, receiveqs: [], transmitqs: [] };
      guests.push(guest);
      const features = role === "none" ? this.features : (await frontEnd.connect()).features;
      if (shape.ring === "packed" && !hasBit(features, VIRTIO_F_RING_PACKED)) {
        throw new Error(`the back-end at ${sockets[port]} offers no packed rings`);
      }
      if (shape.segmentation && (features & SEGMENTATION_FEATURES) !== SEGMENTATION_FEATURES) {
        throw new Error(`the back-end at ${sockets[port]} offers no segmentation offload both ways`);
      }
      const own = { first: port * count, count };
      const { driver, views, control, queueShape } = this;
      const options = { frontEnd, driver, views, control, table, own, shape: queueShape, features };
      Object.assign(guest, createGuestQueues(options));
      if (role !== "none") await frontEnd.start();
    });
    // All have failed or come before the first failure is told: nothing may be on its way when the memory goes.
    const failed = (await Promise.allSettled(started)).find((outcome) => outcome.status === "rejected");
    if (failed) throw failed.reason;
  }

  /** Stops the rings in good order where that is still possible, and leaves. */
  async close(): Promise<void> {
    for (const { frontEnd } of this.guests.flat()) await frontEnd.stop().catch(() => {});
    this.release();
  }

  private release(): void {
    for (const { frontEnd } of this.guests.flat()) frontEnd.close();
    this.guests.length = 0;
    void this.reactor.close();
  }
}
