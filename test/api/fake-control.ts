// A switch that exists only as its status: two ports, one of them in trouble.

import type {
  CaptureOptions,
  CaptureStream,
  FdbEntryStatus,
  PlugResult,
  PortStatus,
  ReloadResult,
  SwitchControl,
  SwitchStatus,
} from "../../src/api/status.js";
import type { RingView } from "../../src/core/ring-view.js";
import { MessageLog } from "../../src/switch/message-log.js";
import type { LiveSource } from "../../src/web/live-source.js";

/** A port that waits for its front-end. */
export function waitingPort(name: string, id: number): PortStatus {
  return {
    name,
    id,
    role: "listen",
    path: `/run/${name}.sock`,
    state: "waiting",
    stateForMs: 65_000,
    connections: 0,
    features: [],
    protocolFeatures: [],
    headerBytes: 12,
    regions: [],
    memory: { wholeBytes: 0, chunkedBytes: 0 },
    queues: [],
    rxFrames: 0,
    rxBytes: 0,
    txFrames: 0,
    txBytes: 0,
    drops: {},
    adminStateUp: true,
    wired: false,
  };
}

/** A port with a guest that has sent and received, has drops, and one broken queue. */
export function busyPort(name: string, id: number): PortStatus {
  return {
    ...waitingPort(name, id),
    state: "running",
    peerPid: 4711,
    connections: 2,
    features: ["VIRTIO_NET_F_MRG_RXBUF", "VIRTIO_F_VERSION_1", "VIRTIO_F_IN_ORDER"],
    protocolFeatures: ["VHOST_USER_PROTOCOL_F_MQ"],
    regions: [
      {
        ...{ guestAddress: "0x0", size: 1 << 28, userAddress: "0x7f0000000000" },
        ...{ window: 0x1000000, mappedBytes: 1 << 28, shrinkable: true },
      },
      {
        ...{ guestAddress: "0x100000000", size: 2 ** 34, userAddress: "0x7f0040000000" },
        ...{ mappedBytes: 1 << 22, shrinkable: false },
      },
    ],
    memory: { wholeBytes: 1 << 28, chunkedBytes: 2 ** 34 },
    queues: [
      {
        index: 0,
        kind: "receiveq",
        state: "running",
        size: 256,
        frames: 1000,
        bytes: 64_000,
        calls: 10,
        drops: { "no-rx-buffer": 7 },
      },
      {
        index: 1,
        kind: "transmitq",
        state: "broken",
        broken: { reason: "a descriptor chain of the guest is longer than its ring: it loops", descriptor: 9 },
        size: 256,
        frames: 2000,
        bytes: 128_000,
        calls: 20,
        worker: 0,
        drops: {},
      },
    ],
    rxFrames: 2000,
    rxBytes: 128_000,
    txFrames: 1000,
    txBytes: 64_000,
    drops: { "no-rx-buffer": 7 },
    lastError: "the front-end closed the connection",
  };
}

/** Counts what was asked of it; `onReload` decides what a reload does. */
export class FakeControl implements SwitchControl, LiveSource {
  ports: PortStatus[] = [busyPort("vm1", 0), waitingPort("vm2", 1)];
  entries: FdbEntryStatus[] = [{ mac: "52:54:00:00:00:01", port: "vm1", ageSeconds: 3 }];
  flushes: (string | undefined)[] = [];
  onReload: () => Promise<ReloadResult> = async () => ({ added: ["c"], removed: [], changed: [], unchanged: ["vm1"] });
  takenAtMs = 0;
  messages = new MessageLog();
  /** By port and queue. */
  rings: Record<string, RingView | { absent: string }> = {};

  status(): SwitchStatus {
    // Each snapshot is half a second and 500 received frames of 64 bytes later than the one before.
    this.takenAtMs += 500;
    const [first] = this.ports;
    if (first && first.state === "running") {
      first.rxFrames += 500;
      first.rxBytes += 32_000;
    }
    return {
      version: "1.2.3",
      pid: process.pid,
      uptimeMs: 3_723_000,
      wasmHash: "0123456789abcdef",
      memory: { totalBytes: 2 ** 32, windowBytesUsed: 2 ** 28 },
      workers: [
        {
          ...{ id: 0, state: "parked", frames: 3000, polls: 100, parks: 5, queues: 1 },
          ...{ chunkWindows: 128, chunkWindowsUsed: 2, chunkMisses: 4321, chunkMissNanoseconds: 10_000_000 },
        },
      ],
      fdb: { entries: 1, limit: 65536, ageingSeconds: 300, learned: 1, moved: 0, aged: 0, refused: 0 },
      ports: structuredClone(this.ports),
      takenAtMs: this.takenAtMs,
    };
  }

  fdb(limit = Number.POSITIVE_INFINITY): FdbEntryStatus[] {
    return this.entries.slice(0, limit);
  }

  ring(port: string, queue: number): RingView | { absent: string } | undefined {
    if (!this.ports.some(({ name }) => name === port)) return undefined;
    return this.rings[`${port}/${queue}`] ?? { absent: `queue ${queue} does not run` };
  }

  flushFdb(port?: string): number {
    this.flushes.push(port);
    return 1;
  }

  plug(_name: string, _port: unknown, _owner: string): Promise<PlugResult> {
    return Promise.reject(new Error("this switch takes no ports"));
  }

  unplug(_name: string, _owner: string): Promise<boolean> {
    return Promise.resolve(false);
  }

  reload(): Promise<ReloadResult> {
    return this.onReload();
  }

  capture(_options: CaptureOptions): Promise<CaptureStream> {
    return Promise.reject(new Error("this switch has no frames"));
  }

  stopCapture(): boolean {
    return false;
  }
}
