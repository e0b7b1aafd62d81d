// What the host gives the core besides its memory: these functions (assembly/memory/windows.ts and assembly/capture.ts say
// when they are called). AssemblyScript names an import's module after the file that declares it: env.mapChunk.

/**
 * Maps a chunk of a region over the window at `offset` of this worker's pool. `region` -> ChunkedRegion. Returns how
 * long it took, in nanoseconds and at least 1; 0 when it could not be done.
 */
export declare function mapChunk(worker: u32, region: u32, chunk: u32, offset: u32): u32;

/** Nanoseconds of the machine's monotonic clock; asked only while frames are captured. */
export declare function clock(): f64;
