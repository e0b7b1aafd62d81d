// `npm run explore:pictures`: a picture of each lesson of the explorer, of its first page and its laboratory, as docs/explore/NAME.webp, from the
// built page in headless Chromium (tools/system-packages.sh installs it). For the README, and to be looked at.

import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import { extname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { chromium } from "playwright-core";

process.chdir(fileURLToPath(new URL("..", import.meta.url)));
const { LESSONS } = await import("../dist/src/explore/lessons/index.js");
const executablePath = [process.env.CHROMIUM, "/usr/bin/chromium"].find((path) => path && existsSync(path));
if (!executablePath) {
  process.stderr.write("no Chromium: tools/system-packages.sh installs it, or name one in CHROMIUM\n");
  process.exit(1);
}
const FOLDER = "dist/explore";
const OUT = "docs/explore";
const VIEW = { width: 1360, height: 850 };
const QUALITY = 0.82;
const TYPES = { ".html": "text/html", ".js": "text/javascript", ".css": "text/css" };

const server = createServer((request, response) => {
  const { pathname } = new URL(request.url, "http://localhost");
  const file = join(FOLDER, pathname === "/" ? "index.html" : pathname.slice(1).replaceAll("/", ""));
  if (!existsSync(file)) return response.writeHead(404).end();
  return response
    .writeHead(200, { "content-type": TYPES[extname(file)] ?? "application/octet-stream" })
    .end(readFileSync(file));
});
await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
const base = `http://127.0.0.1:${server.address().port}/`;
const browser = await chromium.launch({ executablePath, args: ["--no-sandbox", "--disable-gpu", "--disable-quic"] });
const wanted = process.argv.slice(2);
mkdirSync(OUT, { recursive: true });

for (const { id, beats } of LESSONS) await picture(id, `#/lesson/${id}`, (page) => read(page, beats.length));
await picture("home", "#/", (page) => play(page, "Send a frame there and one back", 4000));
await picture("laboratory", "#/lab", async (page) => {
  await page.getByRole("button", { name: "Tell a" }).click();
  await page.keyboard.press("Shift+A");
  for (let i = 0; i < 6; i++) await page.keyboard.press("s");
});
await browser.close();
server.close();

async function picture(name, rest, prepare) {
  if (wanted.length > 0 && !wanted.includes(name)) return;
  const theme = name === "laboratory" ? "dark" : "light";
  const page = await browser.newPage({ viewport: VIEW, colorScheme: theme, reducedMotion: "reduce" });
  page.setDefaultTimeout(120_000);
  await page.goto(base + rest);
  await prepare(page);
  const file = join(OUT, `${name}.webp`);
  writeFileSync(file, await webp(await page.screenshot()));
  process.stderr.write(`${file}\n`);
  await page.close();
}

/** To the last question, answered right, with what it shows shown. */
async function read(page, beats) {
  for (let i = 0; i < beats; i++) {
    const beat = page.locator(".beat").nth(i);
    await beat.waitFor();
    const guess = beat.getByRole("button", { name: "That is my guess" });
    if ((await guess.count()) > 0) {
      await beat.getByRole("radio").first().check();
      await guess.click();
    }
    const show = beat.getByRole("button", { name: "Show me" });
    if ((await show.count()) > 0) await show.click();
    const end = page.getByRole("button", { name: "To the end" });
    if (i === beats - 1) {
      await end.click({ timeout: 3000 }).catch(() => {});
      // Nothing lights up because the pointer happens to be on it; and the last piece comes up to the stage, however short.
      await page.mouse.move(0, 0);
      await page.addStyleTag({ content: ".lesson article { padding-bottom: 100vh }" });
      await page.evaluate(() => scrollTo(0, document.querySelector(".beat:last-of-type").offsetTop - 12));
      await page.evaluate(() => document.querySelector(".stage-column")?.scrollTo(0, 0));
    } else await beat.getByRole("button", { name: "Go on" }).click();
  }
  await page.waitForTimeout(500);
}

async function play(page, name, time) {
  await page.getByRole("button", { name }).click();
  await page.waitForTimeout(time);
}

/** Chromium writes WebP, playwright does not ask it to. */
async function webp(png) {
  const page = await browser.newPage();
  const base64 = await page.evaluate(
    async ([data, quality]) => {
      const image = new Image();
      image.src = `data:image/png;base64,${data}`;
      await image.decode();
      const canvas = document.createElement("canvas");
      canvas.width = image.naturalWidth;
      canvas.height = image.naturalHeight;
      canvas.getContext("2d").drawImage(image, 0, 0);
      return canvas.toDataURL("image/webp", quality).split(",")[1];
    },
    [png.toString("base64"), QUALITY],
  );
  await page.close();
  return Buffer.from(base64, "base64");
}
