// MAC addresses as numbers and as text.

import { expect, test } from "vitest";
import { formatMac, isInterfaceMac, parseMac } from "../../src/core/mac.js";

test("an address is a number with its first octet lowest, and back", () => {
  expect(parseMac("52:54:00:12:34:56")).toBe(0x563412005452n);
  expect(parseMac("02:00:00:00:AB:ff")).toBe(0xffab00000002n);
  expect(formatMac(0x563412005452n)).toBe("52:54:00:12:34:56");
  expect(formatMac(2n)).toBe("02:00:00:00:00:00");
});

test.each(["", "52:54:00:12:34", "52:54:00:12:34:56:78", "52-54-00-12-34-56", "5:54:00:12:34:56", "g2:54:00:12:34:56"])(
  "%j is none",
  (text) => {
    expect(parseMac(text)).toBeUndefined();
  },
);

test("an interface has neither a group address nor none", () => {
  expect(["52:54:00:12:34:56", "02:00:00:00:00:00"].map((text) => isInterfaceMac(parseMac(text)!))).toEqual([
    true,
    true,
  ]);
  const others = ["00:00:00:00:00:00", "01:00:5e:00:00:01", "ff:ff:ff:ff:ff:ff"];
  expect(others.map((text) => isInterfaceMac(parseMac(text)!))).toEqual([false, false, false]);
  expect(isInterfaceMac(1n << 49n)).toBe(false);
});
