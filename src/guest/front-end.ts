// A vhost-user front-end without a VM: it has RAM and rings in this process's linear memory and offers them to a
// back-end over a real socket, in the order of messages that QEMU or DPDK's virtio-user has. What moves in the rings is
// somebody else's business (load-guest.ts).

import { VIRTIO_F_RING_PACKED } from "../../assembly/spec/virtio.js";
import { hasBit } from "../core/feature-bits.js";
import { PACKED_START } from "../core/packed-ring.js";
import { splitRingBytes } from "../core/split-ring.js";
import { createEventFd, signal } from "../sys/eventfd.js";
import { closeFd } from "../sys/memfd.js";
import type { Reactor } from "../sys/reactor.js";
import { acceptUnix, connectUnix, listenUnix } from "../sys/socket.js";
import { isSystemError } from "../sys/system-error.js";
import type { Fd } from "../vhost-user/effects.js";
import {
  DPDK_PROTOCOL_FEATURES,
  dpdkConnect,
  dpdkStart,
  dpdkStop,
  type FrontEndDevice,
  type FrontEndRing,
  type Negotiated,
  playScript,
  QEMU_PROTOCOL_FEATURES,
  qemuConnect,
  qemuStart,
  qemuStop,
  type Script,
} from "../vhost-user/front-end-session.js";
import { BackEndConnection } from "./back-end-connection.js";
import { GuestRam, type GuestRamOptions, type RamPlace } from "./ram.js";

const TIMEOUT_MS = 2000;
const RETRY_MS = 20;
const CACHE_LINE = 64;

export interface FrontEndOptions extends GuestRamOptions {
  /** The socket, and who made it: "connect" to the switch's, or "listen" for the switch to connect. */
  path: string;
  role?: "connect" | "listen";
  /** Whose order of messages. */
  script?: "qemu" | "dpdk";
  reactor: Reactor;
  /** Entries of each ring; a power of two unless the switch agrees to packed rings. */
  queueSize: number;
  /** Queue pairs: ring 2i is a receiveq, ring 2i + 1 a transmitq. */
  pairs?: number;
  /** Virtio features to ack where the switch offers them. */
  features: bigint;
  /** How long the switch may take for the connection, and for each request. Default 2 s. */
  timeoutMs?: number;
}

/** A virtqueue: what the messages say of it, and where it lies for the driver. */
export interface GuestRing extends FrontEndRing {
  kick: Fd;
  call: Fd;
  place: { desc: RamPlace; avail: RamPlace; used: RamPlace };
  /** How far the device has come, as the ring's driver finds it; default the used index of a split ring. */
  position: () => number;
}

export class FrontEnd {
  readonly ram: GuestRam;
  readonly rings: GuestRing[] = [];
  /** Told when the back-end leaves or breaks the protocol while connected. */
  onLost: (error: Error) => void = () => {};
  private readonly device: FrontEndDevice;
  private readonly view: DataView;
  private connection: BackEndConnection | undefined;
  /** Why the connection ended, when not by us. */
  private lost: Error | undefined;
  private listener: Fd | undefined;
  private negotiated: Negotiated | undefined;
  private running = false;
  private memoryKnown = false;

  /** Makes RAM and rings; nothing is sent yet. Throws a SystemError when the memory cannot be had. */
  constructor(private readonly options: FrontEndOptions) {
    this.ram = new GuestRam(options);
    this.view = new DataView(options.memory.buffer);
    try {
      for (let index = 0; index < 2 * (options.pairs ?? 1); index++) this.rings.push(this.createRing(index));
    } catch (error) {
      this.close();
      throw error;
    }
    this.device = {
      features: options.features,
      protocolFeatures: options.script === "dpdk" ? DPDK_PROTOCOL_FEATURES : QEMU_PROTOCOL_FEATURES,
      regions: this.ram.regions,
      memoryFds: this.ram.regions.map(() => this.ram.fd),
      rings: this.rings,
    };
  }

  /**
   * Connects, or waits to be connected to, and negotiates. May be called again after the connection was lost: the rings
   * then go on where the lost back-end had come to.
   */
  async connect(): Promise<Negotiated> {
    if (this.connection) throw new Error("this front-end is connected already");
    if (this.running) this.resume();
    const { path, reactor, script, timeoutMs = TIMEOUT_MS } = this.options;
    const fd = this.options.role === "listen" ? await this.accept() : await this.dial();
    const connection = new BackEndConnection(fd, reactor, path, timeoutMs);
    connection.onLost = (error) => {
      this.connection = undefined;
      this.lost = error;
      this.onLost(error);
    };
    this.connection = connection;
    this.lost = undefined;
    this.memoryKnown = false;
    const before = this.negotiated;
    try {
      this.negotiated = await this.play(script === "dpdk" ? dpdkConnect(this.device) : qemuConnect(this.device));
      if (!before) this.startRings();
    } catch (error) {
      this.disconnect();
      throw error;
    }
    return this.negotiated;
  }

  /** Has the back-end map the memory and run the rings. The driver must have them ready. */
  async start(): Promise<void> {
    const agreed = this.agreed();
    await this.play(
      this.options.script === "dpdk"
        ? dpdkStart(this.device, agreed)
        : qemuStart(this.device, agreed, this.memoryKnown),
    );
    this.running = true;
    this.memoryKnown = true;
    // Not every message is answered, but they are taken in order: after this answer the rings run.
    await this.exchange({ name: "GET_FEATURES", payload: { kind: "none" }, fds: [], needReply: false });
  }

  /** Has the back-end stop the rings, as a guest does that resets. `start` then goes on where they stopped. */
  async stop(): Promise<void> {
    const stopped = await this.play(
      this.options.script === "dpdk" ? dpdkStop(this.device) : qemuStop(this.device, this.agreed()),
    );
    this.running = false;
    for (const [i, ring] of this.rings.entries()) ring.nextAvail = stopped[i]!;
  }

  /** Tells the back-end that a ring has something for it. */
  kick(index: number): void {
    signal(this.rings[index]!.kick);
  }

  /** Leaves without a word, as a front-end that was killed. `connect` may follow. */
  disconnect(): void {
    this.connection?.close();
    this.connection = undefined;
  }

  /** Gives everything back: socket, eventfds, memory. The driver must not touch the rings any more. */
  close(): void {
    this.disconnect();
    if (this.listener !== undefined) closeFd(this.listener);
    this.listener = undefined;
    for (const { kick, call } of this.rings) {
      closeFd(kick);
      closeFd(call);
    }
    this.ram.close();
  }

  private createRing(index: number): GuestRing {
    const size = this.options.queueSize;
    // Room for either form: the parts of a packed ring are never larger.
    const bytes = splitRingBytes(size);
    const place = {
      desc: this.ram.allocate(bytes.desc, CACHE_LINE),
      avail: this.ram.allocate(bytes.avail, CACHE_LINE),
      used: this.ram.allocate(bytes.used, CACHE_LINE),
    };
    return {
      index,
      size,
      nextAvail: 0,
      kick: createEventFd(),
      call: createEventFd(),
      desc: place.desc.userAddress,
      avail: place.avail.userAddress,
      used: place.used.userAddress,
      place,
      position: () => this.view.getUint16(place.used.offset + 2, true),
    };
  }

  /** Rings of the form that was agreed are at their beginning. Throws when they cannot have it. */
  private startRings(): void {
    const packed = hasBit(this.agreed().features, VIRTIO_F_RING_PACKED);
    const { queueSize } = this.options;
    if (!packed && (queueSize & (queueSize - 1)) !== 0) {
      throw new Error(`a ring of ${queueSize} entries has to be packed, which the switch does not offer`);
    }
    for (const ring of this.rings) ring.nextAvail = packed ? this.packedBase(PACKED_START) : 0;
  }

  /** A packed ring's place in SET_VRING_BASE: QEMU says twice the same, of available and of used ones; DPDK once. */
  private packedBase(cursor: number): number {
    return this.options.script === "dpdk" ? cursor : ((cursor << 16) | cursor) >>> 0;
  }

  /**
   * The back-end left without saying how far it had come: what it published as used is the last we know of. What it
   * had taken and not given back will be taken again (QEMU does the same).
   */
  private resume(): void {
    const packed = hasBit(this.agreed().features, VIRTIO_F_RING_PACKED);
    for (const ring of this.rings) ring.nextAvail = packed ? this.packedBase(ring.position()) : ring.position();
    this.running = false;
  }

  /** A connection to the switch's socket, which may still be about to appear. */
  private async dial(): Promise<Fd> {
    const { path, timeoutMs = TIMEOUT_MS } = this.options;
    const end = performance.now() + timeoutMs;
    for (;;) {
      try {
        return connectUnix(path);
      } catch (error) {
        if (!isSystemError(error, "ENOENT", "ECONNREFUSED", "EAGAIN")) throw error;
        if (performance.now() >= end) {
          const tried = `${error.code}, tried for ${timeoutMs / 1000} s`;
          throw new Error(`no switch listens on ${path} (${tried}): start it, or correct the path`);
        }
      }
      await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
    }
  }

  /** The next connection of the switch to our own socket. */
  private async accept(): Promise<Fd> {
    const { path, reactor, timeoutMs = TIMEOUT_MS } = this.options;
    this.listener ??= listenUnix(path);
    const { listener } = this;
    return new Promise((resolve, reject) => {
      const settle = (fd: Fd | Error) => {
        clearTimeout(timer);
        watch.stop();
        if (fd instanceof Error) reject(fd);
        else resolve(fd);
      };
      const late = `the switch did not connect to ${path} within ${timeoutMs / 1000} s`;
      const timer = setTimeout(() => settle(new Error(`${late}: give its port role connect and this path`)), timeoutMs);
      const watch = reactor.watch(listener, {
        readable: () => {
          try {
            const fd = acceptUnix(listener);
            if (fd !== null) settle(fd);
          } catch (error) {
            settle(error as Error);
          }
        },
      });
    });
  }

  private agreed(): Negotiated {
    if (!this.negotiated) throw new Error("this front-end is not connected");
    return this.negotiated;
  }

  private play<T>(script: Script<T>): Promise<T> {
    return playScript(script, (request) => this.exchange(request));
  }

  private exchange(request: Parameters<BackEndConnection["exchange"]>[0]): ReturnType<BackEndConnection["exchange"]> {
    if (!this.connection) {
      return Promise.reject(this.lost ?? new Error(`no switch is connected at ${this.options.path}`));
    }
    return this.connection.exchange(request);
  }
}
