// The full matrix of real front-ends: half an hour and more, so a command of its own beside the system tests.
import { mergeConfig } from "vitest/config";
import system from "../vitest.config.js";

const config = mergeConfig(system, {});
export default {
  ...config,
  test: { ...config.test, include: ["test/system/matrix/*.test.ts"], reporters: ["default"] },
};
