// A guest that breaks the rules of its rings, between two that keep them. Its RAM is three regions with a hole where
// the second would be.

import { expect } from "vitest";
import {
  VIRTIO_F_INDIRECT_DESC,
  VIRTIO_F_VERSION_1,
  VIRTIO_NET_F_MRG_RXBUF,
  VIRTQ_DESC_F_INDIRECT,
  VIRTQ_DESC_F_NEXT,
  VIRTQ_DESC_F_WRITE,
} from "../../../assembly/spec/virtio.js";
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

  /** Writes a chain into the descriptor table from entry `first` on, and makes it available. */
  offer(index: number, chain: RawDescriptor[], first = 0, head = first): void {
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

  /** Chains given back on a queue since it was started: [head, bytes written]. */
  used(index: number): [head: number, written: number][] {
    const { data } = this.sw.bridge.views;
    const at = this.hostile.memory.at(this.hostile.driver(index).ring.used);
    return Array.from({ length: data.getUint16(at + 2, true) }, (_, i) => {
      const slot = at + 4 + (i % RING_SIZE) * 8;
      return [data.getUint32(slot, true), data.getUint32(slot + 4, true)];
    });
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
