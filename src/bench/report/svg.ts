// One chart of a benchmark's result as an SVG file of its own, with its legend: for a README or a slide.

import type { BenchResult } from "../result.js";
import { type Chart, renderChart, renderKey } from "./chart.js";
import { escapeHtml } from "./escape.js";
import { sectionsOf } from "./figures.js";
import { STYLE } from "./style.js";

const WIDTH = 640;
const CHART_HEIGHT = 340;
const TITLE_HEIGHT = 28;
const KEY_HEIGHT = 22;
const KEYS_IN_A_ROW = 4;

/** The result's first chart (throughput over frame size) as a file. Throws when the result has no figures. */
export function reportSvg(result: BenchResult): string {
  const chart = sectionsOf(result, [])[0]?.figures[0]?.chart;
  if (chart === undefined) throw new Error("the result has no figures to draw");
  return chartFile(chart);
}

function chartFile(chart: Chart): string {
  const rows = Math.ceil(chart.series.length / KEYS_IN_A_ROW);
  const height = TITLE_HEIGHT + rows * KEY_HEIGHT + CHART_HEIGHT;
  const place = (svg: string, x: number, y: number, width: number, high: number) =>
    svg.replace("<svg ", `<svg x="${x}" y="${y}" width="${width}" height="${high}" `);
  const keys = chart.series.map(({ name, style }, i) => {
    const x = 62 + (i % KEYS_IN_A_ROW) * 144;
    const y = TITLE_HEIGHT + Math.floor(i / KEYS_IN_A_ROW) * KEY_HEIGHT;
    return `${place(renderKey(style), x, y, 36, 16)}<text x="${x + 44}" y="${y + 13}">${escapeHtml(name)}</text>`;
  });
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" font-family="system-ui, sans-serif" role="img" aria-labelledby="title">`,
    `<title id="title">${escapeHtml(chart.title)}</title>`,
    `<style>${STYLE}</style>`,
    `<rect width="${WIDTH}" height="${height}" fill="var(--paper)"/>`,
    `<text x="62" y="18" font-weight="600">${escapeHtml(chart.title)}</text>`,
    ...keys,
    place(renderChart(chart, "chart"), 0, TITLE_HEIGHT + rows * KEY_HEIGHT, WIDTH, CHART_HEIGHT),
    "</svg>\n",
  ].join("\n");
}
