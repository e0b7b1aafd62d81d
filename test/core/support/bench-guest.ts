// A guest without a VM or a socket: RAM in a window of the switch's own memory, rings driven by SplitDriver.

import { VIRTIO_F_EVENT_IDX, VIRTIO_F_INDIRECT_DESC } from "../../../assembly/spec/virtio.js";
import { Bridge, type BridgePort, has } from "../../../src/core/bridge.js";
import { type CoreExports, createMemory, instantiateCore } from "../../../src/core/module.js";
import { loadModule } from "../../../src/core/wasm-files.js";
import { type Buffer, type GuestMemory, SplitDriver, splitRingBytes } from "../../../src/guest/split-driver.js";

export const TARGETS = ["release", "checked"] as const;
export type Target = (typeof TARGETS)[number];

/** A switch in this thread: its one worker polls when told. */
export class TestSwitch {
  readonly memory = createMemory(32 * 16); // 32 MiB
  readonly core: CoreExports;
  readonly bridge: Bridge;
  now = 1;

  constructor(options: { target?: Target; workers?: number; fdb?: Partial<{ limit: number; portLimit: number; ageingSeconds: number }> } = {}) {
    this.core = instantiateCore(loadModule("core", options.target ?? "release").module, this.memory);
    this.bridge = new Bridge({
      memory: this.memory,
      core: this.core,
      workers: options.workers ?? 1,
      fdb: { limit: 1024, portLimit: 1024, ageingSeconds: 300, ...options.fdb },
      windowsStart: 8 * 1024 * 1024,
    });
  }

  /** One round of a worker. Returns frames moved. */
  poll(worker = 0): number {
    return this.core.poll(this.bridge.core.at, this.bridge.workers[worker]!.at, this.now);
  }

  /** Polls until nothing moves. */
  settle(): void {
    for (let i = 0; i < 10_000; i++) if (this.poll() === 0) return;
    throw new Error("the switch never comes to rest");
  }

  /** Queues in worker 0's call list after the last poll, as "port/index". */
  calls(worker = 0): string[] {
    const { bridge } = this;
    const struct = bridge.workers[worker]!;
    const list = struct.get("calls") >>> 2;
    const pointers = Array.from(bridge.views.u32.subarray(list, list + struct.get("callCount")));
    const names = pointers.map((at) => {
      for (const port of bridge.ports.values()) {
        for (const queue of port.queues.values()) {
          if (queue.struct.at === at) {
            queue.struct.publish("callPending", 0);
            return `${port.id}/${queue.index}`;
          }
        }
      }
      throw new Error(`no queue at ${at}`);
    });
    return names;
  }
}

export interface GuestOptions {
  features?: bigint;
  size?: number;
  ramBytes?: number;
  /** Guest physical address of the RAM: anything, the switch must not care. */
  base?: bigint;
  pairs?: number;
  /** Room of each receive buffer, header included. */
  rxBufferBytes?: number;
  /** Receive buffers given at start; default as many as fit the ring. */
  rxBuffers?: number;
}

/** Test guest: pair i has receiveq 2i and transmitq 2i+1. */
export class TestGuest {
  port!: BridgePort;
  window!: number;
  readonly base: bigint;
  readonly size: number;
  readonly rx: SplitDriver<Buffer[]>[] = [];
  readonly tx: SplitDriver<bigint>[] = [];
  readonly memory: GuestMemory;
  readonly bytes: Uint8Array;
  readonly headerBytes: number;
  private heap: bigint;
  private readonly ramBytes: number;

  static async create(sw: TestSwitch, options: GuestOptions = {}): Promise<TestGuest> {
    const guest = new TestGuest(sw, options);
    await guest.start();
    return guest;
  }

  private constructor(
    readonly sw: TestSwitch,
    readonly options: GuestOptions,
  ) {
    this.size = options.size ?? 256;
    this.ramBytes = options.ramBytes ?? 1024 * 1024;
    this.base = options.base ?? 0x1_4000_0000n;
    this.port = sw.bridge.addPort();
    this.port.features = options.features ?? 0n;
    this.headerBytes = this.port.headerBytes;
    const window = sw.bridge.windows.allocate(this.ramBytes, 4096);
    if (window === null) throw new Error("test memory is full");
    this.window = window;
    this.bytes = sw.bridge.views.bytes.subarray(window, window + this.ramBytes);
    this.bytes.fill(0);
    this.heap = this.base;
    this.memory = { data: sw.bridge.views.data, at: (address) => this.window + Number(address - this.base) };
  }

  private async start(): Promise<void> {
    const { bridge } = this.sw;
    await bridge.setRegions(this.port, [
      { guestAddress: this.base, size: BigInt(this.ramBytes), window: this.window },
    ]);
    for (let pair = 0; pair < (this.options.pairs ?? 1); pair++) {
      for (const side of [0, 1]) {
        const index = pair * 2 + side;
        const driver = new SplitDriver<never>(this.memory, this.allocateRing(), this.size, has(this.port.features, VIRTIO_F_EVENT_IDX));
        if (side === 0) this.rx.push(driver);
        else this.tx.push(driver);
        await this.startQueue(index);
      }
      const room = this.options.rxBufferBytes ?? 2048;
      const count = this.options.rxBuffers ?? Math.min(this.size, 64);
      for (let i = 0; i < count; i++) this.giveBuffers([{ address: this.allocate(room), length: room, writable: true }], pair);
    }
  }

  async startQueue(index: number, nextAvail = 0, worker = 0): Promise<void> {
    const driver = index % 2 === 0 ? this.rx[index >> 1]! : this.tx[index >> 1]!;
    const { desc, avail, used } = driver.ring;
    const ring = {
      size: this.size,
      desc: this.memory.at(desc),
      avail: this.memory.at(avail),
      used: this.memory.at(used),
      nextAvail,
    };
    await this.sw.bridge.startQueue(this.port, index, ring, { callFd: 1, enabled: true, worker });
  }

  /** A piece of guest RAM, as an address. */
  allocate(bytes: number, align = 16): bigint {
    const at = ((this.heap + BigInt(align) - 1n) / BigInt(align)) * BigInt(align);
    this.heap = at + BigInt(bytes);
    if (this.heap > this.base + BigInt(this.ramBytes)) throw new Error("guest RAM is used up");
    return at;
  }

  write(address: bigint, bytes: Uint8Array): void {
    this.bytes.set(bytes, Number(address - this.base));
  }

  read(address: bigint, length: number): Uint8Array {
    const at = Number(address - this.base);
    return this.bytes.slice(at, at + length);
  }

  giveBuffers(buffers: Buffer[], pair = 0): void {
    if (this.rx[pair]!.add(buffers, buffers) === null) throw new Error("receiveq is full");
  }

  /** Sends a frame in pieces of the given sizes (the last takes the rest), header first. */
  send(frame: Uint8Array, options: { pieces?: number[]; indirect?: boolean; pair?: number } = {}): void {
    const whole = new Uint8Array(this.headerBytes + frame.length);
    whole.set(frame, this.headerBytes);
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
    const table = options.indirect ? this.allocate(buffers.length * 16) : undefined;
    if (table !== undefined && !has(this.port.features, VIRTIO_F_INDIRECT_DESC)) throw new Error("indirect not negotiated");
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

  /** All frames received, headers checked and removed; mergeable ones put together. */
  receive(pair = 0): Uint8Array[] {
    const frames: Uint8Array[] = [];
    const driver = this.rx[pair]!;
    for (let used = driver.take(); used; used = driver.take()) {
      if (used.written === 0) continue; // a bad chain given back
      const parts = [this.bytesOf(used.token, used.written)];
      const header = concat(parts).subarray(0, this.headerBytes);
      if (header.subarray(0, 10).some((byte) => byte !== 0)) throw new Error(`header is not plain: ${header}`);
      const buffers = this.headerBytes === 12 ? header[10]! | (header[11]! << 8) : 1;
      for (let i = 1; i < buffers; i++) {
        const more = driver.take();
        if (!more) throw new Error(`frame of ${buffers} buffers has only ${i}`);
        parts.push(this.bytesOf(more.token, more.written));
      }
      frames.push(concat(parts).slice(this.headerBytes));
    }
    return frames;
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

  private allocateRing(): { desc: bigint; avail: bigint; used: bigint } {
    const bytes = splitRingBytes(this.size);
    return { desc: this.allocate(bytes.desc, 16), avail: this.allocate(bytes.avail, 2), used: this.allocate(bytes.used, 4) };
  }
}

/** An Ethernet frame: addresses by short number (02:00:00:00:00:NN) or as 6 octets, payload derived from `seed`. */
export function frame(to: number | number[], from: number | number[], length: number, seed = 1): Uint8Array {
  const bytes = new Uint8Array(length);
  for (let i = 14; i < length; i++) bytes[i] = (i * 31 + seed * 17) & 0xff;
  bytes.set(mac(to), 0);
  bytes.set(mac(from), 6);
  if (length >= 14) bytes.set([0x88, 0xb5], 12);
  return bytes;
}

export const BROADCAST = [255, 255, 255, 255, 255, 255];

function mac(address: number | number[]): number[] {
  return typeof address === "number" ? [2, 0, 0, 0, address >> 8, address & 0xff] : address;
}

function concat(parts: Uint8Array[]): Uint8Array {
  const whole = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}
