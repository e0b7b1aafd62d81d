// GENERATED from assembly/driver/abi.ts by tools/layout-transform.mjs at every build. Do not edit.

export const DRIVER_ABI_VERSION = 4;
export const FAULT_USED_ID = 2;
export const FAULT_USED_INDEX = 1;
export const FLOW_BYTES = 192;
export const FLOW_WINDOW = 1024;
export const FRAME_MIN = 32;
export const FRAME_SLACK = 16;
export const LATENCY_BUCKETS = 896;
export const RECEIVE_BURST = 64;
export const SEGMENTED_HEADERS = 54;
export const VERIFY_NOTHING = 0;
export const VERIFY_PAYLOAD = 2;
export const VERIFY_SEQUENCE = 1;

export const DriverQueue = {
  size: 208,
  fields: {
    desc: { offset: 0, type: "u32" },
    avail: { offset: 4, type: "u32" },
    used: { offset: 8, type: "u32" },
    size: { offset: 12, type: "u32" },
    buffers: { offset: 16, type: "u32" },
    bufferBytes: { offset: 20, type: "u32" },
    buffersAddress: { offset: 24, type: "u64" },
    headerSize: { offset: 32, type: "u32" },
    mergeable: { offset: 36, type: "u32" },
    eventIdx: { offset: 40, type: "u32" },
    inOrder: { offset: 44, type: "u32" },
    free: { offset: 48, type: "u32" },
    held: { offset: 52, type: "u32" },
    flows: { offset: 56, type: "u32" },
    flowCount: { offset: 60, type: "u32" },
    sizes: { offset: 64, type: "u32" },
    sizeCount: { offset: 68, type: "u32" },
    payload: { offset: 72, type: "u32" },
    scratch: { offset: 76, type: "u32" },
    scratchBytes: { offset: 80, type: "u32" },
    latency: { offset: 84, type: "u32" },
    stampStep: { offset: 88, type: "u32" },
    packed: { offset: 92, type: "u32" },
    segmentSize: { offset: 96, type: "u32" },
    nextAvail: { offset: 104, type: "u32" },
    nextUsed: { offset: 108, type: "u32" },
    freeTaken: { offset: 112, type: "u32" },
    freeGiven: { offset: 116, type: "u32" },
    flow: { offset: 120, type: "u32" },
    sizeIndex: { offset: 124, type: "u32" },
    fault: { offset: 128, type: "u32" },
    faultAt: { offset: 132, type: "u32" },
    touched: { offset: 136, type: "u32" },
    descFlags: { offset: 140, type: "u32" },
    frames: { offset: 144, type: "u64" },
    bytes: { offset: 152, type: "u64" },
    corrupt: { offset: 160, type: "u64" },
    foreign: { offset: 168, type: "u64" },
    lost: { offset: 176, type: "u64" },
    duplicates: { offset: 184, type: "u64" },
    reordered: { offset: 192, type: "u64" },
    stale: { offset: 200, type: "u64" },
  },
} as const;

export const Flow = {
  size: 56,
  fields: {
    header: { offset: 0, type: "u64" },
    header1: { offset: 8, type: "u64" },
    number: { offset: 16, type: "u32" },
    expected: { offset: 20, type: "u32" },
    nextSend: { offset: 24, type: "u32" },
    nextReceive: { offset: 28, type: "u32" },
    cleanFrom: { offset: 32, type: "u32" },
    dirty: { offset: 36, type: "u32" },
    frames: { offset: 40, type: "u64" },
    missing: { offset: 48, type: "u64" },
  },
} as const;
