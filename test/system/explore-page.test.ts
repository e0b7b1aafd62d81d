// The explorer's page in headless Chromium: every lesson to its end, steps forward and back, links of panes, links to a moment,
// accessibility, weight.

import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import type { Page } from "playwright-core";
import { afterAll, beforeAll, expect, test } from "vitest";
import { LESSONS } from "../../src/explore/lessons/index.js";
import { decodeState, encodeState } from "../../src/explore/machine/index.js";
import { Explorer, explorerBytes, explorerFolder, moment, readLesson, solveExercise } from "./lib/explorer.js";
import { describeNeeding } from "./lib/needs.js";

const WEIGHT_MOST = 500_000;
const axeSource = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

describeNeeding(["chromium"], "the explorer's page", () => {
  let explorer: Explorer;
  beforeAll(async () => {
    explorer = await Explorer.start();
  });
  afterAll(() => explorer?.close());

  test("weighs less than 500 kB, loads nothing from elsewhere, and names the core that it runs", async () => {
    expect(explorerBytes()).toBeLessThan(WEIGHT_MOST);
    const { page, problems } = await explorer.visit("");
    const hash = createHash("sha256")
      .update(readFileSync(join(explorerFolder, "core.traced.wasm")))
      .digest("hex");
    const text = await page.locator("footer").textContent();
    expect(text).toContain(hash);
    expect(problems).toEqual([]);
    await page.context().close();
  });

  test.each(LESSONS.map((lesson) => [lesson.title, lesson] as const))("%s runs to its end", async (_, lesson) => {
    const { page, problems } = await explorer.visit(`#/lesson/${lesson.id}`);
    await readLesson(page, lesson.beats.length);
    if ("session" in lesson) await page.getByRole("button", { name: "Show a way to do it" }).click();
    else await solveExercise(page);
    await page.locator(".verdict.is-done").waitFor();
    await page.goto(`${explorer.url}#/`);
    await page.locator(".lessons li", { hasText: lesson.title }).getByText("✓ done").waitFor();
    expect(problems).toEqual([]);
    await page.context().close();
  });

  test("steps over a whole frame, back, and forward again: the same memory at each return", async () => {
    const { page, problems } = await explorer.visit("#/lab");
    await page.getByRole("button", { name: "Tell a" }).click();
    const forward = [await moment(page)];
    const step = page.getByRole("button", { name: "Step", exact: true });
    // To the call that tells a of its buffer.
    for (let i = 0; i < 200; i++) {
      await step.click();
      forward.push(await moment(page));
      if ((await page.locator(".caption").textContent())?.includes("device calls a")) break;
    }
    expect(forward.length).toBeGreaterThan(30);
    expect(new Set(forward.map(({ digest }) => digest)).size).toBeGreaterThan(10);
    const back = [forward.at(-1)!];
    for (let i = 1; i < forward.length; i++) {
      await page.keyboard.press("ArrowLeft");
      back.unshift(await moment(page));
    }
    expect(back).toEqual(forward);
    for (let i = 1; i < forward.length; i++) {
      await page.keyboard.press("ArrowRight");
      expect(await moment(page)).toEqual(forward[i]);
    }
    expect(problems).toEqual([]);
    await page.context().close();
  });

  test("what the pointer or the focus is on lights up in every pane", async () => {
    const { page } = await explorer.visit("#/lab");
    await page.getByRole("button", { name: "Tell a" }).click();
    await page.getByRole("button", { name: "driver A" }).press("Shift+A");
    const lit = (pane: string) => page.locator(`${pane} [data-lit]`).count();
    await page.locator(".structs tr", { hasText: /^idx/ }).first().hover();
    for (const pane of [".rings", ".events", ".memory", ".structs"])
      expect([pane, await lit(pane)]).not.toEqual([pane, 0]);
    await page.mouse.move(2, 2);
    await expect.poll(() => lit("body")).toBe(0);
    await page.locator(".events button").nth(3).focus();
    for (const pane of [".rings", ".memory", ".structs"]) expect([pane, await lit(pane)]).not.toEqual([pane, 0]);
    // And the line of an event shows where it comes from.
    await page.locator(".events button", { hasText: "avail.idx = 1" }).hover();
    await page.locator(".source", { hasText: "2.7.13.3" }).waitFor();
    await page.context().close();
  });

  test("the address is the moment: whoever opens it sees the same, in the lab, in a lesson, as a figure", async () => {
    const { page } = await explorer.visit("#/lab");
    await page.getByRole("button", { name: "Tell a" }).click();
    await page.keyboard.press("Shift+A");
    for (let i = 0; i < 7; i++) await page.keyboard.press("s");
    const before = await moment(page);
    await page.waitForFunction(() => location.hash.includes("s="));
    await page.waitForTimeout(500);
    const hash = new URL(page.url()).hash;
    const second = await explorer.visit(hash);
    await second.page.locator(".stage").waitFor();
    expect(await moment(second.page)).toEqual(before);
    const figure = await explorer.visit(`?figure=a.transmitq${hash}`);
    await figure.page.locator(".stage.is-figure").waitFor();
    expect(await moment(figure.page)).toEqual(before);
    expect(await figure.page.locator(".page-header, .pane").count()).toBe(0);
    const damaged = await explorer.visit(hash.slice(0, -3));
    await damaged.page.getByRole("alert").waitFor();
    // A link of another build still opens, and says that it is one.
    const said = (visit: { page: Page }) => visit.page.getByRole("status").filter({ hasText: "another build" }).count();
    expect(await said(second)).toBe(0);
    const text = hash.slice(hash.indexOf("s=") + 2);
    const foreign = await explorer.visit(hash.replace(text, encodeState({ ...decodeState(text), core: "0badc0de" })));
    await foreign.page.locator(".stage").waitFor();
    expect(await said(foreign)).toBe(1);
    for (const visit of [{ page }, second, figure, damaged, foreign]) await visit.page.context().close();
  });

  test("keys: a reader without a pointer gets everywhere, and can turn the keys off", async () => {
    const { page } = await explorer.visit("#/lab");
    await page.keyboard.press("?");
    await page.getByRole("dialog", { name: "Keys" }).waitFor();
    await page.getByRole("checkbox", { name: "keys without Ctrl" }).uncheck();
    await page.getByRole("button", { name: "Close" }).click();
    await page.getByRole("button", { name: "Tell a" }).press("Enter");
    const { position } = await moment(page);
    await page.keyboard.press("a");
    expect((await moment(page)).position).toBe(position);
    await page.context().close();
  });

  test("a breakpoint stops", async () => {
    const { page } = await explorer.visit("#/lab");
    await page.getByRole("button", { name: "Tell a" }).click();
    await page.getByText("Breakpoints").click();
    await page.getByRole("checkbox", { name: "a kick" }).check();
    await page.getByRole("combobox", { name: "Speed" }).selectOption("100");
    await page.getByRole("button", { name: "Play" }).click();
    await page.locator(".caption", { hasText: "Stopped at step" }).waitFor();
    expect(await page.locator(".caption").textContent()).toContain("a kicks");
    await page.context().close();
  });

  const pages = [
    "#/",
    "#/lesson/one-descriptor",
    "#/lesson/packed?b=3",
    "#/lesson/memory",
    "#/lab",
    "#/quiz",
    "#/teach",
  ];
  const looks = [360, 1920].flatMap((width) => (["light", "dark"] as const).map((theme) => [width, theme] as const));
  test.each(pages)("axe finds nothing serious on %s, narrow and wide, light and dark", async (rest) => {
    const { page } = await explorer.visit(rest);
    if (rest.includes("lab")) {
      await page.getByRole("button", { name: "Tell a" }).click();
      await page.keyboard.press("Shift+A");
      await page.keyboard.press("Shift+S");
    }
    await page.locator("h1").waitFor();
    // As a string: the page's own policy allows no script of others.
    await page.evaluate(axeSource);
    const backgrounds = new Map<string, string>();
    for (const [width, theme] of looks) {
      await page.setViewportSize({ width, height: 900 });
      await page.emulateMedia({ colorScheme: theme });
      expect(await page.evaluate(() => document.documentElement.scrollWidth - innerWidth)).toBeLessThanOrEqual(0);
      const found = await page.evaluate(async () => {
        type Axe = {
          run(options: object): Promise<{ violations: { id: string; impact: string; nodes: { html: string }[] }[] }>;
        };
        const { violations } = await (globalThis as unknown as { axe: Axe }).axe.run({ resultTypes: ["violations"] });
        return violations
          .filter(({ impact }) => impact === "serious" || impact === "critical")
          .map(({ id, nodes }) => `${id}: ${nodes.map(({ html }) => html.slice(0, 200)).join(" | ")}`);
      });
      expect([width, theme, ...found]).toEqual([width, theme]);
      backgrounds.set(theme, await page.evaluate(() => getComputedStyle(document.body).backgroundColor));
    }
    expect(new Set(backgrounds.values()).size).toBe(2);
    await page.context().close();
  });
});
