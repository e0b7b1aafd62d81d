// How the switch divides its linear memory (ARCHITECTURE.md has the picture).

import { WINDOWS_START } from "../core/bridge.js";
import * as layout from "../core/layout.js";
import { alignOffset, memoryBase } from "../sys/mapping.js";

/** A pool of a quarter of a GiB; with many workers all pools together take at most half of linear memory. */
const CHUNK_WINDOWS = 128;
const POOLS_BYTES = 2 ** 31;
/** For the rings that lie in regions not mapped whole: some thousands of them, or some huge pages. */
const RING_WINDOW_BYTES = 64 * 1024 * 1024;

/** Options of the bridge. Everything is a multiple of a chunk from a start that huge pages can be mapped at. */
export function memoryPlan(memory: WebAssembly.Memory, workers: number) {
  return {
    windowsStart: alignOffset(memoryBase(memory), WINDOWS_START, layout.CHUNK_BYTES),
    chunkWindows: Math.min(CHUNK_WINDOWS, Math.floor(POOLS_BYTES / (workers * layout.CHUNK_BYTES))),
    ringWindowBytes: RING_WINDOW_BYTES,
  };
}
