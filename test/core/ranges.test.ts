// The allocator of ranges of linear memory, compared with the plainest one: a list of what is given out.

import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { RangeAllocator } from "../../src/core/ranges.js";

const START = 4096;
const END = 4096 + 10_000;

type Step = { allocate: number; align: number } | { release: number };

const step: fc.Arbitrary<Step> = fc.oneof(
  fc.record({ allocate: fc.integer({ min: 1, max: 3000 }), align: fc.constantFrom(1, 2, 16, 64, 512) }),
  fc.record({ release: fc.nat() }),
);

describe("range allocator", () => {
  test("ranges never overlap, are aligned and inside; the bytes in use are counted", () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
        const allocator = new RangeAllocator(START, END);
        const given: { at: number; size: number }[] = [];
        for (const each of steps) {
          if ("allocate" in each) {
            const at = allocator.allocate(each.allocate, each.align);
            if (at === null) {
              expect(fits(given, each.allocate, each.align)).toBe(false);
              continue;
            }
            expect(at % each.align).toBe(0);
            expect(at).toBeGreaterThanOrEqual(START);
            expect(at + each.allocate).toBeLessThanOrEqual(END);
            for (const other of given) {
              expect(at + each.allocate <= other.at || other.at + other.size <= at).toBe(true);
            }
            given.push({ at, size: each.allocate });
          } else if (given.length > 0) {
            const [gone] = given.splice(each.release % given.length, 1);
            allocator.release(gone!.at, gone!.size);
          }
          expect(allocator.usedBytes).toBe(given.reduce((sum, { size }) => sum + size, 0));
        }
      }),
    );
  });

  test("free neighbours join: when all is given back, in any order, the whole fits again", () => {
    const sizes = fc.array(fc.integer({ min: 1, max: 700 }), { minLength: 1, maxLength: 14 });
    fc.assert(
      fc.property(sizes, fc.infiniteStream(fc.nat()), (wanted, order) => {
        const allocator = new RangeAllocator(START, END);
        const given = wanted.map((size) => ({ at: allocator.allocate(size, 1)!, size }));
        while (given.length > 0) {
          const [gone] = given.splice(order.next().value % given.length, 1);
          allocator.release(gone!.at, gone!.size);
        }
        expect(allocator.usedBytes).toBe(0);
        expect(allocator.allocate(END - START, 1)).toBe(START);
        expect(allocator.allocate(1, 1)).toBeNull();
      }),
    );
  });

  test("giving back what was not given out throws and changes nothing", () => {
    const allocator = new RangeAllocator(START, END);
    const at = allocator.allocate(100, 1)!;
    allocator.allocate(100, 1);
    allocator.release(at, 100);
    const wrong: [number, number][] = [
      [at, 100], // twice
      [at + 50, 100], // half of it free
      [at + 100, 101], // longer than what was given out
      [START - 10, 10],
      [END - 10, 20],
    ];
    for (const [start, size] of wrong) {
      expect(() => allocator.release(start, size)).toThrow(`range ${start}+${size} was not given out`);
    }
    expect(allocator.usedBytes).toBe(100);
    expect(allocator.totalBytes).toBe(END - START);
    expect(allocator.allocate(100, 1)).toBe(at);
  });
});

/** Whether a range would fit between those given out. */
function fits(given: { at: number; size: number }[], size: number, align: number): boolean {
  const ends = [START, ...given.map((range) => range.at + range.size)];
  return ends.some((end) => {
    const at = Math.ceil(end / align) * align;
    return at + size <= END && given.every((range) => at + size <= range.at || range.at + range.size <= at);
  });
}
