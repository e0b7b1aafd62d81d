// What happened in a scenario as one HTML page that needs nothing else. The same scenario and seed give the same bytes.

import { escapeHtml } from "../bench/report/escape.js";
import { renderFigure } from "../bench/report/figure.js";
import { STYLE } from "../bench/report/style.js";
import type { Check } from "./expectations.js";
import { numberText } from "./expectations.js";
import { figuresOf } from "./report-figures.js";
import type { RunResult } from "./result.js";
import type { SimulationResult } from "./run.js";

/** `name`: the scenario's, such as its file's without ending. */
export function simulationReport(result: SimulationResult, name: string): string {
  const { about, seed, runs, checks, pass } = result;
  const failed = checks.filter((check) => !check.pass).length;
  const sum = pass ? `All ${checks.length} expectations hold.` : `${failed} of ${checks.length} expectations failed.`;
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>ringbridge sim ${escapeHtml(name)}</title>
<style>${STYLE}${SENTENCES}</style>
</head>
<body>
<header>
<h1>${escapeHtml(name)}</h1>
<p>${escapeHtml(about)}</p>
<p class="${pass ? "soft" : "warning"}">${sum} Seed ${seed}.</p>
</header>
<main>
<section>
<h2>Expectations</h2>
${checksTable(checks)}
</section>
${runs.map(runSection).join("\n")}
</main>
</body>
</html>
`;
}

function checksTable(checks: readonly Check[]): string {
  const variants = checks.some(({ variant }) => variant !== undefined);
  const rows = checks.map(({ pass, variant, what, expected, came, why }) => [
    pass ? "ok" : "FAILED",
    ...(variants ? [variant ?? ""] : []),
    ...[what, expected, came, why ?? ""],
  ]);
  return table(["", ...(variants ? ["variant"] : []), "what", "expected", "came", "why"], rows);
}

function runSection(run: RunResult, number: number): string {
  const title = run.variant ?? "What happened";
  const figures = figuresOf(run).map((figure, i) => renderFigure(figure, `chart-${number}-${i}`));
  return [
    `<section>\n<h2>${escapeHtml(title)}</h2>`,
    `<p class="soft">${numberText(run.milliseconds)} ms of the network's time, ${run.frames} frames.</p>`,
    `<div class="figures">\n${figures.join("\n")}\n</div>`,
    guestsTable(run),
    run.flows.length > 0 ? flowsTable(run) : "",
    run.links.length > 0 ? linksTable(run) : "",
    "</section>",
  ].join("\n");
}

function guestsTable({ guests }: RunResult): string {
  const rows = guests.map(({ name, sent, refused, received, kicks, calls, drops, fault }) => {
    const causes = Object.entries(drops).map(([cause, count]) => `${count} ${cause}`);
    return [name, sent, refused, received, kicks, calls, causes.join(", "), fault ?? ""];
  });
  return table(["guest", "sent", "refused", "received", "kicks", "calls", "dropped", "stopped"], rows);
}

function flowsTable({ flows }: RunResult): string {
  const rows = flows.map(({ name, flows: count, sent, refused, received, reordered, latency }) => {
    const times = latency
      ? [latency.p50, latency.p90, latency.p99, latency.most].map(numberText)
      : ["-", "-", "-", "-"];
    return [name, count, sent, refused, received, reordered, ...times];
  });
  const times = ["p50 ms", "p90 ms", "p99 ms", "most ms"];
  const all = table(["flow", "flows", "sent", "refused", "received", "reordered", ...times], rows);
  return flows.some(({ sent, received }) => received > sent) ? `${all}\n${FLOODED}` : all;
}

const FLOODED =
  '<p class="soft">A frame that is flooded, as one to an address that was not learned, counts as received once for each guest that it reaches.</p>';

function linksTable({ links }: RunResult): string {
  const rows = links.map(({ name, carried, lost, overflowed, refused }) => [name, carried, lost, overflowed, refused]);
  return table(["link", "carried", "lost", "overflowed", "refused"], rows);
}

function table(columns: readonly string[], rows: readonly (readonly (string | number)[])[]): string {
  const head = columns.map((column) => `<th scope="col">${escapeHtml(column)}</th>`).join("");
  // Sentences are broken into lines; words and numbers are not.
  const cell = (text: string | number) => `<td${isSentence(text) ? ' class="wide"' : ""}>${escapeHtml(text)}</td>`;
  const body = rows.map((row) => `<tr>${row.map(cell).join("")}</tr>`);
  return `<div class="scroll"><table><thead><tr>${head}</tr></thead><tbody>\n${body.join("\n")}\n</tbody></table></div>`;
}

/** On a narrow screen a table is moved sideways rather than a sentence broken at each word. */
const SENTENCES = "td.wide{min-width:14rem}";
const LINE = 24;

function isSentence(text: string | number): boolean {
  return typeof text === "string" && text.length > LINE;
}
