// The system tests: real guests under QEMU and DPDK's driver against the built switch. They share two cores and measure
// CPU time of processes, so one file runs at a time. Every wait inside has a limit of its own; the timeouts here only
// catch a wait that was forgotten.
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
    reporters: ["verbose"],
  },
});
