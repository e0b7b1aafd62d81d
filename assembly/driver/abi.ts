// The structs that the host and the load driver share (see ../abi.ts for how the host learns their layout).
// Raise DRIVER_ABI_VERSION with every change.
//
// All are written by the host before `startReceive` or `startTransmit`, and by the driver afterwards, which one thread
// at a time may call: the host then only reads counters.

export const DRIVER_ABI_VERSION: u32 = 4;

/** Bytes of our own header at the start of every frame (frame.ts); no frame is shorter. */
export const FRAME_MIN: u32 = 32;
/** Ethernet, IPv4 and TCP headers of a frame that is to be segmented (segmented.ts). */
export const SEGMENTED_HEADERS: u32 = 54;
/** Bytes that must follow a transmit buffer's longest frame: the payload is written in whole vectors. */
export const FRAME_SLACK: u32 = 16;
/** Used buffers that `receive` looks at in one pass. */
export const RECEIVE_BURST: u32 = 64;
/** So many of a flow's last sequence numbers are told apart as lost, late or doubled; a power of two. */
export const FLOW_WINDOW: u32 = 1024;
/** From one Flow to the next, bitmap included. */
export const FLOW_BYTES: u32 = 192;
/** Entries of a latency histogram: 32 to each power of two, so that a value is known to 3 %. */
export const LATENCY_BUCKETS: u32 = 896;

/** What `receive` looks at: nothing but lengths, also our header and the sequence, or also every byte of payload. */
export const VERIFY_NOTHING: u32 = 0;
export const VERIFY_SEQUENCE: u32 = 1;
export const VERIFY_PAYLOAD: u32 = 2;

// Why a queue came to a halt: the device broke the ring's rules. Nothing is sent or received on it any more.
/** used.idx ran ahead of what the device had. */
export const FAULT_USED_INDEX: u32 = 1;
/** A used element names a buffer that the device did not have. */
export const FAULT_USED_ID: u32 = 2;

/** One virtqueue as its driver has it. Split: buffer i belongs to descriptor i for good; packed: its id is i. */
@unmanaged
export class DriverQueue {
  // host
  /** Offsets in linear memory of descriptor table, avail ring and used ring; packed: ring, driver and device area. */
  desc: u32 = 0;
  avail: u32 = 0;
  used: u32 = 0;
  /** Entries, 1 to 32768; a power of two unless packed. */
  size: u32 = 0;
  /** Offset of buffer 0 in linear memory, and bytes from one buffer to the next. */
  buffers: u32 = 0;
  bufferBytes: u32 = 0;
  /** Guest physical address of buffer 0. */
  buffersAddress: u64 = 0;
  /** 10 or 12 bytes. */
  headerSize: u32 = 0;
  /** Negotiated VIRTIO_NET_F_MRG_RXBUF, VIRTIO_F_EVENT_IDX, VIRTIO_F_IN_ORDER: 0 or 1. */
  mergeable: u32 = 0;
  eventIdx: u32 = 0;
  inOrder: u32 = 0;
  /** -> u16[size], a queue of the numbers of free transmit buffers. */
  free: u32 = 0;
  /** -> u8[size]: 1 while the device has that buffer. */
  held: u32 = 0;
  /** -> Flow[flowCount]: those to send, in turn; or those that may arrive, by their number. */
  flows: u32 = 0;
  flowCount: u32 = 0;
  /** -> u32[sizeCount]: frame lengths to send, in turn, without the virtio_net header. */
  sizes: u32 = 0;
  sizeCount: u32 = 0;
  /** 1: write the payload of every frame; 0: only our header, the rest is what the buffer held. */
  payload: u32 = 0;
  /** -> bytes for one merged frame and FRAME_SLACK; not needed when buffers are not merged. */
  scratch: u32 = 0;
  scratchBytes: u32 = 0;
  /** -> u64[LATENCY_BUCKETS], or 0. */
  latency: u32 = 0;
  /** From the stamp of one frame of a burst to the next one's, in 1/256 of the stamps' unit. */
  stampStep: u32 = 0;
  /** Negotiated VIRTIO_F_RING_PACKED: 0 or 1. */
  packed: u32 = 0;
  /** TCP payload of a segment where segmentation offload was negotiated for both directions (segmented.ts), else 0. */
  segmentSize: u32 = 0;
  pad1: u32 = 0;

  // driver
  /**
   * Split: avail.idx as published, and the used index up to which buffers were taken back; 16 bits used.
   * Packed: the places of both in the ring, wrap counter in bit 15.
   */
  nextAvail: u32 = 0;
  nextUsed: u32 = 0;
  /** Positions in `free`, below `size`: taken from, given to. */
  freeTaken: u32 = 0;
  freeGiven: u32 = 0;
  /** Next entries of `flows` and `sizes` to use. */
  flow: u32 = 0;
  sizeIndex: u32 = 0;
  /** FAULT_*, and the buffer number or index at which it was seen. */
  fault: u32 = 0;
  faultAt: u32 = 0;
  /** Keeps the loads of a look-ahead pass from being dropped. */
  touched: u32 = 0;
  /** Flags of every descriptor: VIRTQ_DESC_F_WRITE in a receiveq. */
  descFlags: u32 = 0;

  // counters, driver
  /** Made available, or received: all that came, whatever is wrong with it. Bytes without virtio_net header. */
  frames: u64 = 0;
  bytes: u64 = 0;
  /** Received frames of ours with a wrong header, length or payload. Their sequence number is not believed. */
  corrupt: u64 = 0;
  /** Received frames that are not ours, or not for this guest (flooded). */
  foreign: u64 = 0;
  /** Sequence numbers that were skipped and have not come late. */
  lost: u64 = 0;
  duplicates: u64 = 0;
  /** Frames that came after one with a higher number. */
  reordered: u64 = 0;
  /** Frames too far behind to say whether they are late or doubled. */
  stale: u64 = 0;
}

/** A stream of numbered frames from one sender to one receiver, as either of them keeps it. */
@unmanaged
export class Flow {
  /** First 16 bytes of every frame: destination, source, EtherType, flow number. */
  header: u64 = 0;
  header1: u64 = 0;
  number: u32 = 0;
  /** Receiver: 1 when frames of this flow are for this guest. */
  expected: u32 = 0;
  /** Next sequence number to send. */
  nextSend: u32 = 0;
  /** One more than the highest sequence number received. */
  nextReceive: u32 = 0;
  /** While bits of `missing` may be set: the sequence number from which on they cannot be. */
  cleanFrom: u32 = 0;
  dirty: u32 = 0;
  frames: u64 = 0;
  /** u64[FLOW_WINDOW / 64] starts here: bit (sequence mod FLOW_WINDOW) is set for a number that was skipped. */
  missing: u64 = 0;
}
