// A port's inflight area, mapped into linear memory so that the core can write to it.

import type { BridgePort, RingInMemory } from "../core/bridge-port.js";
import { clearInflight, inflightBytes, noteStop, openInflight } from "../core/inflight.js";
import type { Views } from "../core/views.js";
import { createMemfd } from "../sys/memfd.js";
import type { Fd, InflightFile } from "../vhost-user/effects.js";
import type { GuestMemory, Mapping } from "./guest-memory.js";

/** A new area, all zero. It cannot be made shorter: whoever sends it back to us can be trusted that far. */
export function createInflight(bytes: bigint): Fd {
  return createMemfd("ringbridge-inflight", bytes, { seals: true });
}

export class PortInflight {
  private area: { file: InflightFile; mapping: Mapping } | undefined;
  /** Running rings: where their parts lie. */
  private readonly parts = new Map<number, { at: number; packed: boolean }>();

  constructor(
    private readonly views: Views,
    private readonly port: BridgePort,
    private readonly memory: GuestMemory,
  ) {}

  /** Takes an area in the place of the one before, or none. No ring runs. */
  async set(file: InflightFile | null): Promise<void> {
    const old = this.area;
    this.area = file === null ? undefined : { file, mapping: this.memory.mapFile(file, "the inflight area") };
    this.parts.clear();
    if (old !== undefined) await this.memory.unmap(old.mapping);
  }

  /** The ring as it is to start: with its part of the area, and from where that says. */
  open(index: number, ring: RingInMemory): RingInMemory {
    const at = this.partOf(index, ring.size, ring.packed ?? false);
    if (at === undefined) return ring;
    const nextAvail = openInflight(this.views.data, at, ring, this.port.features);
    this.parts.set(index, { at, packed: ring.packed ?? false });
    return { ...ring, nextAvail, inflight: at };
  }

  /** The ring has stopped. */
  close(index: number, nextAvail: number): void {
    const part = this.parts.get(index);
    if (part !== undefined && !part.packed) noteStop(this.views.data, part.at, nextAvail);
  }

  /** Forgets what is noted of these queues, which do not run. */
  clear(indices: readonly number[]): void {
    for (const index of indices) {
      const part = this.parts.get(index);
      if (part !== undefined && this.area !== undefined) clearInflight(this.views.data, part.at);
      this.parts.delete(index);
    }
  }

  /** Offset of a queue's part, or undefined when the area has none that is large enough. */
  private partOf(index: number, size: number, packed: boolean): number | undefined {
    if (this.area === undefined) return undefined;
    const { file, mapping } = this.area;
    const bytes = inflightBytes(file.queueSize, packed);
    if (index >= file.queues || size > file.queueSize || BigInt((index + 1) * bytes) > file.size) return undefined;
    return mapping.window + index * bytes;
  }
}
