// Line charts as plain SVG: no script, no font, nothing from elsewhere, so that a report opens anywhere and for good.
// Colours come from the page's style sheet (style.ts), and each series has a marker and a dash of its own as well.

import { escapeHtml } from "./escape.js";
import { significant } from "./words.js";

export interface ChartPoint {
  /** A number on the axis; on an ordinal axis the place in `ticks`. */
  x: number;
  y: number;
  /** Quartiles, drawn as a bar. */
  low?: number;
  high?: number;
  /** Not joined to the point before it. */
  apart?: boolean;
}

export interface Series {
  name: string;
  /** Which of the page's colours and markers it has: the same back-end looks alike in all charts. */
  style: number;
  points: ChartPoint[];
  /** Without markers: for many points. */
  bare?: boolean;
}

export interface Axis {
  /** With its unit. */
  label: string;
  /** ordinal: the places 0, 1, … named by `ticks`. */
  scale: "linear" | "log" | "ordinal";
  ticks?: string[];
}

export interface Chart {
  title: string;
  x: Axis;
  y: Axis;
  series: Series[];
  /** A dashed line across, with what it means: 1 on a ratio, 0.5 % on a loss. */
  guide?: { y: number; text: string };
}

export const STYLES = 8;
const WIDTH = 640;
const HEIGHT = 340;
const PLOT = { left: 62, right: 620, top: 14, bottom: 284 };
const DASHES = ["", "7 3", "2 3", "9 3 2 3", "4 2", "12 4", "1 4", "6 2 1 2 1 2"];

/** An axis made ready: from a value to a place in the drawing, and where its ticks are. */
interface Scale {
  place(value: number): number;
  ticks: { value: number; text: string }[];
}

/** The chart as one `svg` element; `id` must be the page's only one. */
export function renderChart(chart: Chart, id: string): string {
  const points = chart.series.flatMap((series) => series.points);
  const heights = points.flatMap(({ y, low, high }) => [y, low ?? y, high ?? y]);
  const x = scaleOf(
    chart.x,
    points.map((point) => point.x),
    PLOT.left + 14,
    PLOT.right - 14,
  );
  const y = scaleOf(chart.y, [...heights, ...(chart.guide ? [chart.guide.y] : [])], PLOT.bottom, PLOT.top + 6);
  const parts = [
    ...y.ticks.map(({ value, text }) => yTick(y.place(value), text)),
    ...x.ticks.map(({ value, text }) => xTick(x.place(value), text)),
    label((PLOT.left + PLOT.right) / 2, HEIGHT - 12, chart.x.label, ""),
    label(14, (PLOT.top + PLOT.bottom) / 2, chart.y.label, `rotate(-90 14 ${(PLOT.top + PLOT.bottom) / 2})`),
    chart.guide ? guideLine(y.place(chart.guide.y), chart.guide.text) : "",
    ...chart.series.map((series) => drawSeries(series, x, y)),
  ];
  const names = chart.series.map(({ name }) => name).join(", ");
  const description = `${chart.y.label} over ${chart.x.label} for ${names}. The figures follow as a table.`;
  return [
    `<svg viewBox="0 0 ${WIDTH} ${HEIGHT}" role="img" aria-labelledby="${id}-title ${id}-desc">`,
    `<title id="${id}-title">${escapeHtml(chart.title)}</title>`,
    `<desc id="${id}-desc">${escapeHtml(description)}</desc>`,
    ...parts,
    "</svg>",
  ].join("");
}

/** The sample of a series for a legend. */
export function renderKey(style: number): string {
  const line = `<path class="line" d="M2 8H34"${dash(style)}/>`;
  const sample = `${line}${marker(style, 18, 8)}`;
  return `<svg class="key s${style % STYLES}" viewBox="0 0 36 16" aria-hidden="true">${sample}</svg>`;
}

function drawSeries({ name, style, points, bare }: Series, x: Scale, y: Scale): string {
  const sorted = [...points].sort((a, b) => a.x - b.x);
  const at = sorted.map((point) => [x.place(point.x), y.place(point.y)] as const);
  const path = at
    .map(([px, py], i) => `${i === 0 || sorted[i]!.apart ? "M" : "L"}${px.toFixed(1)} ${py.toFixed(1)}`)
    .join("");
  const bars = sorted.flatMap(({ low, high }, i) => {
    if (low === undefined || high === undefined || low === high) return [];
    const px = at[i]![0].toFixed(1);
    return [`<path class="bar" d="M${px} ${y.place(low).toFixed(1)}V${y.place(high).toFixed(1)}"/>`];
  });
  const markers = (bare ? [] : sorted).map((point, i) => {
    const text = `${name}: ${significant(point.y)}`;
    return `<g>${marker(style, ...at[i]!)}<title>${escapeHtml(text)}</title></g>`;
  });
  const line = at.length > 1 ? `<path class="line" d="${path}"${dash(style)}/>` : "";
  return `<g class="s${style % STYLES}">${bars.join("")}${line}${markers.join("")}</g>`;
}

function dash(style: number): string {
  const pattern = DASHES[style % STYLES]!;
  return pattern === "" ? "" : ` stroke-dasharray="${pattern}"`;
}

/** One of eight shapes, so that no series is told by its colour alone. */
function marker(style: number, x: number, y: number): string {
  const at = (dx: number, dy: number) => `${(x + dx).toFixed(1)} ${(y + dy).toFixed(1)}`;
  const shapes = [
    () => `<circle class="dot" cx="${x.toFixed(1)}" cy="${y.toFixed(1)}" r="4.5"/>`,
    () => `<path class="dot" d="M${at(-4, -4)}h8v8h-8z"/>`,
    () => `<path class="dot" d="M${at(0, -5)}L${at(5, 4)}L${at(-5, 4)}z"/>`,
    () => `<path class="dot" d="M${at(0, -6)}L${at(5, 0)}L${at(0, 6)}L${at(-5, 0)}z"/>`,
    () => `<path class="dot" d="M${at(0, 5)}L${at(5, -4)}L${at(-5, -4)}z"/>`,
    () => `<path class="stroke" d="M${at(-4, -4)}l8 8m0 -8l-8 8"/>`,
    () => `<path class="stroke" d="M${at(-5, 0)}h10m-5 -5v10"/>`,
    () => `<circle class="ring" cx="${x.toFixed(1)}" cy="${y.toFixed(1)}" r="4.5"/>`,
  ];
  return shapes[style % STYLES]!();
}

function yTick(y: number, text: string): string {
  const at = y.toFixed(1);
  const line = `<path class="grid" d="M${PLOT.left} ${at}H${PLOT.right}"/>`;
  return `${line}<text class="y tick" x="${PLOT.left - 8}" y="${at}">${escapeHtml(text)}</text>`;
}

function xTick(x: number, text: string): string {
  const at = x.toFixed(1);
  const line = `<path class="grid" d="M${at} ${PLOT.bottom}v5"/>`;
  return `${line}<text class="x tick" x="${at}" y="${PLOT.bottom + 19}">${escapeHtml(text)}</text>`;
}

function label(x: number, y: number, text: string, transform: string): string {
  const turn = transform === "" ? "" : ` transform="${transform}"`;
  return `<text class="label" x="${x}" y="${y}"${turn}>${escapeHtml(text)}</text>`;
}

function guideLine(y: number, text: string): string {
  const at = y.toFixed(1);
  const line = `<path class="guide" d="M${PLOT.left} ${at}H${PLOT.right}"/>`;
  return `${line}<text class="guide-text" x="${PLOT.right}" y="${(y - 5).toFixed(1)}">${escapeHtml(text)}</text>`;
}

function scaleOf(axis: Axis, values: readonly number[], from: number, to: number): Scale {
  if (axis.scale === "ordinal") return ordinal(axis.ticks ?? [], from, to);
  return axis.scale === "log" ? logarithmic(values, from, to) : linear(values, from, to);
}

function ordinal(names: readonly string[], from: number, to: number): Scale {
  const step = names.length > 1 ? (to - from) / (names.length - 1) : 0;
  // So many names that they would run into each other are thinned; the table below the chart has them all.
  const every = Math.ceil(names.length / 12);
  const ticks = names.map((text, value) => ({ value, text })).filter(({ value }) => value % every === 0);
  return { place: (value) => (names.length > 1 ? from + value * step : (from + to) / 2), ticks };
}

/** From zero, in steps of 1, 2 or 5 times a power of ten. */
function linear(values: readonly number[], from: number, to: number): Scale {
  const most = Math.max(...values, 0) || 1;
  const rough = most / 5;
  // By multiplication: engines may differ in the last bit of a logarithm or a power.
  let power = 1;
  while (power > rough) power /= 10;
  while (power * 10 <= rough) power *= 10;
  const step = power * ([1, 2, 5, 10].find((factor) => factor * power >= rough) ?? 10);
  const count = Math.ceil(most / step - 1e-9);
  const ticks = Array.from({ length: count + 1 }, (_, i) => ({ value: i * step, text: tickText(i * step) }));
  return { place: (value) => from + ((to - from) * value) / (count * step), ticks };
}

/** Whole decades with 1, 2 and 5 in each, or powers of ten alone when there are many. */
function logarithmic(values: readonly number[], from: number, to: number): Scale {
  const positive = values.filter((value) => value > 0);
  const low = Math.log10(Math.min(...positive, Number.MAX_VALUE));
  const high = Math.log10(Math.max(...positive, Number.MIN_VALUE));
  const first = positive.length > 0 ? lower(low) : 0;
  const last = positive.length > 0 ? Math.max(upper(high), first + 0.3) : 1;
  const ticks: Scale["ticks"] = [];
  for (let decade = Math.floor(first); decade <= Math.ceil(last); decade++) {
    for (const factor of last - first > 3 ? [1] : [1, 2, 5]) {
      const value = factor * 10 ** decade;
      if (Math.log10(value) > first - 1e-9 && Math.log10(value) < last + 1e-9)
        ticks.push({ value, text: tickText(value) });
    }
  }
  const place = (value: number) =>
    from + ((to - from) * (Math.log10(Math.max(value, 10 ** first)) - first)) / (last - first);
  return { place, ticks };
}

const STEPS = [0, Math.log10(2), Math.log10(5), 1];

/** The nearest of 1, 2, 5 times a power of ten that is not above (or below) a logarithm. */
function lower(log: number): number {
  const rest = log - Math.floor(log);
  return Math.floor(log) + [...STEPS].reverse().find((step) => step <= rest + 1e-9)!;
}

function upper(log: number): number {
  const rest = log - Math.floor(log);
  return Math.floor(log) + STEPS.find((step) => step >= rest - 1e-9)!;
}

function tickText(value: number): string {
  if (value >= 10_000) return `${Number((value / 1000).toPrecision(3))}k`;
  return String(Number(value.toPrecision(3)));
}
