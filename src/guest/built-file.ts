// Where the compiled host lies, for what is started as a process of its own.

import { existsSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

/**
 * The path of a compiled file of this package, such as "src/guest/guest-process.js", seen from the sources as well as
 * from dist. Throws with what to do when it was not built.
 */
export function builtFile(path: string): string {
  const above = join(dirname(fileURLToPath(import.meta.url)), "..", "..");
  const built = [join(above, path), join(above, "dist", path)].find(existsSync);
  if (built === undefined) throw new Error(`dist/${path} is missing: run "npm run build"`);
  return built;
}
