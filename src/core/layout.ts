// GENERATED from assembly/abi.ts by tools/layout-transform.mjs at every build. Do not edit.

export const ABI_VERSION = 14;
export const BACKLOG_SECONDS = 2;
export const BURST = 64;
export const CALLS_MAX = 32768;
export const CAPTURE_IN = 0;
export const CAPTURE_OUT = 1;
export const CAPTURE_SKIP = 2;
export const CHAIN_SEGMENTS = 1024;
export const CHUNK_BYTES = 2097152;
export const CHUNK_SHIFT = 21;
export const FRAME_MAX = 65558;
export const HEADERS_MAX = 512;
export const HEADER_COPY = 16;
export const HOLD_SECONDS = 2;
export const MISSES = 64;
export const PORTS_MAX = 1024;
export const RX_NOTES = 2048;
export const SCRATCH_FROM = 32;
export const SCRATCH_HEADERS = 48;
export const SCRATCH_TO = 40;
export const SEGMENTS = 2048;
export const TRACE_EVENTS = 4096;

export const Backlog = {
  size: 64,
  fields: {
    size: { offset: 0, type: "u32" },
    frames: { offset: 4, type: "u32" },
    head: { offset: 8, type: "u32" },
    tail: { offset: 12, type: "u32" },
    since: { offset: 16, type: "u32" },
    generation: { offset: 20, type: "u32" },
  },
} as const;

export const CaptureRecord = {
  size: 32,
  fields: {
    bytes: { offset: 0, type: "u32" },
    kind: { offset: 4, type: "u32" },
    tap: { offset: 8, type: "u32" },
    length: { offset: 12, type: "u32" },
    captured: { offset: 16, type: "u32" },
    dropped: { offset: 20, type: "u32" },
    time: { offset: 24, type: "u64" },
  },
} as const;

export const CaptureRing = {
  size: 128,
  fields: {
    data: { offset: 0, type: "u32" },
    size: { offset: 4, type: "u32" },
    tail: { offset: 8, type: "u32" },
    head: { offset: 64, type: "u32" },
    next: { offset: 68, type: "u32" },
    dirty: { offset: 72, type: "u32" },
    nextDirty: { offset: 76, type: "u32" },
    records: { offset: 80, type: "u32" },
    full: { offset: 84, type: "u32" },
    fullAt: { offset: 88, type: "u32" },
    padA: { offset: 104, type: "u64" },
    padB: { offset: 112, type: "u64" },
    padC: { offset: 120, type: "u64" },
  },
} as const;

export const ChunkWindow = {
  size: 16,
  fields: {
    region: { offset: 0, type: "u32" },
    chunk: { offset: 4, type: "u32" },
    lastUse: { offset: 8, type: "u32" },
    burst: { offset: 12, type: "u32" },
  },
} as const;

export const ChunkedRegion = {
  size: 64,
  fields: {
    fileOffset: { offset: 0, type: "u64" },
    bytes: { offset: 8, type: "u64" },
    guestAddress: { offset: 16, type: "u64" },
    skew: { offset: 24, type: "u32" },
    fd: { offset: 28, type: "i32" },
    tableBytes: { offset: 32, type: "u32" },
  },
} as const;

export const Core = {
  size: 20,
  fields: {
    abiVersion: { offset: 0, type: "u32" },
    workers: { offset: 4, type: "u32" },
    fdb: { offset: 8, type: "u32" },
    ports: { offset: 12, type: "u32" },
    floodList: { offset: 16, type: "u32" },
  },
} as const;

export const DirtyLog = {
  size: 24,
  fields: {
    bytes: { offset: 0, type: "u64" },
    window: { offset: 8, type: "u32" },
    regions: { offset: 12, type: "u32" },
    watched: { offset: 16, type: "u32" },
    unheard: { offset: 20, type: "u32" },
  },
} as const;

export const Fdb = {
  size: 104,
  fields: {
    entries: { offset: 0, type: "u32" },
    bucketMask: { offset: 4, type: "u32" },
    limit: { offset: 8, type: "u32" },
    portLimit: { offset: 12, type: "u32" },
    ageing: { offset: 16, type: "u32" },
    portEntries: { offset: 20, type: "u32" },
    lock: { offset: 64, type: "u32" },
    count: { offset: 68, type: "u32" },
    learned: { offset: 72, type: "u64" },
    moved: { offset: 80, type: "u64" },
    aged: { offset: 88, type: "u64" },
    refused: { offset: 96, type: "u64" },
  },
} as const;

export const FdbEntry = {
  size: 16,
  fields: {
    key: { offset: 0, type: "u64" },
    seen: { offset: 8, type: "u32" },
  },
} as const;

export const Frame = {
  size: 32,
  fields: {
    at: { offset: 0, type: "u32" },
    segments: { offset: 4, type: "u32" },
    length: { offset: 8, type: "u32" },
    next: { offset: 12, type: "u32" },
    destination: { offset: 16, type: "u64" },
    source: { offset: 24, type: "u64" },
  },
} as const;

export const Group = {
  size: 16,
  fields: {
    port: { offset: 0, type: "u32" },
    first: { offset: 4, type: "u32" },
    last: { offset: 8, type: "u32" },
    count: { offset: 12, type: "u32" },
  },
} as const;

export const HeldFrame = {
  size: 24,
  fields: {
    bytes: { offset: 0, type: "u32" },
    length: { offset: 4, type: "u32" },
    fields: { offset: 8, type: "u64" },
    checksumOffset: { offset: 16, type: "u32" },
    needs: { offset: 20, type: "u32" },
  },
} as const;

export const Offload = {
  size: 24,
  fields: {
    fields: { offset: 0, type: "u64" },
    checksumOffset: { offset: 8, type: "u32" },
    place: { offset: 12, type: "u32" },
    needs: { offset: 16, type: "u32" },
  },
} as const;

export const Packet = {
  size: 96,
  fields: {
    version: { offset: 0, type: "u32" },
    protocol: { offset: 4, type: "u32" },
    network: { offset: 8, type: "u32" },
    transport: { offset: 12, type: "u32" },
    payload: { offset: 16, type: "u32" },
    unfragmentable: { offset: 20, type: "u32" },
    nextHeader: { offset: 24, type: "u32" },
    checksumOffset: { offset: 28, type: "u32" },
    source: { offset: 32, type: "u32" },
    sourceAt: { offset: 36, type: "u32" },
    first: { offset: 40, type: "u32" },
    at: { offset: 44, type: "u32" },
    end: { offset: 48, type: "u32" },
    length: { offset: 52, type: "u32" },
    size: { offset: 56, type: "u32" },
    repeated: { offset: 60, type: "u32" },
    fragments: { offset: 64, type: "u32" },
    ipv4Id: { offset: 68, type: "u32" },
    sequence: { offset: 72, type: "u32" },
    tcpFlags: { offset: 76, type: "u32" },
    partial: { offset: 80, type: "u32" },
    fields: { offset: 88, type: "u64" },
  },
} as const;

export const Placement = {
  size: 16,
  fields: {
    frame: { offset: 0, type: "u32" },
    at: { offset: 4, type: "u32" },
    segments: { offset: 8, type: "u32" },
    buffers: { offset: 12, type: "u32" },
  },
} as const;

export const Port = {
  size: 36,
  fields: {
    id: { offset: 0, type: "u32" },
    regions: { offset: 4, type: "u32" },
    receiveqs: { offset: 8, type: "u32" },
    log: { offset: 12, type: "u32" },
    mtu: { offset: 16, type: "u32" },
    writable: { offset: 20, type: "u32" },
    translated: { offset: 24, type: "u32" },
    captures: { offset: 28, type: "u32" },
    adminDown: { offset: 32, type: "u32" },
  },
} as const;

export const Queue = {
  size: 208,
  fields: {
    desc: { offset: 0, type: "u32" },
    avail: { offset: 4, type: "u32" },
    used: { offset: 8, type: "u32" },
    size: { offset: 12, type: "u32" },
    port: { offset: 16, type: "u32" },
    lane: { offset: 20, type: "u32" },
    headerSize: { offset: 24, type: "u32" },
    mergeable: { offset: 28, type: "u32" },
    eventIdx: { offset: 32, type: "u32" },
    indirect: { offset: 36, type: "u32" },
    shared: { offset: 40, type: "u32" },
    enabled: { offset: 44, type: "u32" },
    callFd: { offset: 48, type: "i32" },
    packed: { offset: 52, type: "u32" },
    offloads: { offset: 56, type: "u32" },
    inflight: { offset: 60, type: "u32" },
    nextAvail: { offset: 64, type: "u32" },
    nextUsed: { offset: 68, type: "u32" },
    calledUsed: { offset: 72, type: "u32" },
    status: { offset: 76, type: "u32" },
    statusDescriptor: { offset: 80, type: "u32" },
    callPending: { offset: 84, type: "u32" },
    lock: { offset: 88, type: "u32" },
    spanGeneration: { offset: 92, type: "u32" },
    spanStart: { offset: 96, type: "u64" },
    spanLength: { offset: 104, type: "u64" },
    spanWindow: { offset: 112, type: "u32" },
    drainFrom: { offset: 116, type: "u32" },
    missGeneration: { offset: 120, type: "u32" },
    missCount: { offset: 124, type: "u32" },
    frames: { offset: 128, type: "u64" },
    bytes: { offset: 136, type: "u64" },
    calls: { offset: 144, type: "u64" },
    segmented: { offset: 152, type: "u64" },
    segments: { offset: 160, type: "u64" },
    checksums: { offset: 168, type: "u64" },
    backlog: { offset: 176, type: "u32" },
    waiting: { offset: 180, type: "u32" },
    ahead: { offset: 184, type: "u32" },
    askedFrom: { offset: 188, type: "u32" },
    owed: { offset: 192, type: "u32" },
    drops: { offset: 200, type: "u64" },
  },
} as const;

export const Region = {
  size: 24,
  fields: {
    guestAddress: { offset: 0, type: "u64" },
    size: { offset: 8, type: "u64" },
    window: { offset: 16, type: "u32" },
    chunks: { offset: 20, type: "u32" },
  },
} as const;

export const Reserved = {
  size: 16,
  fields: {
    cursor: { offset: 0, type: "u32" },
    id: { offset: 4, type: "u32" },
    length: { offset: 8, type: "u32" },
    chains: { offset: 12, type: "u32" },
  },
} as const;

export const Segment = {
  size: 8,
  fields: {
    offset: { offset: 0, type: "u32" },
    length: { offset: 4, type: "u32" },
  },
} as const;

export const Tap = {
  size: 64,
  fields: {
    rings: { offset: 0, type: "u32" },
    snapLength: { offset: 4, type: "u32" },
    number: { offset: 8, type: "u32" },
  },
} as const;

export const TapCounters = {
  size: 64,
  fields: {
    frames: { offset: 0, type: "u64" },
    missed: { offset: 8, type: "u64" },
  },
} as const;

export const TraceEvent = {
  size: 16,
  fields: {
    kind: { offset: 0, type: "u32" },
    subject: { offset: 4, type: "u32" },
    a: { offset: 8, type: "u32" },
    b: { offset: 12, type: "u32" },
  },
} as const;

export const Worker = {
  size: 336,
  fields: {
    id: { offset: 0, type: "u32" },
    transmitqs: { offset: 4, type: "u32" },
    stop: { offset: 8, type: "u32" },
    workers: { offset: 12, type: "u32" },
    unkickable: { offset: 16, type: "u32" },
    windowPool: { offset: 20, type: "u32" },
    windowCount: { offset: 24, type: "u32" },
    windowTable: { offset: 28, type: "u32" },
    backlogs: { offset: 32, type: "u32" },
    capturing: { offset: 36, type: "u32" },
    epoch: { offset: 64, type: "u32" },
    parked: { offset: 68, type: "u32" },
    callCount: { offset: 72, type: "u32" },
    txSegments: { offset: 76, type: "u32" },
    rxSegments: { offset: 80, type: "u32" },
    chainBytes: { offset: 84, type: "u32" },
    chainDescriptor: { offset: 88, type: "u32" },
    chainId: { offset: 92, type: "u32" },
    chainSpan: { offset: 96, type: "u32" },
    txCursor: { offset: 100, type: "u32" },
    rxCursor: { offset: 104, type: "u32" },
    rxPlaced: { offset: 108, type: "u32" },
    draining: { offset: 112, type: "u32" },
    spanWindow: { offset: 116, type: "u32" },
    offloaded: { offset: 120, type: "u32" },
    groups: { offset: 124, type: "u32" },
    spanStart: { offset: 128, type: "u64" },
    spanLength: { offset: 136, type: "u64" },
    frames: { offset: 144, type: "u64" },
    polls: { offset: 152, type: "u64" },
    parks: { offset: 160, type: "u64" },
    touched: { offset: 168, type: "u32" },
    windowLock: { offset: 172, type: "u32" },
    windowClock: { offset: 176, type: "u32" },
    burstClock: { offset: 180, type: "u32" },
    burstWindows: { offset: 184, type: "u32" },
    windowMissing: { offset: 188, type: "u32" },
    chunkMisses: { offset: 192, type: "u64" },
    chunkMissTime: { offset: 200, type: "u64" },
    headersApart: { offset: 208, type: "u64" },
    missAddress: { offset: 216, type: "u64" },
    missed: { offset: 224, type: "u32" },
    missAccess: { offset: 228, type: "u32" },
    stuck: { offset: 232, type: "u32" },
    now: { offset: 236, type: "u32" },
    txNotes: { offset: 240, type: "u32" },
    rxNotes: { offset: 244, type: "u32" },
    captures: { offset: 248, type: "u32" },
    dirtyRings: { offset: 252, type: "u32" },
    frameTable: { offset: 256, type: "u32" },
    txSegmentTable: { offset: 260, type: "u32" },
    rxSegmentTable: { offset: 264, type: "u32" },
    placements: { offset: 268, type: "u32" },
    calls: { offset: 272, type: "u32" },
    groupTable: { offset: 276, type: "u32" },
    groupOf: { offset: 280, type: "u32" },
    headerScratch: { offset: 284, type: "u32" },
    headerCopies: { offset: 288, type: "u32" },
    offloadTable: { offset: 292, type: "u32" },
    txNoteTable: { offset: 296, type: "u32" },
    rxNoteTable: { offset: 300, type: "u32" },
    reservedTable: { offset: 304, type: "u32" },
    trace: { offset: 308, type: "u32" },
    traceCount: { offset: 312, type: "u32" },
    packet: { offset: 316, type: "u32" },
    packetHeaders: { offset: 320, type: "u32" },
    fragmentId: { offset: 324, type: "u32" },
    recorded: { offset: 328, type: "u32" },
  },
} as const;
