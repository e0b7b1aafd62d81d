// The live page as it was built, read once: its files are few and small.

import { readdirSync, readFileSync } from "node:fs";
import { dirname, extname, join } from "node:path";
import { fileURLToPath } from "node:url";

export interface PageFile {
  type: string;
  bytes: Uint8Array<ArrayBuffer>;
}

const TYPES: Record<string, string> = {
  ".html": "text/html; charset=utf-8",
  ".js": "text/javascript; charset=utf-8",
  ".css": "text/css; charset=utf-8",
  ".svg": "image/svg+xml",
};

/** The files of dist/web by name. Throws with what to do when the page was not built. */
export function readPage(): ReadonlyMap<string, PageFile> {
  const folder = pageFolder();
  let names: string[];
  try {
    names = readdirSync(folder);
  } catch {
    throw new Error(`${folder} is missing: run "npm run build"`);
  }
  const known = names.filter((name) => TYPES[extname(name)] !== undefined);
  return new Map(
    known.map((name) => [
      name,
      { type: TYPES[extname(name)]!, bytes: new Uint8Array(readFileSync(join(folder, name))) },
    ]),
  );
}

/** The checkout's or package's `dist/web`, seen from dist/src/web as well as from src/web. */
function pageFolder(): string {
  const here = dirname(fileURLToPath(import.meta.url));
  const root = here.includes(join("dist", "src")) ? join(here, "..", "..", "..") : join(here, "..", "..");
  return join(root, "dist", "web");
}
