// A witness of linear memory: who wrote where he must not?

import type { Span } from "../../../src/testing/ram.js";
import type { TestSwitch } from "./bench-guest.js";

/** Remembers all windows (guests' RAM and the pages between them), to compare with what they hold later. */
export class Witness {
  private readonly start: number;
  private readonly before: Buffer;

  constructor(private readonly sw: TestSwitch) {
    // Windows are handed out from the first on, so all there are lie in front of what is free.
    this.start = sw.windowsStart;
    this.before = Buffer.from(this.now(sw.bridge.windows.usedBytes));
  }

  /** First offset outside of `allowed` whose byte has changed, or null. */
  firstChange(allowed: Span[]): number | null {
    const now = this.now(this.before.length);
    let at = 0;
    for (const { offset, length } of [...allowed].sort((a, b) => a.offset - b.offset)) {
      const changed = this.changeWithin(now, at, offset - this.start);
      if (changed !== null) return changed;
      at = Math.max(at, offset - this.start + length);
    }
    return this.changeWithin(now, at, now.length);
  }

  private now(length: number): Uint8Array {
    return new Uint8Array(this.sw.memory.buffer, this.start, length);
  }

  private changeWithin(now: Uint8Array, from: number, to: number): number | null {
    if (to <= from || this.before.compare(now, from, to, from, to) === 0) return null;
    for (let at = from; at < to; at++) if (this.before[at] !== now[at]) return this.start + at;
    return null;
  }
}
