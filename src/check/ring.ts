// One virtqueue of a guest under a case's control: its parts and buffers in guest memory, the plain driver over them.

import { VIRTIO_F_EVENT_IDX, VIRTIO_F_IN_ORDER, VIRTIO_F_RING_PACKED } from "../../assembly/spec/virtio.js";
import { hasBit } from "../core/feature-bits.js";
import { PACKED_START } from "../core/packed-ring.js";
import { splitRingBytes } from "../core/split-ring.js";
import { PackedDriver } from "../guest/packed-driver.js";
import type { RamFile } from "../guest/ram-file.js";
import type { Buffer, GuestMemory, RingAddresses, RingDriver } from "../guest/ring-driver.js";
import { SplitDriver } from "../guest/split-driver.js";
import { createEventFd, drain, signal } from "../sys/eventfd.js";
import { closeFd } from "../sys/memfd.js";
import type { Fd } from "../vhost-user/effects.js";

const CACHE_LINE = 64;

export interface RingOptions {
  index: number;
  size: number;
  bufferBytes: number;
  /** Where a split ring's indices stand at first. */
  firstIndex: number;
  /** The rings lie in one file, the buffers in another or the same. */
  file: RamFile;
  bufferFile: RamFile;
}

export class CheckRing {
  readonly index: number;
  readonly size: number;
  readonly bufferBytes: number;
  readonly kick: Fd = createEventFd();
  readonly call: Fd = createEventFd();
  readonly place: RingAddresses;
  /** Guest addresses of buffers that nobody has. */
  readonly free: bigint[];
  private readonly buffers: readonly bigint[];
  /** Tokens are the buffers' addresses. */
  driver!: RingDriver<bigint>;
  private readonly firstIndex: number;

  constructor(
    private readonly memory: GuestMemory,
    { index, size, bufferBytes, firstIndex, file, bufferFile }: RingOptions,
  ) {
    this.index = index;
    this.size = size;
    this.bufferBytes = bufferBytes;
    this.firstIndex = firstIndex;
    // Room for either form: the parts of a packed ring are never larger.
    const bytes = splitRingBytes(size);
    this.place = {
      desc: file.allocate(bytes.desc, CACHE_LINE),
      avail: file.allocate(bytes.avail, CACHE_LINE),
      used: file.allocate(bytes.used, CACHE_LINE),
    };
    this.buffers = Array.from({ length: size }, () => bufferFile.allocate(bufferBytes, CACHE_LINE));
    this.free = [...this.buffers];
  }

  /** What SET_VRING_BASE has to say of the ring as `begin` left it: where the device begins. */
  get base(): number {
    // Of a packed ring the place of available descriptors, and the same of used ones.
    return this.driver instanceof PackedDriver ? ((PACKED_START << 16) | PACKED_START) >>> 0 : this.firstIndex;
  }

  /** The driver for these features, over a fresh ring. */
  begin(features: bigint): void {
    const eventIdx = hasBit(features, VIRTIO_F_EVENT_IDX);
    if (hasBit(features, VIRTIO_F_RING_PACKED)) {
      const inOrder = hasBit(features, VIRTIO_F_IN_ORDER);
      this.driver = new PackedDriver(this.memory, this.place, this.size, { eventIdx, inOrder, first: PACKED_START });
      return;
    }
    const { data } = this.memory;
    data.setUint16(this.memory.at(this.place.avail) + 2, this.firstIndex, true);
    data.setUint16(this.memory.at(this.place.used) + 2, this.firstIndex, true);
    this.driver = new SplitDriver(this.memory, this.place, this.size, eventIdx, this.firstIndex);
  }

  /** As it was made: all zero, nothing available, all buffers free. */
  renew(features: bigint): void {
    const bytes = splitRingBytes(this.size);
    for (const part of ["desc", "avail", "used"] as const) {
      new Uint8Array(this.memory.data.buffer, this.memory.at(this.place[part]), bytes[part]).fill(0);
    }
    this.free.splice(0, this.free.length, ...this.buffers);
    this.begin(features);
  }

  notify(): void {
    signal(this.kick);
  }

  /** Whether the device has called since the last look. */
  called(): boolean {
    return drain(this.call) !== null;
  }

  /** Makes free buffers available for receiving, as many as there are descriptors for. */
  offer(): void {
    while (this.free.length > 0 && this.driver.freeDescriptors > 0) {
      const address = this.free.pop()!;
      this.driver.add([{ address, length: this.bufferBytes, writable: true }], address);
    }
    this.notify();
  }

  /** A chain that no driver would make: the descriptors as given, from the next free slot on. Split rings only. */
  makeChain(descriptors: readonly { buffer: Buffer; flags: number; next: number }[], head = 0): void {
    descriptors.forEach(({ buffer, flags, next }, i) => {
      this.driver.writeDescriptor(this.place.desc, head + i, buffer, flags, next);
    });
    this.makeAvailable(head);
  }

  /** One entry of the avail ring, whatever it names, and a kick. Split rings only. */
  makeAvailable(head: number): void {
    if (!(this.driver instanceof SplitDriver)) throw new Error("only a split ring has an avail ring");
    this.driver.makeAvailable(head);
    this.notify();
  }

  close(): void {
    closeFd(this.kick);
    closeFd(this.call);
  }
}
