// `npm run transcripts`: not a test, but it needs what the system tests have.
import { defineConfig, mergeConfig } from "vitest/config";
import systemTests from "./vitest.config.js";

const { test, ...rest } = systemTests;
export default mergeConfig(rest, defineConfig({ test: { ...test, include: ["test/system/record-transcripts.ts"] } }));
