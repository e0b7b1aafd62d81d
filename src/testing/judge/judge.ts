// The judge of the rings: looks at every ring before and after the switch runs, and at all memory of the guests, and throws
// when the switch has done what the specification forbids, or this switch's own promises do. It believes nothing but
// what stands in memory and what the host has told the core.
//
// - each chain comes back once, with no more bytes than it has room for; the used index never runs ahead of what was there
// - nothing is written but the device's part of a ring that runs, and the first bytes, as many as it says, of what it gives back
// - what it gives back was all written before (only with a build that tells of its stores: order.ts)
// - a ring that was stopped, disabled or broken gives nothing back
// - the buffers of a merged frame come together, full but for the last, and num_buffers counts them
// - a driver that asked to be called is; one that did not is not, but for the first time after a start
// - before it sleeps the switch has asked for kicks, and looked once more
// - the inflight area says where a ring stands, the dirty log has each page that was written

import { QUEUE_OK } from "../../../assembly/spec/status.js";
import {
  VIRTIO_F_EVENT_IDX,
  VIRTIO_F_IN_ORDER,
  VIRTIO_NET_F_MRG_RXBUF,
  VIRTIO_NET_HDR_SIZE,
} from "../../../assembly/spec/virtio.js";
import { hasBit } from "../../core/feature-bits.js";
import type { BridgeQueue } from "../../core/bridge-port.js";
import * as layout from "../../core/layout.js";
import type { CoreCall, CoreObserver, CoreSwitch } from "../core-switch.js";
import type { GuestDevice } from "../device.js";
import type { Span } from "../ram.js";
import type { RingSight } from "./chain.js";
import { StoreOrder } from "./order.js";
import { inflightAtRest, unmarkedPage } from "./records.js";
import { PackedRules } from "./packed.js";
import type { RingRules, Used } from "./rules.js";
import { Shadow } from "./shadow.js";
import { SplitRules } from "./split.js";

/** The switch broke a rule of the rings; the message says which, in which ring. */
export class RingViolation extends Error {
  override readonly name = "RingViolation";
}

interface Judged {
  device: GuestDevice;
  index: number;
  queue: BridgeQueue;
  /** Where in linear memory, in words, the core says whether the ring is in order, a call is under way, whom it calls. */
  status: number;
  callPending: number;
  callFd: number;
  rules: RingRules;
  /** Whether it ran when the switch was called, and whether a call was under way already. */
  running: boolean;
  called: boolean;
  /** Since it was started nothing was given back: what its driver was told before nobody knows. */
  fresh: boolean;
}

/**
 * Looks on at every call into a lab's switch and throws a RingViolation when it does to a ring, or with `memory` to any
 * byte of a guest, what the specification does not allow.
 */
export class RingJudge implements CoreObserver {
  /** Chains given back since it looks on. */
  judged = 0;
  private readonly rings = new Map<string, Judged>();
  private readonly shadow: Shadow;
  private readonly order: StoreOrder;

  /** Looks on from now on; rings that were started before are not known to it. Without `memory` only the rings are judged. */
  constructor(
    private readonly sw: CoreSwitch,
    private readonly memory = true,
  ) {
    this.shadow = new Shadow(sw.memory, sw.windowsStart);
    this.order = new StoreOrder(sw.memory, sw.windowsStart, () => sw.bridge.windows.usedBytes);
    sw.observer = this;
  }

  /** A ring begins at `nextAvail`. */
  started(device: GuestDevice, index: number, nextAvail: number): void {
    const { ram, rings, port, size } = device;
    const { ring } = device.driver(index);
    const sight: RingSight = {
      data: ram.data,
      regions: () => port.regions,
      desc: ram.at(ring.desc),
      avail: ram.at(ring.avail),
      used: ram.at(ring.used),
      size,
      receive: index % 2 === 0,
      eventIdx: hasBit(port.features, VIRTIO_F_EVENT_IDX),
      inOrder: hasBit(port.features, VIRTIO_F_IN_ORDER),
    };
    const rules = rings.packed ? new PackedRules(sight, nextAvail) : new SplitRules(sight, nextAvail & 0xffff);
    this.order.started(device, index);
    const queue = device.queue(index);
    const word = (field: { offset: number }) => (queue.struct.at + field.offset) >>> 2;
    const { status, callPending, callFd } = layout.Queue.fields;
    this.rings.set(`${port.id}/${index}`, {
      ...{ device, index, queue, rules, running: false, called: false, fresh: true },
      ...{ status: word(status), callPending: word(callPending), callFd: word(callFd) },
    });
  }

  /** Where the device will go on in a ring, as GET_VRING_BASE must have it. */
  position(device: GuestDevice, index: number): number | undefined {
    return this.rings.get(`${device.port.id}/${index}`)?.rules.position;
  }

  /**
   * Called before the core stores at an offset in linear memory, by who runs a build that tells: only then it is judged that
   * what comes back was written before.
   */
  storing(offset: number): void {
    this.order.storing(offset);
  }

  /** Called before each call into the core: notes what lies in the rings and, with `memory`, in all of the guests' RAM. */
  before(): void {
    for (const ring of this.rings.values()) {
      ring.running = ring.queue.running && this.isInOrder(ring);
      ring.called = this.isCalled(ring);
      if (ring.running) ring.rules.look();
    }
    if (this.memory) this.shadow.take(this.sw.bridge.windows.usedBytes);
    this.order.begin();
  }

  /** Called after it with what it returned. Throws a RingViolation that names the guest, the queue and the rule. */
  after(call: CoreCall, result: number): void {
    for (const ring of this.rings.values()) {
      try {
        this.judgeRing(ring, call, result);
      } catch (error) {
        throw new RingViolation(`${nameOf(ring)}: ${(error as Error).message}`);
      }
    }
    const at = this.memory ? this.shadow.firstChange() : undefined;
    if (at !== undefined)
      throw new RingViolation(`after ${call}: ${this.describe(at)} was written, which is not the switch's`);
  }

  private judgeRing(ring: Judged, call: CoreCall, result: number): void {
    if (!ring.running) return;
    const { queue, rules } = ring;
    const used = rules.judge();
    this.judged += used.length;
    const written = used.length > 0 ? this.judgeUsed(ring, call, used) : [];
    this.judgeCalls(ring, used);
    if (call === "arm" && !queue.isReceiveq && this.isInOrder(ring)) judgeArmed(rules, result);
    if (this.memory) this.judgeMemory(ring, used, written);
  }

  /** Chains that came back. Returns the bytes that they hold now. */
  private judgeUsed({ device, index, queue }: Judged, call: CoreCall, used: readonly Used[]): Span[] {
    if (call !== "poll") throw new Error(`${used.length} chains were given back in ${call}`);
    if (!queue.enabled && queue.isReceiveq) throw new Error("chains were given back while it is disabled");
    const written = used.flatMap((each) => this.writtenIn(each));
    this.order.judge(device, index, used, (each) => this.writtenIn(each));
    if (queue.isReceiveq) this.judgeFrames(device, used);
    return written;
  }

  /** What of memory was written must be the device's: all of it is allowed in the shadow, and has its mark in the log. */
  private judgeMemory({ device, queue, rules }: Judged, used: readonly Used[], written: readonly Span[]): void {
    const own = [...rules.deviceFields, ...used.map(({ wrote }) => wrote), ...written];
    if (rules.broken !== undefined) {
      // Its driver broke the ring: nobody can say what of it the device still had a right to.
      own.push(...rules.deviceArea);
      for (const { writable } of rules.outstanding.values()) own.push(...writable);
    }
    const inflight = inflightAtRest(
      queue,
      device.size,
      used.length > 0 ? rules.position : undefined,
      this.sw.bridge.views.data,
    );
    own.push(...inflight);
    const page = unmarkedPage(
      device.port,
      own.filter((span) => this.shadow.changed(span)),
      this.sw.bridge.views.bytes,
    );
    if (page !== undefined)
      throw new Error(`the page at 0x${page.toString(16)} was written and not marked in the dirty log`);
    if (device.port.log) own.push({ offset: device.port.log.window, length: Number(device.port.log.size) });
    for (const span of own) this.shadow.allow(span);
  }

  /** The bytes that a chain holds now: as many as the device says, from its first on. */
  private writtenIn({ chain, written }: Used): Span[] {
    if (written > chain.room)
      throw new Error(`chain ${chain.id} came back with ${written} bytes written, and has room for ${chain.room}`);
    const spans: Span[] = [];
    for (let left = written, i = 0; left > 0; i++) {
      const { offset, length } = chain.writable[i]!;
      spans.push({ offset, length: Math.min(left, length) });
      left -= Math.min(left, length);
    }
    return spans;
  }

  /** What came back with nothing in it was a bad chain; the others hold whole frames (virtio 1.3, 5.1.6.4). */
  private judgeFrames(device: GuestDevice, used: readonly Used[]): void {
    const full = used.filter(({ written }) => written > 0);
    const merged = hasBit(device.port.features, VIRTIO_NET_F_MRG_RXBUF);
    for (let i = 0; i < full.length; ) {
      const count = device.headerBytes === VIRTIO_NET_HDR_SIZE ? this.numBuffers(full, i) : 1;
      if (count < 1 || count > full.length - i || (count > 1 && !merged))
        throw new Error(`num_buffers is ${count}, and ${full.length - i} buffers are there`);
      for (let j = i; j < i + count - 1; j++) {
        const { chain, written } = full[j]!;
        if (written !== chain.room)
          throw new Error(
            `buffer ${chain.id} of a merged frame holds ${written} of ${chain.room} bytes, and is not its last`,
          );
      }
      i += count;
    }
  }

  /** The last two bytes of the header, which may lie in several buffers. */
  private numBuffers(all: readonly Used[], from: number): number {
    const { bytes } = this.sw.bridge.views;
    const { chain, written } = all[from]!;
    const [first] = chain.writable;
    if (first && Math.min(first.length, written) >= VIRTIO_NET_HDR_SIZE)
      return bytes[first.offset + 10]! | (bytes[first.offset + 11]! << 8);
    const header: number[] = [];
    for (const each of all.slice(from)) {
      for (const { offset, length } of this.writtenIn(each))
        header.push(...bytes.subarray(offset, offset + Math.min(length, VIRTIO_NET_HDR_SIZE)));
      if (header.length >= VIRTIO_NET_HDR_SIZE) break;
    }
    if (header.length < VIRTIO_NET_HDR_SIZE)
      throw new Error(`${header.length} bytes came back, which is less than a header`);
    return header[10]! | (header[11]! << 8);
  }

  private judgeCalls(ring: Judged, used: readonly Used[]): void {
    const called = this.isCalled(ring);
    let slots = 0;
    for (const { chain } of used) slots += chain.span;
    const wish = ring.rules.wish(used.length, slots);
    const fresh = ring.fresh;
    if (used.length > 0) ring.fresh = false;
    if (Atomics.load(this.sw.bridge.views.i32, ring.callFd) < 0) {
      // Nobody to call; and nobody knows then what its driver knows.
      ring.fresh = true;
      if (called && !ring.called) throw new Error("was called without an eventfd");
      return;
    }
    if (used.length > 0 && wish === "call" && !called)
      throw new Error(`${used.length} chains came back and its driver, who asked for it, is not called`);
    if (called && !ring.called && (used.length === 0 || (wish === "quiet" && !fresh)))
      throw new Error("its driver is called and has not asked for it");
  }

  private isInOrder({ status }: Judged): boolean {
    return Atomics.load(this.sw.bridge.views.u32, status) === QUEUE_OK;
  }

  /** Whether the core has called the ring's driver, and nobody has taken that call. */
  private isCalled({ callPending }: Judged): boolean {
    return Atomics.load(this.sw.bridge.views.u32, callPending) !== 0;
  }

  /** A byte of linear memory in the guests' words. */
  private describe(offset: number): string {
    for (const { device, index, rules } of this.rings.values()) {
      const { ring } = device.driver(index);
      for (const part of ["desc", "avail", "used"] as const) {
        const inside = offset - device.ram.at(ring[part]);
        if (inside >= 0 && inside < device.rings.bytes[part])
          return `byte ${inside} of ${nameOf({ device, index })}'s ${part}`;
      }
      for (const chain of rules.outstanding.values()) {
        if (chain.writable.some((span) => offset >= span.offset && offset < span.offset + span.length))
          return `a byte of chain ${chain.id} of ${nameOf({ device, index })}, which has not come back,`;
      }
    }
    for (const { device } of this.rings.values()) {
      for (const { guestAddress, size, window } of device.ram.regions) {
        const inside = offset - window;
        if (inside >= 0 && inside < Number(size))
          return `guest memory of port ${device.port.id} at 0x${(guestAddress + BigInt(inside)).toString(16)}`;
      }
    }
    return `memory between the guests at 0x${offset.toString(16)}`;
  }
}

function judgeArmed(rules: RingRules, busy: number): void {
  if (rules.broken !== undefined) return;
  if (!rules.asksForKicks())
    throw new Error("the switch goes to sleep and has not asked for a kick with the next chain");
  if (!busy && rules.outstanding.size > 0)
    throw new Error(`the switch goes to sleep, and ${rules.outstanding.size} chains wait for it`);
}

function nameOf({ device, index }: Pick<Judged, "device" | "index">): string {
  const form = device.rings.packed ? "packed" : "split";
  return `port ${device.port.id}, ${index % 2 ? "transmitq" : "receiveq"} ${index} (${form}, ${device.size} entries)`;
}
