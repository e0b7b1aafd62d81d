// The version in package.json, which lies one folder up in the sources and two in the built package.

import { readFileSync } from "node:fs";

/** The version of this package, such as "1.2.3". */
export function packageVersion(): string {
  for (const path of ["../package.json", "../../package.json"]) {
    let text: string;
    try {
      text = readFileSync(new URL(path, import.meta.url), "utf8");
    } catch {
      continue;
    }
    const { name, version } = JSON.parse(text) as { name?: string; version?: string };
    if (name === "ringbridge" && version !== undefined) return version;
  }
  throw new Error("the package.json of ringbridge is not where it belongs: install the package again");
}
