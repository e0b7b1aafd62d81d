// What the core is told of a ring before it runs: where its parts lie, and what its driver has negotiated.

import * as features from "../../assembly/spec/virtio.js";
import type { BridgePort, BridgeQueue, RingInMemory } from "./bridge-port.js";
import { hasBit } from "./feature-bits.js";
import { receiveOffloads, transmitOffloads } from "./offloads.js";

/** Queue.missGeneration while it waits for no translation: region lists are numbered from 1 on. */
export const NO_GENERATION = 0xffffffff;

/** Fills in the struct of a queue that no worker has; `lane` steers the frames of a transmitq. */
export function setUpRing(port: BridgePort, queue: BridgeQueue, ring: RingInMemory, lane: number): void {
  const { struct } = queue;
  struct.set("desc", ring.desc);
  struct.set("avail", ring.avail);
  struct.set("used", ring.used);
  struct.set("size", ring.size);
  struct.set("packed", Number(ring.packed ?? false));
  struct.set("inflight", ring.packed ? (ring.inflight ?? 0) : 0);
  struct.set("nextAvail", ring.nextAvail & 0xffff);
  struct.set("port", port.struct.at);
  struct.set("lane", lane);
  struct.set("headerSize", port.headerBytes);
  struct.set("mergeable", Number(hasBit(port.features, features.VIRTIO_NET_F_MRG_RXBUF)));
  struct.set("eventIdx", Number(hasBit(port.features, features.VIRTIO_F_EVENT_IDX)));
  struct.set("indirect", Number(hasBit(port.features, features.VIRTIO_F_INDIRECT_DESC)));
  struct.set("offloads", queue.isReceiveq ? receiveOffloads(port.features) : transmitOffloads(port.features));
  struct.set("callPending", 0);
  struct.set("missCount", 0);
  struct.set("missGeneration", NO_GENERATION);
}

/**
 * The lane of a transmitq that a worker is to poll (Queue.lane): the first that no other of this worker has. With one
 * worker, and started in their order, it is the pair's number: frames go to the receiveq that belongs to them.
 */
export function freeLane(port: BridgePort, queue: BridgeQueue, worker: number, workers: number): number {
  if (workers === 1) return queue.index >>> 1;
  const others = [...port.queues.values()].filter((other) => other.running && other.worker === worker);
  const taken = new Set(others.map(({ struct }) => struct.get("lane")));
  let lane = 0;
  while (taken.has(lane)) lane++;
  return lane;
}
