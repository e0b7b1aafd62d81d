// Frames by their bytes, in columns of numbers: a lab may send millions, and an object for each would be most of its work.

/** Doubles a column. */
function doubled<T extends Uint32Array | Int32Array | Float64Array>(column: T): T {
  const larger = new (column.constructor as new (length: number) => T)(column.length * 2);
  larger.set(column);
  return larger;
}

export class FrameTable {
  /** Rows in use; a row is a kind of frame, known by a hash of 64 bits. */
  rows = 0;
  /** Nanosecond at which the first of a row was sent, the number of its flow, and its place among the flow's frames. */
  at = new Float64Array(256);
  flow = new Int32Array(256);
  place = new Uint32Array(256);
  /** The number of a guest that has received some, -1: none has; and how many. */
  guest = new Int32Array(256);
  count = new Uint32Array(256);
  private high = new Uint32Array(256);
  /**
   * Open addressing, at most half in use. Two words for each slot: a row's number and one, 0 where nothing is; and the low
   * half of its hash beside it, so that passing a slot by takes no look at the row, which is seldom in the cache.
   */
  private slots = new Uint32Array(2 * 512);
  private hashHigh = 0;
  private hashLow = 0;

  /** The row of these bytes, or -1. */
  find(bytes: Uint8Array): number {
    this.hash(bytes);
    return this.slots[this.slotOf()]! - 1;
  }

  /** A new row for bytes that `find` has just not found. */
  add(at: number, flow: number, place: number): number {
    if (this.rows === this.at.length) this.grow();
    const row = this.rows++;
    const slot = this.slotOf();
    this.slots[slot] = row + 1;
    this.slots[slot + 1] = this.hashLow;
    this.high[row] = this.hashHigh;
    this.at[row] = at;
    this.flow[row] = flow;
    this.place[row] = place;
    this.guest[row] = -1;
    return row;
  }

  /** Where the row of the last hash is, or would be. */
  private slotOf(): number {
    const { slots, hashLow } = this;
    const last = slots.length - 1;
    for (let slot = (hashLow << 1) & last; ; slot = (slot + 2) & last) {
      const row = slots[slot]! - 1;
      if (row < 0 || (slots[slot + 1] === hashLow && this.high[row] === this.hashHigh)) return slot;
    }
  }

  private grow(): void {
    for (const column of ["at", "flow", "place", "guest", "count", "high"] as const) {
      // biome-ignore lint/suspicious/noExplicitAny: each column becomes one of its own kind
      (this as any)[column] = doubled(this[column]);
    }
    const { slots: before } = this;
    const slots = new Uint32Array(before.length * 2);
    const last = slots.length - 1;
    for (let from = 0; from < before.length; from += 2) {
      if (before[from] === 0) continue;
      let slot = (before[from + 1]! << 1) & last;
      while (slots[slot] !== 0) slot = (slot + 2) & last;
      slots[slot] = before[from]!;
      slots[slot + 1] = before[from + 1]!;
    }
    this.slots = slots;
  }

  /**
   * Two words of the bytes and their number, four bytes at a time: each step turns the hash, for a product carries what is
   * different to the left only. Two of a million frames share both words once in ten million runs.
   */
  private hash(bytes: Uint8Array): void {
    const { length } = bytes;
    let a = 0xdeadbeef ^ length;
    let b = 0x41c6ce57 ^ length;
    let i = 0;
    for (; i + 4 <= length; i += 4) {
      const word = bytes[i]! | (bytes[i + 1]! << 8) | (bytes[i + 2]! << 16) | (bytes[i + 3]! << 24);
      a = Math.imul(((a << 13) | (a >>> 19)) ^ word, 0x9e3779b1);
      b = Math.imul(((b << 17) | (b >>> 15)) ^ word, 0x5f356495);
    }
    for (; i < length; i++) {
      a = Math.imul(((a << 13) | (a >>> 19)) ^ bytes[i]!, 0x9e3779b1);
      b = Math.imul(((b << 17) | (b >>> 15)) ^ bytes[i]!, 0x5f356495);
    }
    this.hashHigh = (Math.imul(a ^ (a >>> 16), 2246822507) ^ Math.imul(b ^ (b >>> 13), 3266489909)) >>> 0;
    this.hashLow = (Math.imul(b ^ (b >>> 16), 2246822507) ^ Math.imul(a ^ (a >>> 13), 3266489909)) >>> 0;
  }
}
