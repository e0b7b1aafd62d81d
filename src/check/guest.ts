// A guest whose every message and descriptor a case decides, on one port of the back-end.

import {
  VHOST_USER_F_PROTOCOL_FEATURES,
  VIRTIO_F_VERSION_1,
  VIRTIO_NET_F_MRG_RXBUF,
} from "../../assembly/spec/virtio.js";
import { bits, hasBit, headerSize } from "../core/feature-bits.js";
import { RamFile, type RamFileOptions } from "../guest/ram-file.js";
import { closeFd } from "../sys/memfd.js";
import type { Fd } from "../vhost-user/effects.js";
import { PROTOCOL_F_MQ, PROTOCOL_F_REPLY_ACK } from "../vhost-user/features.js";
import type { Payload, PayloadOf } from "../vhost-user/message.js";
import type { Station } from "./frames.js";
import { type Link, OUTCOME_WORDS } from "./link.js";
import { memTable, u64, vring, vringFd } from "./payloads.js";
import { CheckRing } from "./ring.js";
import { demand, NotOffered } from "./verdict.js";

/** Of SET_VRING_ADDR: writes to the used ring are logged. */
const VHOST_VRING_F_LOG = 1;

const RAM_BYTES = 3 << 20;
const GUEST_ADDRESS = 0x10_0000n;

export interface CheckGuestOptions {
  /** Virtio features to ack where they are offered. Default VERSION_1. */
  features?: bigint;
  /** Protocol features to ack where they are offered, beside MQ and REPLY_ACK; null: bit 30 is not acked. */
  protocol?: bigint | null;
  pairs?: number;
  /** Entries of each ring. */
  size?: number;
  /** Bytes of each buffer. */
  bufferBytes?: number;
  /** Where split rings' indices stand at first. */
  firstIndex?: number;
  ram?: Partial<RamFileOptions>;
  /** A second region, in which the buffers lie. */
  second?: Partial<RamFileOptions>;
}

export interface SetUpOptions {
  base?: number;
  kick?: Fd | null;
  call?: Fd | null;
  enable?: boolean;
  /** What is written to the used ring is to be logged. */
  logged?: boolean;
}

export class CheckGuest {
  readonly data: DataView;
  readonly files: RamFile[] = [];
  readonly rings: CheckRing[] = [];
  /** As negotiated. */
  features = 0n;
  /** Guest address of the buffer that came last. */
  lastReceived = 0n;
  private readonly kept: Fd[] = [];

  /** @param window offset in linear memory of space that is this guest's own */
  constructor(
    readonly link: Link,
    readonly station: Station,
    private readonly memory: WebAssembly.Memory,
    window: number,
    private readonly options: CheckGuestOptions = {},
  ) {
    this.data = new DataView(memory.buffer);
    const { pairs = 1, size = 64, bufferBytes = 2048, firstIndex = 0, ram, second } = options;
    const first = { window, guestAddress: GUEST_ADDRESS, bytes: RAM_BYTES, ...ram };
    this.files.push(new RamFile(memory, first));
    if (second) {
      const behind = { window: this.files[0]!.windowEnd, guestAddress: 0x1_0000_0000n, bytes: RAM_BYTES, ...second };
      this.files.push(new RamFile(memory, behind));
    }
    const [file, bufferFile] = [this.files[0]!, this.files.at(-1)!];
    for (let index = 0; index < 2 * pairs; index++) {
      this.rings.push(new CheckRing(this, { index, size, bufferBytes, firstIndex, file, bufferFile }));
    }
  }

  get headerBytes(): number {
    return headerSize(this.features);
  }

  /** One more memory file, which nothing lies in, for `giveMemory`. */
  addFile(): RamFile {
    const window = this.files.at(-1)!.windowEnd;
    const file = new RamFile(this.memory, { window, guestAddress: 0x2_0000_0000n, bytes: RAM_BYTES });
    this.kept.push(file.fd);
    return file;
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
    return new Uint8Array(this.data.buffer, this.at(address), length);
  }

  /** A descriptor that is closed with the guest. */
  keep(fd: Fd): Fd {
    this.kept.push(fd);
    return fd;
  }

  /** SET_OWNER and features, as far as they are offered. */
  async negotiate(): Promise<void> {
    const { link } = this;
    const { features = bits(VIRTIO_F_VERSION_1), protocol = 0n } = this.options;
    await link.say("SET_OWNER");
    const offered = await link.number("GET_FEATURES");
    this.features = offered & features;
    if (hasBit(offered, VHOST_USER_F_PROTOCOL_FEATURES) && protocol !== null) {
      this.features |= bits(VHOST_USER_F_PROTOCOL_FEATURES);
      const wanted = protocol | bits(PROTOCOL_F_MQ, PROTOCOL_F_REPLY_ACK);
      const agreed = (await link.number("GET_PROTOCOL_FEATURES")) & wanted;
      await link.say("SET_PROTOCOL_FEATURES", u64(agreed));
      link.acks = hasBit(agreed, PROTOCOL_F_REPLY_ACK);
    }
    await this.setFeatures(offered);
    for (const ring of this.rings) ring.begin(this.features);
  }

  /** SET_FEATURES. Throws NotOffered when they lack VERSION_1 and are refused: a device may do that (virtio 1.3, 6.1). */
  private async setFeatures(offered: bigint): Promise<void> {
    const { link } = this;
    const features = u64(this.features);
    if (hasBit(this.features, VIRTIO_F_VERSION_1) || !hasBit(offered, VIRTIO_F_VERSION_1)) {
      await link.done("SET_FEATURES", features);
      return;
    }
    const outcome = await link.outcome("SET_FEATURES", features);
    const said = `SET_FEATURES without VIRTIO_F_VERSION_1: ${OUTCOME_WORDS[outcome]}`;
    if (outcome === "refused" || outcome === "closed") throw new NotOffered(said);
    demand(outcome === "done" || outcome === "taken", said);
  }

  async giveMemory(files: readonly RamFile[] = this.files): Promise<void> {
    const regions = files.map(({ region }) => region);
    await this.link.done(
      "SET_MEM_TABLE",
      memTable(...regions),
      files.map(({ fd }) => fd),
    );
  }

  /** NUM, BASE, ADDR, CALL, KICK, and ENABLE where that is negotiated. `kick`, `call` null: bit 8, no descriptor. */
  async setUp(ring: CheckRing, more: SetUpOptions = {}): Promise<void> {
    const { index, size } = ring;
    const { base = ring.base, kick = ring.kick, call = ring.call, enable = true, logged = false } = more;
    await this.link.done("SET_VRING_NUM", vring(index, size));
    await this.link.done("SET_VRING_BASE", vring(index, base));
    const log = logged ? { flags: VHOST_VRING_F_LOG, log: ring.place.used } : {};
    await this.link.done("SET_VRING_ADDR", this.vringAddr(ring, log));
    await this.link.done("SET_VRING_CALL", vringFd(index, call === null), call === null ? [] : [call]);
    await this.link.done("SET_VRING_KICK", vringFd(index, kick === null), kick === null ? [] : [kick]);
    if (enable) await this.enable(ring, true);
  }

  async enable(ring: CheckRing, enabled: boolean): Promise<void> {
    if (!hasBit(this.features, VHOST_USER_F_PROTOCOL_FEATURES)) return;
    await this.link.done("SET_VRING_ENABLE", vring(ring.index, enabled ? 1 : 0));
  }

  vringAddr({ index, place }: CheckRing, change: Partial<PayloadOf<"vringAddr">> = {}): Payload {
    const [desc, avail, used] = [place.desc, place.avail, place.used].map((address) => this.userAddress(address));
    return { kind: "vringAddr", index, flags: 0, desc: desc!, avail: avail!, used: used!, log: 0n, ...change };
  }

  userAddress(address: bigint): bigint {
    return this.files.find((file) => file.at(address) !== undefined)!.userAddress(address);
  }

  /** Everything, as most front-ends do it: features, memory, rings, receive buffers. */
  async start(): Promise<void> {
    await this.negotiate();
    await this.giveMemory();
    await this.startRings();
  }

  async startRings(): Promise<void> {
    for (const ring of this.rings) if (ring.index % 2 === 0) ring.offer();
    // As QEMU does before it starts any: some back-ends look only then how many rings there are.
    if (this.rings.length > 2) {
      for (const { index, call } of this.rings) await this.link.done("SET_VRING_CALL", vringFd(index), [call]);
    }
    for (const ring of this.rings) await this.setUp(ring);
    await this.link.settle();
  }

  /** GET_VRING_BASE: stops a ring. Resolves to what it says. */
  async stop(ring: CheckRing): Promise<number> {
    const reply = await this.link.ask("GET_VRING_BASE", vring(ring.index, 0));
    demand(reply.kind === "vringState", "the reply to GET_VRING_BASE is no vring state");
    demand(reply.index === ring.index, `GET_VRING_BASE of ring ${ring.index} was answered for ring ${reply.index}`);
    return reply.num;
  }

  /**
   * Sends a frame behind a virtio_net header of zeros, or the one given. `cuts`: lengths of the descriptors but the last;
   * default one for the header. False when the ring has no room.
   */
  send(
    bytes: Uint8Array,
    more: { cuts?: number[]; pair?: number; indirect?: boolean; header?: Uint8Array } = {},
  ): boolean {
    const { cuts = [this.headerBytes], pair = 0, indirect = false, header } = more;
    const ring = this.rings[2 * pair + 1]!;
    this.reclaim(pair);
    const address = ring.free.at(-1);
    if (address === undefined || ring.driver.freeDescriptors < (indirect ? 1 : cuts.length + 1)) return false;
    const total = this.headerBytes + bytes.length;
    if (total + (indirect ? 16 * (cuts.length + 1) : 0) > ring.bufferBytes)
      throw new Error("the buffers are too small");
    ring.free.pop();
    const room = this.bytes(address, total);
    room.fill(0);
    room.set(header ?? []);
    room.set(bytes, this.headerBytes);
    let at = 0;
    const buffers = [...cuts, total - cuts.reduce((sum, cut) => sum + cut, 0)].map((length) => {
      const buffer = { address: address + BigInt(at), length };
      at += length;
      return buffer;
    });
    // The table lies at the buffer's end, where no frame reaches.
    const table = address + BigInt(ring.bufferBytes - 16 * buffers.length);
    ring.driver.add(buffers, address, indirect ? table : undefined);
    ring.notify();
    return true;
  }

  /** Takes sent buffers back. Returns what the device says that it wrote into each: 0, if it is right. */
  reclaim(pair = 0): number[] {
    const ring = this.rings[2 * pair + 1]!;
    const lengths: number[] = [];
    for (let chain = ring.driver.take(); chain !== null; chain = ring.driver.take()) {
      ring.free.push(chain.token);
      lengths.push(chain.written);
    }
    return lengths;
  }

  /** Frames that have arrived on a queue pair, headers apart; their buffers go back. */
  receive(pair = 0): Received[] {
    const ring = this.rings[2 * pair]!;
    const received: Received[] = [];
    let parts: Uint8Array[] = [];
    let wanted = 0;
    for (let chain = ring.driver.take(); chain !== null; chain = ring.driver.take()) {
      demand(
        chain.written <= ring.bufferBytes,
        `${chain.written} bytes are said to be in a buffer of ${ring.bufferBytes}`,
      );
      const bytes = this.bytes(chain.token, chain.written).slice();
      ring.free.push(chain.token);
      this.lastReceived = chain.token;
      if (parts.length === 0) wanted = this.buffersOf(bytes);
      parts.push(bytes);
      if (parts.length < wanted) continue;
      const whole = Uint8Array.from(parts.flatMap((part) => [...part]));
      const { headerBytes } = this;
      received.push({ header: whole.slice(0, headerBytes), frame: whole.slice(headerBytes), buffers: parts.length });
      parts = [];
    }
    if (received.length > 0) ring.offer();
    demand(parts.length === 0, `num_buffers is ${wanted}, and ${parts.length} came`);
    return received;
  }

  /** The same on all queue pairs, whichever the back-end has chosen. */
  receiveAll(): Received[] {
    return this.rings.flatMap(({ index }) => (index % 2 === 0 ? this.receive(index / 2) : []));
  }

  /** Gives everything back; the connection is the case's to close. */
  close(): void {
    for (const ring of this.rings) ring.close();
    for (const file of this.files) file.close();
    for (const fd of this.kept) closeFd(fd);
  }

  private buffersOf(first: Uint8Array): number {
    const { headerBytes } = this;
    demand(first.length >= headerBytes, `used.len is ${first.length}, less than the header's ${headerBytes} bytes`);
    return !hasBit(this.features, VIRTIO_NET_F_MRG_RXBUF) ? 1 : new DataView(first.buffer).getUint16(10, true);
  }
}

/** A frame as it arrived. */
export interface Received {
  header: Uint8Array;
  frame: Uint8Array;
  /** Receive buffers that it took. */
  buffers: number;
}
