// What the plain drivers of both kinds of ring have in common: tests bend either one through the same verbs.

/** A buffer of guest memory: guest physical address and length in bytes. */
export interface Buffer {
  address: bigint;
  length: number;
  /** Device-writable: for receive buffers. */
  writable?: boolean;
}

/** A chain that came back: its head or buffer id, what was given with it, and the bytes that the device wrote. */
export interface UsedChain<T> {
  head: number;
  written: number;
  token: T;
}

/**
 * The guest's memory as the driver sees it: `at` turns a guest physical address into an offset in `data`. Where a ring lies
 * does not change while it has this driver.
 */
export interface GuestMemory {
  data: DataView;
  at(address: bigint): number;
}

/** The parts of a ring: descriptor table, avail and used ring; packed: descriptor ring, driver and device event area. */
export interface RingAddresses {
  desc: bigint;
  avail: bigint;
  used: bigint;
}

/** The driver's half of a virtqueue. */
export interface RingDriver<T = unknown> {
  readonly ring: RingAddresses;
  readonly size: number;
  /** Descriptors not in use. */
  readonly freeDescriptors: number;
  /**
   * Where the next chain will be made available, as vhost-user's SET_VRING_BASE has it: the avail index, or for a
   * packed ring the position in bits 0 to 14 and the wrap counter in bit 15.
   */
  readonly availIndex: number;
  /**
   * Makes a chain available. With `indirectTable` (an address with room for 16 bytes a buffer) the buffers are listed
   * there and the chain takes one descriptor. Returns its head or id, or null when there are not enough descriptors.
   */
  add(buffers: Buffer[], token: T, indirectTable?: bigint): number | null;
  /** The next chain that the device has given back, or null. Throws when the device did not have it. */
  take(): UsedChain<T> | null;
  /** True when the device wants a kick for what was added since `availIndex` was `before`. */
  needsKick(before: number): boolean;
  /** Asks for calls, or asks not to be called; with event idx from the next used chain on. */
  wantCalls(wanted: boolean): void;
  /**
   * Writes one descriptor, of the ring or of an indirect table: the bare step, for tests that write bad ones. The last
   * field is `next`, or the buffer id where the ring is packed.
   */
  writeDescriptor(table: bigint, index: number, buffer: Buffer, flags: number, nextOrId: number): void;
}
