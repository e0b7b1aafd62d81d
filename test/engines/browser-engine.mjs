// The parts in headless Chromium: the project's files over plain HTTP without any header that a static host would not
// send, so without cross-origin isolation.

import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import { extname, join, normalize } from "node:path";

const TYPES = { ".html": "text/html", ".js": "text/javascript", ".wasm": "application/wasm" };
const LIMIT_MS = 300_000;

/** As of console-engine.mjs, and `close` when all is done. There is no vitest in a page. */
export async function browserParts({ path }, project) {
  const { chromium } = await import("playwright-core");
  const server = createServer(async (request, response) => {
    const { pathname } = new URL(request.url, "http://localhost");
    const file = join(project, normalize(pathname.endsWith("/") ? `${pathname}index.html` : pathname));
    const bytes = await readFile(file).catch(() => undefined);
    if (bytes) response.writeHead(200, { "content-type": TYPES[extname(file)] ?? "text/plain" }).end(bytes);
    else response.writeHead(404).end();
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  const browser = await chromium.launch({ executablePath: path, args: ["--no-sandbox"] });
  /** A page whose program has come so far that `ready` is true in it. Throws what it said otherwise. */
  const open = async (name, ready) => {
    const page = await browser.newPage();
    const errors = [];
    page.on("pageerror", (error) => errors.push(error.message));
    await page.goto(`http://127.0.0.1:${server.address().port}/${name}`);
    await page.waitForFunction(ready, undefined, { timeout: LIMIT_MS }).catch((error) => {
      throw new Error([error.message, ...errors].join("\n"));
    });
    return page;
  };
  const digests = async (name) => {
    const page = await open(name, () => window.digests !== undefined);
    if (await page.evaluate(() => crossOriginIsolated)) throw new Error("the page is isolated: it was not to be");
    let timer;
    const late = new Promise((_, reject) => {
      timer = setTimeout(reject, LIMIT_MS, new Error(`${name} is not done after ${LIMIT_MS / 1000} s`));
    });
    return Promise.race([page.evaluate(() => window.digests), late]).finally(() => clearTimeout(timer));
  };
  return {
    async anywhere() {
      const page = await open("anywhere/", () => document.title === "done");
      const lines = await page.locator("li").allTextContents();
      if (lines.length === 0 || lines.some((line) => !line.startsWith("ok "))) throw new Error(lines.join("\n"));
      return `${lines.length} scenarios`;
    },
    hashes: () => digests("engines/hashes.html"),
    scenarios: () => digests("engines/scenarios.html"),
    async close() {
      await browser.close();
      server.close();
    },
  };
}
