// A guest of the model's tests: the lab's device with small rings and buffers of every shape, and means to offer what no
// good driver would.

import * as virtio from "../../assembly/spec/virtio.js";
import { inflightBytes, openInflight } from "../../src/core/inflight.js";
import { PACKED_WRAP } from "../../src/core/packed-ring.js";
import type { Buffer } from "../../src/guest/ring-driver.js";
import { Arena } from "../../src/testing/arena.js";
import type { CoreSwitch } from "../../src/testing/core-switch.js";
import { GuestDevice } from "../../src/testing/device.js";
import { featuresOf, type GuestShape } from "../../src/testing/shape.js";

export interface ModelShape extends GuestShape {
  size: number;
  /** Where its rings begin, as SET_VRING_BASE has it. */
  firstIndex: number;
  /** Receive buffers at the start: the lengths of the pieces of each. */
  buffers: number[][];
  /** What it sends lies in its last region, up to the end. */
  sendsFromEnd: boolean;
  /** Packed: its rings have a part of an inflight area. */
  inflight: boolean;
}

export type BadChain = "runt" | "direction" | "outside" | "past-end" | "nested" | "odd-table" | "far-next" | "oversize";
export type BrokenRing = "jump" | "head" | "next" | "loop";

const REGIONS = [56 * 1024, 72 * 1024];
const BASE = 0x1_0000n;
const ARENA = 32 * 1024;
/** What all receive buffers may take. */
const BUFFERS = 48 * 1024;
const INDIRECT = virtio.VIRTQ_DESC_F_INDIRECT;
const NEXT = virtio.VIRTQ_DESC_F_NEXT;

export class ModelGuest {
  readonly device: GuestDevice;
  /** Where its dirty log's bitmap lies. */
  readonly log: { window: number; size: bigint };
  readonly bad = new Set<Buffer[]>();
  private arenaBase = 0n;
  private given = 0;

  static async create(sw: CoreSwitch, shape: ModelShape): Promise<ModelGuest> {
    const guest = new ModelGuest(sw, shape);
    await guest.device.start();
    if (shape.inflight) for (const index of [0, 1]) guest.trackInflight(index);
    const { ram } = guest.device;
    // Of some guests what is sent lies up to the end of memory, of others between rings and receive buffers.
    guest.arenaBase = shape.sendsFromEnd ? guest.end - BigInt(ARENA) : ram.allocate(ARENA, 64);
    guest.device.heap = new Arena(guest.arenaBase, ARENA);
    return guest;
  }

  private constructor(
    readonly sw: CoreSwitch,
    readonly shape: ModelShape,
  ) {
    const { size, firstIndex } = shape;
    const first = shape.ring === "packed" ? ((firstIndex & 0x7fff) % size) | (firstIndex & PACKED_WRAP) : firstIndex;
    this.device = new GuestDevice(sw, {
      ...{ features: featuresOf(shape), size, firstIndex: first, rxBuffers: 0, base: BASE },
      regions: REGIONS,
    });
    const bytes = Math.ceil((Number(BASE) + REGIONS[0]! + REGIONS[1]!) / 4096 / 8);
    this.log = { window: sw.bridge.windows.allocate(4096, 4096)!, size: BigInt(bytes) };
  }

  private trackInflight(index: number): void {
    const { struct } = this.device.queue(index);
    const bytes = inflightBytes(this.shape.size, true);
    const area = this.sw.bridge.windows.allocate(Math.ceil(bytes / 4096) * 4096, 4096)!;
    const { data, bytes: memory } = this.sw.bridge.views;
    memory.fill(0, area, area + bytes);
    const [desc, avail, used, nextAvail] = (["desc", "avail", "used", "nextAvail"] as const).map((f) => struct.get(f));
    const ring = {
      size: this.shape.size,
      desc: desc!,
      avail: avail!,
      used: used!,
      packed: true,
      nextAvail: nextAvail!,
    };
    openInflight(data, area, ring, this.device.port.features);
    struct.set("inflight", area);
  }

  /** Gives a new receive buffer in pieces of these lengths. False when the ring has no room. */
  giveNew(lengths: readonly number[]): boolean {
    const total = lengths.reduce((sum, length) => sum + length, 0);
    if (this.device.rx[0]!.freeDescriptors < lengths.length || this.given + total > BUFFERS) return false;
    this.given += total;
    let at = this.device.ram.allocate(total, 1);
    const chain = lengths.map((length) => {
      const buffer = { address: at, length, writable: true };
      at += BigInt(length);
      return buffer;
    });
    this.device.giveBuffers(chain);
    return true;
  }

  /** Gives a receive buffer that the device may not write, or that does not lie in the guest's memory. */
  giveBad(writable: boolean): boolean {
    const address = writable ? this.end - 63n : this.arenaBase;
    const chain: Buffer[] = [{ address, length: 64, writable }];
    if (this.device.rx[0]!.freeDescriptors < 1) return false;
    this.bad.add(chain);
    this.device.giveBuffers(chain);
    return true;
  }

  /** First address behind its memory. */
  get end(): bigint {
    return this.device.ram.base + BigInt(this.device.ram.bytes);
  }

  /** Offers a chain that must come back unsent. Returns why it will, or undefined when this guest cannot offer it. */
  sendBad(kind: BadChain): string | undefined {
    const { device, shape } = this;
    const driver = device.tx[0]!;
    const good = { address: this.arenaBase, length: device.headerBytes + 60 };
    const offer = (buffers: Buffer[], table?: bigint) => driver.add(buffers, [], table);
    const slot = driver.availIndex & ~PACKED_WRAP;
    if (driver.freeDescriptors < 2) return undefined;
    switch (kind) {
      case "runt":
        offer([{ ...good, length: device.headerBytes + 13 }]);
        return "DROP_TX_RUNT";
      case "direction":
        offer([{ ...good, writable: true }]);
        return "DROP_TX_DIRECTION";
      case "outside":
        offer([good, { address: this.end, length: 1 }]);
        return "DROP_TX_ADDRESS";
      case "past-end":
        offer([{ address: this.end - BigInt(good.length - 1), length: good.length }]);
        return "DROP_TX_ADDRESS";
      case "oversize": {
        if (driver.freeDescriptors < 24) return undefined;
        offer(Array.from({ length: 24 }, () => ({ address: this.arenaBase, length: 4096 })));
        return "DROP_TX_OVERSIZE";
      }
      default: {
        const table = this.tableBase;
        const head = offer([good, good, good], table)!;
        const entry = this.entry(device.rings.packed ? slot : head);
        if (!shape.indirect) return "DROP_TX_INDIRECT";
        if (kind === "odd-table") this.data.setUint32(entry + 8, 40, true);
        else if (kind === "nested") this.setFlags(device.ram.at(table), INDIRECT);
        else this.leap(device.ram.at(table), entry);
        return "DROP_TX_INDIRECT";
      }
    }
  }

  /** A table of two whose first entry goes on in a third, which is good; in a packed ring's table the next is the second. */
  private leap(table: number, entry: number): void {
    if (this.device.rings.packed) {
      this.setFlags(table + 16, INDIRECT);
      return;
    }
    this.data.setUint32(entry + 8, 32, true);
    this.data.setUint16(table + 14, 2, true);
  }

  /** Breaks its transmitq, of which nothing is with the device. Returns the status that this must have. */
  breakRing(kind: BrokenRing): number {
    const { device } = this;
    const driver = device.tx[0]!;
    const { desc, avail } = driver.ring;
    if (device.rings.packed) {
      const slot = driver.availIndex;
      for (let i = 0; i < driver.size; i++) {
        const at = (slot & ~PACKED_WRAP) + i;
        const round = at >= driver.size ? slot ^ PACKED_WRAP : slot;
        const flags = (round & PACKED_WRAP ? virtio.VIRTQ_DESC_F_AVAIL : virtio.VIRTQ_DESC_F_USED) | NEXT;
        driver.writeDescriptor(desc, at % driver.size, { address: this.arenaBase, length: 1 }, flags, 0);
      }
      return 4;
    }
    const index = driver.availIndex;
    const head = index % driver.size;
    this.data.setUint16(device.ram.at(avail) + 4 + head * 2, kind === "head" ? driver.size : 0, true);
    const next = kind === "next" ? driver.size : 0;
    driver.writeDescriptor(desc, 0, { address: this.arenaBase, length: 1 }, NEXT, next);
    const moved = kind === "jump" ? driver.size + 1 : 1;
    this.data.setUint16(device.ram.at(avail) + 2, (index + moved) & 0xffff, true);
    return { jump: 1, head: 2, next: 3, loop: 4 }[kind];
  }

  /** Its driver starts the transmitq anew. */
  async mend(): Promise<void> {
    await this.device.restartQueue(1);
    if (this.shape.inflight) this.trackInflight(1);
    this.device.heap = new Arena(this.arenaBase, ARENA);
  }

  private tables: bigint | undefined;

  private get tableBase(): bigint {
    this.tables ??= this.device.ram.allocate(64, 16);
    return this.tables;
  }

  private get data(): DataView {
    return this.device.ram.data;
  }

  private entry(number: number): number {
    return this.device.ram.at(this.device.tx[0]!.ring.desc) + number * virtio.VIRTQ_DESC_SIZE;
  }

  private setFlags(at: number, flag: number): void {
    const place = at + (this.device.rings.packed ? 14 : 12);
    this.data.setUint16(place, this.data.getUint16(place, true) | flag, true);
  }
}
