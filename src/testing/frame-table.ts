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
  private low = new Uint32Array(256);
  /** Open addressing: a row's number and one, 0 where nothing is. At most half of them are in use. */
  private slots = new Uint32Array(512);
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
    this.slots[this.slotOf()] = row + 1;
    this.high[row] = this.hashHigh;
    this.low[row] = this.hashLow;
    this.at[row] = at;
    this.flow[row] = flow;
    this.place[row] = place;
    this.guest[row] = -1;
    return row;
  }

  /** Where the row of the last hash is, or would be. */
  private slotOf(): number {
    const mask = this.slots.length - 1;
    for (let slot = this.hashLow & mask; ; slot = (slot + 1) & mask) {
      const row = this.slots[slot]! - 1;
      if (row < 0 || (this.low[row] === this.hashLow && this.high[row] === this.hashHigh)) return slot;
    }
  }

  private grow(): void {
    for (const column of ["at", "flow", "place", "guest", "count", "high", "low"] as const) {
      // biome-ignore lint/suspicious/noExplicitAny: each column becomes one of its own kind
      (this as any)[column] = doubled(this[column]);
    }
    const { hashHigh, hashLow } = this;
    this.slots = new Uint32Array(this.slots.length * 2);
    for (let row = 0; row < this.rows; row++) {
      this.hashHigh = this.high[row]!;
      this.hashLow = this.low[row]!;
      this.slots[this.slotOf()] = row + 1;
    }
    this.hashHigh = hashHigh;
    this.hashLow = hashLow;
  }

  /** cyrb53's two words, of bytes and length: two of a million frames share both once in ten million runs. */
  private hash(bytes: Uint8Array): void {
    let a = 0xdeadbeef ^ bytes.length;
    let b = 0x41c6ce57 ^ bytes.length;
    for (let i = 0; i < bytes.length; i++) {
      const byte = bytes[i]!;
      a = Math.imul(a ^ byte, 2654435761);
      b = Math.imul(b ^ byte, 1597334677);
    }
    this.hashHigh = (Math.imul(a ^ (a >>> 16), 2246822507) ^ Math.imul(b ^ (b >>> 13), 3266489909)) >>> 0;
    this.hashLow = (Math.imul(b ^ (b >>> 16), 2246822507) ^ Math.imul(a ^ (a >>> 13), 3266489909)) >>> 0;
  }
}
