// A guest that breaks the rules of its rings, between two that keep them. Its RAM is three regions with a hole where
// the second would be.

import { expect } from "vitest";
import {
  VIRTIO_F_INDIRECT_DESC,
  VIRTIO_F_VERSION_1,
  VIRTIO_NET_F_MRG_RXBUF,
  VIRTQ_DESC_F_AVAIL,
  VIRTQ_DESC_F_INDIRECT,
  VIRTQ_DESC_F_NEXT,
  VIRTQ_DESC_F_USED,
  VIRTQ_DESC_F_WRITE,
  VIRTQ_DESC_SIZE,
} from "../../../assembly/spec/virtio.js";
import { PACKED_START, PACKED_WRAP, packedAfter } from "../../../src/core/packed-ring.js";
import { BROADCAST, frame, type Target, TestGuest, TestSwitch } from "./bench-guest.js";
import { testMemory } from "./test-switch.js";
import { Witness } from "./witness.js";

export const NEXT = VIRTQ_DESC_F_NEXT;
export const WRITE = VIRTQ_DESC_F_WRITE;
export const INDIRECT = VIRTQ_DESC_F_INDIRECT;
export const VERSION_1 = 1n << BigInt(VIRTIO_F_VERSION_1);
export const MERGEABLE = 1n << BigInt(VIRTIO_NET_F_MRG_RXBUF);
export const INDIRECT_DESC = 1n << BigInt(VIRTIO_F_INDIRECT_DESC);

/** One descriptor as it will stand in a table. */
export type RawDescriptor = [address: bigint, length: number, flags: number, next: number];

const OWNER = VIRTQ_DESC_F_AVAIL | VIRTQ_DESC_F_USED;
const REGION = 256 * 1024;
const HOLE = 8192;
export const RING_SIZE = 64;

/** Places in the hostile guest's address space. */
export interface Places {
  /** 64 KiB of good memory that nothing else uses. */
  good: bigint;
  /** First byte of the hole, and of the region behind it. */
  hole: bigint;
  behind: bigint;
  /** First byte behind all regions. */
  end: bigint;
}

const memory = testMemory();

export class HostileScene {
  /** Descriptors of the chains offered to either queue of a packed ring. */
  private readonly spans: [number[], number[]] = [[], []];
  /** What of them is known to have come back: a later round of the ring writes over it. */
  private readonly found = [0, 1].map(() => ({ cursor: PACKED_START, used: [] as [number, number][] }));

  private constructor(
    readonly sw: TestSwitch,
    readonly hostile: TestGuest,
    readonly peer: TestGuest,
    readonly other: TestGuest,
    readonly at: Places,
  ) {}

  static async create(target: Target, features = VERSION_1 | INDIRECT_DESC): Promise<HostileScene> {
    const sw = new TestSwitch({ target, memory });
    const hostile = await TestGuest.create(sw, {
      features,
      regions: [REGION, HOLE, REGION],
      rxBuffers: 0,
      size: RING_SIZE,
    });
    const peer = await TestGuest.create(sw, { features: VERSION_1 });
    const other = await TestGuest.create(sw, { features: VERSION_1 });
    await sw.bridge.setRegions(hostile.port, [hostile.regions[0]!, hostile.regions[2]!]);
    const at = {
      good: hostile.allocate(65_536),
      hole: hostile.base + BigInt(REGION),
      behind: hostile.base + BigInt(REGION + HOLE),
      end: hostile.base + BigInt(2 * REGION + HOLE),
    };
    const scene = new HostileScene(sw, hostile, peer, other, at);
    // Everybody's address is known: hostile 1, peer 2, other 3; no counter of the hostile's receiveq has moved.
    await sw.bridge.setEnabled(hostile.port, 0, false);
    hostile.send(frame(BROADCAST, 1, 60));
    peer.send(frame(BROADCAST, 2, 60));
    other.send(frame(BROADCAST, 3, 60));
    sw.settle();
    for (const guest of [peer, other]) guest.receive(0, true);
    hostile.reclaim();
    await hostile.restartQueue(1);
    await sw.bridge.setEnabled(hostile.port, 0, true);
    return scene;
  }

  /**
   * Makes a chain available. Split: it is written into the descriptor table from entry `first` on, its head is `head`.
   * Packed: it takes the next descriptors of the ring, whatever its `next` fields say, and `head` is its id.
   */
  offer(index: number, chain: RawDescriptor[], first = 0, head = first): void {
    if (this.hostile.rings.packed) {
      const descriptors = chain.map(([address, length, flags]) => ({ buffer: { address, length }, flags }));
      this.hostile.packedDriver(index).makeAvailable(descriptors, head);
      this.spans[index]!.push(chain.length);
      return;
    }
    const driver = this.hostile.splitDriver(index);
    this.table(driver.ring.desc, chain, first);
    driver.makeAvailable(head);
  }

  /** Writes descriptors to a table in guest memory. */
  table(address: bigint, chain: RawDescriptor[], first = 0): void {
    for (const [i, [at, length, flags, next]] of chain.entries()) {
      this.hostile.driver(1).writeDescriptor(address, first + i, { address: at, length }, flags, next);
    }
  }

  /** Chains given back on a queue since it was started: [head or id, bytes written]. */
  used(index: number): [head: number, written: number][] {
    const { data } = this.sw.bridge.views;
    const { ring } = this.hostile.driver(index);
    if (this.hostile.rings.packed) return this.usedInRing(this.hostile.memory.at(ring.desc), index);
    const at = this.hostile.memory.at(ring.used);
    return Array.from({ length: data.getUint16(at + 2, true) }, (_, i) => {
      const slot = at + 4 + (i % RING_SIZE) * 8;
      return [data.getUint32(slot, true), data.getUint32(slot + 4, true)];
    });
  }

  /** Looks for more used descriptors in a packed ring, each of which stands over a chain that was offered. */
  private usedInRing(desc: number, index: number): [id: number, written: number][] {
    const { data } = this.sw.bridge.views;
    const found = this.found[index]!;
    for (const span of this.spans[index]!.slice(found.used.length)) {
      const slot = desc + (found.cursor & ~PACKED_WRAP) * VIRTQ_DESC_SIZE;
      const flags = data.getUint16(slot + 14, true);
      if ((flags & OWNER) !== (found.cursor & PACKED_WRAP ? OWNER : 0)) break;
      found.used.push([data.getUint16(slot + 12, true), flags & WRITE ? data.getUint32(slot + 8, true) : 0]);
      found.cursor = packedAfter(found.cursor, span, RING_SIZE);
    }
    return found.used;
  }

  /** Polls to rest; nothing outside of what the guests gave may change, plus the hostile's range given. */
  settle(extra: { address: bigint; length: number }[] = []): void {
    const witness = new Witness(this.sw);
    this.sw.settle();
    const given = [this.hostile, this.peer, this.other].flatMap((guest) => guest.deviceWritable());
    const more = extra.flatMap(({ address, length }) => this.hostile.spans(address, length));
    expect(witness.firstChange([...given, ...more])).toBeNull();
  }

  /** The rest of the switch goes on: peer and other exchange frames both ways. */
  expectOthersGoOn(): void {
    const [there, back] = [frame(3, 2, 200, 5), frame(2, 3, 300, 6)];
    this.peer.send(there);
    this.other.send(back);
    this.sw.settle();
    expect(this.other.receive(0, true)).toContainEqual(there);
    expect(this.peer.receive(0, true)).toContainEqual(back);
  }

  /** The hostile guest's transmitq works: a frame to the peer arrives. */
  expectTransmits(): void {
    const bytes = frame(2, 1, 99, 7);
    this.hostile.send(bytes);
    this.sw.settle();
    expect(this.peer.receive(0, true)).toContainEqual(bytes);
  }

  /** The hostile guest's receiveq works: with a good buffer a frame from the peer arrives. */
  expectReceives(): void {
    const bytes = frame(1, 2, 88, 8);
    this.hostile.giveBuffer(2048);
    this.peer.send(bytes);
    this.sw.settle();
    expect(this.hostile.receive()).toContainEqual(bytes);
  }
}
