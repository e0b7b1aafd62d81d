// The plain driver of a packed ring against a small model of a device, which reads and writes as virtio 1.3, 2.8 says.

import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { PACKED_START, packedAfter } from "../../src/core/packed-ring.js";
import { PackedDriver, type PackedDriverOptions } from "../../src/guest/packed-driver.js";
import type { Buffer } from "../../src/guest/ring-driver.js";
import { runs } from "../sample.js";

const NEXT = 1;
const WRITE = 2;
const INDIRECT = 4;
const AVAIL = 1 << 7;
const USED = 1 << 15;

const DRIVER_AREA = 0x8_0000;
const DEVICE_AREA = 0x8_0010;
const TABLE = 0x9_0000;
/** Guest addresses are offsets in the memory plus this. */
const BASE = 0x1_0000_0000n;

interface Chain {
  id: number;
  span: number;
  buffers: { address: bigint; length: number; writable: boolean }[];
}

/** The device's half, with wrap counters as the specification has them. */
class ModelDevice {
  private next = 0;
  private availWrap = true;
  private usedAt = 0;
  private usedWrap = true;

  constructor(
    private readonly data: DataView,
    private readonly size: number,
    first = PACKED_START,
  ) {
    this.next = first & 0x7fff;
    this.usedAt = this.next;
    this.availWrap = first >= 0x8000;
    this.usedWrap = this.availWrap;
  }

  /** The next available chain, or null. */
  take(): Chain | null {
    if (!this.isAvailable(this.flags(this.next))) return null;
    const chain: Chain = { id: -1, span: 0, buffers: [] };
    for (let more = true; more; ) {
      const at = this.next * 16;
      const flags = this.flags(this.next);
      if (!this.isAvailable(flags)) throw new Error("a chain goes on with a descriptor that is not available");
      const address = this.data.getBigUint64(at, true);
      const length = this.data.getUint32(at + 8, true);
      if (flags & INDIRECT) {
        expect(chain.span).toBe(0);
        for (let entry = 0; entry < length / 16; entry++)
          chain.buffers.push(this.buffer(Number(address - BASE) + entry * 16));
      } else {
        chain.buffers.push(this.buffer(at));
      }
      chain.id = this.data.getUint16(at + 12, true);
      chain.span++;
      more = (flags & NEXT) !== 0;
      if (++this.next === this.size) {
        this.next = 0;
        this.availWrap = !this.availWrap;
      }
    }
    return chain;
  }

  /** Gives `span` slots back with one used descriptor. */
  use(id: number, span: number, written: number): void {
    const at = this.usedAt * 16;
    this.data.setUint16(at + 12, id, true);
    this.data.setUint32(at + 8, written === 0 ? 0xdead_beef : written, true);
    const flags = (this.usedWrap ? AVAIL | USED : 0) | (written === 0 ? 0 : WRITE);
    this.data.setUint16(at + 14, flags, true);
    this.usedAt += span;
    if (this.usedAt >= this.size) {
      this.usedAt -= this.size;
      this.usedWrap = !this.usedWrap;
    }
  }

  private isAvailable(flags: number): boolean {
    return ((flags & AVAIL) !== 0) === this.availWrap && ((flags & USED) !== 0) !== this.availWrap;
  }

  private buffer(at: number) {
    const address = this.data.getBigUint64(at, true);
    const flags = this.data.getUint16(at + 14, true);
    return { address, length: this.data.getUint32(at + 8, true), writable: (flags & WRITE) !== 0 };
  }

  private flags(slot: number): number {
    return this.data.getUint16(slot * 16 + 14, true);
  }
}

function set(size: number, options: PackedDriverOptions = {}) {
  const data = new DataView(new SharedArrayBuffer(0xa_0000));
  const memory = { data, at: (address: bigint) => Number(address - BASE) };
  const ring = { desc: BASE, avail: BASE + BigInt(DRIVER_AREA), used: BASE + BigInt(DEVICE_AREA) };
  const driver = new PackedDriver<number>(memory, ring, size, options);
  return { data, driver, device: new ModelDevice(data, size, options.first) };
}

const buffer = (length: number, writable = false): Buffer => ({ address: BigInt(length) << 20n, length, writable });

describe("packed driver", () => {
  test("a chain lies over consecutive slots, its id in the last; the device's length counts with WRITE only", () => {
    const { driver, device } = set(8);
    const read = [buffer(10), buffer(20), buffer(30)];
    const id = driver.add(read, 1)!;
    driver.add([buffer(40, true)], 2);
    expect(driver.freeDescriptors).toBe(4);
    const first = device.take()!;
    expect(first).toEqual({ id, span: 3, buffers: read });
    const second = device.take()!;
    expect(second.buffers).toEqual([buffer(40, true)]);
    expect(device.take()).toBeNull();
    expect(driver.take()).toBeNull();
    device.use(first.id, 3, 0);
    device.use(second.id, 1, 25);
    expect(driver.take()).toEqual({ head: id, written: 0, token: 1 });
    expect(driver.take()).toEqual({ head: second.id, written: 25, token: 2 });
    expect(driver.take()).toBeNull();
    expect(driver.freeDescriptors).toBe(8);
  });

  test("an indirect table takes one slot, and all its entries belong to the chain", () => {
    const { driver, device } = set(1);
    const buffers = [buffer(12), buffer(60, true), buffer(7, true)];
    const id = driver.add(buffers, 5, BASE + BigInt(TABLE))!;
    expect(driver.add([buffer(1)], 6)).toBeNull();
    expect(device.take()).toEqual({ id, span: 1, buffers });
    device.use(id, 1, 61);
    expect(driver.take()).toEqual({ head: id, written: 61, token: 5 });
  });

  test("no chain without room for all of it, nor one of no buffers", () => {
    const { driver, device } = set(3);
    expect(driver.add([], 0)).toBeNull();
    expect(driver.add([buffer(1), buffer(2), buffer(3), buffer(4)], 0)).toBeNull();
    driver.add([buffer(1), buffer(2)], 1);
    expect(driver.add([buffer(1), buffer(2)], 2)).toBeNull();
    driver.add([buffer(3)], 3);
    expect(device.take()!.span).toBe(2);
    expect(device.take()!.span).toBe(1);
    // The ring is full and the device's place is where the next chain will be: that is not one.
    expect(device.take()).toBeNull();
  });

  test.each([1, 2, 3, 5, 8, 100, 32_768])("%i slots: round after round, and the place of both sides", (size) => {
    const { driver, device } = set(size);
    let cursor = PACKED_START;
    // Counted, not expected one by one: that would take seconds with the largest ring.
    let right = 0;
    const chains = Math.max(2 * size, 50);
    for (let number = 0; number < chains; number++) {
      const span = 1 + (number % Math.min(size, 3));
      driver.add(
        Array.from({ length: span }, (_, i) => buffer(i + 1)),
        number,
      );
      const chain = device.take()!;
      device.use(chain.id, span, 0);
      if (chain.span === span && driver.take()?.token === number) right++;
      cursor = packedAfter(cursor, span, size);
    }
    expect(right).toBe(chains);
    expect([driver.availIndex, driver.usedIndex]).toEqual([cursor, cursor]);
  });

  test("a ring can start in the middle of a round, whichever its wrap counter", () => {
    for (const first of [PACKED_START | 4, 4]) {
      const { data, driver, device } = set(5, { first });
      for (let slot = 0; slot < 5; slot++) {
        const used = slot < 4 === first >= 0x8000;
        data.setUint16(slot * 16 + 14, used ? AVAIL | USED : 0, true);
      }
      expect(driver.take()).toBeNull();
      expect(device.take()).toBeNull();
      driver.add([buffer(1), buffer(2)], 7);
      const chain = device.take()!;
      expect(chain.buffers).toHaveLength(2);
      expect(driver.availIndex).toBe(first >= 0x8000 ? 1 : PACKED_START | 1);
      device.use(chain.id, 2, 0);
      expect(driver.take()?.token).toBe(7);
    }
  });

  test("chains come back in any order: tokens, ids and slots stay right", () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 12 }),
        fc.boolean(),
        fc.array(fc.record({ add: fc.boolean(), count: fc.nat(3), pick: fc.nat() }), { maxLength: 200 }),
        (size, inOrder, steps) => {
          const { driver, device } = set(size, { inOrder });
          const has = new Map<number, { chain: Chain; room: number }>();
          let number = 0;
          let free = size;
          for (const { add, count, pick } of steps) {
            const length = 1 + count;
            if (add) {
              const indirect = pick % 3 === 0;
              const buffers = Array.from({ length }, (_, i) => buffer(i + 1 + (pick % 50), true));
              // One table for all: the device reads it before the next chain is made.
              const id = driver.add(buffers, number, indirect ? BASE + BigInt(TABLE) : undefined);
              const span = indirect ? 1 : length;
              expect(id !== null).toBe(span <= free);
              if (id === null) continue;
              free -= span;
              const chain = device.take()!;
              expect(chain).toEqual({ id, span, buffers });
              has.set(number++, { chain, room: buffers.reduce((sum, each) => sum + each.length, 0) });
            } else if (has.size > 0) {
              const numbers = [...has.keys()];
              // In order: a batch, of which the last one's id is given.
              const chosen = numbers[pick % numbers.length]!;
              const batch = inOrder ? numbers.slice(0, numbers.indexOf(chosen) + 1) : [chosen];
              const span = batch.reduce((sum, each) => sum + has.get(each)!.chain.span, 0);
              device.use(has.get(chosen)!.chain.id, span, 1);
              for (const each of batch) {
                const { chain, room } = has.get(each)!;
                expect(driver.take()).toEqual({ head: chain.id, written: each === chosen ? 1 : room, token: each });
                has.delete(each);
              }
              free += span;
            }
            expect(driver.freeDescriptors).toBe(free);
            expect(driver.take()).toBeNull();
          }
        },
      ),
      { numRuns: runs(300) },
    );
  });

  test("a buffer that the device does not have cannot come back", () => {
    const { driver, device } = set(4);
    driver.add([buffer(1)], 1);
    device.use(77, 1, 0);
    expect(() => driver.take()).toThrow("buffer 77, which it did not have");
  });

  test("calls: the driver's area says always, never, or from the next used descriptor on", () => {
    const area = (data: DataView) => [data.getUint16(DRIVER_AREA, true), data.getUint16(DRIVER_AREA + 2, true)];
    const plain = set(4);
    plain.driver.wantCalls(false);
    expect(area(plain.data)[1]).toBe(1);
    plain.driver.wantCalls(true);
    expect(area(plain.data)[1]).toBe(0);
    const { data, driver, device } = set(4, { eventIdx: true });
    driver.wantCalls(true);
    expect(area(data)).toEqual([PACKED_START, 2]);
    for (let i = 0; i < 5; i++) {
      driver.add([buffer(1)], i);
      device.use(device.take()!.id, 1, 0);
      driver.take();
    }
    driver.wantCalls(true);
    expect(area(data)).toEqual([1, 2]);
    driver.wantCalls(false);
    expect(area(data)[1]).toBe(1);
  });

  test("kicks: as the device's area asks; by descriptor exactly when that one is made available", () => {
    const { data, driver, device } = set(5, { eventIdx: true });
    const ask = (flags: number, event = 0) => {
      data.setUint16(DEVICE_AREA, event, true);
      data.setUint16(DEVICE_AREA + 2, flags, true);
    };
    for (let cursor = PACKED_START, i = 0; i < 40; i++) {
      const span = 1 + (i % 3);
      driver.add(
        Array.from({ length: span }, () => buffer(1)),
        i,
      );
      ask(0);
      expect(driver.needsKick(cursor)).toBe(true);
      ask(1);
      expect(driver.needsKick(cursor)).toBe(false);
      for (let ahead = -5; ahead < 5; ahead++) {
        const event = ahead < 0 ? packedAfter(cursor, 5 + ahead, 5) ^ 0x8000 : packedAfter(cursor, ahead, 5);
        ask(2, event);
        expect([i, ahead, driver.needsKick(cursor)]).toEqual([i, ahead, ahead >= 0 && ahead < span]);
      }
      cursor = driver.availIndex;
      device.use(device.take()!.id, span, 0);
      driver.take();
    }
  });

  test("a full ring at once: its first and its last descriptor ask for a kick", () => {
    const { data, driver } = set(3, { eventIdx: true });
    driver.add([buffer(1), buffer(2), buffer(3)], 0);
    data.setUint16(DEVICE_AREA + 2, 2, true);
    for (const [event, wanted] of [
      [PACKED_START, true],
      [PACKED_START | 2, true],
      [0, false],
    ] as const) {
      data.setUint16(DEVICE_AREA, event, true);
      expect(driver.needsKick(PACKED_START)).toBe(wanted);
    }
  });
});
