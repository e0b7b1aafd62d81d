// A guest without a VM or a socket: RAM in windows of the switch's own memory, rings driven by the plain drivers.

import * as status from "../../../assembly/spec/status.js";
import { VIRTIO_F_INDIRECT_DESC, VIRTQ_DESC_SIZE } from "../../../assembly/spec/virtio.js";
import type { BridgePort, BridgeQueue, MappedRegion } from "../../../src/core/bridge-port.js";
import { hasBit } from "../../../src/core/feature-bits.js";
import { PackedDriver } from "../../../src/guest/packed-driver.js";
import type { Buffer, GuestMemory, RingDriver } from "../../../src/guest/ring-driver.js";
import { SplitDriver } from "../../../src/guest/split-driver.js";
import { concat } from "./frames.js";
import { GuestRings } from "./guest-rings.js";
import type { TestSwitch } from "./test-switch.js";
import type { Span } from "./witness.js";

export { BROADCAST, frame } from "./frames.js";
export { VARIANTS } from "./guest-rings.js";
export { TARGETS, type Target, TestSwitch } from "./test-switch.js";

const PAGE = 4096;
const QUEUE_NAMES = namesOf("QUEUE_");
const DROP_NAMES = namesOf("DROP_").slice(0, status.DROP_CAUSES);

export interface GuestOptions {
  /** Negotiated; with RING_PACKED the rings are packed ones. */
  features?: bigint;
  size?: number;
  ramBytes?: number;
  /**
   * RAM as several regions of these many bytes, multiples of 4096, side by side for the guest. Their windows are in the
   * reverse order, with a page between them. The rings lie in the first. Default one region of `ramBytes`.
   */
  regions?: number[];
  /** Guest physical address of the RAM: anything, the switch must not care. */
  base?: bigint;
  pairs?: number;
  /** Room of each receive buffer, header included. */
  rxBufferBytes?: number;
  /** Receive buffers given at start; default as many as fit the ring. */
  rxBuffers?: number;
  /** The worker of pair 0; the next pairs go to the next workers. Default 0. */
  firstWorker?: number;
  /** Where all rings stand when they start, as SET_VRING_BASE has it; default that of a fresh ring. */
  firstIndex?: number;
}

/** Test guest: pair i has receiveq 2i and transmitq 2i+1. */
export class TestGuest {
  readonly port: BridgePort;
  readonly regions: MappedRegion[] = [];
  readonly base: bigint;
  readonly size: number;
  readonly rings: GuestRings;
  readonly rx: RingDriver<Buffer[]>[] = [];
  readonly tx: RingDriver<bigint>[] = [];
  readonly memory: GuestMemory;
  readonly headerBytes: number;
  private heap: bigint;
  private readonly ramBytes: number;
  /** Buffers ever given to a receiveq. */
  private readonly given: Buffer[] = [];

  static async create(sw: TestSwitch, options: GuestOptions = {}): Promise<TestGuest> {
    const guest = new TestGuest(sw, options);
    await guest.start();
    return guest;
  }

  private constructor(
    readonly sw: TestSwitch,
    readonly options: GuestOptions,
  ) {
    const sizes = options.regions ?? [options.ramBytes ?? 1024 * 1024];
    this.size = options.size ?? 256;
    this.ramBytes = sizes.reduce((sum, bytes) => sum + bytes, 0);
    this.base = options.base ?? 0x1_4000_0000n;
    this.port = sw.bridge.addPort();
    this.port.features = options.features ?? 0n;
    this.headerBytes = this.port.headerBytes;
    this.heap = this.base;
    this.memory = { data: sw.bridge.views.data, at: (address) => this.at(address) };
    this.rings = new GuestRings(this.memory, this.port.features, this.size);
    this.mapRegions(sizes);
  }

  private mapRegions(sizes: number[]): void {
    let end = this.base + BigInt(this.ramBytes);
    for (const bytes of [...sizes].reverse()) {
      const window = this.sw.bridge.windows.allocate(bytes + PAGE, PAGE);
      if (window === null) throw new Error("test memory is full");
      this.sw.bridge.views.bytes.fill(0, window, window + bytes + PAGE);
      end -= BigInt(bytes);
      this.regions.unshift({ guestAddress: end, size: BigInt(bytes), window });
    }
  }

  private async start(): Promise<void> {
    await this.sw.bridge.setRegions(this.port, this.regions);
    for (let pair = 0; pair < (this.options.pairs ?? 1); pair++) {
      for (const drivers of [this.rx, this.tx]) {
        const ring = this.rings.allocate((bytes, align) => this.allocate(bytes, align));
        drivers.push(this.rings.driver(ring, this.firstIndex));
      }
      await this.startQueue(pair * 2);
      await this.startQueue(pair * 2 + 1);
      const count = this.options.rxBuffers ?? Math.min(this.size, 64);
      for (let i = 0; i < count; i++) this.giveBuffer(this.options.rxBufferBytes ?? 2048, pair);
    }
  }

  private get firstIndex(): number {
    return this.options.firstIndex ?? this.rings.fresh;
  }

  /** Starts a queue where its ring lies. */
  async startQueue(index: number, nextAvail = this.firstIndex, callFd = 1, enabled = true): Promise<void> {
    const { desc, avail, used } = this.driver(index).ring;
    const { at } = this.memory;
    const ring = {
      size: this.size,
      desc: at(desc),
      avail: at(avail),
      used: at(used),
      nextAvail,
      packed: this.rings.packed,
    };
    const worker = ((this.options.firstWorker ?? 0) + (index >> 1)) % this.sw.bridge.workers.length;
    await this.sw.bridge.startQueue(this.port, index, ring, { callFd, enabled, worker });
  }

  /** Resets a queue as a driver does: stop, empty ring, start. */
  async restartQueue(index: number): Promise<void> {
    await this.sw.bridge.stopQueue(this.port, index);
    const driver = this.rings.driver(this.driver(index).ring, this.rings.fresh);
    if (index % 2 === 0) this.rx[index >> 1] = driver;
    else this.tx[index >> 1] = driver;
    await this.startQueue(index, this.rings.fresh);
  }

  driver(index: number): RingDriver<unknown> {
    return index % 2 === 0 ? this.rx[index >> 1]! : this.tx[index >> 1]!;
  }

  /** The same, for what only a split ring's driver has. Throws when the guest's rings are packed. */
  splitDriver(index: number): SplitDriver<unknown> {
    const driver = this.driver(index);
    if (!(driver instanceof SplitDriver)) throw new Error("this guest's rings are packed");
    return driver;
  }

  /** The same, for what only a packed ring's driver has. Throws when the guest's rings are split. */
  packedDriver(index: number): PackedDriver<unknown> {
    const driver = this.driver(index);
    if (!(driver instanceof PackedDriver)) throw new Error("this guest's rings are split");
    return driver;
  }

  /** Drop counters of a queue that are not 0, by name: { DROP_TX_RUNT: 1 }. */
  drops(index: number): Record<string, number> {
    const { drops } = this.queue(index).counters();
    return Object.fromEntries(DROP_NAMES.map((name, i) => [name, drops[i]!] as const).filter(([, count]) => count > 0));
  }

  /** Status of a queue by name, and when it is broken the descriptor at which it broke. */
  state(index: number): string {
    const { status: code, statusDescriptor } = this.queue(index);
    return code === status.QUEUE_OK ? "QUEUE_OK" : `${QUEUE_NAMES[code]} at ${statusDescriptor}`;
  }

  queue(index: number): BridgeQueue {
    return this.port.queues.get(index)!;
  }

  /** A piece of guest RAM, as an address. */
  allocate(bytes: number, align = 16): bigint {
    const at = ((this.heap + BigInt(align) - 1n) / BigInt(align)) * BigInt(align);
    this.heap = at + BigInt(bytes);
    if (this.heap > this.base + BigInt(this.ramBytes)) throw new Error("guest RAM is used up");
    return at;
  }

  /** What was allocated from now on may be allocated again when `release` is called: for tests that send without end. */
  mark(): () => void {
    const { heap } = this;
    return () => {
      this.heap = heap;
    };
  }

  private at(address: bigint): number {
    const region = this.regions.find(
      ({ guestAddress, size }) => address >= guestAddress && address < guestAddress + size,
    );
    if (!region) throw new Error(`the guest has no memory at 0x${address.toString(16)}`);
    return region.window + Number(address - region.guestAddress);
  }

  /** Where a range of guest RAM lies in linear memory, region by region. */
  spans(address: bigint, length: number): Span[] {
    const spans: Span[] = [];
    for (let at = address, left = length; left > 0; ) {
      const offset = this.at(at);
      const region = this.regions.find(({ guestAddress, size }) => at < guestAddress + size)!;
      const piece = Math.min(left, Number(region.guestAddress + region.size - at));
      spans.push({ offset, length: piece });
      at += BigInt(piece);
      left -= piece;
    }
    return spans;
  }

  /** All that the switch may write in this guest: its part of the rings, and the buffers given to receiveqs. */
  deviceWritable(): Span[] {
    const { bytes, deviceParts } = this.rings;
    const rings = [...this.rx, ...this.tx].flatMap(({ ring }) =>
      deviceParts.map((part) => this.spans(ring[part], bytes[part])),
    );
    return [...rings, ...this.given.map(({ address, length }) => this.spans(address, length))].flat();
  }

  write(address: bigint, bytes: Uint8Array): void {
    let at = 0;
    for (const { offset, length } of this.spans(address, bytes.length)) {
      this.sw.bridge.views.bytes.set(bytes.subarray(at, at + length), offset);
      at += length;
    }
  }

  read(address: bigint, length: number): Uint8Array {
    const { bytes } = this.sw.bridge.views;
    return concat(this.spans(address, length).map((span) => bytes.slice(span.offset, span.offset + span.length)));
  }

  /** Gives one chain of receive buffers; with `indirect` they are listed in an indirect table. */
  giveBuffers(buffers: Buffer[], pair = 0, indirect = false): void {
    const table = indirect ? this.indirectTable(buffers.length) : undefined;
    if (this.rx[pair]!.add(buffers, buffers, table) === null) throw new Error("receiveq is full");
    this.given.push(...buffers);
  }

  /** Allocates and gives one receive buffer. */
  giveBuffer(length: number, pair = 0): Buffer {
    const buffer = { address: this.allocate(length), length, writable: true };
    this.giveBuffers([buffer], pair);
    return buffer;
  }

  /** Sends a frame in pieces of the given sizes (the last takes the rest), header first: all zero, or as it begins. */
  send(
    frame: Uint8Array,
    options: { pieces?: number[]; indirect?: boolean; pair?: number; header?: Uint8Array } = {},
  ): void {
    const header = new Uint8Array(this.headerBytes);
    header.set(options.header ?? []);
    const whole = concat([header, frame]);
    const buffers: Buffer[] = [];
    let at = 0;
    for (const piece of [...(options.pieces ?? []), whole.length]) {
      const length = Math.min(piece, whole.length - at);
      if (length <= 0) break;
      const address = this.allocate(length, 1);
      this.write(address, whole.subarray(at, at + length));
      buffers.push({ address, length });
      at += length;
    }
    const table = options.indirect ? this.indirectTable(buffers.length) : undefined;
    if (this.tx[options.pair ?? 0]!.add(buffers, 0n, table) === null) throw new Error("transmitq is full");
  }

  /** Takes back what was sent: the number of completed chains, whose written length must be 0. */
  reclaim(pair = 0): number {
    let count = 0;
    for (let used = this.tx[pair]!.take(); used; used = this.tx[pair]!.take()) {
      if (used.written !== 0) throw new Error(`a transmitted chain came back with ${used.written} bytes written`);
      count++;
    }
    return count;
  }

  /** All frames received, headers checked and removed; mergeable ones put together. `again`: gives the buffers anew. */
  receive(pair = 0, again = false): Uint8Array[] {
    return this.receiveWithHeaders(pair, again).map(({ header, frame }) => {
      if (header.subarray(0, 10).some((byte) => byte !== 0)) throw new Error(`header is not plain: ${header}`);
      return frame;
    });
  }

  /** The same with their headers, whatever they ask for. */
  receiveWithHeaders(pair = 0, again = false): { header: Uint8Array; frame: Uint8Array }[] {
    const frames: { header: Uint8Array; frame: Uint8Array }[] = [];
    const chains: Buffer[][] = [];
    const take = (): Uint8Array | null => {
      const used = this.rx[pair]!.take();
      if (used) chains.push(used.token);
      return used && this.bytesOf(used.token, used.written);
    };
    for (let part = take(); part; part = take()) {
      if (part.length === 0) continue; // a bad chain given back
      const parts = [part];
      // num_buffers stands in the header; only buffers smaller than that leave it to the next ones.
      while (parts.length < this.chainsOf(concat(parts))) {
        const more = take();
        if (!more) throw new Error(`the used ring ends after ${parts.length} buffers of a frame`);
        parts.push(more);
      }
      const whole = concat(parts);
      frames.push({ header: whole.slice(0, this.headerBytes), frame: whole.slice(this.headerBytes) });
    }
    if (again) for (const chain of chains) this.giveBuffers(chain, pair);
    return frames;
  }

  /** Chains of a frame of which the first bytes, header included, are known. */
  private chainsOf(bytes: Uint8Array): number {
    if (bytes.length < this.headerBytes) return Number.POSITIVE_INFINITY;
    return this.headerBytes === 12 ? bytes[10]! | (bytes[11]! << 8) : 1;
  }

  private bytesOf(buffers: Buffer[], written: number): Uint8Array {
    const parts: Uint8Array[] = [];
    let left = written;
    for (const { address, length } of buffers) {
      const piece = Math.min(left, length);
      parts.push(this.read(address, piece));
      left -= piece;
    }
    if (left > 0) throw new Error(`the device says it wrote ${written} bytes, more than the chain holds`);
    return concat(parts);
  }

  private indirectTable(entries: number): bigint {
    if (!hasBit(this.port.features, VIRTIO_F_INDIRECT_DESC)) throw new Error("indirect not negotiated");
    return this.allocate(entries * VIRTQ_DESC_SIZE);
  }
}

/** Names of the numbered constants of one family, by number. */
function namesOf(prefix: string): string[] {
  const names: string[] = [];
  for (const [name, value] of Object.entries(status)) if (name.startsWith(prefix)) names[value] ??= name;
  return names;
}
