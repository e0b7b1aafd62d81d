// A guest of the lab: sends when it is told, takes what arrives when it is called, and can be made to misbehave.

import { leaveToDevice } from "./frames/read.js";
import { macBytes, type Station } from "./frames/address.js";
import { MILLISECOND } from "./clock.js";
import { type DeviceFrame, GuestDevice } from "./device.js";
import { GuestDriver, type ReceivedFrame, type Trouble } from "./guest-driver.js";
import { type GuestPlan, planGuest } from "./guest-plan.js";
import type { GuestShape } from "./shape.js";
import type { Lab } from "./lab.js";
import type { FlowCounts, Origin } from "./ledger.js";
import { Arena } from "./arena.js";

/** What a guest is like; all of it may be left out. */
export interface LabGuestOptions extends GuestShape, Partial<Station> {
  /** Pairs of queues. Default 1. */
  pairs?: number;
  /** Frames that its driver takes in a millisecond. Default: as they come. */
  rate?: number;
  /** Into how many regions its RAM is split; buffers may then lie across two. Default 1. */
  regions?: number;
  /** Receive buffers of each pair, and the bytes of each. Default up to 64 of 2048, or larger where frames may be. */
  rxBuffers?: number;
  rxBufferBytes?: number;
  /** Bytes for frames that wait to be sent. Default 256 KiB. */
  transmitBytes?: number;
  /** Bytes of the buffers that each sent frame is cut into; the last takes the rest. Default one buffer. */
  pieces?: readonly number[];
  /** Whether the switch knows its address from the start. Default true. */
  announce?: boolean;
  /** Bytes behind the Ethernet header that it takes at most, agreed with the switch. Default none agreed. */
  mtu?: number;
  /** It is the end of a link (links.ts): what it takes is still under way. Default false. */
  relay?: boolean;
}

/** How a frame is sent. */
export interface SendOptions {
  pair?: number;
  /** Leaves the checksum to the switch, or with bytes of payload the segmentation too. The shape must have `offloads`. */
  offload?: "checksum" | { segment: number };
  /** The source that the frame belongs to. */
  flow?: FlowCounts;
  /** At the end of a link: where the frame came from, with the flow that it belongs to. */
  origin?: Origin;
}

const NO_OPTIONS: SendOptions = {};

/** A simulated guest at a port of the lab's switch: it sends when told to, and takes what arrives. */
export class LabGuest implements Station {
  readonly mac: string;
  readonly macOctets: Uint8Array;
  readonly ip4: string;
  readonly ip6: string;
  readonly device: GuestDevice;
  readonly plan: GuestPlan;
  readonly trouble: Trouble;
  readonly driver = new GuestDriver(this);
  /** All that its driver has taken, in order; empty in a lab that does not keep it. */
  readonly received: ReceivedFrame[] = [];
  /** Frames that its driver has taken. */
  receivedCount = 0;
  /** Told of each frame that the driver takes. */
  onFrame: ((frame: Uint8Array, origin?: Origin) => void) | undefined;
  connected = true;
  /** Frames put into its rings; refused because they were full; in its rings when it was reset. */
  sent = 0;
  refused = 0;
  abandoned = 0;
  /** Notifications: of the switch by its driver, and of its driver by the switch; those that get lost too. */
  kicks = 0;
  calls = 0;
  /** Frames that lay unread in its rings when it was reset, and notifications that never arrived. */
  lostUnread = 0;
  lostNotifications = 0;
  /** Of what it sends: the buffers of each frame, and whether they are listed in an indirect table. */
  private readonly pieces: readonly number[];
  private readonly indirect: boolean;
  private readonly interface: number;
  private readonly stopped = new Map<number, number>();
  private read = 0;
  private unplugged = false;
  private resetDue = false;

  /** Use `Lab.guest`. */
  constructor(
    readonly lab: Lab,
    readonly name: string,
    /** Which of its lab's guests it is, from 0 on. */
    readonly number: number,
    readonly options: LabGuestOptions,
  ) {
    const { site = 0 } = lab.options;
    const [net, host] = [site, number + 1].map((octet) => octet.toString(16).padStart(2, "0"));
    this.mac = options.mac ?? `02:00:00:00:${net}:${host}`;
    this.macOctets = macBytes(this.mac);
    this.ip4 = options.ip4 ?? `10.0.${site}.${number + 1}`;
    this.ip6 = options.ip6 ?? `fd00::${net}${host}`;
    this.plan = planGuest(options);
    this.device = new GuestDevice(lab.sw, this.plan.device);
    this.trouble = {
      ...{ stalled: false, withholding: false, rate: options.rate },
      ...{ losesKicks: false, losesCalls: false, kicksLate: 0, callsLate: 0 },
    };
    const { pieces = [], indirect = false } = options;
    this.indirect = indirect && pieces.length > 0;
    // Without indirect tables a frame in more pieces than the ring has entries would never find room.
    this.pieces = this.indirect ? pieces : pieces.slice(0, this.device.size - 1);
    this.interface = lab.capture.addInterface(name);
  }

  /** The number of its port. */
  get port(): number {
    return this.device.port.id;
  }

  /** Starts the rings. The lab does it. */
  async start(): Promise<void> {
    await this.device.start();
    const { base, bytes } = this.plan.reserve(this.device.ram);
    this.device.heap = new Arena(base, bytes);
    this.plan.giveBuffers(this.device);
    this.lab.sw.bridge.setMtu(this.device.port, this.options.mtu);
    if (this.options.announce ?? true) this.lab.sw.bridge.learn(this.device.port, this.mac, this.lab.sw.now);
    this.serviceAll();
  }

  /** Puts a frame into its ring and kicks the switch if that wants it. False, and counted, when there is no room. */
  send(frame: Uint8Array, options: SendOptions = NO_OPTIONS): boolean {
    const { pair = 0, offload } = options;
    if (offload === undefined) return this.put(frame, undefined, pair, options);
    const left = leaveToDevice(frame, offload === "checksum" ? 0 : offload.segment);
    if (!this.put(left.frame, left.header, pair, options)) return false;
    this.lab.ledger.offloaded++;
    return true;
  }

  private put(frame: Uint8Array, header: Uint8Array | undefined, pair: number, { flow, origin }: SendOptions): boolean {
    const { pieces, indirect, device } = this;
    const driver = device.tx[pair]!;
    const before = driver.availIndex;
    if (!this.connected || !device.transmit(frame, { pieces, indirect, pair, header })) {
      this.refused++;
      return false;
    }
    this.sent++;
    const { ledger, capture, clock } = this.lab;
    if (!ledger.flooded) {
      const receiver = this.lab.guestFor(frame);
      ledger.flooded = !receiver?.connected || receiver.options.announce === false;
    }
    if (origin) ledger.passedOn(frame, origin);
    else ledger.sent(frame, clock.now, flow);
    capture.frame(this.interface, "in", frame, clock.now);
    if (driver.needsKick(before)) this.kick();
    return true;
  }

  /** Its driver has taken a frame, whose bytes are looked at where they lie in its memory: who keeps them copies them. */
  took({ frame, header }: DeviceFrame): void {
    const { lab } = this;
    const { now } = lab.clock;
    const keep = lab.options.keep ?? true;
    const bytes = keep || this.onFrame ? frame.slice() : frame;
    const origin = lab.ledger.received(bytes, this, now, this.options.relay);
    lab.capture.frame(this.interface, "out", bytes, now);
    this.receivedCount++;
    if (keep) {
      const latency = origin && (now - origin.at) / MILLISECOND;
      this.received.push({ frame: bytes, header: header.slice(), at: now / MILLISECOND, latency });
    }
    this.onFrame?.(bytes, origin);
  }

  /** Frames that arrived since the last call of this, in order. */
  receive(): Uint8Array[] {
    const fresh = this.received.slice(this.read).map(({ frame }) => frame);
    this.read = this.received.length;
    return fresh;
  }

  /** Drops counted on its queues that are not 0, by the names of their causes: both what it sent and what was for it. */
  drops(): Record<string, number> {
    const all: Record<string, number> = {};
    for (const index of this.indices) {
      for (const [name, count] of Object.entries(this.device.dropsByCause(index))) all[name] = (all[name] ?? 0) + count;
    }
    return all;
  }

  /** Why the switch has stopped a queue of it, as a sentence; undefined while all are in order. */
  get fault(): string | undefined {
    return this.indices.map((index) => this.device.fault(index)).find((fault) => fault !== undefined);
  }

  /** Frames that the switch has taken from it, and delivered to it. */
  get counters(): { taken: number; delivered: number } {
    const count = (parity: number) =>
      this.indices
        .filter((index) => index % 2 === parity)
        .reduce((sum, index) => sum + this.device.queue(index).frames, 0);
    return { taken: count(1), delivered: count(0) };
  }

  /** Kicks the switch whether it wants it or not. */
  kick(): void {
    this.kicks++;
    if (this.trouble.losesKicks) this.lostNotifications++;
    else this.lab.kick(this.trouble.kicksLate * MILLISECOND);
  }

  /** The switch calls a queue; the call needs `delay` nanoseconds. */
  called(index: number, delay: number): void {
    this.calls++;
    if (this.trouble.losesCalls) this.lostNotifications++;
    else this.driver.serviceIn(index >> 1, delay + this.trouble.callsLate * MILLISECOND);
  }

  /** Has all its queues looked at, as after a fault. */
  serviceAll(): void {
    for (let pair = 0; pair < this.device.tx.length; pair++) this.driver.serviceIn(pair, 0);
  }

  /** The connection breaks: the switch lets go of its rings and memory. What is in the rings stays there. */
  async disconnect(): Promise<void> {
    if (!this.connected) return;
    this.connected = false;
    const { bridge } = this.lab.sw;
    for (const index of this.indices) this.stopped.set(index, await bridge.stopQueue(this.device.port, index));
    await bridge.setRegions(this.device.port, []);
    bridge.flushFdb(this.device.port);
    this.lab.ledger.flooded = true;
  }

  /** The connection is there again: rings go on where they stood. */
  async reconnect(): Promise<void> {
    if (this.connected) return;
    const { bridge } = this.lab.sw;
    await this.shareMemory();
    for (const [index, next] of this.stopped) await this.device.startQueue(index, next);
    this.stopped.clear();
    this.connected = true;
    if (this.options.announce ?? true) bridge.learn(this.device.port, this.mac, this.lab.sw.now);
    if (this.resetDue) await this.reset();
    else this.recover();
  }

  /** Its last region, which holds neither ring nor buffer, is taken from the switch's memory map. */
  async unplug(): Promise<void> {
    this.unplugged = true;
    if (this.connected) await this.shareMemory();
  }

  /** What `unplug` took is there again. */
  async plug(): Promise<void> {
    this.unplugged = false;
    if (this.connected) await this.shareMemory();
  }

  /** A fault is over: looks at all queues and kicks the switch, as a driver's watchdog does. */
  recover(): void {
    this.serviceAll();
    this.kick();
  }

  /** Its driver starts anew with empty rings: what was in them is gone, and counted. Not connected: once it is again. */
  async reset(): Promise<void> {
    this.resetDue = !this.connected;
    if (this.resetDue) return;
    await this.plug();
    const { taken, delivered } = this.counters;
    this.abandoned = this.sent - taken;
    for (const index of this.indices) await this.device.restartQueue(index);
    this.lostUnread = delivered - this.receivedCount;
    this.device.heap = new Arena(this.plan.arena!.base, this.plan.arena!.bytes);
    this.driver.forget();
    this.plan.giveBuffers(this.device);
    this.serviceAll();
  }

  private async shareMemory(): Promise<void> {
    const { regions } = this.device.ram;
    await this.lab.sw.bridge.setRegions(this.device.port, this.unplugged ? regions.slice(0, -1) : regions);
  }

  private get indices(): number[] {
    return [...this.device.port.queues.keys()];
  }
}

/** Whether a guest's address is the frame's destination. */
export function isFor(frame: Uint8Array, { macOctets }: LabGuest): boolean {
  // From the end, where those of one lab differ.
  for (let i = 5; i >= 0; i--) if (frame[i] !== macOctets[i]) return false;
  return true;
}
