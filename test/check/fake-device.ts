// The device's half of split rings for the fake back-end: just enough to pass frames, with faults on demand.

import { memoryBase, mapInto } from "../../src/sys/mapping.js";
import { signal } from "../../src/sys/eventfd.js";
import { closeFd } from "../../src/sys/memfd.js";
import type { Fd, MemoryRegion } from "../../src/vhost-user/effects.js";

const PAGE = 4096;
const MEMORY_PAGES = 512;
const HEADER = 12;

export interface DeviceFaults {
  /** used.len of received frames is 0. */
  usedLengthZero?: boolean;
  /** used.len of sent frames is their length. */
  usedLengthOfSent?: boolean;
  /** A byte of each frame is changed. */
  corrupts?: boolean;
  /** num_buffers is 0. */
  noNumBuffers?: boolean;
  /** Nobody is called. */
  callsNobody?: boolean;
  /** GET_VRING_BASE does not stop the ring. */
  goesOn?: boolean;
  /** Group addresses are learned, and frames to them kept from everybody else. */
  learnsGroups?: boolean;
}

export interface FakeRing {
  size: number;
  next: number;
  addresses: { desc: bigint; avail: bigint; used: bigint } | undefined;
  call: Fd | undefined;
  started: boolean;
  enabled: boolean;
}

/** One port: a guest's memory and two rings. */
export class FakeDevice {
  readonly rings: FakeRing[] = [0, 1].map(() => ({
    ...{ size: 0, next: 0, addresses: undefined, call: undefined, started: false, enabled: false },
  }));
  private readonly memory = new WebAssembly.Memory({ initial: MEMORY_PAGES, maximum: MEMORY_PAGES, shared: true });
  private readonly view = new DataView(this.memory.buffer);
  private readonly groups = new Set<string>();
  private regions: { region: MemoryRegion; at: number }[] = [];

  constructor(private readonly faults: DeviceFaults) {}

  /** Maps all regions; the descriptors are closed. */
  map(regions: readonly MemoryRegion[], fds: readonly Fd[]): void {
    let window = PAGE;
    this.regions = regions.map((region, i) => {
      const at = window + Number(region.mmapOffset);
      const bytes = Math.ceil((Number(region.mmapOffset) + Number(region.size)) / PAGE) * PAGE;
      mapInto(memoryBase(this.memory), window, fds[i]!, 0, bytes);
      closeFd(fds[i]!);
      window += bytes;
      return { region, at };
    });
  }

  /** Forgets the guest. */
  reset(): void {
    for (const ring of this.rings) {
      if (ring.call !== undefined) closeFd(ring.call);
      Object.assign(ring, { size: 0, next: 0, addresses: undefined, call: undefined, started: false, enabled: false });
    }
    this.regions = [];
  }

  /** Frames that the guest has sent. */
  sent(): Uint8Array[] {
    const frames: Uint8Array[] = [];
    for (let chain = this.take(1); chain; chain = this.take(1)) {
      const bytes = Buffer.concat(chain.buffers).subarray(HEADER);
      if (this.faults.learnsGroups && (bytes[6]! & 1) === 1) this.groups.add(bytes.toString("hex", 6, 12));
      if (this.faults.corrupts && bytes.length > 50) bytes[50]! ^= 1;
      if (!this.groups.has(bytes.toString("hex", 0, 6))) frames.push(Uint8Array.from(bytes));
      this.giveBack(1, chain.head, this.faults.usedLengthOfSent ? bytes.length : 0);
    }
    return frames;
  }

  /** Gives the guest a frame, when it has a buffer for it. */
  deliver(frame: Uint8Array): void {
    const chain = this.take(0);
    if (!chain) return;
    const [buffer] = chain.buffers;
    buffer!.fill(0, 0, HEADER);
    buffer![10] = this.faults.noNumBuffers ? 0 : 1;
    buffer!.set(frame, HEADER);
    this.giveBack(0, chain.head, this.faults.usedLengthZero ? 0 : HEADER + frame.length);
  }

  private take(index: number): { head: number; buffers: Uint8Array[] } | undefined {
    const ring = this.rings[index]!;
    if (!ring.addresses || !ring.enabled || !(ring.started || this.faults.goesOn)) return undefined;
    const [desc, avail] = [this.user(ring.addresses.desc), this.user(ring.addresses.avail)];
    if (this.view.getUint16(avail + 2, true) === ring.next) return undefined;
    const head = this.view.getUint16(avail + 4 + (ring.next % ring.size) * 2, true);
    ring.next = (ring.next + 1) & 0xffff;
    const buffers: Uint8Array[] = [];
    for (let i = head, more = true; more; ) {
      const at = desc + i * 16;
      const address = this.guest(this.view.getBigUint64(at, true));
      buffers.push(new Uint8Array(this.memory.buffer, address, this.view.getUint32(at + 8, true)));
      more = (this.view.getUint16(at + 12, true) & 1) !== 0;
      i = this.view.getUint16(at + 14, true);
    }
    return { head, buffers };
  }

  private giveBack(index: number, head: number, length: number): void {
    const ring = this.rings[index]!;
    const used = this.user(ring.addresses!.used);
    const at = this.view.getUint16(used + 2, true);
    this.view.setUint32(used + 4 + (at % ring.size) * 8, head, true);
    this.view.setUint32(used + 8 + (at % ring.size) * 8, length, true);
    this.view.setUint16(used + 2, at + 1, true);
    if (ring.call !== undefined && !this.faults.callsNobody) signal(ring.call);
  }

  private user(address: bigint): number {
    return this.find(address, (region) => region.userAddress);
  }

  private guest(address: bigint): number {
    return this.find(address, (region) => region.guestAddress);
  }

  private find(address: bigint, start: (region: MemoryRegion) => bigint): number {
    const found = this.regions.find(({ region }) => address >= start(region) && address < start(region) + region.size);
    if (!found) throw new Error(`the fake was given 0x${address.toString(16)}`);
    return found.at + Number(address - start(found.region));
  }
}
