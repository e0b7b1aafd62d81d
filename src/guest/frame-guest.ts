// A simulated guest that sends frames it is given, whatever they are, and takes what comes: a front-end (front-end.ts) with
// the plain driver on one pair of split rings. For load there is load-guest.ts.

import { rmSync } from "node:fs";
import { VIRTIO_F_VERSION_1, VIRTIO_NET_F_MRG_RXBUF } from "../../assembly/spec/virtio.js";
import { bits, headerSize } from "../core/feature-bits.js";
import { FRAME_MAX } from "../core/layout.js";
import { createMemory } from "../core/module.js";
import { splitRingBytes } from "../core/split-ring.js";
import { Reactor } from "../sys/reactor.js";
import { claimSocketPath } from "../sys/stale.js";
import { FrontEnd, type GuestRing } from "./front-end.js";
import { guestRamBytes, type RamPlace } from "./ram.js";
import { SplitDriver } from "./split-driver.js";

const PAGE = 65_536;
const QUEUE_SIZE = 256;
const RX_BUFFER = 2048;
const CACHE_LINE = 64;
/** Bytes from one buffer for a frame to the next. */
const TX_BUFFER = Math.ceil((FRAME_MAX + 12) / CACHE_LINE) * CACHE_LINE;
/** Shortest frame that is one: an Ethernet header. */
export const FRAME_MIN = 14;
export { FRAME_MAX };

export interface FrameGuestOptions {
  /** The vhost-user socket, and whether the switch listens there ("connect") or this guest does. */
  path: string;
  role: "connect" | "listen";
  timeoutMs?: number;
}

export class FrameGuest {
  /** Frames sent, and how many of them the switch has not given back. */
  sent = 0;
  pending = 0;
  /** Frames received, of which nothing is kept. */
  received = 0;
  /** Why the switch has gone, if it has. */
  lost: Error | undefined;
  private readonly reactor = new Reactor();
  private readonly frontEnd: FrontEnd;
  private readonly bytes: Uint8Array;
  private readonly receiver: SplitDriver<RamPlace>;
  private readonly sender: SplitDriver<RamPlace>;
  private readonly free: RamPlace[] = [];
  private headerBytes = 12;
  private kicked = 0;

  /** Attaches to a port; its rings run when this resolves. Rejects with a sentence when the switch does not answer. */
  static async attach(options: FrameGuestOptions): Promise<FrameGuest> {
    const guest = new FrameGuest(options);
    try {
      const { features } = await guest.frontEnd.connect();
      guest.headerBytes = headerSize(features);
      guest.offer(guest.places(RX_BUFFER));
      guest.free.push(...guest.places(TX_BUFFER));
      await guest.frontEnd.start();
    } catch (error) {
      guest.release();
      throw error;
    }
    return guest;
  }

  private constructor(private readonly options: FrameGuestOptions) {
    const { path, role, timeoutMs } = options;
    // A socket that a front-end left behind is in the way.
    if (role === "listen") claimSocketPath(path);
    const rings = Object.values(splitRingBytes(QUEUE_SIZE)).reduce((sum, bytes) => sum + bytes + CACHE_LINE, 0);
    const bytes = 2 * rings + QUEUE_SIZE * (TX_BUFFER + RX_BUFFER + 2 * CACHE_LINE);
    const memory = createMemory(Math.ceil((PAGE + guestRamBytes({ bytes })) / PAGE));
    this.bytes = new Uint8Array(memory.buffer);
    const features = bits(VIRTIO_F_VERSION_1, VIRTIO_NET_F_MRG_RXBUF);
    const how = { path, role, timeoutMs, features, reactor: this.reactor, queueSize: QUEUE_SIZE };
    this.frontEnd = new FrontEnd({ ...how, memory, window: PAGE, bytes });
    this.frontEnd.onLost = (error) => {
      this.lost = error;
    };
    const data = new DataView(memory.buffer);
    const base = this.frontEnd.rings[0]!.place.desc;
    const at = (address: bigint) => base.offset + Number(address - base.guestAddress);
    const driver = ({ place }: GuestRing) => {
      const ring = { desc: place.desc.guestAddress, avail: place.avail.guestAddress, used: place.used.guestAddress };
      return new SplitDriver<RamPlace>({ data, at }, ring, QUEUE_SIZE);
    };
    this.receiver = driver(this.frontEnd.rings[0]!);
    this.sender = driver(this.frontEnd.rings[1]!);
    for (const each of [this.receiver, this.sender]) each.wantCalls(false);
  }

  /** Sends a frame of FRAME_MIN to FRAME_MAX bytes. False when the ring is full: `turn` may make room. */
  send(frame: Uint8Array): boolean {
    if (frame.length < FRAME_MIN || frame.length > FRAME_MAX) throw new RangeError(`a frame of ${frame.length} bytes`);
    const place = this.free.pop();
    if (!place) return false;
    const { headerBytes } = this;
    this.bytes.fill(0, place.offset, place.offset + headerBytes);
    this.bytes.set(frame, place.offset + headerBytes);
    this.sender.add([{ address: place.guestAddress, length: headerBytes + frame.length }], place);
    this.sent++;
    this.pending++;
    return true;
  }

  /** Tells the switch what was sent, takes back what it has done with, and makes room for what it has for us. */
  turn(): void {
    if (this.sent !== this.kicked && this.sender.needsKick(0)) this.frontEnd.kick(1);
    this.kicked = this.sent;
    for (let chain = this.sender.take(); chain !== null; chain = this.sender.take()) {
      this.free.push(chain.token);
      this.pending--;
    }
    const again: RamPlace[] = [];
    for (let chain = this.receiver.take(); chain !== null; chain = this.receiver.take()) {
      this.received++;
      again.push(chain.token);
    }
    if (again.length > 0) this.offer(again);
  }

  /** Stops the rings in good order and leaves. */
  async detach(): Promise<void> {
    try {
      await this.frontEnd.stop();
    } finally {
      this.release();
    }
  }

  /** Leaves at once. */
  release(): void {
    this.frontEnd.close();
    if (this.options.role === "listen") rmSync(this.options.path, { force: true });
    void this.reactor.close();
  }

  private places(bytes: number): RamPlace[] {
    return Array.from({ length: QUEUE_SIZE }, () => this.frontEnd.ram.allocate(bytes, CACHE_LINE));
  }

  private offer(places: readonly RamPlace[]): void {
    for (const place of places) {
      this.receiver.add([{ address: place.guestAddress, length: RX_BUFFER, writable: true }], place);
    }
    if (this.receiver.needsKick(0)) this.frontEnd.kick(0);
  }
}
