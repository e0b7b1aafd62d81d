// The explorer in headless Chromium: its folder as any web server gives it, from a sub-path and without special headers.

import { readdirSync, readFileSync, statSync } from "node:fs";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { extname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { type Browser, chromium, type Page } from "playwright-core";
import { programOnPath } from "./needs.js";

export const explorerFolder = fileURLToPath(new URL("../../../dist/explore/", import.meta.url));
const TYPES: Record<string, string> = { ".html": "text/html", ".js": "text/javascript", ".css": "text/css" };
const FLAGS = [
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
];
const SUB_PATH = "/some/where/";
/** A whole lesson is replayed in a page on a busy machine. */
const LIMIT_MS = 60_000;

/** Bytes of all files of the folder. */
export function explorerBytes(): number {
  return readdirSync(explorerFolder).reduce((sum, name) => sum + statSync(join(explorerFolder, name)).size, 0);
}

export interface Visit {
  page: Page;
  /** What went wrong in the page: errors, console messages, requests to anywhere else. */
  problems: string[];
}

export class Explorer {
  private constructor(
    private readonly server: Server,
    private readonly browser: Browser,
  ) {}

  static async start(): Promise<Explorer> {
    const server = createServer((request, response) => {
      const { pathname } = new URL(request.url!, "http://localhost");
      const name = pathname.startsWith(SUB_PATH) ? pathname.slice(SUB_PATH.length) || "index.html" : undefined;
      if (!name || !readdirSync(explorerFolder).includes(name)) {
        response.writeHead(404).end();
        return;
      }
      const type = TYPES[extname(name)] ?? "application/octet-stream";
      response.writeHead(200, { "content-type": type }).end(readFileSync(join(explorerFolder, name)));
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const browser = await chromium.launch({ executablePath: programOnPath("chromium"), args: FLAGS });
    return new Explorer(server, browser);
  }

  get url(): string {
    return `http://127.0.0.1:${(this.server.address() as AddressInfo).port}${SUB_PATH}`;
  }

  /** Opens the page with this behind its address: "#/lab". */
  async visit(rest: string, { width = 1280, theme = "light" as "light" | "dark" } = {}): Promise<Visit> {
    const context = await this.browser.newContext({
      viewport: { width, height: 900 },
      colorScheme: theme,
      reducedMotion: "reduce",
    });
    const page = await context.newPage();
    page.setDefaultTimeout(LIMIT_MS);
    const problems: string[] = [];
    page.on("pageerror", ({ message }) => problems.push(message));
    page.on("console", (message) => {
      if (message.type() === "error" || message.type() === "warning") problems.push(message.text());
    });
    page.on("request", (request) => {
      const url = request.url();
      if (!url.startsWith(this.url) && !url.startsWith("data:") && !url.startsWith("blob:"))
        problems.push(`asked for ${url}`);
    });
    await page.goto(this.url + rest);
    await page.locator("main").waitFor();
    return { page, problems };
  }

  async close(): Promise<void> {
    await this.browser.close();
    this.server.close();
  }
}

/** Goes through all pieces of a lesson, up to its exercise. */
export async function readLesson(page: Page, beats: number): Promise<void> {
  for (let i = 0; i < beats; i++) {
    const beat = page.locator(".beat").nth(i);
    await beat.waitFor();
    const guess = beat.getByRole("button", { name: "That is my guess" });
    if ((await guess.count()) > 0) {
      // Nothing is shown before the reader has said what he expects.
      if ((await beat.getByRole("button", { name: "Show me" }).count()) > 0) throw new Error("it shows before it asks");
      await beat.getByRole("radio").first().check();
      await guess.click();
    }
    const show = beat.getByRole("button", { name: "Show me" });
    if ((await show.count()) > 0) await show.click();
    await beat.getByRole("button", { name: "Go on" }).click();
  }
}

/** Does the exercise in the way that the lesson knows, and waits for the page's verdict. */
export async function solveExercise(page: Page): Promise<void> {
  await page.getByRole("button", { name: "Begin" }).click();
  await page.locator(".verdict", { hasText: "Not yet" }).waitFor();
  await page.getByRole("button", { name: "Show a way to do it" }).click();
  // A short one may be over before: then there is no end to go to.
  const end = page.locator(".controls button:enabled", { hasText: "To the end" });
  await end.or(page.locator(".verdict.is-done")).first().waitFor();
  // By its key: a button waits until the page holds still.
  await page.keyboard.press("End");
  await page.locator(".verdict.is-done").waitFor();
}

/** Digest of the whole linear memory of the machine that is on the page, and the step that it is at. */
export function moment(page: Page): Promise<{ position: number; digest: string }> {
  return page.evaluate(async () => {
    const { machine } = (globalThis as unknown as { explorer: { machine: { memory: Uint8Array; position: number } } })
      .explorer;
    const digest = await crypto.subtle.digest("SHA-256", machine.memory.slice());
    const hex = Array.from(new Uint8Array(digest), (byte) => byte.toString(16).padStart(2, "0")).join("");
    return { position: machine.position, digest: hex };
  });
}
