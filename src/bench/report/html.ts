// A benchmark's result as one HTML file that needs nothing else: charts as SVG, each with its figures as a table.

import type { BenchResult } from "../result.js";
import { escapeHtml } from "./escape.js";
import { renderFigure } from "./figure.js";
import { type Section, sectionsOf } from "./figures.js";
import type { HistoryEntry } from "./history.js";
import { STYLE } from "./style.js";
import { hasWrongFrames } from "./table.js";

/** The whole page. `history`: earlier runs and this one, oldest first, for the trend. */
export function reportHtml(result: BenchResult, history: readonly HistoryEntry[] = []): string {
  const sections = sectionsOf(result, history);
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>ringbridge bench, ${escapeHtml(result.startedAt)}</title>
<style>${STYLE}</style>
</head>
<body>
<header>
<h1>ringbridge bench</h1>
<p class="soft">${escapeHtml(result.startedAt)}, ${Math.round(result.seconds)} s<br>
<code>${escapeHtml(result.command)}</code></p>
</header>
<main>
${warnings(result)}
${environment(result)}
${sections.map(renderSection).join("\n")}
${notes(result)}
</main>
</body>
</html>
`;
}

function warnings(result: BenchResult): string {
  if (!hasWrongFrames(result)) return "";
  const culprits = new Set(result.throughput.filter((point) => point.wrong > 0).map(({ backEnd }) => backEnd));
  const names = culprits.size === 0 ? "" : ` with ${[...culprits].map(escapeHtml).join(", ")}`;
  const text = `Frames arrived changed, twice or out of order${names}: figures with them are worth nothing.`;
  return `<p class="warning">${text}</p>`;
}

function environment({ environment: e, backEnds }: BenchResult): string {
  const commit = e.commit === undefined ? "" : `, commit ${e.commit.slice(0, 12)}`;
  const facts: [string, string][] = [
    ["Processor", `${e.cpu}, ${e.cores} cores`],
    ["System", `Linux ${e.kernel}, ${e.hugePages ? "2 MiB" : "4 KiB"} pages`],
    ["Node", `${e.node} (V8 ${e.v8})`],
    ["Version", `ringbridge ${e.ringbridge}${commit}, core ${e.wasmHash}`],
  ];
  const row = (name: string, content: string) =>
    `<tr><th scope="row">${escapeHtml(name)}</th><td class="wide">${content}</td></tr>`;
  const rows = [
    ...facts.map(([name, text]) => row(name, escapeHtml(text))),
    ...backEnds.map(({ name, description, command }) =>
      row(name, `${escapeHtml(description)}${command === undefined ? "" : `<br><code>${escapeHtml(command)}</code>`}`),
    ),
  ];
  return `<h2>What was measured</h2>\n<div class="scroll"><table><tbody>${rows.join("")}</tbody></table></div>`;
}

function renderSection({ title, text, figures }: Section, number: number): string {
  const drawn = figures.map((figure, i) => renderFigure(figure, `chart-${number}-${i}`));
  return [
    `<section>\n<h2>${escapeHtml(title)}</h2>`,
    `<p class="soft">${escapeHtml(text)}</p>`,
    `<div class="figures">\n${drawn.join("\n")}\n</div>\n</section>`,
  ].join("\n");
}

function notes({ discarded: { stalls, moved }, notes: list }: BenchResult): string {
  const items = [
    `Windows left out: ${stalls} with a stall of the machine, ${moved} during which the cores moved.`,
    ...list,
  ].map((item) => `<li>${escapeHtml(item)}</li>`);
  return `<section>\n<h2>Notes</h2>\n<ul>${items.join("")}</ul>\n</section>`;
}
