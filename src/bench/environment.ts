// Where a benchmark ran: what a reader needs to judge its figures.

import { execFileSync } from "node:child_process";
import { existsSync } from "node:fs";
import { cpus, release } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { loadModule } from "../core/wasm-files.js";
import { packageVersion } from "../version.js";
import type { Environment } from "./result.js";

export function describeEnvironment(hugePages: boolean): Environment {
  const commit = commitOfCheckout();
  return {
    cpu: cpus()[0]?.model.trim() ?? "unknown",
    cores: cpus().length,
    kernel: release(),
    node: process.version,
    v8: process.versions.v8,
    ringbridge: packageVersion(),
    ...(commit === undefined ? {} : { commit }),
    wasmHash: loadModule("core").hash,
    hugePages,
  };
}

/** The commit this was built from, when it runs in a checkout; "-dirty" is put behind it when files were changed. */
function commitOfCheckout(): string | undefined {
  const here = dirname(fileURLToPath(import.meta.url));
  const root = [join(here, "..", ".."), join(here, "..", "..", "..")].find((path) => existsSync(join(path, ".git")));
  if (root === undefined) return undefined;
  try {
    return execFileSync("git", ["describe", "--always", "--dirty", "--exclude=*"], {
      cwd: root,
      encoding: "utf8",
      stdio: ["ignore", "pipe", "ignore"],
    }).trim();
  } catch {
    return undefined;
  }
}
