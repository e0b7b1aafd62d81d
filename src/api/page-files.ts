// The built web pages (tools/pages.mjs) as routes: plain files of a folder, the same that any web server could serve.

import { existsSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { serveStatic } from "@hono/node-server/serve-static";
import type { Handler } from "hono";

/** The folder of a page in the checkout or package: dist/explore or dist/web. Throws with what to do when it was not built. */
export function pageFolder(page: "explore" | "web"): string {
  const here = dirname(fileURLToPath(import.meta.url));
  const root = here.includes(join("dist", "src")) ? join(here, "..", "..", "..") : join(here, "..", "..");
  const folder = join(root, "dist", page);
  if (!existsSync(join(folder, "index.html"))) {
    throw new Error(`${folder} is missing: run "npm run build" in a checkout, or install the package again`);
  }
  return folder;
}

/** Answers GET and HEAD with the files of a page; to be mounted behind all other routes. */
export function pageFiles(page: "explore" | "web"): Handler {
  const root = pageFolder(page);
  return serveStatic({
    root,
    onFound: (_, context) => {
      // A new build has the same names.
      context.header("Cache-Control", "no-cache");
      context.header("X-Content-Type-Options", "nosniff");
    },
  }) as Handler;
}
