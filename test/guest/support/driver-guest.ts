// A guest without a VM or a socket whose rings the load driver has: RAM in a window of the switch's own memory.

import { expect } from "vitest";
import {
  VIRTIO_F_EVENT_IDX,
  VIRTIO_F_IN_ORDER,
  VIRTIO_F_RING_PACKED,
  VIRTIO_F_VERSION_1,
  VIRTIO_NET_F_MRG_RXBUF,
} from "../../../assembly/spec/virtio.js";
import type { BridgePort } from "../../../src/core/bridge-port.js";
import { bits, hasBit } from "../../../src/core/feature-bits.js";
import { PACKED_START } from "../../../src/core/packed-ring.js";
import { loadModule } from "../../../src/core/wasm-files.js";
import {
  bufferBytesFor,
  buffersBytes,
  type DriverCounters,
  DriverQueue,
  FlowTable,
  instantiateDriver,
  type RingPlace,
} from "../../../src/guest/driver.js";
import { splitRingBytes } from "../../../src/core/split-ring.js";
import { SEGMENTATION_FEATURES } from "../../../src/guest/guest-queues.js";
import { guestMac, type TrafficFlow } from "../../../src/guest/traffic.js";
import { type Target, TestSwitch } from "../../core/support/test-switch.js";

const BASE = 0x1_0000_0000n;

const MODERN = bits(VIRTIO_F_VERSION_1);
const PACKED = MODERN | bits(VIRTIO_F_RING_PACKED);

export const FEATURES = {
  legacy: 0n,
  modern: MODERN,
  mergeable: MODERN | bits(VIRTIO_NET_F_MRG_RXBUF),
  eventIdx: MODERN | bits(VIRTIO_F_EVENT_IDX),
  inOrder: MODERN | bits(VIRTIO_F_IN_ORDER),
  packed: PACKED,
  packedMergeable: PACKED | bits(VIRTIO_NET_F_MRG_RXBUF),
  packedEventIdx: PACKED | bits(VIRTIO_F_EVENT_IDX),
  packedInOrder: PACKED | bits(VIRTIO_F_IN_ORDER),
  segmentation: MODERN | bits(VIRTIO_NET_F_MRG_RXBUF) | SEGMENTATION_FEATURES,
  packedSegmentation: PACKED | bits(VIRTIO_NET_F_MRG_RXBUF) | SEGMENTATION_FEATURES,
};

export interface DriverGuestOptions {
  target: Target;
  features: bigint;
  size?: number;
  /** Longest frame sent, in bytes. */
  frameBytes?: number;
  /** Bytes of a receive buffer; default for a whole frame. */
  rxBufferBytes?: number;
}

export class DriverGuest {
  readonly port: BridgePort;
  readonly rx: DriverQueue;
  readonly tx: DriverQueue;
  readonly flows: FlowTable;
  readonly window: number;
  private heap: number;

  /** Guest `number` of those whose flows are listed sends flow `number` and expects the one to it. */
  static async create(sw: TestSwitch, flows: TrafficFlow[], number: number, options: DriverGuestOptions) {
    const guest = new DriverGuest(sw, flows, number, options);
    await guest.start();
    return guest;
  }

  private constructor(
    readonly sw: TestSwitch,
    flows: TrafficFlow[],
    number: number,
    options: DriverGuestOptions,
  ) {
    const { bridge, memory } = sw;
    const { size = 256, frameBytes = 1518, features } = options;
    this.port = bridge.addPort();
    this.port.features = features;
    const txBytes = bufferBytesFor(frameBytes);
    const rxBytes = options.rxBufferBytes ?? txBytes;
    const ram =
      Math.ceil((buffersBytes(size, txBytes) + buffersBytes(size, rxBytes) + 2 * size * 32) / 4096 + 1) * 4096;
    this.window = bridge.windows.allocate(ram, 4096)!;
    this.heap = this.window;
    const driver = instantiateDriver(loadModule("driver", options.target).module, memory);
    const negotiated = {
      headerBytes: this.port.headerBytes,
      mergeable: hasBit(features, VIRTIO_NET_F_MRG_RXBUF),
      eventIdx: hasBit(features, VIRTIO_F_EVENT_IDX),
      inOrder: hasBit(features, VIRTIO_F_IN_ORDER),
      packed: hasBit(features, VIRTIO_F_RING_PACKED),
      segmentation: (features & SEGMENTATION_FEATURES) === SEGMENTATION_FEATURES,
    };
    const queue = (bufferBytes: number) =>
      new DriverQueue(driver, bridge.views, bridge.control.ranges, this.place(size, bufferBytes), negotiated);
    this.rx = queue(rxBytes);
    this.tx = queue(txBytes);
    const mine = guestMac(number);
    this.flows = new FlowTable(bridge.views, bridge.control.ranges, flows, ({ to }) => to === mine);
    this.rx.startReceive(this.flows);
    this.tx.startTransmit(this.flows, number, 1);
    this.ramBytes = ram;
  }

  private readonly ramBytes: number;

  private async start(): Promise<void> {
    const { bridge } = this.sw;
    const region = { guestAddress: BASE, size: BigInt(this.ramBytes), window: this.window };
    await bridge.setRegions(this.port, [region]);
    const packed = hasBit(this.port.features, VIRTIO_F_RING_PACKED);
    const nextAvail = packed ? PACKED_START : 0;
    for (const [index, { place }] of [this.rx, this.tx].entries()) {
      const { size, desc, avail, used } = place;
      const ring = { size, desc, avail, used, nextAvail, packed };
      await bridge.startQueue(this.port, index, ring, { callFd: 1, enabled: true, worker: 0 });
    }
  }

  private place(size: number, bufferBytes: number): RingPlace {
    const bytes = splitRingBytes(size);
    const desc = this.allocate(bytes.desc);
    const avail = this.allocate(bytes.avail);
    const used = this.allocate(bytes.used);
    const buffers = this.allocate(buffersBytes(size, bufferBytes));
    const buffersAddress = BASE + BigInt(buffers - this.window);
    return { size, desc, avail, used, buffers, buffersAddress, bufferBytes };
  }

  private allocate(bytes: number): number {
    const at = this.heap;
    this.heap += Math.ceil(bytes / 64) * 64;
    return at;
  }
}

/** Two guests on a switch, each with a flow to the other. */
export async function pair(options: DriverGuestOptions): Promise<{ sw: TestSwitch; a: DriverGuest; b: DriverGuest }> {
  const sw = new TestSwitch({ target: options.target });
  const flows = [
    { from: guestMac(0), to: guestMac(1) },
    { from: guestMac(1), to: guestMac(0) },
  ];
  const a = await DriverGuest.create(sw, flows, 0, options);
  const b = await DriverGuest.create(sw, flows, 1, options);
  return { sw, a, b };
}

/** Counters of a queue on which nothing went wrong, and those of a queue. */
export const CLEAN = { corrupt: 0, foreign: 0, lost: 0, duplicates: 0, reordered: 0, stale: 0 };

export function faults({ frames, bytes, ...rest }: DriverCounters) {
  return rest;
}

/** Sends `count` frames from one guest to the other, a burst at a time, and returns what was received. */
export function transfer(from: DriverGuest, to: DriverGuest, count: number, burst = 32): number {
  let sent = 0;
  let received = 0;
  for (let turns = 0; sent < count || received < sent; turns++) {
    if (turns > count * 2 + 10) break;
    sent += from.tx.send(Math.min(burst, count - sent)) >>> 1;
    from.sw.settle();
    received += to.rx.receive(64) >>> 1;
  }
  expect(sent).toBe(count);
  return received;
}

/** Offset of the received buffer that the driver will look at next, or `ahead` after that one. */
export function nextReceived(guest: DriverGuest, ahead = 0): number {
  const { place, struct } = guest.rx;
  const next = struct.get("nextUsed");
  const { data } = guest.sw.bridge.views;
  const number =
    struct.get("packed") === 1
      ? data.getUint16(place.desc + (((next & 0x7fff) + ahead) % place.size) * 16 + 12, true)
      : data.getUint32(place.used + 4 + ((next + ahead) % place.size) * 8, true);
  return place.buffers + number * place.bufferBytes;
}
