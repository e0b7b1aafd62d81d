// Where the built Wasm modules lie, for hosts that have a file system.

import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { type BuildTarget, compileModule } from "./module.js";

/** The checkout's or package's `dist/wasm`, seen from dist/src/core as well as from src/core. */
function wasmFolder(): string {
  const here = dirname(fileURLToPath(import.meta.url));
  const root = here.includes(join("dist", "src")) ? join(here, "..", "..", "..") : join(here, "..", "..");
  return join(root, "dist", "wasm");
}

export interface LoadedModule {
  module: WebAssembly.Module;
  /** First 16 hex digits of the file's SHA-256. */
  hash: string;
}

/** Reads and compiles `dist/wasm/<name>.<target>.wasm`. Throws with what to do when it was not built. */
export function loadModule(name: "core" | "driver", target: BuildTarget = "release"): LoadedModule {
  const path = join(wasmFolder(), `${name}.${target}.wasm`);
  let bytes: Buffer<ArrayBuffer>;
  try {
    bytes = readFileSync(path);
  } catch {
    throw new Error(`${path} is missing: run "npm run build"`);
  }
  return { module: compileModule(bytes), hash: createHash("sha256").update(bytes).digest("hex").slice(0, 16) };
}
