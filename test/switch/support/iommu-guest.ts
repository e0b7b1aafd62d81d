// A guest behind a virtual IOMMU: rings and buffers at I/O virtual addresses, and a front-end that translates a page when
// the switch asks for it.

import { VIRTIO_F_ACCESS_PLATFORM } from "../../../assembly/spec/virtio.js";
import { bits, hasBit } from "../../../src/core/feature-bits.js";
import { splitRingBytes } from "../../../src/core/split-ring.js";
import type { RamFile } from "../../../src/guest/ram-file.js";
import { closeFd } from "../../../src/sys/memfd.js";
import { Reactor, type Watch } from "../../../src/sys/reactor.js";
import { receive, send, socketPair } from "../../../src/sys/socket.js";
import type { Fd } from "../../../src/vhost-user/effects.js";
import {
  PROTOCOL_F_BACKEND_REQ,
  PROTOCOL_F_BACKEND_SEND_FD,
  PROTOCOL_F_REPLY_ACK,
} from "../../../src/vhost-user/features.js";
import { QEMU_PROTOCOL_FEATURES } from "../../../src/vhost-user/front-end-session.js";
import { IOTLB_INVALIDATE, IOTLB_MISS, IOTLB_UPDATE } from "../../../src/vhost-user/iotlb.js";
import { encodeReply, FLAG_NEED_REPLY, HEADER_SIZE, type MessageName } from "../../../src/vhost-user/message.js";
import { decodePayload, type Payload } from "../../../src/vhost-user/payload.js";
import { u64 } from "../../vhost-user/requests.js";
import { HandGuest, type HandGuestOptions, type HandRing, MODERN } from "./hand-guest.js";

const PLATFORM = MODERN | bits(VIRTIO_F_ACCESS_PLATFORM);
/** As QEMU has them for a card with iommu_platform=on. */
export const IOMMU_PROTOCOL = QEMU_PROTOCOL_FEATURES | bits(PROTOCOL_F_BACKEND_REQ, PROTOCOL_F_BACKEND_SEND_FD);
/** VHOST_USER_BACKEND_IOTLB_MSG. */
const BACKEND_IOTLB_MSG = 1;
const MISS_BYTES = HEADER_SIZE + 32;
/** From a guest physical address to the I/O virtual one: far from every other. */
const SHIFT = 0x4000_0000_0000n;
const PAGE = 4096n;

export interface IommuGuestOptions extends HandGuestOptions {
  /** Protocol features to ack. Default QEMU's for such a guest. */
  protocolFeatures?: bigint;
}

export class IommuGuest extends HandGuest {
  /** Pages asked for, in order. */
  readonly misses: bigint[] = [];
  /** Whether a question is answered. */
  answers: (page: bigint) => boolean = () => true;
  private readonly protocolFeatures: bigint;
  private readonly asking = new Reactor();
  private socket: Fd | undefined;
  private watch: Watch | undefined;
  private pending: Buffer = Buffer.alloc(0);
  /** One message at a time on the connection. */
  private last: Promise<unknown> = Promise.resolve();

  constructor({ protocolFeatures = IOMMU_PROTOCOL, features = 0n, ...options }: IommuGuestOptions = {}) {
    super({ features: PLATFORM | features, ...options });
    this.protocolFeatures = protocolFeatures;
  }

  /** Connects and sets up everything, rings as new and receive buffers available; rings wait for their translations. */
  async begin(path: string): Promise<void> {
    this.fresh();
    await this.attach(path, () => this.firstIndex);
  }

  /** The same, with rings as they are, and their inflight area. */
  async attach(path: string, base: (ring: HandRing) => number, inflight?: { payload: Payload; fd: Fd }): Promise<void> {
    this.connect(path);
    await this.say("SET_PROTOCOL_FEATURES", u64(this.protocolFeatures));
    await this.expectDone("SET_FEATURES", u64(this.features | (1n << 30n)));
    await this.giveSocket();
    await this.giveMemory();
    if (inflight !== undefined) await this.expectDone("SET_INFLIGHT_FD", inflight.payload, [inflight.fd]);
    for (const ring of this.rings) await this.setUp(ring, { base: base(ring) });
  }

  /** Without REPLY_ACK nobody says whether it was done. */
  override async expectDone(name: MessageName, payload: Payload, fds: readonly Fd[] = []): Promise<void> {
    if (hasBit(this.protocolFeatures, PROTOCOL_F_REPLY_ACK)) await super.expectDone(name, payload, fds);
    else await this.say(name, payload, fds);
  }

  override connect(path: string): void {
    super.connect(path);
    // Answers to misses come between the other messages, never during one.
    const exchange = this.link.exchange.bind(this.link);
    this.link.exchange = (request) => {
      const done = this.last.then(() => exchange(request));
      this.last = done.catch(() => {});
      return done;
    };
  }

  /** SET_BACKEND_REQ_FD with a new socket; the one before is closed. */
  async giveSocket(): Promise<void> {
    const [ours, theirs] = socketPair();
    try {
      await this.expectDone("SET_BACKEND_REQ_FD", { kind: "none" }, [theirs]);
    } finally {
      closeFd(theirs);
    }
    this.hangUp();
    this.socket = ours;
    this.pending = Buffer.alloc(0);
    this.watch = this.asking.watch(ours, { readable: () => this.take(ours) });
  }

  /** Reads no more of what the switch asks. */
  deaf(): void {
    this.watch?.stop();
  }

  /** Any bytes to the switch, by the socket by which it asks. */
  sayBack(bytes: Uint8Array): void {
    if (send(this.socket!, bytes) !== bytes.length) throw new Error("the socket is full");
  }

  /** Closes the socket by which the switch asks. */
  hangUp(): void {
    this.watch?.stop();
    if (this.socket !== undefined) closeFd(this.socket);
    this.socket = undefined;
  }

  override makeRing(index: number, size: number, file: RamFile): HandRing {
    const bytes = splitRingBytes(size);
    // Each part has pages of its own, so that a test can take one and leave the others.
    const page = Number(PAGE);
    const part = (length: number) => file.allocate(Math.ceil(length / page) * page, page) + SHIFT;
    const place = { desc: part(bytes.desc), avail: part(bytes.avail), used: part(bytes.used) };
    const ring = super.makeRing(index, size, file, place);
    ring.buffers.forEach((address, i) => {
      ring.buffers[i] = address + SHIFT;
    });
    return ring;
  }

  override at(address: bigint): number {
    return super.at(address >= SHIFT ? address - SHIFT : address);
  }

  /** As I/O virtual addresses. */
  override vringAddr({ index, place }: HandRing): Payload {
    return { kind: "vringAddr", index, flags: 0, log: 0n, ...place };
  }

  /** The page of an address, in the front-end's own addresses. */
  userPage(iova: bigint): bigint {
    return this.userAddress(pageOf(iova) - SHIFT);
  }

  /** Translates the page of an address, one to one but for the shift. Resolves to the switch's answer: 0 for done. */
  async translate(iova: bigint, permission = 3): Promise<bigint> {
    return this.update({ iova: pageOf(iova), userAddress: this.userPage(iova), permission });
  }

  /** IOTLB_MSG UPDATE of one page, or as told. */
  async update(entry: { iova: bigint; userAddress: bigint; size?: bigint; permission?: number }): Promise<bigint> {
    return this.tell({ kind: "iotlb", size: PAGE, permission: 3, type: IOTLB_UPDATE, ...entry });
  }

  /** IOTLB_MSG INVALIDATE from the page of an address on. */
  async invalidate(iova: bigint, size = PAGE): Promise<bigint> {
    const range = { iova: pageOf(iova), size, userAddress: 0n, permission: 0 };
    return this.tell({ kind: "iotlb", ...range, type: IOTLB_INVALIDATE });
  }

  override close(): void {
    this.hangUp();
    super.close();
    void this.asking.close();
  }

  private async tell(payload: Payload): Promise<bigint> {
    const reply = await this.get("IOTLB_MSG", payload);
    if (reply.kind !== "u64") throw new Error("IOTLB_MSG was not answered with a number");
    return reply.value;
  }

  private take(fd: Fd): void {
    const bytes = Buffer.alloc(4096);
    let got: ReturnType<typeof receive>;
    try {
      got = receive(fd, bytes);
    } catch {
      // The switch was killed before it had read everything.
      this.watch?.stop();
      return;
    }
    if (got === "again") return;
    if (got.bytes === 0) {
      // The switch has closed it, and says so for ever.
      this.watch?.stop();
      return;
    }
    this.pending = Buffer.concat([this.pending, bytes.subarray(0, got.bytes)]);
    for (; this.pending.length >= MISS_BYTES; this.pending = this.pending.subarray(MISS_BYTES)) {
      const needReply = (this.pending.readUInt32LE(4) & FLAG_NEED_REPLY) !== 0;
      const payload = decodePayload("iotlb", this.pending.subarray(HEADER_SIZE, MISS_BYTES));
      if (payload.kind !== "iotlb" || payload.type !== IOTLB_MISS)
        throw new Error("the switch asked for something else");
      this.misses.push(payload.iova);
      // The connection may be closed meanwhile; then nobody waits for it.
      if (this.answers(pageOf(payload.iova))) this.answer(fd, payload.iova, needReply).catch(() => {});
    }
  }

  private async answer(fd: Fd, iova: bigint, needReply: boolean): Promise<void> {
    const refused = await this.translate(iova);
    if (!needReply || this.socket !== fd) return;
    send(fd, encodeReply(BACKEND_IOTLB_MSG, { kind: "u64", value: refused }));
  }
}

function pageOf(address: bigint): bigint {
  return address - (address % PAGE);
}
