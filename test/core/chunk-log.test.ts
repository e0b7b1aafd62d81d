// The dirty log of a guest that is not mapped whole: every page of a receive buffer that was written is marked under the
// guest's own address, whichever window it was written through, and no other.

import fc from "fast-check";
import { expect, test } from "vitest";
import { VIRTIO_F_RING_PACKED, VIRTIO_F_VERSION_1, VIRTIO_NET_F_MRG_RXBUF } from "../../assembly/spec/virtio.js";
import { bits } from "../../src/core/feature-bits.js";
import { memoryBase, unmap } from "../../src/sys/mapping.js";
import { chunkMapper } from "../../src/switch/chunk-mapper.js";
import { describeLinux } from "../sys/linux.js";
import { frame, TARGETS, TestGuest, TestSwitch } from "./support/bench-guest.js";
import { BigRam, CHUNK } from "./support/big-ram.js";
import { testMemory } from "./support/test-switch.js";
import { runs } from "../sample.js";

const FEATURES = bits(VIRTIO_F_VERSION_1, VIRTIO_NET_F_MRG_RXBUF);
const HEADER = 12;
const WINDOWS = 8;
const PAGE = 4096;
const BASE = 0x2_0000_0000n;
const CHUNKS = 1000;
const LOG_BYTES = (Number(BASE) + CHUNKS * CHUNK) / PAGE / 8;

interface Piece {
  address: bigint;
  length: number;
}

for (const target of TARGETS) {
  describeLinux(`the dirty log of chunks, ${target} build`, () => {
    const memory = testMemory();

    test.each([
      ["split", 0n],
      ["packed", bits(VIRTIO_F_RING_PACKED)],
    ])("F2: exactly the pages that were written, buffers anywhere, %s ring", async (_, ring) => {
      // Near the end of a chunk, or of a page; each buffer in chunks of its own.
      const buffer = fc.record({
        back: fc.integer({ min: 1, max: 3 * PAGE }),
        length: fc.integer({ min: 60, max: 9000 }),
        merged: fc.boolean(),
      });
      await fc.assert(
        fc.asyncProperty(fc.array(buffer, { minLength: 1, maxLength: 40 }), async (buffers) => {
          const sw = new TestSwitch({ target, memory, chunkWindows: WINDOWS, mapChunk: chunkMapper(memory) });
          const options = { features: FEATURES | ring, rxBuffers: 0, ramBytes: 1024 * 1024 };
          const sender = await TestGuest.create(sw, options);
          const receiver = await TestGuest.create(sw, options);
          const ram = await BigRam.add(receiver, { base: BASE, bytes: CHUNKS * CHUNK });
          try {
            const { bytes } = sw.bridge.views;
            const window = sw.bridge.windows.allocate(LOG_BYTES, PAGE)!;
            bytes.fill(0, window, window + LOG_BYTES);
            await sw.bridge.setLog(receiver.port, { window, size: BigInt(LOG_BYTES) });
            const written = new Set<bigint>();
            for (const [i, { back, length, merged }] of buffers.entries()) {
              const whole = HEADER + length;
              const first = merged ? Math.floor(whole / 2) : whole;
              const pieces = [{ address: ram.chunk(1 + 4 * i) - BigInt(back), length: first }];
              if (merged) pieces.push({ address: ram.chunk(3 + 4 * i) - BigInt(back), length: whole - first + 50 });
              for (const piece of pieces) {
                const chain = [{ ...piece, writable: true }];
                expect(receiver.rx[0]!.add(chain, chain)).not.toBeNull();
              }
              pagesOf(pieces, whole).forEach((page) => {
                written.add(page);
              });
              sender.send(frame(1, 2, length, i));
            }
            sw.settle();
            expect([receiver.drops(0), receiver.queue(0).counters().frames]).toEqual([{}, buffers.length]);
            const marked: bigint[] = [];
            for (let byte = Number(BASE) / PAGE / 8; byte < LOG_BYTES; byte++) {
              const value = bytes[window + byte]!;
              for (let bit = 0; bit < 8; bit++) if (value & (1 << bit)) marked.push(BigInt(byte * 8 + bit));
            }
            expect(marked).toEqual([...written].sort((a, b) => Number(a - b)));
          } finally {
            ram.close();
            unmap(memoryBase(memory), 8 * 1024 * 1024, WINDOWS * CHUNK);
          }
        }),
        { numRuns: runs(25) },
      );
    });
  });
}

/** Numbers of the pages that the first `length` bytes of these buffers lie in. */
function pagesOf(pieces: Piece[], length: number): bigint[] {
  const pages: bigint[] = [];
  let left = length;
  for (const piece of pieces) {
    const used = Math.min(left, piece.length);
    const last = (piece.address + BigInt(used) - 1n) / BigInt(PAGE);
    for (let page = piece.address / BigInt(PAGE); page <= last; page++) pages.push(page);
    left -= used;
  }
  return pages;
}
