// The properties of test/model/properties hold for every build of the core.

import { describe, expect, test } from "vitest";
import { loadModule } from "../../src/core/wasm-files.js";
import { TARGETS, testMemory } from "../core/support/test-switch.js";
import { PROPERTIES } from "./properties/index.js";

describe.each(TARGETS)("%s build", (target) => {
  const memory = testMemory();

  test.each(PROPERTIES)("$name", async (property) => {
    const { module } = loadModule("core", target);
    const { failure } = await property.check({ module, memory, runs: 100 });
    expect(failure).toBeUndefined();
  });
});
