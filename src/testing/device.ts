// A guest's network device in process: a port of the switch, RAM in windows of the switch's own memory, rings driven by
// the plain drivers. It does what it is told and knows no time; src/testing/guest.ts makes a guest of it.

import { QUEUE_OK } from "../../assembly/spec/status.js";
import { VIRTIO_F_INDIRECT_DESC, VIRTQ_DESC_SIZE } from "../../assembly/spec/virtio.js";
import type { BridgePort, BridgeQueue } from "../core/bridge-port.js";
import { DROP_CAUSE_NAMES, queueStatusText } from "../core/causes.js";
import { hasBit } from "../core/feature-bits.js";
import type { Buffer, RingDriver } from "../guest/ring-driver.js";
import { concat } from "./bytes.js";
import type { CoreSwitch } from "./core-switch.js";
import { type BufferHeap, DeviceRam } from "./ram.js";
import { GuestRings } from "./rings.js";

export interface DeviceOptions {
  /** Negotiated; with RING_PACKED the rings are packed ones. Default none. */
  features?: bigint;
  /** Entries of each ring. Default 256. */
  size?: number;
  ramBytes?: number;
  /** RAM as several regions of these many bytes (ram.ts). The rings lie in the first. Default one of `ramBytes`, 1 MiB. */
  regions?: number[];
  /** Guest physical address of the RAM: anything, the switch must not care. */
  base?: bigint;
  /** Pairs of queues. Default 1. */
  pairs?: number;
  /** Room of each receive buffer in bytes, header included. Default 2048. */
  rxBufferBytes?: number;
  /** Receive buffers given at start; default as many as fit the ring, at most 64. */
  rxBuffers?: number;
  /** The worker of pair 0; the next pairs go to the next workers. Default 0. */
  firstWorker?: number;
  /** Where all rings stand when they start, as SET_VRING_BASE has it; default that of a fresh ring. */
  firstIndex?: number;
}

export interface TransmitOptions {
  /** Bytes of the buffers that the frame is cut into, its header in front; the last takes the rest. Default one buffer. */
  pieces?: readonly number[];
  /** Lists the buffers in an indirect table. */
  indirect?: boolean;
  pair?: number;
  /** How struct virtio_net_hdr begins; the rest of it is zero. */
  header?: Uint8Array;
}

/** A frame with the virtio_net header in front of it. */
export interface DeviceFrame {
  header: Uint8Array;
  frame: Uint8Array;
}

/** Pair i has receiveq 2i and transmitq 2i+1. */
export class GuestDevice {
  readonly port: BridgePort;
  readonly ram: DeviceRam;
  readonly size: number;
  readonly rings: GuestRings;
  readonly rx: RingDriver<Buffer[]>[] = [];
  readonly tx: RingDriver<Buffer[]>[] = [];
  readonly headerBytes: number;
  /** The header of a frame that leaves nothing to the switch. */
  private readonly plainHeader: Uint8Array;
  /** What frames to be sent lie in. Default RAM that is never given back. */
  heap: BufferHeap;

  /** Makes the port and its RAM; `start` makes the rings. */
  constructor(
    readonly sw: CoreSwitch,
    readonly options: DeviceOptions = {},
  ) {
    this.size = options.size ?? 256;
    this.port = sw.bridge.addPort();
    this.port.features = options.features ?? 0n;
    this.headerBytes = this.port.headerBytes;
    this.plainHeader = new Uint8Array(this.headerBytes);
    const sizes = options.regions ?? [options.ramBytes ?? 1024 * 1024];
    this.ram = new DeviceRam(sw.bridge, options.base ?? 0x1_4000_0000n, sizes, !sw.fresh);
    this.heap = { allocate: (bytes, align) => this.ram.allocate(bytes, align), release: () => {} };
    this.rings = new GuestRings(this.ram, this.port.features, this.size);
  }

  /** Lets the switch see the RAM, starts all rings and gives the receive buffers. */
  async start(): Promise<void> {
    await this.sw.bridge.setRegions(this.port, this.ram.regions);
    for (let pair = 0; pair < (this.options.pairs ?? 1); pair++) {
      for (const drivers of [this.rx, this.tx]) {
        const ring = this.rings.allocate((bytes, align) => this.ram.allocate(bytes, align));
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
    const at = (address: bigint) => this.ram.at(address);
    const places = { desc: at(desc), avail: at(avail), used: at(used) };
    const ring = { size: this.size, ...places, nextAvail, packed: this.rings.packed };
    const worker = ((this.options.firstWorker ?? 0) + (index >> 1)) % this.sw.bridge.workers.length;
    await this.sw.bridge.startQueue(this.port, index, ring, { callFd, enabled, worker });
    this.sw.observer?.started(this, index, nextAvail);
  }

  /** Resets a queue as a driver does: stop, empty ring, start. Chains that the device had are forgotten. */
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

  queue(index: number): BridgeQueue {
    return this.port.queues.get(index)!;
  }

  /** Drop counters of a queue that are not 0, by the name of their cause (src/core/causes.ts). */
  dropsByCause(index: number): Record<string, number> {
    const all: Record<string, number> = {};
    for (const [i, count] of this.queue(index).counters().drops.entries()) {
      if (count > 0) all[DROP_CAUSE_NAMES[i]!] = count;
    }
    return all;
  }

  /** Why the switch has stopped a queue, as a sentence; undefined while it is in order. */
  fault(index: number): string | undefined {
    const { status, statusDescriptor } = this.queue(index);
    return status === QUEUE_OK ? undefined : `${queueStatusText(status)} (descriptor ${statusDescriptor})`;
  }

  /** Gives one chain of receive buffers; with `indirect` they are listed in an indirect table. */
  giveBuffers(buffers: Buffer[], pair = 0, indirect = false): void {
    const table = indirect ? this.indirectTable(buffers.length) : undefined;
    if (this.rx[pair]!.add(buffers, buffers, table?.address) === null) throw new Error("receiveq is full");
  }

  /** Allocates and gives one receive buffer. */
  giveBuffer(length: number, pair = 0): Buffer {
    const buffer = { address: this.ram.allocate(length), length, writable: true };
    this.giveBuffers([buffer], pair);
    return buffer;
  }

  /** Sends a frame. False when the ring or the heap has no room for it. */
  transmit(frame: Uint8Array, { pieces = NO_PIECES, indirect, pair = 0, header }: TransmitOptions): boolean {
    const bytes = this.headerBytes + frame.length;
    const address = this.heap.allocate(bytes, 1);
    if (address === null) return false;
    this.ram.write(address, header ? this.wholeHeader(header) : this.plainHeader);
    this.ram.write(address + BigInt(this.headerBytes), frame);
    const whole: Buffer = { address, length: bytes };
    const buffers = pieces.length === 0 ? [whole] : cut(whole, pieces);
    const table = indirect ? this.indirectTable(buffers.length) : undefined;
    const held = table ? [whole, table] : [whole];
    if (this.tx[pair]!.add(buffers, held, table?.address) !== null) return true;
    this.release(held);
    return false;
  }

  private wholeHeader(start: Uint8Array): Uint8Array {
    const header = new Uint8Array(this.headerBytes);
    header.set(start);
    return header;
  }

  /** Takes back what was sent: the number of completed chains, whose written length must be 0. */
  reclaim(pair = 0): number {
    let count = 0;
    for (let used = this.tx[pair]!.take(); used; used = this.tx[pair]!.take()) {
      if (used.written !== 0) throw new Error(`a transmitted chain came back with ${used.written} bytes written`);
      this.release(used.token);
      count++;
    }
    return count;
  }

  /**
   * The next frame received, mergeable buffers put together; null: none. Its chains are appended to `chains`. Its bytes are
   * looked at where they lie: whoever gives the chains again, and lets the switch run, copies them before.
   */
  receiveOne(pair: number, chains: Buffer[][]): DeviceFrame | null {
    let whole = this.takeChain(pair, chains);
    while (whole?.length === 0) whole = this.takeChain(pair, chains); // a bad chain given back
    if (!whole) return null;
    // In the usual case the frame fills no second buffer.
    if (this.chainsOf(whole) !== 1) whole = this.takeRest(whole, pair, chains);
    return { header: whole.subarray(0, this.headerBytes), frame: whole.subarray(this.headerBytes) };
  }

  /** The bytes of the next chain that came back; null: none. */
  private takeChain(pair: number, chains: Buffer[][]): Uint8Array | null {
    const used = this.rx[pair]!.take();
    if (!used) return null;
    chains.push(used.token);
    return this.bytesOf(used.token, used.written);
  }

  /** A frame that begins with these bytes and goes on in further chains. */
  private takeRest(first: Uint8Array, pair: number, chains: Buffer[][]): Uint8Array {
    let whole = first;
    // num_buffers stands in the header; only buffers smaller than that leave it to the next ones.
    for (let count = 1; count < this.chainsOf(whole); count++) {
      const more = this.takeChain(pair, chains);
      if (!more) throw new Error(`the used ring ends after ${count} buffers of a frame`);
      whole = concat([whole, more]);
    }
    return whole;
  }

  /** All frames received with their headers, whatever those ask for. `again`: gives the buffers anew. */
  receiveWithHeaders(pair = 0, again = false): DeviceFrame[] {
    const frames: DeviceFrame[] = [];
    const chains: Buffer[][] = [];
    for (let next = this.receiveOne(pair, chains); next; next = this.receiveOne(pair, chains)) {
      frames.push({ header: next.header.slice(), frame: next.frame.slice() });
    }
    if (again) for (const chain of chains) this.giveBuffers(chain, pair);
    return frames;
  }

  private release(held: readonly Buffer[]): void {
    for (const { address, length } of held) this.heap.release(address, length);
  }

  /** Chains of a frame of which the first bytes, header included, are known. */
  private chainsOf(bytes: Uint8Array): number {
    if (bytes.length < this.headerBytes) return Number.POSITIVE_INFINITY;
    return this.headerBytes === 12 ? bytes[10]! | (bytes[11]! << 8) : 1;
  }

  /** The first bytes of a chain, as many as were written. */
  private bytesOf(buffers: Buffer[], written: number): Uint8Array {
    const first = buffers[0]!;
    if (written <= first.length) return this.ram.look(first.address, written);
    const parts: Uint8Array[] = [];
    let left = written;
    for (const { address, length } of buffers) {
      const piece = Math.min(left, length);
      parts.push(this.ram.look(address, piece));
      left -= piece;
    }
    if (left > 0) throw new Error(`the device says it wrote ${written} bytes, more than the chain holds`);
    return concat(parts);
  }

  private indirectTable(entries: number): Buffer {
    if (!hasBit(this.port.features, VIRTIO_F_INDIRECT_DESC)) throw new Error("indirect not negotiated");
    const address = this.heap.allocate(entries * VIRTQ_DESC_SIZE, 16);
    if (address === null) throw new Error("guest RAM is used up");
    return { address, length: entries * VIRTQ_DESC_SIZE };
  }
}

const NO_PIECES: readonly number[] = [];

/** A buffer in pieces of these lengths, of which the last takes the rest. */
function cut({ address, length }: Buffer, pieces: readonly number[]): Buffer[] {
  const buffers: Buffer[] = [];
  for (let at = 0, i = 0; at < length; i++) {
    const piece = Math.min(pieces[i] || length, length - at);
    buffers.push({ address: address + BigInt(at), length: piece });
    at += piece;
  }
  return buffers;
}
