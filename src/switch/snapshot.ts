// What the switch says about itself (src/api/status.ts), read from the structs while the workers go on.

import { QUEUE_OK } from "../../assembly/spec/status.js";
import type { FdbStatus, PortStatus, QueueStatus, WorkerStatus } from "../api/status.js";
import type { Bridge } from "../core/bridge.js";
import type { BridgeQueue } from "../core/bridge-port.js";
import { DROP_CAUSE_NAMES, queueStatusText } from "../core/causes.js";
import { featureNames, protocolFeatureNames } from "../vhost-user/features.js";
import type { Endpoint } from "./endpoint.js";
import type { Mapping } from "./guest-memory.js";
import type { Port } from "./port.js";
import type { WorkerPool } from "./worker-pool.js";

/** Offsets in the first descriptor of a packed ring, and in an avail ring (virtio 1.3, 2.8.13 and 2.7.6). */
const PACKED_FLAGS = 14;
const AVAIL_INDEX = 2;

/** One port with its queues; sums over the queues are the port's. */
export function portStatus(bridge: Bridge, port: Port, endpoint: Endpoint): PortStatus {
  const { bridgePort, config } = port;
  const { mappings } = port.memory;
  const session = endpoint.connection?.session;
  const queues = [...bridgePort.queues.values()].sort((a, b) => a.index - b.index).map(queueStatus);
  const rx = queues.filter((queue) => queue.kind === "transmitq");
  const tx = queues.filter((queue) => queue.kind === "receiveq");
  return {
    name: config.name,
    id: bridgePort.id,
    role: config.role,
    path: config.path,
    state: endpoint.connection === undefined ? "waiting" : port.rings.areRunning ? "running" : "connected",
    stateForMs: performance.now() - endpoint.since,
    peerPid: endpoint.connection?.peerPid,
    connections: endpoint.connections,
    features: featureNames(session?.features ?? 0n),
    protocolFeatures: protocolFeatureNames(session?.protocolFeatures ?? 0n),
    headerBytes: bridgePort.headerBytes,
    mtu: session === undefined ? config.mtu : (session.mtu ?? undefined),
    regions: mappings.map((mapping) => ({
      guestAddress: hex(mapping.guestAddress),
      size: Number(mapping.size),
      userAddress: hex(mapping.userAddress),
      window: mapping.chunks === undefined ? mapping.window : undefined,
      mappedBytes: mapping.chunks === undefined ? Number(mapping.size) : bridge.chunks.mappedBytes(mapping.chunks),
      shrinkable: mapping.shrinkable,
    })),
    memory: {
      wholeBytes: sizeOf(mappings.filter(({ chunks }) => chunks === undefined)),
      chunkedBytes: sizeOf(mappings.filter(({ chunks }) => chunks !== undefined)),
    },
    queues,
    rxFrames: sum(rx, "frames"),
    rxBytes: sum(rx, "bytes"),
    txFrames: sum(tx, "frames"),
    txBytes: sum(tx, "bytes"),
    drops: sumDrops(queues),
    migration: port.underMigration,
    adminStateUp: bridgePort.adminUp,
    wired: isWired(bridge, port),
    lastError: port.lastError,
  };
}

/** Whether rings run both ways and the guest's driver has put something into one of them since they started. */
function isWired(bridge: Bridge, { bridgePort }: Port): boolean {
  const running = [...bridgePort.queues.values()].filter((queue) => queue.running && queue.enabled);
  const bothWays = [true, false].every((receives) => running.some(({ isReceiveq }) => isReceiveq === receives));
  return bothWays && running.some((queue) => queue.frames > 0 || isFilled(bridge, queue));
}

/** The driver has made something available: split, its index has moved; packed, the first descriptor has flags. */
function isFilled(bridge: Bridge, { struct }: BridgeQueue): boolean {
  // A page that comes late would hold this thread up.
  if (bridge.grace.lateMemory > 0) return false;
  const at = struct.get("packed") ? struct.get("desc") + PACKED_FLAGS : struct.get("avail") + AVAIL_INDEX;
  return bridge.views.data.getUint16(at, true) !== 0;
}

function queueStatus(queue: BridgeQueue): QueueStatus {
  const { frames, bytes, calls, drops } = queue.counters();
  const broken = queue.running && queue.status !== QUEUE_OK;
  return {
    index: queue.index,
    kind: queue.isReceiveq ? "receiveq" : "transmitq",
    state: !queue.running ? "stopped" : broken ? "broken" : queue.enabled ? "running" : "disabled",
    broken: broken ? { reason: queueStatusText(queue.status), descriptor: queue.statusDescriptor } : undefined,
    size: queue.struct.get("size"),
    frames,
    bytes,
    calls,
    worker: queue.worker,
    softwareOffloads: queue.isReceiveq ? queue.softwareOffloads : undefined,
    drops: namedDrops(drops),
  };
}

export function workerStatus(bridge: Bridge, pool: WorkerPool, index: number): WorkerStatus {
  const worker = bridge.workers[index]!;
  const list = worker.load("transmitqs");
  return {
    id: index,
    state: worker.load("parked") === 1 ? "parked" : pool.isStalled(index) ? "stalled" : "polling",
    frames: worker.get("frames"),
    polls: worker.get("polls"),
    parks: worker.get("parks"),
    queues: bridge.views.u32[list >>> 2]!,
    ...chunkStatus(bridge, index),
  };
}

function chunkStatus(bridge: Bridge, worker: number) {
  const { windows, used, misses, missNanoseconds } = bridge.chunks.usage(worker);
  return {
    chunkWindows: windows,
    chunkWindowsUsed: used,
    chunkMisses: misses,
    chunkMissNanoseconds: missNanoseconds,
  };
}

function sizeOf(mappings: readonly Mapping[]): number {
  return mappings.reduce((total, { size }) => total + Number(size), 0);
}

export function fdbStatus(bridge: Bridge): FdbStatus {
  const { fdb } = bridge;
  return {
    entries: fdb.load("count"),
    limit: fdb.get("limit"),
    ageingSeconds: fdb.get("ageing"),
    learned: fdb.get("learned"),
    moved: fdb.get("moved"),
    aged: fdb.get("aged"),
    refused: fdb.get("refused"),
  };
}

function namedDrops(drops: number[]): Record<string, number> {
  const named: Record<string, number> = {};
  drops.forEach((count, cause) => {
    if (count > 0) named[DROP_CAUSE_NAMES[cause]!] = count;
  });
  return named;
}

function sumDrops(queues: QueueStatus[]): Record<string, number> {
  const total: Record<string, number> = {};
  for (const { drops } of queues) {
    for (const [name, count] of Object.entries(drops)) total[name] = (total[name] ?? 0) + count;
  }
  return total;
}

function sum(queues: QueueStatus[], field: "frames" | "bytes"): number {
  return queues.reduce((total, queue) => total + queue[field], 0);
}

function hex(value: bigint): string {
  return `0x${value.toString(16)}`;
}
