// Whether it is the engine that was meant which runs the tests, and not the one that its test runner prefers.

import { expect, test } from "vitest";

test("this is the engine that was meant", () => {
  expect(process.execPath).toBe(process.env.ENGINE_PATH);
});
