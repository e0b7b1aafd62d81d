// The queue pairs of a guest with the load driver on them: how much memory they take, and how they are laid out over a
// front-end's RAM and rings.

import {
  VIRTIO_F_EVENT_IDX,
  VIRTIO_F_IN_ORDER,
  VIRTIO_F_RING_PACKED,
  VIRTIO_NET_F_CSUM,
  VIRTIO_NET_F_GUEST_CSUM,
  VIRTIO_NET_F_GUEST_TSO4,
  VIRTIO_NET_F_HOST_TSO4,
  VIRTIO_NET_F_MRG_RXBUF,
} from "../../assembly/spec/virtio.js";
import { bits, hasBit, headerSize } from "../core/feature-bits.js";
import type { RangeAllocator } from "../core/ranges.js";
import { splitRingBytes } from "../core/split-ring.js";
import type { Views } from "../core/views.js";
import { buffersBytes, type DriverExports, DriverQueue, type FlowTable } from "./driver.js";
import { FLOW_BYTES } from "./driver-layout.js";
import type { FrontEnd, GuestRing } from "./front-end.js";

const CACHE_LINE = 64;

/** All of these together let a guest send and receive TCP over IPv4 that is not cut yet. */
export const SEGMENTATION_FEATURES: bigint = bits(
  VIRTIO_NET_F_CSUM,
  VIRTIO_NET_F_GUEST_CSUM,
  VIRTIO_NET_F_HOST_TSO4,
  VIRTIO_NET_F_GUEST_TSO4,
);
/** Room for the driver's own structs, beside its flows and what grows with the ring. */
const CONTROL_BYTES_PER_PAIR = 256 * 1024;

export interface QueueShape {
  pairs: number;
  /** Entries of each ring. */
  queueSize: number;
  /** Bytes from one buffer to the next, header included (bufferBytesFor). */
  txBufferBytes: number;
  rxBufferBytes: number;
  /** With two, the rings and transmit buffers lie in the first, the receive buffers in the second. */
  regions?: 1 | 2;
}

/** Bytes of guest RAM that rings and buffers take. */
export function queuesRamBytes({ pairs, queueSize, txBufferBytes, rxBufferBytes, regions }: QueueShape): number {
  const rings = Object.values(splitRingBytes(queueSize)).reduce((sum, bytes) => sum + bytes + CACHE_LINE, 0);
  const buffers = buffersBytes(queueSize, txBufferBytes) + buffersBytes(queueSize, rxBufferBytes) + 2 * CACHE_LINE;
  return pairs * (2 * rings + buffers) * (regions === 2 ? 2 : 1);
}

/** Bytes outside guest RAM that the driver's structs take, with a table of `flows` flows. */
export function queuesControlBytes({ pairs, queueSize }: QueueShape, flows: number): number {
  return pairs * (CONTROL_BYTES_PER_PAIR + queueSize * 8) + flows * FLOW_BYTES + CACHE_LINE;
}

/** Queue pair i is receiveqs[i] and transmitqs[i], rings 2i and 2i + 1. */
export interface GuestQueues {
  receiveqs: DriverQueue[];
  transmitqs: DriverQueue[];
}

export interface GuestQueuesOptions {
  frontEnd: FrontEnd;
  driver: DriverExports;
  views: Views;
  /** Has `queuesControlBytes` left, less the flows. */
  control: RangeAllocator;
  table: FlowTable;
  /** The flows that this guest sends: `count` from number `first` on, shared out among the pairs. */
  own: { first: number; count: number };
  shape: QueueShape;
  /** Virtio features in use. */
  features: bigint;
}

/** Lays the queues out and makes them ready; the front-end may then start the rings. */
export function createGuestQueues(options: GuestQueuesOptions): GuestQueues {
  const { frontEnd, driver, views, control, table, own, shape, features } = options;
  const { ram } = frontEnd;
  const negotiated = {
    headerBytes: headerSize(features),
    mergeable: hasBit(features, VIRTIO_NET_F_MRG_RXBUF),
    eventIdx: hasBit(features, VIRTIO_F_EVENT_IDX),
    inOrder: hasBit(features, VIRTIO_F_IN_ORDER),
    packed: hasBit(features, VIRTIO_F_RING_PACKED),
    segmentation: (features & SEGMENTATION_FEATURES) === SEGMENTATION_FEATURES,
  };
  const create = (ring: GuestRing, bufferBytes: number, region: number) => {
    const buffers = ram.allocate(buffersBytes(ring.size, bufferBytes), CACHE_LINE, region);
    const place = {
      size: ring.size,
      desc: ring.place.desc.offset,
      avail: ring.place.avail.offset,
      used: ring.place.used.offset,
      buffers: buffers.offset,
      buffersAddress: buffers.guestAddress,
      bufferBytes,
    };
    const queue = new DriverQueue(driver, views, control, place, negotiated);
    ring.position = () => queue.position;
    return queue;
  };
  const queues: GuestQueues = { receiveqs: [], transmitqs: [] };
  const share = Math.floor(own.count / shape.pairs);
  for (let pair = 0; pair < shape.pairs; pair++) {
    const receiveq = create(frontEnd.rings[2 * pair]!, shape.rxBufferBytes, ram.regions.length - 1);
    const transmitq = create(frontEnd.rings[2 * pair + 1]!, shape.txBufferBytes, 0);
    receiveq.startReceive(table);
    const last = pair === shape.pairs - 1;
    transmitq.startTransmit(table, own.first + pair * share, last ? own.count - pair * share : share);
    queues.receiveqs.push(receiveq);
    queues.transmitqs.push(transmitq);
  }
  return queues;
}
