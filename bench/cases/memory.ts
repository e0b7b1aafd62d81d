// Guest memory: translating an address, and the one copy with its cross-over from the inline loop to memory.copy.

import { TestGuest } from "../../test/core/support/bench-guest.js";
import { TestSwitch } from "../../test/core/support/test-switch.js";
import { type Case, expect, numbers, partsOf } from "./lab.js";

const ADDRESSES = 1024;
const REGION = 64 * 1024;
const COPIES = 64;
const ROUNDS = 16;
const LENGTHS = [64, 128, 256, 384, 512, 768, 1024, 1518, 2048, 4096, 9000, 65_536];

export async function translation(): Promise<Case[]> {
  const cases: Case[] = [];
  for (const count of [1, 2, 8]) {
    const sw = new TestSwitch();
    const guest = await TestGuest.create(sw, { regions: Array<number>(count).fill(REGION), rxBuffers: 0, size: 16 });
    const parts = partsOf(sw);
    const end = BigInt(count * REGION - 64);
    const list = Array.from({ length: ADDRESSES }, (_, i) => guest.base + ((BigInt(i) * 7919n * 64n) % end));
    const at = numbers(sw, list);
    const port = guest.port.struct.at;
    const worker = sw.bridge.workers[0]!.at;
    cases.push({
      group: "translate",
      name: `${count} region${count > 1 ? "s" : ""}`,
      operations: ADDRESSES * ROUNDS,
      run() {
        for (let i = 0; i < ROUNDS; i++) parts.translateAll(worker, port, at, ADDRESSES, 16);
      },
    });
  }
  return cases;
}

/** Between 64 buffers each: too many for the first cache from some hundred bytes on, as in a real ring. */
export function copies(): Case[] {
  const sw = new TestSwitch();
  const core = partsOf(sw);
  const inline = partsOf(sw, "inline");
  const { views } = sw.bridge;
  return LENGTHS.flatMap((length) => {
    // An odd number of cache lines from buffer to buffer, as src/guest/driver.ts has them.
    const stride = (Math.ceil((length + 28) / 64) | 1) * 64;
    const from = sw.windowsStart;
    const to = from + COPIES * stride;
    const rounds = Math.max(1, Math.floor((ROUNDS * 512) / length));
    const variants = [
      { name: "as the core", copy: core.copyAll },
      { name: "inline loop", copy: inline.copyAll },
      { name: "memory.copy", copy: core.memoryCopyAll },
    ];
    return variants.map(({ name, copy }): Case => {
      views.bytes.fill(7, from, to);
      views.bytes.fill(0, to, to + COPIES * stride);
      copy(to, from, length, stride, COPIES);
      expect("last byte copied", views.bytes[to + (COPIES - 1) * stride + length - 1]!, 7);
      return {
        group: "copy",
        name: `${length} B, ${name}`,
        operations: COPIES * rounds,
        run() {
          for (let i = 0; i < rounds; i++) copy(to, from, length, stride, COPIES);
        },
      };
    });
  });
}
