// The shape of what a running switch says about itself: the control socket serves it, `ringbridge status` shows it.
// Plain data: counters are snapshots, 64-bit ones fit a double exactly up to 2^53.

export interface QueueStatus {
  /** Virtqueue index as in the vhost-user messages: even receiveq, odd transmitq (the guest's view). */
  index: number;
  kind: "receiveq" | "transmitq";
  state: "stopped" | "disabled" | "running" | "broken";
  /** Why a broken queue stopped: a sentence, and the descriptor index at which it was seen. */
  broken?: { reason: string; descriptor: number };
  size: number;
  /** Frames and bytes (virtio_net header not counted) moved through the queue since the port was made. */
  frames: number;
  bytes: number;
  /** Kicks received (transmitq) and calls sent. */
  calls: number;
  /** The worker that polls this transmitq; absent for a receiveq. */
  worker?: number;
  /**
   * Of a receiveq: frames cut into segments because its driver does not take long ones, how many segments they became,
   * and frames whose checksum was finished because it does not take one that is only begun.
   */
  softwareOffloads?: { segmented: number; segments: number; checksums: number };
  /** Frames not delivered, by cause (see src/core/causes.ts). Causes with count 0 are left out. */
  drops: Record<string, number>;
}

export interface RegionStatus {
  /** Guest physical address, size in bytes and front-end address, as hexadecimal strings with 0x. */
  guestAddress: string;
  size: number;
  userAddress: string;
  /** Offset in linear memory at which the region is mapped whole; absent when workers map chunks of it as needed. */
  window?: number;
  /** Bytes of it that are mapped now; of a region in chunks what several workers have mapped counts for each. */
  mappedBytes: number;
  /** True when the front-end could truncate the file under us (no F_SEAL_SHRINK): an access would be a SIGBUS. */
  shrinkable: boolean;
}

export interface PortStatus {
  name: string;
  id: number;
  role: "listen" | "connect" | "inherit";
  path: string;
  /** waiting: no front-end; connected: session up, no ring runs; running: at least one ring runs. */
  state: "waiting" | "connected" | "running";
  /** Milliseconds since the state was entered. */
  stateForMs: number;
  /** Front-end's process id, where the kernel tells it. */
  peerPid?: number;
  /** How many front-ends have connected since the port was made. */
  connections: number;
  /** Negotiated features by name. */
  features: string[];
  protocolFeatures: string[];
  headerBytes: number;
  /** The MTU that the front-end or the configuration told, if any did. */
  mtu?: number;
  regions: RegionStatus[];
  /** Sums over the regions in bytes: mapped whole, and known but mapped in chunks. */
  memory: { wholeBytes: number; chunkedBytes: number };
  queues: QueueStatus[];
  /** Sums over the queues. rx = from the guest, tx = to the guest. */
  rxFrames: number;
  rxBytes: number;
  txFrames: number;
  txBytes: number;
  drops: Record<string, number>;
  /**
   * A live migration that is under way. source: what is written to the guest's memory is marked in its dirty log, for it
   * is being moved away. postcopy: it runs here already, and the pages of `lateBytes` of its memory come when somebody
   * waits for one.
   */
  migration?: { role: "source" } | { role: "postcopy"; lateBytes: number };
  /** False: the operator has put it out of use; what comes from it and goes to it is dropped (`admin-down`). */
  adminStateUp: boolean;
  /** The guest's driver uses its rings: frames can pass both ways, as far as the switch can tell. */
  wired: boolean;
  /** Who has plugged it over the control socket; absent for a port of the configuration. */
  owner?: string;
  /** The last thing that went wrong on this port, if any: what, and what to do. */
  lastError?: string;
}

export interface WorkerStatus {
  id: number;
  /** stalled: it has begun no new round for a while, as one that waits for a page in a postcopy migration. */
  state: "polling" | "parked" | "stalled";
  frames: number;
  polls: number;
  parks: number;
  /** Transmitqs that it polls. */
  queues: number;
  /** Windows for chunks of regions that are not mapped whole: how many, and how many of them show one now. */
  chunkWindows: number;
  chunkWindowsUsed: number;
  /** Chunks that had to be mapped because a frame or a buffer lay there, and the nanoseconds that took. */
  chunkMisses: number;
  chunkMissNanoseconds: number;
}

export interface FdbStatus {
  entries: number;
  limit: number;
  ageingSeconds: number;
  learned: number;
  moved: number;
  aged: number;
  /** Addresses not learned because the table, or the port's share of it, was full. */
  refused: number;
}

export interface SwitchStatus {
  version: string;
  pid: number;
  uptimeMs: number;
  /** SHA-256 of the core module that forwards, first 16 hex digits. */
  wasmHash: string;
  /** Where the live page is, without its token; absent when there is none. */
  web?: string;
  memory: { totalBytes: number; windowBytesUsed: number };
  workers: WorkerStatus[];
  fdb: FdbStatus;
  ports: PortStatus[];
  /** Monotonic milliseconds at which the snapshot was taken: rates are differences of two snapshots. */
  takenAtMs: number;
}

export interface FdbEntryStatus {
  mac: string;
  port: string;
  ageSeconds: number;
}

/** What a reload of the configuration did. */
export interface ReloadResult {
  added: string[];
  removed: string[];
  changed: string[];
  unchanged: string[];
  /** Settings that were changed in the file but stay as they are until the switch is started again. */
  needsRestart?: string[];
}

/** What came of making a port be as it should be. */
export type PortChange = "added" | "changed" | "unchanged";

/** What `plug` did. */
export interface PlugResult {
  change: PortChange;
  /** Of a change: its front-end has not noticed. False: it was disconnected, and may connect again. */
  live?: boolean;
}

/** Who answers on a control socket. `api` is raised when a client of an older number would misread the answers. */
export interface VersionStatus {
  name: "ringbridge";
  version: string;
  api: number;
  pid: number;
}

/** The header of an answer that has the number of the capture whose frames follow. */
export const CAPTURE_HEADER = "ringbridge-capture";

/** What to capture. */
export interface CaptureOptions {
  /** Names of ports, each once; they become the interfaces, in this order. */
  ports: readonly string[];
  /** Most bytes that are kept of a frame; default all. */
  snapLength?: number;
  /** An expression of src/capture/filter.ts that frames must match; default none. */
  filter?: string;
  /** The capture ends after so many frames that match; default none. */
  count?: number;
}

/** A capture that runs. */
export interface CaptureStream {
  /** By which `stopCapture` knows it. */
  readonly id: number;
  /** The next piece of the pcapng file, null behind the last. Waits until there is one. One call at a time. */
  next(): Promise<Uint8Array<ArrayBuffer> | null>;
  /** Nobody reads any more: ends it at once. */
  abandon(): Promise<void>;
}

/** What the control socket needs from a running switch. */
export interface SwitchControl {
  status(): SwitchStatus;
  /** Learned addresses, at most so many. */
  fdb(limit?: number): FdbEntryStatus[];
  flushFdb(port?: string): number;
  reload(): Promise<ReloadResult>;
  /** Makes a port be there as a configuration file would say it. */
  plug(name: string, port: unknown, owner: string): Promise<PlugResult>;
  /** False when there is no such port. */
  unplug(name: string, owner: string): Promise<boolean>;
  /** Rejects with a FilterError when the filter is none, with an Error when there is no such port or no room. */
  capture(options: CaptureOptions): Promise<CaptureStream>;
  /** The stream of a capture comes to its end, with all that was captured so far. False when there is no such capture. */
  stopCapture(id: number): boolean;
}
