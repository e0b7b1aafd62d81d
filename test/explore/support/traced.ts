// The traced build from the disk, for tests.

import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { Sites, type SiteTable } from "../../../src/explore/machine/sites.js";
import { compileTraced } from "../../../src/explore/machine/traced-core.js";

export function built(name: string): Uint8Array<ArrayBuffer> {
  return readFileSync(fileURLToPath(new URL(`../../../dist/wasm/${name}`, import.meta.url)));
}

export const table = JSON.parse(new TextDecoder().decode(built("core.sites.json"))) as SiteTable;
export const sites = new Sites(table);
export const tracedModule = compileTraced(built("core.traced.wasm"));
