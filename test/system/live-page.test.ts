// The live page in a real browser: what it shows of two guests' traffic, that it can be used without a pointer and without
// colours, and what it says when the switch goes and comes back. SCREENSHOTS=FOLDER keeps pictures of it.

import { join } from "node:path";
import axe from "axe-core";
import { type Browser, chromium, type Page } from "playwright-core";
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import { Lab } from "../switch/support/lab.js";
import { Pair } from "../switch/support/traffic.js";
import { describeNeeding, programOnPath } from "./lib/needs.js";

const TOKEN = "the-token-of-this-test";
const WAIT = { timeout: 120_000 };

describeNeeding(["chromium", "switch"], "the live page", () => {
  const lab = new Lab();
  let pair: Pair;
  let browser: Browser;
  let url: string;
  const pages: Page[] = [];
  /** What no page may say: errors of its program, and what its own rules forbid it. */
  const complaints: string[] = [];

  beforeAll(async () => {
    await lab.start(["vm1=listen", "vm2=listen", "vm3=listen"], ["--web", "127.0.0.1:0", "--web-token", TOKEN]);
    url = (await lab.control.status()).web!;
    pair = (await Pair.attach(lab, ["vm1", "vm2"], 1)).go();
    browser = await chromium.launch({ executablePath: programOnPath("chromium"), args: ["--no-sandbox"] });
  });
  afterEach(async () => {
    for (const page of pages.splice(0)) await page.close();
    expect(complaints.splice(0)).toEqual([]);
  });
  afterAll(async () => {
    pair?.release();
    await browser?.close();
    await lab.close();
  });

  async function open(width = 1280, scheme: "light" | "dark" = "light", hash = `#token=${TOKEN}`): Promise<Page> {
    const page = await browser.newPage({ viewport: { width, height: 900 }, colorScheme: scheme });
    pages.push(page);
    page.setDefaultTimeout(WAIT.timeout);
    page.on("pageerror", (error) => complaints.push(error.message));
    page.on("console", (message) => {
      // That the switch cannot be reached is what one test wants.
      const expected = /ERR_CONNECTION_REFUSED|ERR_INCOMPLETE_CHUNKED|401 \(Unauthorized\)/.test(message.text());
      if (message.type() === "error" && !expected) complaints.push(message.text());
    });
    await page.goto(url + hash);
    return page;
  }

  /** Waits until there is a line of its own colour in the plot of a port. */
  const drawn = (page: Page, name: string) =>
    page.waitForFunction(
      (port) => {
        const card = [...document.querySelectorAll(".plot-card")].find((each) =>
          each.querySelector("h3")?.textContent?.startsWith(port),
        );
        const canvas = card?.querySelector("canvas");
        const key = card?.querySelector(".key-rx span");
        if (!canvas || !key || canvas.width === 0) return false;
        const [red, green, blue] = getComputedStyle(key).color.match(/\d+/g)!.map(Number);
        const { data } = canvas.getContext("2d")!.getImageData(0, 0, canvas.width, canvas.height);
        let points = 0;
        for (let i = 0; i < data.length; i += 4) {
          const near =
            Math.abs(data[i]! - red!) + Math.abs(data[i + 1]! - green!) + Math.abs(data[i + 2]! - blue!) < 30;
          if (near && data[i + 3]! > 128) points++;
        }
        return points > 20;
      },
      name,
      WAIT,
    );

  test("shows the guests' traffic, their ring as it moves, their addresses and messages", async () => {
    const page = await open();
    await page.getByRole("status").getByText("live").waitFor(WAIT);
    // The token is nothing for those who look over a shoulder.
    expect(page.url()).toBe(url);
    for (const name of ["vm1", "vm2"]) await drawn(page, name);
    const plot = page.getByRole("img", { name: /^vm1: / });
    expect(await plot.getAttribute("aria-label")).toMatch(
      /^vm1: [\d.]+ k?pps from the guest and [\d.]+ k?pps to it now/,
    );
    expect(await page.getByRole("button", { name: /^vm3, waiting/ }).count()).toBe(1);

    const place = page.locator(".ring-facts");
    const before = await place.textContent(WAIT);
    await page.waitForFunction((text) => document.querySelector(".ring-facts")?.textContent !== text, before, WAIT);
    expect(await page.locator(".cells .cell").count()).toBe(256);
    expect(await page.locator(".cells .cell-marked").count()).toBeGreaterThan(0);

    expect(await page.locator(".addresses tbody tr").count()).toBe(2);
    await page.getByLabel("MAC address").fill("no such");
    await page.getByLabel("MAC address").fill("ff:ff");
    await page.getByText("No learned address is like that.").waitFor(WAIT);
    expect(await page.locator(".message-back-end .name", { hasText: "GET_FEATURES" }).count()).toBeGreaterThan(0);
  });

  test("can be used with the keyboard alone", async () => {
    const page = await open();
    const port = page.getByRole("button", { name: /^vm2, running/ });
    await port.focus(WAIT);
    await page.keyboard.press("Enter");
    await page.getByRole("button", { name: /^vm2, running/, pressed: true }).waitFor(WAIT);
    // The rest of the page follows.
    await page.waitForFunction(() => document.querySelectorAll(".addresses tbody tr").length === 1, undefined, WAIT);
    expect(await page.locator(".message .port").count()).toBe(0);

    const frames = () => page.locator(".ring-facts").textContent();
    await page.keyboard.press("p");
    await page.getByRole("status").getByText("paused").waitFor(WAIT);
    const still = [await frames(), await page.locator(".plot-card .legend").first().textContent()];
    const { arrived } = pair;
    await pair.more(500);
    expect(pair.arrived).toBeGreaterThan(arrived);
    expect([await frames(), await page.locator(".plot-card .legend").first().textContent()]).toEqual(still);
    await page.keyboard.press("p");
    await page.waitForFunction((text) => document.querySelector(".ring-facts")?.textContent !== text, still[0], WAIT);
  });

  test.each([
    [360, "light"],
    [360, "dark"],
    [1920, "light"],
    [1920, "dark"],
  ] as const)("has no serious fault of accessibility at %i pixels, %s", async (width, scheme) => {
    const page = await open(width, scheme);
    await drawn(page, "vm1");
    await page.locator(".ring-facts").waitFor(WAIT);
    await page.evaluate(axe.source);
    const { violations } = await page.evaluate(() => (window as unknown as { axe: typeof axe }).axe.run());
    const serious = violations.filter(({ impact }) => impact === "serious" || impact === "critical");
    expect(serious.map(({ id, nodes }) => `${id}: ${nodes.map(({ html }) => html).join(" ")}`)).toEqual([]);
    expect(await page.evaluate(() => document.documentElement.scrollWidth)).toBe(width);
    const folder = process.env.SCREENSHOTS;
    if (folder !== undefined) await page.screenshot({ path: join(folder, `live-${width}-${scheme}.png`) });
  });

  test("asks for the token when it has none", async () => {
    const page = await open(800, "light", "");
    await page.getByText("This switch wants its token").waitFor(WAIT);
    await page.getByLabel("Token").fill("another-token-altogether");
    await page.keyboard.press("Enter");
    await page.getByText("the token is not known").waitFor(WAIT);
    await page.getByLabel("Token").fill(TOKEN);
    await page.keyboard.press("Enter");
    await page.getByRole("status").getByText("live").waitFor(WAIT);
    // The tab may be loaded again.
    await page.reload();
    await page.getByRole("status").getByText("live").waitFor(WAIT);
  });

  test("says that the switch has gone, and goes on when it is back", async () => {
    const page = await open();
    await page.getByRole("status").getByText("live").waitFor(WAIT);
    await page.locator(".addresses").waitFor(WAIT);
    await lab.stop();
    await page.getByRole("status").getByText("the switch is gone").waitFor(WAIT);
    // What was known is still there.
    expect(await page.locator(".addresses tbody tr").count()).toBe(2);
    await lab.start(["vm1=listen", "vm9=listen"], ["--web", new URL(url).host, "--web-token", TOKEN]);
    await page.getByRole("status").getByText("live").waitFor(WAIT);
    await page.getByRole("button", { name: /^vm9, waiting/ }).waitFor(WAIT);
    await page.getByText("No address is known yet").waitFor(WAIT);
  });
});
