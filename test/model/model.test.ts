// The properties of test/model/properties hold for every build of the core.

import { describe, expect, test } from "vitest";
import { loadModule } from "../../src/core/wasm-files.js";
import { runs } from "../sample.js";
import { TARGETS, testMemory } from "../core/support/test-switch.js";
import { built } from "../explore/support/traced.js";
import { TestedCore } from "./tested-core.js";
import { PROPERTIES } from "./properties/index.js";

describe.each(TARGETS)("%s build", (target) => {
  const memory = testMemory();

  const core = new TestedCore(loadModule("core", target).module, built(`core.${target}.wasm`));

  test.each(PROPERTIES)("$name", async (property) => {
    const { failure } = await property.check({ core, memory, runs: runs(100) });
    expect(failure).toBeUndefined();
  });
});
