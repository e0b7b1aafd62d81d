// What the core calls when it needs a chunk of a guest's memory that this worker has not mapped: the module's import
// env.mapChunk. It runs in the worker's thread, in the middle of a burst.

import * as layout from "../core/layout.js";
import type { MapChunk } from "../core/module.js";
import { Struct, Views } from "../core/views.js";
import { mapInto, memoryBase, unmap } from "../sys/mapping.js";

/** A function that maps chunks into `memory`, for the instances over it. It never throws. */
export function chunkMapper(memory: WebAssembly.Memory): MapChunk {
  const base = memoryBase(memory);
  const views = new Views(memory);
  const { fields } = layout.ChunkedRegion;
  return (_worker, region, chunk, offset) => {
    const started = performance.now();
    try {
      const file = new Struct(views, layout.ChunkedRegion, region);
      const begin = chunk * layout.CHUNK_BYTES;
      const length = Math.min(layout.CHUNK_BYTES, file.get("bytes") - begin);
      const fileOffset = views.u64[(region + fields.fileOffset.offset) >>> 3]! + BigInt(begin);
      mapInto(base, offset, file.get("fd"), fileOffset, length);
      // Behind the end of a region nothing stays of what the window showed before.
      if (length < layout.CHUNK_BYTES) unmap(base, offset + length, layout.CHUNK_BYTES - length);
    } catch {
      return 0;
    }
    return Math.max(1, Math.round((performance.now() - started) * 1e6));
  };
}
