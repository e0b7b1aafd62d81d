import { fileURLToPath } from "node:url";
import { defineConfig } from "vitest/config";

const source = (path: string) => fileURLToPath(new URL(`../src/testing/${path}`, import.meta.url));

/** They start processes and wait for them, so they run one after the other; the rest as many at a time as there are processors. */
const PROCESSES = [
  "test/switch/**/*.test.ts",
  "test/bench/run.test.ts",
  "test/check/{check,once}.test.ts",
  "test/cli/{check,demo}.test.ts",
  "test/testing/guide.test.ts",
  "test/guest/{front-end,guest-child,load-guest}.test.ts",
];

export default defineConfig({
  // The examples and the guide's code say what a user says; here it means the sources.
  resolve: {
    alias: [
      { find: /^ringbridge\/testing$/, replacement: source("index.ts") },
      { find: /^ringbridge\/testing\/vitest$/, replacement: source("vitest.ts") },
    ],
  },
  test: {
    projects: [
      {
        extends: true,
        test: {
          name: "pure",
          include: ["test/**/*.test.ts", "examples/ci/test/*.test.ts"],
          exclude: ["test/system/**", "test/engines/project/**", ...PROCESSES],
          maxWorkers: "100%",
          sequence: { groupOrder: 0 },
        },
      },
      {
        extends: true,
        test: { name: "processes", include: PROCESSES, maxWorkers: 1, sequence: { groupOrder: 1 } },
      },
    ],
    testTimeout: 60_000,
    hookTimeout: 60_000,
    // As in the system tests: where a submission is judged, what lost a race with a busy machine gets one more run, and
    // the report says so ("retry x1").
    retry: process.env.CI ? 1 : 0,
  },
});
