// The memory that a port's front-end shares: which regions of it are mapped, and what the bridge knows of them.

import type { Bridge } from "../core/bridge.js";
import type { BridgePort } from "../core/bridge-port.js";
import { closeFd } from "../sys/memfd.js";
import type { Fd, MemoryRegion } from "../vhost-user/effects.js";
import type { GuestMemory, Mapping } from "./guest-memory.js";
import type { PortPostcopy } from "./port-postcopy.js";
import type { RingPlace } from "./ring-windows.js";

export class PortMemory {
  /** The others of a port read it; it is changed here. */
  readonly mappings: Mapping[] = [];

  constructor(
    private readonly bridge: Bridge,
    private readonly port: BridgePort,
    private readonly memory: GuestMemory,
    private readonly postcopy: PortPostcopy,
  ) {}

  /**
   * Maps these regions, a descriptor for each, in the place of those before. Returns where they are mapped when their pages
   * come `late`. Throws an Error that says what is wrong; then nothing is mapped. The descriptors are ours in any case.
   */
  async replace(regions: readonly MemoryRegion[], fds: readonly Fd[], pages?: "late"): Promise<bigint[]> {
    const old = this.mappings.splice(0);
    await this.bridge.setRegions(this.port, []);
    for (const mapping of old) await this.unmap(mapping);
    const left = [...fds];
    const addresses: bigint[] = [];
    try {
      for (const region of regions) addresses.push(...(await this.map(region, left.shift()!, pages)));
    } catch (error) {
      for (const fd of left) closeFd(fd);
      for (const mapping of this.mappings.splice(0)) await this.unmap(mapping);
      throw error;
    }
    await this.bridge.setRegions(this.port, this.mappings);
    return addresses;
  }

  /** Maps one more region. As `replace`. */
  async add(region: MemoryRegion, fd: Fd, pages?: "late"): Promise<bigint[]> {
    const addresses = await this.map(region, fd, pages);
    await this.bridge.setRegions(this.port, this.mappings);
    return addresses;
  }

  /** Unmaps a region. No ring that needs it runs. Throws when there is none such. */
  async remove({ guestAddress, userAddress, size }: MemoryRegion): Promise<void> {
    const index = this.mappings.findIndex(
      (mapping) =>
        mapping.guestAddress === guestAddress && mapping.userAddress === userAddress && mapping.size === size,
    );
    if (index < 0) throw new Error(`region 0x${guestAddress.toString(16)} is not mapped`);
    const [mapping] = this.mappings.splice(index, 1);
    await this.bridge.setRegions(this.port, this.mappings);
    await this.unmap(mapping!);
  }

  /** Where a part of a ring lies in linear memory from now on, or null when it lies in none of the regions. */
  placeRing(address: bigint, bytes: number): RingPlace | null {
    return this.memory.placeRing(this.mappings, address, bytes);
  }

  private async map(region: MemoryRegion, fd: Fd, pages?: "late"): Promise<bigint[]> {
    const mapping = this.memory.map(region, fd, pages === "late" ? "whole" : undefined);
    this.mappings.push(mapping);
    if (pages !== "late") return [];
    try {
      return [this.postcopy.add(mapping)];
    } catch (error) {
      await this.memory.unmap(this.mappings.pop()!);
      throw error;
    }
  }

  /** The mapping is on no list any more, and nobody is in it. */
  private async unmap(mapping: Mapping): Promise<void> {
    this.postcopy.remove(mapping);
    await this.memory.unmap(mapping);
  }
}
