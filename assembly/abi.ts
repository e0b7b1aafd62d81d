// The structs that the host and the core share: plain C structs in linear memory, reached by pointer.
// `tools/layout-transform.mjs` writes their sizes and field offsets to src/core/layout.ts at every build,
// and the check fails when that file is not what this one says. Raise ABI_VERSION with every change.
//
// Who writes what:
// - "host" fields are written by the host while nothing else reads the struct, or published with one atomic store
//   (a list pointer, a flag); the host then waits for a grace period: until every worker has been between two bursts.
// - "worker" fields belong to the worker that polls the queue, or that holds the receiveq.
// A list {count, items…} is never changed in place: a new one is published and the old one freed after the grace period.

export const ABI_VERSION: u32 = 14;

/** Longest burst that is taken from a transmitq at once. */
export const BURST: u32 = 64;
/** Segments that one worker can hold in either direction; one frame may have CHAIN_SEGMENTS of them. */
export const SEGMENTS: u32 = 2048;
export const CHAIN_SEGMENTS: u32 = 1024;
/** Longest frame carried, in bytes without the virtio_net header: 64 KiB behind an Ethernet header with two tags. */
export const FRAME_MAX: u32 = 65558;
/**
 * A transmitq that was not enabled since it started keeps its frames until the clock given to `poll` has moved on by so
 * many seconds: some front-ends start a ring first and enable it then, and what waits after a reconnect is to be sent.
 */
export const HOLD_SECONDS: u32 = 2;
/** Queue.drainFrom before a worker has seen such a ring. */
export const HOLD_UNSEEN: u32 = 0xffffffff;
/** Ports are numbered 0 to PORTS_MAX - 1. */
export const PORTS_MAX: u32 = 1024;
/** Translations that a queue asks for at once. */
export const MISSES: u32 = 64;
/** A frame that waits for a receiver's translations (Backlog) does so for this many seconds of `poll`'s clock at most. */
export const BACKLOG_SECONDS: u32 = 2;
/** Bytes of a chunk: what is mapped at once of a region that is not mapped whole; also the width of a pool's windows. */
export const CHUNK_BYTES: u32 = 2097152;
export const CHUNK_SHIFT: u32 = 21;

/** The root: the host writes it before any worker starts. */
@unmanaged
export class Core {
  abiVersion: u32 = 0;
  workers: u32 = 0;
  /** -> Fdb */
  fdb: u32 = 0;
  /** -> u32[PORTS_MAX], pointers to Port, 0 where there is none. Published entry by entry. */
  ports: u32 = 0;
  /** -> list of Port pointers that take flooded frames. Published. */
  floodList: u32 = 0;
}

/** One contiguous piece of a guest's memory. */
@unmanaged
export class Region {
  /** Guest physical address and size in bytes. */
  guestAddress: u64 = 0;
  size: u64 = 0;
  /** Offset in linear memory of its first byte, when it is mapped whole. */
  window: u32 = 0;
  /** -> ChunkedRegion, 0: mapped whole. */
  chunks: u32 = 0;
}

/**
 * A region of which each worker maps chunks as it needs them. Behind the struct lie the workers' tables, u32 for each
 * chunk: its offset in linear memory, 0 while this worker has not mapped it.
 */
@unmanaged
export class ChunkedRegion {
  // host
  /** Where chunk 0 begins in the file, a multiple of its page size, and the bytes from there on. */
  fileOffset: u64 = 0;
  bytes: u64 = 0;
  /** Guest physical address of chunk 0: the region itself begins `skew` bytes behind it. */
  guestAddress: u64 = 0;
  skew: u32 = 0;
  /** The memory file, open as long as the region is on a list. */
  fd: i32 = 0;
  /** Bytes of one table. */
  tableBytes: u32 = 0;
  pad0: u32 = 0;
  pad1: u64 = 0;
  pad2: u64 = 0;
  pad3: u64 = 0;
}

/** A window of a worker's pool: room in linear memory for one chunk. The worker's, and the host's while it has the lock. */
@unmanaged
export class ChunkWindow {
  /** -> ChunkedRegion and number of the chunk that is mapped here; 0: none. */
  region: u32 = 0;
  chunk: u32 = 0;
  /** Worker.windowClock when it was last used, and Worker.burstClock of the last burst that has frames in it. */
  lastUse: u32 = 0;
  burst: u32 = 0;
}

/** One side of the bridge: a guest's device. */
@unmanaged
export class Port {
  id: u32 = 0;
  /** -> list {count, generation, Region…}, ascending by address (memory/regions.ts). Published. */
  regions: u32 = 0;
  /** -> list {count, Queue pointer…} of running, enabled receiveqs. Published. */
  receiveqs: u32 = 0;
  /** -> DirtyLog, 0 while nothing is logged. Published. */
  log: u32 = 0;
  /** Most bytes behind a frame's Ethernet header that its driver takes, where it has agreed to VIRTIO_NET_F_MTU; else 0. */
  mtu: u32 = 0;
  /** -> the same as `regions` of what may be written; the same list unless there is an IOTLB. Published. */
  writable: u32 = 0;
  /** 1: buffers are at I/O virtual addresses, and the regions are those that are known (memory/iotlb.ts). */
  translated: u32 = 0;
  /** -> list {count, Tap pointer…} of what captures its frames, 0 while nothing does. Published. */
  captures: u32 = 0;
  /** 1: the operator has put it out of use. None of its queues is enabled then. Published. */
  adminDown: u32 = 0;
}

/** One port in one capture; behind the struct a TapCounters for each worker (assembly/capture.ts). */
@unmanaged
export class Tap {
  // host
  /** -> CaptureRing[workers], side by side. */
  rings: u32 = 0;
  /** Most bytes that are kept of a frame, 1 to FRAME_MAX. */
  snapLength: u32 = 0;
  /** What its records carry as their `tap`. */
  number: u32 = 0;
  reserved: u32 = 0;
  pad0: u64 = 0;
  pad1: u64 = 0;
  pad2: u64 = 0;
  pad3: u64 = 0;
  pad4: u64 = 0;
  pad5: u64 = 0;
}

/** What one worker has seen for one tap: all frames of the port, and those of them that found no room. */
@unmanaged
export class TapCounters {
  frames: u64 = 0;
  missed: u64 = 0;
  pad0: u64 = 0;
  pad1: u64 = 0;
  pad2: u64 = 0;
  pad3: u64 = 0;
  pad4: u64 = 0;
  pad5: u64 = 0;
}

/** CaptureRecords on their way from one worker to the host. `head`, `next` and `tail` count bytes and wrap around at 2^32. */
@unmanaged
export class CaptureRing {
  // host
  /** Offset of the records, and their room in bytes: a power of two, much more than the longest record. */
  data: u32 = 0;
  size: u32 = 0;
  /** So far the host has taken records. */
  tail: u32 = 0;
  pad0: u32 = 0;
  pad1: u64 = 0;
  pad2: u64 = 0;
  pad3: u64 = 0;
  pad4: u64 = 0;
  pad5: u64 = 0;
  pad6: u64 = 0;
  // worker
  /** So far the host may take records; and so far they are written, which is more during a burst only. */
  head: u32 = 0;
  next: u32 = 0;
  /** 1 while it stands in Worker.dirtyRings; the ring behind it in there. */
  dirty: u32 = 0;
  nextDirty: u32 = 0;
  /** -> u32[BURST]: the records of the frames of the burst in hand, 0 where there is none. */
  records: u32 = 0;
  /** 1: there was no room for a record when `tail` stood at `fullAt`. */
  full: u32 = 0;
  fullAt: u32 = 0;
  pad7: u32 = 0;
  pad9: u64 = 0;
  padA: u64 = 0;
  padB: u64 = 0;
  padC: u64 = 0;
}

/** Kinds of CaptureRecord: a frame from the guest, a frame to it, the unused end of the ring (then only 8 bytes are there). */
export const CAPTURE_IN: u32 = 0;
export const CAPTURE_OUT: u32 = 1;
export const CAPTURE_SKIP: u32 = 2;

/** A captured frame; its bytes are behind the struct. */
@unmanaged
export class CaptureRecord {
  /** From here to the next record; a multiple of 8. */
  bytes: u32 = 0;
  /** CAPTURE_*. */
  kind: u32 = 0;
  /** Tap.number */
  tap: u32 = 0;
  /** Bytes of the frame, and how many of them are here. */
  length: u32 = 0;
  captured: u32 = 0;
  /** DROP_* + 1 of a frame from the guest that went nowhere, else 0. */
  dropped: u32 = 0;
  /** Nanoseconds of the machine's monotonic clock. */
  time: u64 = 0;
}

/** A bitmap that the front-end shares, with one bit for each 4 KiB page of the guest (assembly/memory/log.ts). */
@unmanaged
export class DirtyLog {
  /** Bytes of the bitmap. */
  bytes: u64 = 0;
  /** Its offset in linear memory. */
  window: u32 = 0;
  /** -> list {count, pad, Region…}: which guest physical addresses lie in which windows. */
  regions: u32 = 0;
  /** 1: the front-end wants to hear of marks (VHOST_USER_SET_LOG_FD). */
  watched: u32 = 0;
  /** 1: there are marks of which the front-end has not been told, and the host knows it; the host clears it first. */
  unheard: u32 = 0;
}

/** One virtqueue. Three groups, each on cache lines of its own: set by the host, moved by the worker, counters. */
@unmanaged
export class Queue {
  // host: set before the queue is published
  /** Offsets in linear memory of descriptor table, avail ring and used ring; packed: ring, driver and device area. */
  desc: u32 = 0;
  avail: u32 = 0;
  used: u32 = 0;
  /** Entries, 1 to 32768; a power of two unless packed. */
  size: u32 = 0;
  /** -> Port */
  port: u32 = 0;
  /** Its number among the transmitqs of its port that its worker polls: which of a port's receiveqs its frames go to. */
  lane: u32 = 0;
  /** 10 or 12 bytes. */
  headerSize: u32 = 0;
  /** VIRTIO_NET_F_MRG_RXBUF, VIRTIO_F_EVENT_IDX, VIRTIO_F_INDIRECT_DESC negotiated: 0 or 1. */
  mergeable: u32 = 0;
  eventIdx: u32 = 0;
  indirect: u32 = 0;
  /** 1: several workers may enqueue here, so they take the lock. */
  shared: u32 = 0;
  // host: may change while the queue runs
  /** SET_VRING_ENABLE; a disabled transmitq is drained and its frames discarded (drainFrom). */
  enabled: u32 = 0;
  /** Descriptor of the call eventfd, -1 for none. */
  callFd: i32 = 0;
  // host: set before the queue is published
  /** VIRTIO_F_RING_PACKED negotiated: 0 or 1. */
  packed: u32 = 0;
  /** OFFLOAD_* of spec/offload.ts: what the driver of a transmitq may ask for, what that of a receiveq can take. */
  offloads: u32 = 0;
  /** Packed: offset of the queue's part of the inflight area (virtq/inflight.ts), 0 when there is none. */
  inflight: u32 = 0;

  // worker
  /**
   * Split: free-running 16-bit index of the next avail entry to take, and of the next used entry to write.
   * Packed: position of the next descriptor, and the wrap counter in bit 15; both are the same, all goes in order.
   */
  nextAvail: u32 = 0;
  nextUsed: u32 = 0;
  /** nextUsed when the last call was decided (event idx). */
  calledUsed: u32 = 0;
  /** QUEUE_* of spec/status.ts, and the descriptor index at which it was seen. */
  status: u32 = 0;
  statusDescriptor: u32 = 0;
  /** 1 while the queue stands in some worker's call list; the worker clears it just before it writes the eventfd. */
  callPending: u32 = 0;
  /** Spin lock, see `shared`. */
  lock: u32 = 0;
  /** The piece of guest memory in which its last buffer lay, true while the region list has this generation. */
  spanGeneration: u32 = 0;
  spanStart: u64 = 0;
  spanLength: u64 = 0;
  spanWindow: u32 = 0;
  /** A disabled transmitq is drained from this second on, see HOLD_SECONDS. The host clears it when it disables one. */
  drainFrom: u32 = 0;
  /** A transmitq waits for a translation while its port's region list has this generation (memory/iotlb.ts). */
  missGeneration: u32 = 0;
  /**
   * Entries of the u64[MISSES] behind the drops, on the next cache line: pages to be asked for, IOTLB_* in the low bits.
   * The worker fills it while this is 0; the host sets it back to 0 when it has taken them.
   */
  missCount: u32 = 0;

  // counters, worker
  frames: u64 = 0;
  bytes: u64 = 0;
  calls: u64 = 0;
  /** receiveq: frames cut for it, segments made of them, and frames whose checksum was finished for it. */
  segmented: u64 = 0;
  segments: u64 = 0;
  checksums: u64 = 0;
  // Between them, for their cache line is at hand anyway.
  /** host: receiveq behind an IOMMU: -> Backlog, else 0. */
  backlog: u32 = 0;
  /** host: 1: it is not known where the ring lies, so frames go to the backlog. Published. */
  waiting: u32 = 0;
  /** worker: receiveq behind an IOMMU: how many buffers ahead of the next one it asks for translations. */
  ahead: u32 = 0;
  /** worker: where it stood when it last asked. */
  askedFrom: u32 = 0;
  /** worker: transmitq: turns that it owes the others for copies of its frames, in parts of BURST (assembly/capture.ts). */
  owed: u32 = 0;
  pad0: u32 = 0;
  /** u64[DROP_CAUSES] starts here: the host allots that much behind the struct. */
  drops: u64 = 0;
}

/**
 * Frames for a receiveq that could not be put there yet, for want of translations: HeldFrames side by side, behind the
 * struct. Whoever holds the receiveq writes it.
 */
@unmanaged
export class Backlog {
  /** host: bytes of the room behind the struct. */
  size: u32 = 0;
  /** How many wait, and where they are: the oldest at `head`, room for the next at `tail`. */
  frames: u32 = 0;
  head: u32 = 0;
  tail: u32 = 0;
  /** When it was last emptied by one, a second of `poll`'s clock. */
  since: u32 = 0;
  /** The region list with which there was no place for the oldest; 0: it has to be looked at. */
  generation: u32 = 0;
  pad0: u64 = 0;
  pad1: u64 = 0;
  pad2: u64 = 0;
  pad3: u64 = 0;
  pad4: u64 = 0;
}

/** A frame in a Backlog; its bytes are behind the struct. */
@unmanaged
export class HeldFrame {
  /** From here to the next one; a multiple of 8. */
  bytes: u32 = 0;
  /** Bytes of the frame. */
  length: u32 = 0;
  /** As in its Offload. */
  fields: u64 = 0;
  checksumOffset: u32 = 0;
  needs: u32 = 0;
}

/** One worker thread: what it polls and its scratch space. */
@unmanaged
export class Worker {
  // host
  id: u32 = 0;
  /** -> list {count, Queue pointer…} of the transmitqs it polls. Published. */
  transmitqs: u32 = 0;
  /** 1: leave the loop. */
  stop: u32 = 0;
  /** How many workers there are. */
  workers: u32 = 0;
  /** How many of its transmitqs have no kick eventfd (SET_VRING_KICK with bit 8): while there is one it never sleeps. */
  unkickable: u32 = 0;
  /** Its pool: `windowCount` windows side by side from the offset `windowPool` on, -> ChunkWindow[] that tells of each. */
  windowPool: u32 = 0;
  windowCount: u32 = 0;
  windowTable: u32 = 0;
  /** -> list {count, Queue pointer…} of all receiveqs that have a Backlog, 0 while there is none. Published. */
  backlogs: u32 = 0;
  /** 1: some port is captured, and who causes the copies is charged for them (assembly/capture.ts). Published. */
  capturing: u32 = 0;
  pad4: u64 = 0;
  pad5: u64 = 0;
  pad6: u64 = 0;

  // worker
  /** Raised between two polls: whoever saw an older one may trust that the worker has let go of what it held. */
  epoch: u32 = 0;
  /** 1 while it sleeps: it holds nothing. */
  parked: u32 = 0;
  /** Queues to call: `callCount` Queue pointers at `calls`. */
  callCount: u32 = 0;
  /** Segments in use: of the burst in hand, and of the receive buffers in reservation. */
  txSegments: u32 = 0;
  rxSegments: u32 = 0;
  /** Second results of a chain walk: bytes found, and the descriptor at which it failed. */
  chainBytes: u32 = 0;
  chainDescriptor: u32 = 0;
  /** The same of a packed ring's: buffer id, and descriptors that it takes in the ring. */
  chainId: u32 = 0;
  chainSpan: u32 = 0;
  /** Where the transmitq in hand stands behind the burst, and the receiveq behind the frame that got room last. */
  txCursor: u32 = 0;
  rxCursor: u32 = 0;
  /** -> the Placement behind that of that frame. */
  rxPlaced: u32 = 0;
  /** 1: the frame in hand comes from a Backlog; if there is still no place for it `stuck` says so. */
  draining: u32 = 0;
  /** Second results of `locate`: the piece of guest memory around the address, and its offset in linear memory. */
  spanWindow: u32 = 0;
  /** OFFLOAD_* that some frame of the burst in hand needs, see offloadTable. */
  offloaded: u32 = 0;
  /** Groups in use of the burst in hand. */
  groups: u32 = 0;
  spanStart: u64 = 0;
  spanLength: u64 = 0;
  frames: u64 = 0;
  polls: u64 = 0;
  parks: u64 = 0;
  /** Sum of what was read ahead, so that the reads are made. */
  touched: u32 = 0;
  /** Spin lock of the pool: its worker takes it to map a chunk, the host to take a region away. */
  windowLock: u32 = 0;
  /** Counts bursts and deliveries; its value when the burst in hand began, and how many windows that holds. */
  windowClock: u32 = 0;
  burstClock: u32 = 0;
  burstWindows: u32 = 0;
  /** 1: `locate` failed not because the guest has no such memory, but because no window could be had for it. */
  windowMissing: u32 = 0;
  /** Chunks that had to be mapped, and the nanoseconds it took. */
  chunkMisses: u64 = 0;
  chunkMissTime: u64 = 0;
  /** Bit i: the virtio_net header of frame i of the burst does not lie right before it. */
  headersApart: u64 = 0;
  /** The address for which the last chain walk had no translation. */
  missAddress: u64 = 0;
  /** 1: new entries in some Queue.misses, or an unheard DirtyLog; whoever runs the worker tells the host and clears it. */
  missed: u32 = 0;
  /** 1: it was to be read, 2: to be written to; 0: there is none, or it has been noted. */
  missAccess: u32 = 0;
  stuck: u32 = 0;
  /** The clock given to `poll`. */
  now: u32 = 0;
  /** Chains of packed rings that are noted to be given back: of the transmitq in hand, of the receiveq in hand. */
  txNotes: u32 = 0;
  rxNotes: u32 = 0;
  /** Port.captures of the transmitq in hand; -> the first of the CaptureRings that the burst in hand has written to. */
  captures: u32 = 0;
  dirtyRings: u32 = 0;

  // scratch, laid out by the host behind the struct
  /** -> Frame[BURST] */
  frameTable: u32 = 0;
  /** -> Segment[SEGMENTS] each: the burst's, and those of the receive buffers in reservation. */
  txSegmentTable: u32 = 0;
  rxSegmentTable: u32 = 0;
  /** -> Placement[BURST] */
  placements: u32 = 0;
  /** -> u32[CALLS_MAX] */
  calls: u32 = 0;
  /** -> Group[BURST] */
  groupTable: u32 = 0;
  /** -> u8[PORTS_MAX]: group number + 1 of a port within the burst in hand, all zero between bursts. */
  groupOf: u32 = 0;
  /** -> 64 bytes: 32 for a header in pieces, 32 for lists of one segment (SCRATCH_*). */
  headerScratch: u32 = 0;
  /** -> HEADER_COPY bytes for each frame of the burst: virtio_net headers that lay in pieces. */
  headerCopies: u32 = 0;
  /** -> Offload[BURST] */
  offloadTable: u32 = 0;
  /** -> Reserved[BURST], Reserved[RX_NOTES] */
  txNoteTable: u32 = 0;
  rxNoteTable: u32 = 0;
  /** -> Reserved[CHAIN_SEGMENTS]: receive buffers of the frame that is looking for room. */
  reservedTable: u32 = 0;
  /** Events of a traced build: the ring at `trace` holds TRACE_EVENTS, `traceCount` were ever written. */
  trace: u32 = 0;
  traceCount: u32 = 0;
  /** -> Packet, and u8[HEADERS_MAX]: its headers. */
  packet: u32 = 0;
  packetHeaders: u32 = 0;
  /** Identification of the next datagram that becomes IPv6 fragments. */
  fragmentId: u32 = 0;
  /** CaptureRecords that the burst in hand has written. */
  recorded: u32 = 0;
  pad7: u32 = 0;
}

/** Queue pointers that fit a worker's call list. A queue stands in it once, and the host makes no more queues than this. */
export const CALLS_MAX: u32 = 32768;
/** TraceEvents that a worker's ring holds. */
export const TRACE_EVENTS: u32 = 4096;

/** One step of the data path, as a traced build records it (assembly/trace.ts names the kinds). */
@unmanaged
export class TraceEvent {
  kind: u32 = 0;
  /** -> Queue or Port, or 0. */
  subject: u32 = 0;
  a: u32 = 0;
  b: u32 = 0;
}

/** A piece of guest memory that has been checked: offset in linear memory and length in bytes. */
@unmanaged
export class Segment {
  offset: u32 = 0;
  length: u32 = 0;
}

/** One frame of the burst in hand, without its virtio_net header. */
@unmanaged
export class Frame {
  /** Where it lies: its offset when it is in one piece, else its first entry in the worker's txSegmentTable. */
  at: u32 = 0;
  /** Pieces it is in: segments. */
  segments: u32 = 0;
  /** Payload bytes; 0 for a frame already dropped. */
  length: u32 = 0;
  /** The next frame of the same group, in order. */
  next: u32 = 0;
  /** MAC addresses as 48-bit little-endian numbers: bit 0 is the group bit. */
  destination: u64 = 0;
  source: u64 = 0;
}

/** What the virtio_net header of a frame of the burst asks for; only where a transmitq's driver may ask for anything. */
@unmanaged
export class Offload {
  /** The header's first 8 bytes: flags, gso_type, hdr_len, gso_size, csum_start. 0: nothing to do. */
  fields: u64 = 0;
  /** Its csum_offset. */
  checksumOffset: u32 = 0;
  /** Offset of a header that does not lie right before its frame, in the guest's memory or among headerCopies. */
  place: u32 = 0;
  /** OFFLOAD_* that a receiver must have to take the frame as it is. */
  needs: u32 = 0;
  reserved: u32 = 0;
}

/** Bytes of a frame in which the headers must lie for it to be segmented: 512 hold eight IPv6 extension headers. */
export const HEADERS_MAX: u32 = 512;

/** The headers of the frame that is looked at or cut into segments (net/packet.ts, net/segment.ts). */
@unmanaged
export class Packet {
  /** 4 or 6, and the protocol that IP carries. */
  version: u32 = 0;
  protocol: u32 = 0;
  /** Offsets in the frame: of the IP header, of the TCP or UDP header, of what that carries. */
  network: u32 = 0;
  transport: u32 = 0;
  payload: u32 = 0;
  /** Where the headers end that every IP fragment repeats; IPv6: of the byte that says what comes behind them. */
  unfragmentable: u32 = 0;
  nextHeader: u32 = 0;
  /** Of the checksum in the TCP or UDP header. */
  checksumOffset: u32 = 0;
  // while it is cut
  /** -> the Segment of the sender's buffers in which the next piece begins, and its first byte's offset in the frame. */
  source: u32 = 0;
  sourceAt: u32 = 0;
  /** Offsets in the frame: of all that is cut, of the piece in hand, and of the end. */
  first: u32 = 0;
  at: u32 = 0;
  end: u32 = 0;
  /** Bytes of the piece in hand, and of the longest. */
  length: u32 = 0;
  size: u32 = 0;
  /** Bytes of headers in front of each piece. */
  repeated: u32 = 0;
  /** 1: the pieces are IP fragments. */
  fragments: u32 = 0;
  /** IPv4 identification of the next piece, sequence number and flags of the whole. */
  ipv4Id: u32 = 0;
  sequence: u32 = 0;
  tcpFlags: u32 = 0;
  /** Sum of the pseudo header without its length; of fragments: the finished checksum. */
  partial: u32 = 0;
  reserved: u32 = 0;
  /** Offload.fields of each segment. */
  fields: u64 = 0;
}

/** Where in a worker's headerScratch lists of one segment are written: of a frame, of its room, of a header's copy. */
export const SCRATCH_FROM: u32 = 32;
export const SCRATCH_TO: u32 = 40;
export const SCRATCH_HEADERS: u32 = 48;

/** Receive buffers of a packed ring that can wait to be given back. */
export const RX_NOTES: u32 = 2048;

/** Room for one virtio_net header, and some to spare. */
export const HEADER_COPY: u32 = 16;

/** A chain that will be given back: a receive buffer, when there is enough room for its frame; in a packed ring any. */
@unmanaged
export class Reserved {
  /** Where its used element will be written, as Queue.nextAvail. */
  cursor: u32 = 0;
  /** Head of its chain; packed: buffer id. */
  id: u32 = 0;
  /** Bytes that will be written to it. */
  length: u32 = 0;
  /** Noted chains of the frame that begins with this one, where they are several; they are given back all at once. */
  chains: u32 = 0;
}

/** Frames of a burst that go to one port. */
@unmanaged
export class Group {
  /** -> Port */
  port: u32 = 0;
  first: u32 = 0;
  last: u32 = 0;
  count: u32 = 0;
}

/** Where a frame will be copied to: receive buffers reserved for it, header room included. */
@unmanaged
export class Placement {
  /** Frame number in the burst. */
  frame: u32 = 0;
  /** Its offset when the room is in one piece, else its first entry in the worker's rxSegmentTable. */
  at: u32 = 0;
  /** Pieces it is in: segments. */
  segments: u32 = 0;
  /** Chains used (num_buffers). */
  buffers: u32 = 0;
}

/** The table of learned addresses: buckets of four entries, one cache line each. */
@unmanaged
export class Fdb {
  // host
  /** -> FdbEntry[(bucketMask + 1) * 4], aligned to 64. */
  entries: u32 = 0;
  bucketMask: u32 = 0;
  /** Most entries in all, and for one port. */
  limit: u32 = 0;
  portLimit: u32 = 0;
  /** Seconds after which an entry that was not refreshed is forgotten. */
  ageing: u32 = 0;
  /** -> u32[PORTS_MAX]: entries per port. */
  portEntries: u32 = 0;
  pad0: u64 = 0;
  pad1: u64 = 0;
  pad2: u64 = 0;
  pad3: u64 = 0;
  pad4: u64 = 0;
  // whoever holds the lock
  lock: u32 = 0;
  count: u32 = 0;
  learned: u64 = 0;
  moved: u64 = 0;
  aged: u64 = 0;
  refused: u64 = 0;
}

@unmanaged
export class FdbEntry {
  /** MAC address in bits 0-47, port number + 1 in bits 48-63; 0 is an empty entry. Read and written whole. */
  key: u64 = 0;
  /** Second (of the clock given to `poll`) at which the address was last seen as a source. */
  seen: u32 = 0;
  pad: u32 = 0;
}
