// Reports of a made-up result: everything is in them, nothing is in them that should not be.

import { describe, expect, it } from "vitest";
import { type HistoryEntry, historyEntry } from "../../../src/bench/report/history.js";
import { reportHtml } from "../../../src/bench/report/html.js";
import { reportSvg } from "../../../src/bench/report/svg.js";
import { reportText } from "../../../src/bench/report/table.js";
import { escapeHtml } from "../../../src/bench/report/escape.js";
import { fixture, FRAMES, HOSTILE, NAMES } from "./fixture.js";

function runs(count: number): HistoryEntry[] {
  return Array.from({ length: count }, (_, i) => {
    const entry = historyEntry(fixture(), "ringbridge");
    return { ...entry, at: `2026-11-${10 + i}T00:00:00.000Z`, commit: `commit${i}` };
  });
}

/** Text of the elements of one kind, tags inside them removed. */
function elements(html: string, name: string): string[] {
  return [...html.matchAll(new RegExp(`<${name}(?: [^>]*)?>(.*?)</${name}>`, "gs"))].map(([, inner]) =>
    inner!.replace(/<[^>]+>/g, ""),
  );
}

describe("the text report", () => {
  it("names every back-end and frame size, and the environment", () => {
    const text = reportText(fixture());
    for (const name of NAMES) expect(text).toContain(name);
    for (const frame of FRAMES) expect(text).toContain(frame === "imix" ? "IMIX" : `${frame} B`);
    for (const word of ["Example CPU @ 3 GHz", "20.20.0", "11.3.244.8", "0123456789ab", "feedfacecafebeef", "2 MiB"]) {
      expect(text).toContain(word);
    }
  });

  it("puts median, quartiles, ratio and CPU time of a point in its row", () => {
    const result = fixture();
    result.throughput = result.throughput.filter(({ backEnd, frame }) => backEnd === "ringbridge" && frame === 1518);
    const point = result.throughput[0]!;
    point.framesPerSecond = { median: 12.34e6, low: 11e6, high: 13e6, windows: 5 };
    point.bitsPerSecond = { median: 149.9e9, low: 133e9, high: 158e9, windows: 5 };
    point.cpuSecondsPerMillion = 0.0811;
    const ratio = result.ratios.find(({ backEnd, frame }) => backEnd === "ringbridge" && frame === 1518)!;
    ratio.ratio = { median: 2.25, low: 2.2, high: 2.3, windows: 5 };
    const row = reportText(result)
      .split("\n")
      .find((line) => line.includes("12.3 (11.0–13.0)"));
    expect(row).toMatch(/1518 B .*ringbridge .*150 \(133–158\) .*2\.25 \(2\.20–2\.30\) .*0\.081 .*1\.2 % .*0 .*5$/);
  });

  it("keeps methods apart and says what they mean", () => {
    const result = fixture();
    const [first] = result.throughput;
    result.throughput = [first!, { ...first!, method: "ndr" }];
    const text = reportText(result);
    expect(text).toContain("Throughput, MRR: offered flat out, frames received");
    expect(text).toContain("Throughput, NDR: highest rate without any loss");
    expect(text).not.toContain("PDR: highest");
  });

  it("says how many windows were left out, lists notes and causes of drops", () => {
    const text = reportText(fixture());
    expect(text).toContain("7 with a stall of the machine, 3 during which the cores moved");
    expect(text).toContain("Note: a note with <b>tags</b>");
    expect(text).toContain("no-rx-buffer 12");
  });

  it("warns of figures with wrong frames, and only of those", () => {
    const result = fixture();
    expect(reportText(result)).not.toContain("worth nothing");
    result.throughput[0]!.wrong = 2;
    expect(reportText(result)).toContain("worth nothing");
    expect(reportHtml(result)).toContain("out of order with ringbridge: figures");
    const elsewhere = { ...fixture(), wrong: 1 };
    expect(reportText(elsewhere)).toContain("worth nothing");
    expect(reportHtml(elsewhere)).toContain("out of order: figures");
  });

  it("leaves out sections without figures", () => {
    const text = reportText({ ...fixture(), throughput: [], loss: [], latency: [], ratios: [] });
    for (const word of ["Throughput", "Latency", "Loss over"]) expect(text).not.toContain(word);
  });

  it("says of loss and latency what they were measured with, where that is known", () => {
    const result = fixture();
    const setting = { direction: "both-ways" as const, ports: 4, flows: 1000 };
    result.loss = [{ ...result.loss[0]!, ...setting, offered: 4e6, received: 1e6, unsent: 1e6 }];
    result.latency = [{ ...result.latency[0]!, ...setting }];
    const text = reportText(result);
    expect(text).toContain("Latency: both ways, 4 ports, 1000 flows\n");
    expect(text).toMatch(/Loss over load: both ways, 4 ports, 1000 flows\n.*\n.*4\.00 +1\.00 +75 % +25 %/);
    const html = reportHtml(result);
    expect(html).toContain("Loss: 64 B, both ways, 4 ports, 1000 flows, cores: shared cache");
    expect(html).toContain("Latency: 64 B, one in flight, both ways, 4 ports, 1000 flows, cores: shared cache");
  });

  it("has no line with blanks at its end", () => {
    expect(reportText(fixture())).not.toMatch(/ $/m);
  });
});

describe("the HTML report", () => {
  it("needs nothing from elsewhere and runs nothing", () => {
    const html = reportHtml(fixture(), runs(3));
    expect(html).not.toMatch(/<script|<link|<img|<iframe|@import|url\(|https?:|src=|href=/);
  });

  it("escapes names wherever they stand", () => {
    const html = reportHtml(fixture(), runs(3));
    expect(html).toContain(escapeHtml(HOSTILE));
    expect(html).not.toContain(HOSTILE);
    expect(html).toContain("a note with &lt;b&gt;tags&lt;/b&gt;");
  });

  it("has a chart for each question, each with title, description and its figures", () => {
    const html = reportHtml(fixture(), runs(3));
    const headings = elements(html, "h2");
    for (const title of ["Throughput over frame size", "Side by side", "Loss over load", "Latency", "Cost per frame"]) {
      expect(headings).toContain(title);
    }
    expect(headings).toContain("Trend");
    const charts = html.match(/<svg viewBox[^>]*role="img"/g)!.length;
    expect(charts).toBe(elements(html, "figure").length);
    expect(elements(html, "details")).toHaveLength(charts);
    expect(elements(html, "desc")).toHaveLength(charts);
    const ids = [...html.matchAll(/ id="([^"]+)"/g)].map(([, id]) => id);
    expect(new Set(ids).size).toBe(ids.length);
  });

  it("shows every back-end in the key of a chart, with units on both axes", () => {
    const html = reportHtml(fixture());
    const first = html.slice(html.indexOf("<figure>"), html.indexOf("</figure>"));
    for (const name of NAMES) expect(first).toContain(escapeHtml(name));
    expect(first).toContain("Frame size (bytes)");
    expect(first).toContain("Frames per second (million)");
  });

  it("draws nothing outside its place, whatever the figures", () => {
    const result = fixture();
    result.latency.push({ ...result.latency[0]!, backEnd: "zero", p50: 0, p90: 0, p99: 0, p999: 0, max: 0 });
    result.loss.push({ ...result.loss[0]!, backEnd: "zero", offered: 0, received: 0 });
    const html = reportHtml(result, runs(2));
    expect(html).not.toMatch(/NaN|Infinity|undefined/);
    const heights = [...html.matchAll(/ c?y="(-?[\d.]+)"/g)].map(([, y]) => Number(y));
    expect(Math.min(...heights)).toBeGreaterThanOrEqual(0);
    expect(Math.max(...heights)).toBeLessThanOrEqual(340);
  });

  it("draws no trend of a single run, and no section without figures", () => {
    expect(elements(reportHtml(fixture(), runs(1)), "h2")).not.toContain("Trend");
    const empty = { ...fixture(), throughput: [], loss: [], latency: [], ratios: [] };
    expect(elements(reportHtml(empty), "h2")).toEqual(["What was measured", "Notes"]);
  });

  it("shows the figures of a chart in its table", () => {
    const result = fixture();
    result.loss = [{ backEnd: "one", frame: 64, cacheClass: "far", offered: 2e6, received: 1.5e6 }];
    const html = reportHtml(result);
    const section = html.slice(html.indexOf("<h2>Loss over load</h2>"));
    expect(elements(section, "td").slice(0, 4)).toEqual(["one", "2.00", "1.50", "25 %"]);
  });
});

it("the throughput chart is a file of its own that names every back-end and needs nothing from elsewhere", () => {
  const result = fixture();
  const svg = reportSvg(result);
  expect(svg).toMatch(/^<svg xmlns=/);
  for (const name of NAMES) expect(svg).toContain(escapeHtml(name));
  expect(svg.replace('xmlns="http://www.w3.org/2000/svg"', "")).not.toMatch(/https?:|<script|<image/);
  expect(() => reportSvg({ ...result, throughput: [], ratios: [], loss: [], latency: [] })).toThrow("no figures");
});
