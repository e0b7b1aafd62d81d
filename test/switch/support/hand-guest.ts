// A guest whose every message and descriptor a test decides: RAM files, rings with the plain driver, one connection.

import {
  VIRTIO_F_EVENT_IDX,
  VIRTIO_F_INDIRECT_DESC,
  VIRTIO_F_RING_PACKED,
  VIRTIO_F_VERSION_1,
} from "../../../assembly/spec/virtio.js";
import { bits, hasBit, headerSize } from "../../../src/core/feature-bits.js";
import { createMemory } from "../../../src/core/module.js";
import { splitRingBytes } from "../../../src/core/split-ring.js";
import { BackEndConnection } from "../../../src/guest/back-end-connection.js";
import { PACKED_START } from "../../../src/core/packed-ring.js";
import { PackedDriver } from "../../../src/guest/packed-driver.js";
import type { RingDriver } from "../../../src/guest/ring-driver.js";
import { SplitDriver } from "../../../src/guest/split-driver.js";
import { createEventFd, signal } from "../../../src/sys/eventfd.js";
import { closeFd } from "../../../src/sys/memfd.js";
import { Reactor } from "../../../src/sys/reactor.js";
import { connectUnix, send } from "../../../src/sys/socket.js";
import type { Fd } from "../../../src/vhost-user/effects.js";
import {
  type FrontEndDevice,
  QEMU_PROTOCOL_FEATURES,
  qemuConnect,
  qemuStart,
} from "../../../src/vhost-user/front-end-session.js";
import type { MessageName, Payload } from "../../../src/vhost-user/message.js";
import { u64, vring, vringFd } from "../../vhost-user/requests.js";
import { numbered, numberOf } from "../../core/support/frames.js";
import { until } from "./lab.js";
import { type GuestFile, RamFile, type RamFileOptions } from "../../../src/guest/ram-file.js";
import { ScatteredRam, type ScatteredRamOptions } from "./scattered-ram.js";

export const MODERN = bits(VIRTIO_F_VERSION_1);
const TIMEOUT_MS = 15_000;
const PROTOCOL_FEATURES_BIT = 1n << 30n;
const CACHE_LINE = 64;
const BUFFER_BYTES = 2048;

/** A frame that carries a number (`numberOf`), of a type that no load guest takes for its own when it is flooded. */
export function handFrame(to: number, from: number, length: number, number: number): Uint8Array {
  const bytes = numbered(to, from, length, number);
  bytes[13] = 0xb6;
  return bytes;
}

/** Passes a frame from one guest to another and compares every byte; frames of others are passed over. */
export async function pass(from: HandGuest, to: HandGuest, number: number, [toPair, fromPair] = [0, 0]): Promise<void> {
  const sent = handFrame(to.number, from.number, 60 + (number % 900), number);
  await until(`room for frame ${number}`, () => from.send(sent, fromPair) || undefined);
  const arrived = (bytes: Uint8Array) => bytes.length === sent.length && numberOf(bytes) === number;
  const got = await until(`frame ${number}`, () => to.receive(toPair).find(arrived));
  if (!Buffer.from(got).equals(sent)) throw new Error(`frame ${number} was changed on its way`);
}

export interface HandGuestOptions {
  /** Virtio features to ack. Default VERSION_1 alone. */
  features?: bigint;
  pairs?: number;
  size?: number;
  ram?: Partial<RamFileOptions>;
  /** RAM of which the rings and buffers lie all over, instead of `ram`. */
  scattered?: Partial<ScatteredRamOptions>;
}

/** One virtqueue; its driver's tokens are guest addresses of buffers. */
export class HandRing {
  kick: Fd = createEventFd();
  readonly call: Fd = createEventFd();
  driver!: RingDriver<bigint>;

  constructor(
    private readonly guest: HandGuest,
    readonly index: number,
    readonly size: number,
    /** Guest addresses of the ring's parts and of a buffer for each descriptor. */
    readonly place: { desc: bigint; avail: bigint; used: bigint },
    readonly buffers: bigint[],
  ) {
    this.reset();
  }

  /** As new: indices 0, nothing available. */
  reset(): void {
    const { guest, place } = this;
    const bytes = splitRingBytes(this.size);
    for (const part of ["desc", "avail", "used"] as const) guest.bytes(place[part], bytes[part]).fill(0);
    const { eventIdx } = guest;
    this.driver = guest.packed
      ? new PackedDriver(guest, place, this.size, { eventIdx })
      : new SplitDriver(guest, place, this.size, eventIdx);
  }

  /** The driver of a split ring, for what only that can be made to do. */
  get split(): SplitDriver<bigint> {
    if (this.driver instanceof SplitDriver) return this.driver;
    throw new Error("this ring is a packed one");
  }

  /** Makes receive buffers available, as many as given. */
  offer(buffers: readonly bigint[]): void {
    for (const address of buffers) this.driver.add([{ address, length: BUFFER_BYTES, writable: true }], address);
    this.notify();
  }

  notify(): void {
    signal(this.kick);
  }
}

export class HandGuest {
  private static count = 0;
  /** Its address in `pass`, and in a `handFrame`: no other guest has it. */
  readonly number = 0x100 + HandGuest.count++;
  readonly memory = createMemory(1024);
  readonly data = new DataView(this.memory.buffer);
  readonly files: GuestFile[] = [];
  readonly rings: HandRing[] = [];
  readonly features: bigint;
  link!: BackEndConnection;
  /** The socket's descriptor while `link` lives. */
  fd!: Fd;
  /** Settles when the switch has closed the connection. */
  lost!: Promise<Error>;
  private readonly reactor = new Reactor();

  constructor(options: HandGuestOptions = {}) {
    const { features = MODERN, pairs = 1, size = 64, ram, scattered } = options;
    this.features = features;
    const file = scattered
      ? this.addScattered(scattered)
      : this.addFile({ guestAddress: 0x10_0000n, bytes: 4 << 20, ...ram });
    for (let index = 0; index < 2 * pairs; index++) this.rings.push(this.makeRing(index, size, file));
  }

  get eventIdx(): boolean {
    return hasBit(this.features, VIRTIO_F_EVENT_IDX);
  }

  get packed(): boolean {
    return hasBit(this.features, VIRTIO_F_RING_PACKED);
  }

  /** Where new rings stand, as SET_VRING_BASE has it. */
  get firstIndex(): number {
    return this.packed ? PACKED_START : 0;
  }

  /** One more memory file; the switch is not told. */
  addFile(options: Omit<RamFileOptions, "window">): RamFile {
    const file = new RamFile(this.memory, { window: this.files.at(-1)?.windowEnd ?? 0, ...options });
    this.files.push(file);
    return file;
  }

  /** One more, of 8 GiB unless told. */
  addScattered(options: Partial<ScatteredRamOptions>): ScatteredRam {
    const place = { window: this.files.at(-1)?.windowEnd ?? 0, guestAddress: 0x1_0000_0000n };
    const file = new ScatteredRam(this.memory, { ...place, bytes: 2 ** 33, slices: 64, ...options });
    this.files.push(file);
    return file;
  }

  /** Rings in a chosen place of a file. */
  makeRing(index: number, size: number, file: GuestFile, place?: HandRing["place"]): HandRing {
    const bytes = splitRingBytes(size);
    const where = place ?? {
      desc: file.allocate(bytes.desc, CACHE_LINE),
      avail: file.allocate(bytes.avail, CACHE_LINE),
      used: file.allocate(bytes.used, CACHE_LINE),
    };
    const buffers = Array.from({ length: size }, () => file.allocate(BUFFER_BYTES, CACHE_LINE));
    return new HandRing(this, index, size, where, buffers);
  }

  /** Guest address to offset in this process's linear memory. */
  at(address: bigint): number {
    for (const file of this.files) {
      const at = file.at(address);
      if (at !== undefined) return at;
    }
    throw new Error(`there is no guest memory at 0x${address.toString(16)}`);
  }

  bytes(address: bigint, length: number): Uint8Array {
    return new Uint8Array(this.memory.buffer, this.at(address), length);
  }

  userAddress(address: bigint): bigint {
    return this.files.find((file) => file.at(address) !== undefined)!.userAddress(address);
  }

  /** Connects, nothing more. */
  connect(path: string): void {
    this.fd = connectUnix(path);
    this.link = new BackEndConnection(this.fd, this.reactor, path, TIMEOUT_MS);
    this.lost = new Promise((resolve) => {
      this.link.onLost = resolve;
    });
  }

  /** Connects and sets up everything as QEMU does; rings as new, receive buffers available. */
  async start(path: string): Promise<void> {
    this.connect(path);
    this.fresh();
    for (const request of this.script()) await this.link.exchange(request);
    await this.get("GET_FEATURES");
  }

  /** All rings as new, and their receive buffers available. */
  fresh(): void {
    for (const ring of this.rings) {
      ring.reset();
      if (ring.index % 2 === 0) ring.offer(ring.buffers);
    }
  }

  /** The requests of QEMU's start, one after the other, as if the switch had offered all that this guest knows. */
  *script(): Generator<Parameters<BackEndConnection["exchange"]>[0], void> {
    const device = this.device();
    const features = this.features | PROTOCOL_FEATURES_BIT;
    const agreed = { features, protocolFeatures: QEMU_PROTOCOL_FEATURES, queuePairsMax: 8, memSlotsMax: 8 };
    let status = 0n;
    const answer: Partial<Record<MessageName, () => bigint>> = {
      GET_FEATURES: () => features,
      GET_PROTOCOL_FEATURES: () => QEMU_PROTOCOL_FEATURES,
      GET_QUEUE_NUM: () => 8n,
      GET_MAX_MEM_SLOTS: () => 8n,
      GET_STATUS: () => status,
    };
    for (const script of [qemuConnect(device), qemuStart(device, agreed)]) {
      let turn = script.next();
      while (!turn.done) {
        const { name, payload } = turn.value;
        if (name === "SET_STATUS" && payload.kind === "u64") status = payload.value;
        yield turn.value;
        turn = script.next(u64(answer[name]?.() ?? 0n));
      }
    }
  }

  device(): FrontEndDevice {
    return {
      features: this.features,
      protocolFeatures: QEMU_PROTOCOL_FEATURES,
      regions: this.files.map(({ region }) => region),
      memoryFds: this.files.map(({ fd }) => fd),
      rings: this.rings.map(({ index, size, place, kick, call }) => ({
        ...{ index, size, kick, call, nextAvail: this.firstIndex },
        ...this.addresses(place),
      })),
    };
  }

  /** Features, with every acknowledgement visible; no memory yet. */
  async negotiate(): Promise<void> {
    await this.say("SET_PROTOCOL_FEATURES", u64(QEMU_PROTOCOL_FEATURES));
    await this.expectDone("SET_FEATURES", u64(this.features | PROTOCOL_FEATURES_BIT));
  }

  async giveMemory(files: readonly GuestFile[] = this.files): Promise<void> {
    const regions = files.map(({ region }) => region);
    await this.expectDone(
      "SET_MEM_TABLE",
      { kind: "memTable", regions },
      files.map(({ fd }) => fd),
    );
  }

  /** NUM, BASE, ADDR, CALL, KICK, ENABLE. `kick` and `call` null: bit 8, no descriptor. */
  async setUp(ring: HandRing, more: { base?: number; kick?: Fd | null; call?: Fd | null } = {}): Promise<void> {
    const { base = this.firstIndex, kick = ring.kick, call = ring.call } = more;
    const { index, size } = ring;
    await this.expectDone("SET_VRING_NUM", vring(index, size));
    await this.expectDone("SET_VRING_BASE", vring(index, base));
    await this.expectDone("SET_VRING_ADDR", this.vringAddr(ring));
    await this.expectDone("SET_VRING_CALL", vringFd(index, call === null), call === null ? [] : [call]);
    await this.expectDone("SET_VRING_KICK", vringFd(index, kick === null), kick === null ? [] : [kick]);
    await this.expectDone("SET_VRING_ENABLE", vring(index, 1));
  }

  vringAddr(ring: HandRing): Payload {
    return { kind: "vringAddr", index: ring.index, flags: 0, log: 0n, ...this.addresses(ring.place) };
  }

  /** Stops a ring; resolves to its next avail index. */
  async stopRing(index: number): Promise<number> {
    const payload = await this.get("GET_VRING_BASE", vring(index, 0));
    if (payload.kind !== "vringState") throw new Error("GET_VRING_BASE was answered with something else");
    return payload.num;
  }

  /** A request with NEED_REPLY; resolves to its acknowledgement: 0 for done. */
  async ack(name: MessageName, payload: Payload, fds: readonly Fd[] = []): Promise<bigint> {
    const reply = await this.link.exchange({ name, payload, fds, needReply: true });
    if (reply?.kind !== "u64") throw new Error(`${name} was not acknowledged`);
    return reply.value;
  }

  async expectDone(name: MessageName, payload: Payload, fds: readonly Fd[] = []): Promise<void> {
    if ((await this.ack(name, payload, fds)) !== 0n) throw new Error(`the switch refused ${name}`);
  }

  /** A request without a reply. */
  async say(name: MessageName, payload: Payload = { kind: "none" }, fds: readonly Fd[] = []): Promise<void> {
    await this.link.exchange({ name, payload, fds, needReply: false });
  }

  /** A request with a reply of its own. */
  async get(name: MessageName, payload: Payload = { kind: "none" }): Promise<Payload> {
    return (await this.link.exchange({ name, payload, fds: [], needReply: false }))!;
  }

  /** Bytes as they are. */
  raw(bytes: Uint8Array, fds: readonly Fd[] = []): void {
    if (send(this.fd, bytes, fds) !== bytes.length) throw new Error("the socket is full");
  }

  /** Sends a frame on a transmitq, in two descriptors, or through an indirect table where that was negotiated. */
  send(frame: Uint8Array, pair = 0, kick = true): boolean {
    const ring = this.rings[2 * pair + 1]!;
    while (ring.driver.take() !== null);
    const slot = ring.driver.availIndex % ring.size;
    // Two descriptors a frame: each buffer is used again only when the frame before it came back.
    if (ring.driver.freeDescriptors < 2) return false;
    const address = ring.buffers[slot]!;
    const header = headerSize(this.features);
    const room = this.bytes(address, header + frame.length);
    room.fill(0, 0, header);
    room.set(frame, header);
    const buffers = [
      { address, length: header },
      { address: address + BigInt(header), length: frame.length },
    ];
    const indirect = hasBit(this.features, VIRTIO_F_INDIRECT_DESC);
    ring.driver.add(buffers, address, indirect ? address + BigInt(BUFFER_BYTES - 64) : undefined);
    if (kick) ring.notify();
    return true;
  }

  /** Frames received on a queue pair; their buffers go back when `again`. */
  receive(pair = 0, again = true): Uint8Array[] {
    const ring = this.rings[2 * pair]!;
    const header = headerSize(this.features);
    const frames: Uint8Array[] = [];
    for (let chain = ring.driver.take(); chain !== null; chain = ring.driver.take()) {
      frames.push(this.bytes(chain.token, chain.written).slice(header));
      if (again) ring.offer([chain.token]);
    }
    return frames;
  }

  /** Leaves without a word. */
  leave(): void {
    this.link.close();
  }

  /** Gives everything back. */
  close(): void {
    this.link?.close();
    for (const { kick, call } of this.rings) {
      closeFd(kick);
      closeFd(call);
    }
    for (const file of this.files) file.close();
    void this.reactor.close();
  }

  private addresses({ desc, avail, used }: HandRing["place"]): HandRing["place"] {
    return { desc: this.userAddress(desc), avail: this.userAddress(avail), used: this.userAddress(used) };
  }
}
