// The lab as its users have it: examples/ci with the packed package from a tarball, on this Node and in a page of headless
// Chromium, and one seed is one run on both. `npm run test:engines` does the same on more engines.

import { execFile } from "node:child_process";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { expect, test } from "vitest";
import { describeNeeding } from "./lib/needs.js";

const runner = fileURLToPath(new URL("../engines/run.mjs", import.meta.url));

describeNeeding(["chromium"], "the lab on engines", () => {
  test("the example passes on Node and in Chromium, with the same captures", async () => {
    const { stdout } = await promisify(execFile)(process.execPath, [runner, "--quick", "node", "chromium"]);
    expect(stdout).toMatch(/^node .* \d+ tests .* \d+ scenarios .* \d+ taken/m);
    expect(stdout).toMatch(/^chromium .* \d+ scenarios .* \d+ equal/m);
  });
});
