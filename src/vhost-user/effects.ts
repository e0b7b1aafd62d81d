// The boundary between the vhost-user session (pure) and the switch (which has rings, memory and file descriptors).
// A session never touches anything: it asks for these, in order, and is told how they went.

import type { Fd } from "../fd.js";

export type { Fd };

/** A memory region of the front-end, from SET_MEM_TABLE or ADD_MEM_REG. All addresses and sizes in bytes. */
export interface MemoryRegion {
  guestAddress: bigint;
  size: bigint;
  userAddress: bigint;
  mmapOffset: bigint;
}

/**
 * A ring that may be started: the addresses are guest physical, already checked to lie each in one region and aligned.
 * Packed rings (VIRTIO_F_RING_PACKED) have the descriptor ring, the driver's and the device's event area there.
 */
export interface RingSetup {
  size: number;
  packed: boolean;
  desc: bigint;
  avail: bigint;
  used: bigint;
  /** Where to go on. Split: the next avail index. Packed: a position below size, and the wrap counter in bit 15. */
  nextAvail: number;
}

/** A file that the front-end shares beside its memory. Sizes in bytes. */
export interface SharedFile {
  fd: Fd;
  /** What is used of it, and where that begins. */
  size: bigint;
  offset: bigint;
}

/** Where a front-end wants to be told of pages that were written: one bit for each 4 KiB of guest memory. */
export type DirtyLog = SharedFile;

/** An inflight area (core/inflight.ts) for so many queues of so many entries. */
export interface InflightFile extends SharedFile {
  queues: number;
  queueSize: number;
}

/** What an I/O virtual address range of the guest stands for (VIRTIO_F_ACCESS_PLATFORM). In bytes. */
export interface Translation {
  iova: bigint;
  size: bigint;
  /** In the front-end; the range lies in one memory region. */
  userAddress: bigint;
  /** Bit 0: the device may read there, bit 1: write. */
  permission: number;
}

/** The eventfds of a ring; null where the front-end gave none. */
export interface RingFds {
  kick: Fd | null;
  call: Fd | null;
  err: Fd | null;
}

/**
 * late: a postcopy migration brings the pages when somebody waits for them. The regions are mapped whole, and the
 * outcome is where; nothing may be read there before the front-end knows.
 */
export interface Pages {
  pages?: "late";
}

export type Effect =
  /**
   * Negotiated virtio features: the switch derives header size, mergeable buffers, event idx. No ring runs. `translated`:
   * buffers are at I/O virtual addresses from now on, of which none is known unless it was so before.
   */
  | { kind: "setFeatures"; features: bigint; translated?: true }
  /** The MTU that the front-end gives the device, in bytes; null: none. It holds until the session ends. */
  | { kind: "setMtu"; mtu: number | null }
  /** Replace the whole memory map. Every ring has been stopped by effects before this one. */
  | ({ kind: "setMemory"; regions: MemoryRegion[]; fds: Fd[] } & Pages)
  | ({ kind: "addRegion"; region: MemoryRegion; fd: Fd } & Pages)
  /** Rings that lie in the region have been stopped before. */
  | { kind: "removeRegion"; region: MemoryRegion }
  /** Run a ring. The descriptors stay owned by the session: it closes them only after stopQueue or the effect that swaps them. */
  | ({ kind: "startQueue"; index: number; ring: RingSetup; enabled: boolean } & RingFds)
  /**
   * Drain and stop a ring. Its outcome is where to go on; after it no guest memory is touched by that ring. `untranslated`:
   * it is not known any more where it lies, and will be soon.
   */
  | { kind: "stopQueue"; index: number; untranslated?: true }
  | { kind: "setEnabled"; index: number; enabled: boolean }
  /** Swap the call descriptor of a running ring. When the effect is done the old one is no longer used. */
  | { kind: "setCall"; index: number; call: Fd | null }
  /** Swap the kick descriptor of a running ring. */
  | { kind: "setKick"; index: number; kick: Fd | null }
  /** Use this dirty log from now on, or none; when the effect is done the one before is no longer written to. */
  | { kind: "setLog"; log: DirtyLog | null }
  /** VHOST_F_LOG_ALL was set or cleared; running rings go on. When the effect is done all writes are marked, or none. */
  | { kind: "setLogging"; enabled: boolean }
  /** Signal this eventfd when pages have been marked in the dirty log; null: none any more. It stays the session's. */
  | { kind: "setLogFd"; fd: Fd | null }
  /** Begin to write the port's state to a descriptor (save), or to read it (load). No ring runs. */
  | { kind: "transferState"; direction: "save" | "load"; fd: Fd }
  /** Wait for the transfer's end; its outcome is how it went. */
  | { kind: "finishTransfer" }
  | { kind: "abortTransfer" }
  /** Swap the descriptor of a running ring that is signalled when the guest breaks the ring. */
  | { kind: "setErr"; index: number; err: Fd | null }
  /** Put a broadcast RARP request from this address (core/mac.ts) into the switch, as if the port's guest had sent it. */
  | { kind: "sendRarp"; mac: bigint }
  /** Make an inflight area; its outcome is the descriptor, which goes to the front-end with the reply. */
  | { kind: "createInflight"; bytes: bigint }
  /** Use this inflight area from now on, or none. No ring runs. */
  | { kind: "setInflight"; file: InflightFile | null }
  /** The front-end has been told where these stopped rings stand, so the area need not say it. */
  | { kind: "clearInflight"; indices: readonly number[] }
  /**
   * What is known of I/O virtual addresses, ascending by iova. When the effect is done, what is no longer among them is no
   * longer used.
   */
  | { kind: "setTranslations"; entries: readonly Translation[] }
  /** Ask the front-end what this address stands for, if that is not being done already. */
  | { kind: "askTranslation"; iova: bigint; permission: number }
  /** Send requests of our own through this socket, or none any more. The descriptor stays the session's. */
  | { kind: "setBackendSocket"; fd: Fd | null; needReply: boolean }
  /** Prepare for pages that come late; the outcome is the descriptor by which the front-end hears of who waits for one. */
  | { kind: "openUserfault" }
  /** All pages have come. */
  | { kind: "endPostcopy" }
  /** The front-end is going, whether all pages have come or not: whoever waits for one must go on without it. */
  | { kind: "abandonPostcopy" }
  /** Close descriptors that nothing uses any more. */
  | { kind: "close"; fds: Fd[] }
  /** Something an operator should read, once. */
  | { kind: "log"; level: "info" | "warn"; text: string };

/** How an effect went: `error` is a sentence for the operator; `nextAvail` (as in RingSetup) is given by stopQueue. */
export interface EffectOutcome {
  error?: string;
  nextAvail?: number;
  /** Made by the effect: it goes to the front-end. */
  fd?: Fd;
  /** Where regions whose pages come late are mapped in this process, in their order. */
  addresses?: bigint[];
}
