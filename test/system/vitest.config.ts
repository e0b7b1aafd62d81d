// The system tests: real guests under QEMU and DPDK's driver against the built switch. They share two cores and measure
// CPU time of processes, so one file runs at a time. Every wait inside has a limit of its own; the timeouts here only
// catch a wait that was forgotten. On the machine that judges a submission a test that fails is given one more run, and
// the report says so ("retry x1"): whole virtual machines on two shared cores now and then lose a race with the clock.
import { fileURLToPath } from "node:url";
import { defineConfig } from "vitest/config";

export default defineConfig({
  root: fileURLToPath(new URL("../..", import.meta.url)),
  test: {
    include: ["test/system/*.test.ts"],
    setupFiles: ["test/system/lib/setup.ts"],
    pool: "forks",
    fileParallelism: false,
    testTimeout: 600_000,
    hookTimeout: 240_000,
    teardownTimeout: 60_000,
    retry: process.env.CI ? 1 : 0,
    reporters: ["verbose"],
  },
});
