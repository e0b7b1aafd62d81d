// A chart with its legend, and its figures as a table below it.

import { type Chart, renderChart, renderKey } from "./chart.js";
import { escapeHtml } from "./escape.js";

/** A chart and the same figures in words. */
export interface Figure {
  chart: Chart;
  columns: string[];
  rows: (string | number)[][];
}

/** The figure as HTML; `id` must be the page's only one. */
export function renderFigure({ chart, columns, rows }: Figure, id: string): string {
  const keys = chart.series.map(({ name, style }) => `<li>${renderKey(style)}${escapeHtml(name)}</li>`).join("");
  const head = columns.map((column) => `<th scope="col">${escapeHtml(column)}</th>`).join("");
  const body = rows.map((row) => `<tr>${row.map((cell) => `<td>${escapeHtml(cell)}</td>`).join("")}</tr>`).join("");
  return [
    `<figure><figcaption>${escapeHtml(chart.title)}</figcaption>`,
    `<ul class="keys">${keys}</ul>`,
    renderChart(chart, id),
    '<details><summary>Figures</summary><div class="scroll">',
    `<table><thead><tr>${head}</tr></thead><tbody>${body}</tbody></table>`,
    "</div></details>",
    "</figure>",
  ].join("\n");
}
