// A copy of the guests' memory as it was before the switch ran, by which every byte that it wrote is found.

import type { Span } from "../ram.js";

export class Shadow {
  private copy = new Int32Array(0);
  private bytes = new Uint8Array(0);

  /** `start`: where the windows begin in linear memory, a multiple of 4. */
  constructor(
    private readonly memory: WebAssembly.Memory,
    private readonly start: number,
  ) {}

  /** Remembers the first `length` bytes of the windows; windows are handed out from the first on. */
  take(length: number): void {
    const words = Math.ceil(length / 4);
    if (this.copy.length !== words) {
      this.copy = new Int32Array(words);
      this.bytes = new Uint8Array(this.copy.buffer);
    }
    this.bytes.set(new Uint8Array(this.memory.buffer, this.start, this.bytes.length));
  }

  /** Has any byte of that range changed? */
  changed({ offset, length }: Span): boolean {
    const now = new Uint8Array(this.memory.buffer, offset, length);
    const from = offset - this.start;
    for (let i = 0; i < length; i++) if (now[i] !== this.bytes[from + i]) return true;
    return false;
  }

  /** What is written there was allowed. */
  allow({ offset, length }: Span): void {
    if (offset < this.start || offset - this.start + length > this.bytes.length) return;
    this.bytes.set(new Uint8Array(this.memory.buffer, offset, length), offset - this.start);
  }

  /** Offset in linear memory of the first byte that has changed and was not allowed to; undefined: none. */
  firstChange(): number | undefined {
    const now = new Int32Array(this.memory.buffer, this.start, this.copy.length);
    const { copy } = this;
    for (let word = 0; word < copy.length; word++) {
      if (now[word] === copy[word]) continue;
      const at = word * 4;
      const bytes = new Uint8Array(this.memory.buffer, this.start + at, 4);
      return this.start + at + bytes.findIndex((byte, i) => byte !== this.bytes[at + i]);
    }
    return undefined;
  }
}
