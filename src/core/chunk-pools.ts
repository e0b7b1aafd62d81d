// Regions that are not mapped whole, and the windows through which the workers see chunks of them
// (assembly/memory/windows.ts). The host makes and empties these structs; between that only the workers change them.

import type { ControlMemory } from "./control-memory.js";
import * as layout from "./layout.js";
import { Struct, type Views } from "./views.js";

/** Which bytes of a file a region is. All in bytes. */
export interface ChunkedFile {
  fd: number;
  /** Where chunk 0 begins: a multiple of the file's page size, at most a page before the region. */
  fileOffset: bigint;
  /** From there to the end of the region's last page. */
  bytes: bigint;
  /** Bytes of chunk 0 before the region. */
  skew: number;
  guestAddress: bigint;
}

/** Windows of one worker's pool, and what their misses cost since the switch began. */
export interface PoolUsage {
  windows: number;
  used: number;
  misses: number;
  missNanoseconds: number;
}

export class ChunkPools {
  /**
   * `windows` windows for each worker, one after the other from the offset `start` on. Throws when a worker's frames
   * and receive buffers could not both have one.
   */
  constructor(
    private readonly views: Views,
    private readonly control: ControlMemory,
    private readonly workers: readonly Struct<typeof layout.Worker>[],
    start: number,
    windows: number,
  ) {
    if (windows === 1) throw new Error("a pool has at least two windows");
    workers.forEach((worker, i) => {
      worker.set("windowPool", start + i * windows * layout.CHUNK_BYTES);
      worker.set("windowCount", windows);
      worker.set("windowTable", control.allocate(windows * layout.ChunkWindow.size));
    });
  }

  /** Bytes of linear memory that the pools take. */
  static bytes(workers: number, windows: number): number {
    return workers * windows * layout.CHUNK_BYTES;
  }

  /** Makes a region known of which no chunk is mapped. Returns the ChunkedRegion's offset, for `MappedRegion.chunks`. */
  add(file: ChunkedFile): number {
    const chunks = Number((file.bytes + BigInt(layout.CHUNK_BYTES - 1)) / BigInt(layout.CHUNK_BYTES));
    const tableBytes = Math.ceil((chunks * 4) / 64) * 64;
    const at = this.control.allocate(layout.ChunkedRegion.size + this.workers.length * tableBytes);
    const region = new Struct(this.views, layout.ChunkedRegion, at);
    this.setWide(at, "fileOffset", file.fileOffset);
    this.setWide(at, "bytes", file.bytes);
    this.setWide(at, "guestAddress", file.guestAddress - BigInt(file.skew));
    region.set("fd", file.fd);
    region.set("skew", file.skew);
    region.set("tableBytes", tableBytes);
    return at;
  }

  /**
   * Forgets a region: it is on no list, and a grace period has passed. `unmap` is told the offset of every window that
   * held a chunk of it.
   */
  async remove(region: number, unmap: (offset: number) => void): Promise<void> {
    for (const worker of this.workers) {
      await this.locked(worker, () => {
        for (const { window, offset } of this.windowsOf(worker)) {
          if (window.get("region") !== region) continue;
          window.set("region", 0);
          unmap(offset);
        }
      });
    }
    const tableBytes = new Struct(this.views, layout.ChunkedRegion, region).get("tableBytes");
    this.control.release(region, layout.ChunkedRegion.size + this.workers.length * tableBytes);
  }

  /** Bytes of a region that some worker has in a window, the same ones counted once for each. */
  mappedBytes(region: number): number {
    let count = 0;
    for (const worker of this.workers) {
      for (const { window } of this.windowsOf(worker)) if (window.load("region") === region) count++;
    }
    return count * layout.CHUNK_BYTES;
  }

  usage(worker: number): PoolUsage {
    const struct = this.workers[worker]!;
    let used = 0;
    for (const { window } of this.windowsOf(struct)) if (window.load("region") !== 0) used++;
    return {
      windows: struct.get("windowCount"),
      used,
      misses: struct.get("chunkMisses"),
      missNanoseconds: struct.get("chunkMissTime"),
    };
  }

  private *windowsOf(worker: Struct<typeof layout.Worker>) {
    const table = worker.get("windowTable");
    const pool = worker.get("windowPool");
    for (let i = 0, count = worker.get("windowCount"); i < count; i++) {
      const window = new Struct(this.views, layout.ChunkWindow, table + i * layout.ChunkWindow.size);
      yield { window, offset: pool + i * layout.CHUNK_BYTES };
    }
  }

  /** While `change` runs the worker maps nothing; it waits where it would have to. */
  private async locked(worker: Struct<typeof layout.Worker>, change: () => void): Promise<void> {
    const lock = (worker.at + layout.Worker.fields.windowLock.offset) >>> 2;
    while (Atomics.compareExchange(this.views.i32, lock, 0, 1) !== 0) await new Promise(setImmediate);
    try {
      change();
    } finally {
      Atomics.store(this.views.i32, lock, 0);
    }
  }

  private setWide(at: number, field: "fileOffset" | "bytes" | "guestAddress", value: bigint): void {
    this.views.u64[(at + layout.ChunkedRegion.fields[field].offset) >>> 3] = BigInt.asUintN(64, value);
  }
}
