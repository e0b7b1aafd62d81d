// Tables line up, and numbers are short but never wrong in size.

import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { formatBytes, formatCount, formatDuration, formatRate, indent, renderTable } from "../../src/cli/table.js";

describe("renderTable", () => {
  it("makes columns as wide as their widest cell", () => {
    const table = renderTable(
      [{ title: "PORT" }, { title: "FRAMES", align: "right" }, { title: "NOTE" }],
      [["vm1", 5, "ok"], ["gateway", 1_234_567, ""], ["x", "", "longer than the title"], ["y"]],
    );
    expect(table).toBe(
      [
        "PORT      FRAMES  NOTE",
        "vm1            5  ok",
        "gateway  1234567",
        "x                 longer than the title",
        "y",
      ].join("\n"),
    );
  });

  it("shows titles without rows", () => {
    expect(renderTable([{ title: "A" }, { title: "B", align: "right" }], [])).toBe("A  B");
  });
});

it("indents every line that is not empty", () => {
  expect(indent("a\n\nb", 3)).toBe("   a\n\n   b");
});

describe("numbers", () => {
  it.each<[number, string]>([
    [0, "0"],
    [99_999, "99999"],
    [100_000, "100 k"],
    [1_234_567, "1.23 M"],
    [999_999, "1.00 M"],
    [-2_500_000, "-2.50 M"],
    [2 ** 53, "9.01 P"],
    [Number.NaN, "-"],
  ])("count %d is %s", (count, text) => {
    expect(formatCount(count)).toBe(text);
  });

  it.each<[number, string, string]>([
    [0, "pps", "0 pps"],
    [0.4, "pps", "0 pps"],
    [999.7, "pps", "1.00 kpps"],
    [1_234_567, "pps", "1.23 Mpps"],
    [5e8, "bit/s", "500 Mbit/s"],
    [14_880_952, "pps", "14.9 Mpps"],
    [1e30, "pps", "1000000000000000 Ppps"],
    [Number.POSITIVE_INFINITY, "pps", "-"],
  ])("rate %d %s is %s", (value, unit, text) => {
    expect(formatRate(value, unit)).toBe(text);
  });

  it.each<[number, string]>([
    [0, "0 B"],
    [1023, "1023 B"],
    [1024, "1.00 KiB"],
    [1_610_612_736, "1.50 GiB"],
    [268_435_456, "256 MiB"],
    [1_073_741_823, "1.00 GiB"],
    [Number.NaN, "-"],
  ])("%d bytes are %s", (bytes, text) => {
    expect(formatBytes(bytes)).toBe(text);
  });

  it.each<[number, string]>([
    [0, "0 s"],
    [999, "0 s"],
    [65_000, "1 min 5 s"],
    [3_600_000, "1 h"],
    [3_723_000, "1 h 2 min"],
    [200_000_000, "2 d 7 h"],
    [-5, "0 s"],
    [Number.NaN, "-"],
  ])("%d ms are %s", (milliseconds, text) => {
    expect(formatDuration(milliseconds)).toBe(text);
  });

  it("stay within half a percent and six characters", () => {
    const factor: Record<string, number> = { "": 1, k: 1e3, M: 1e6, G: 1e9, T: 1e12, P: 1e15 };
    fc.assert(
      fc.property(fc.integer({ min: 0, max: Number.MAX_SAFE_INTEGER }), (count) => {
        const [digits = "", prefix = ""] = formatCount(count).split(" ");
        expect(digits.length).toBeLessThanOrEqual(5);
        expect(Math.abs(Number(digits) * factor[prefix]! - count)).toBeLessThanOrEqual(count * 0.006);
      }),
    );
  });
});
