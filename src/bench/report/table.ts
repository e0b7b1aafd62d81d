// A benchmark's result as text for a terminal: what was measured, beside what, with which spread, and how far to
// trust it.

import { formatCount, indent, type Column, renderTable } from "../../cli/table.js";
import type { BenchResult, RatioPoint, ThroughputPoint } from "../result.js";
import * as words from "./words.js";

const left = (...titles: string[]): Column[] => titles.map((title) => ({ title }));
const right = (...titles: string[]): Column[] => titles.map((title) => ({ title, align: "right" as const }));

/** The whole report, without a newline at its end. Sections that nothing was measured for are left out. */
export function reportText(result: BenchResult): string {
  const sections = [head(result), throughput(result), latency(result), loss(result), trust(result)];
  return sections.filter((section) => section !== "").join("\n\n");
}

function head(result: BenchResult): string {
  const { environment: e, backEnds } = result;
  const commit = e.commit === undefined ? "" : `, commit ${e.commit.slice(0, 12)}`;
  const pages = e.hugePages ? "2 MiB" : "4 KiB";
  const lines = [
    `${result.startedAt}, ${Math.round(result.seconds)} s: ${result.command}`,
    `${e.cpu}, ${e.cores} cores, Linux ${e.kernel}, Node ${e.node} (V8 ${e.v8}), ${pages} pages`,
    `ringbridge ${e.ringbridge}${commit}, core ${e.wasmHash}`,
  ];
  const rows = backEnds.map(({ name, description }) => [name, description]);
  return `${lines.join("\n")}\n\n${indent(renderTable(left("back-end", "what it is"), rows))}`;
}

/** One table for each method, a row for each point, back-ends of one setting side by side. */
function throughput(result: BenchResult): string {
  const order = new Map(result.backEnds.map(({ name }, i) => [name, i]));
  const columns = [
    ...left("frame", "direction"),
    ...right("flows", "ports"),
    ...left("cores", "back-end"),
    ...right("Mpps (quartiles)", "Gbit/s (quartiles)", "× reference", "CPU s/M frames", "loss", "wrong", "windows"),
  ];
  const tables = (["mrr", "ndr", "pdr"] as const).map((method) => {
    const points = result.throughput.filter((point) => point.method === method);
    if (points.length === 0) return "";
    points.sort(
      (a, b) =>
        words.byFrame(a.frame, b.frame) ||
        a.direction.localeCompare(b.direction) ||
        a.ports - b.ports ||
        a.flows - b.flows ||
        a.cacheClass.localeCompare(b.cacheClass) ||
        (order.get(a.backEnd) ?? 0) - (order.get(b.backEnd) ?? 0),
    );
    const rows = points.map((point) => throughputRow(point, method === "mrr" ? ratioOf(result, point) : undefined));
    const title = `Throughput, ${words.METHOD_NAMES[method]}: ${words.METHOD_MEANINGS[method]}`;
    return `${title}\n${indent(renderTable(columns, rows))}`;
  });
  return tables.filter((table) => table !== "").join("\n\n");
}

function throughputRow(point: ThroughputPoint, ratio: RatioPoint | undefined): (string | number)[] {
  return [
    words.frameName(point.frame),
    words.DIRECTION_NAMES[point.direction],
    formatCount(point.flows),
    point.ports,
    words.CLASS_NAMES[point.cacheClass],
    point.backEnd,
    words.spreadText(point.framesPerSecond, 1e6),
    words.spreadText(point.bitsPerSecond, 1e9),
    ratio === undefined ? "" : words.spreadText(ratio.ratio, 1),
    point.cpuSecondsPerMillion === undefined ? "" : words.significant(point.cpuSecondsPerMillion),
    words.percent(point.lossRatio),
    point.wrong === 0 ? "0" : `${formatCount(point.wrong)} !`,
    point.framesPerSecond.windows,
  ];
}

/** The ratio that was measured in the same setting as a point, if its back-end is not the reference itself. */
export function ratioOf(result: BenchResult, point: ThroughputPoint): RatioPoint | undefined {
  const same = ["backEnd", "frame", "direction", "flows", "ports", "cacheClass"] as const;
  return result.ratios.find((ratio) => same.every((field) => ratio[field] === point[field]));
}

function latency(result: BenchResult): string {
  const columns = [
    ...left("frame", "load", "cores", "back-end"),
    ...right("p50 µs", "p90", "p99", "p99.9", "max", "frames"),
  ];
  return bySetting("Latency", result.latency, columns, (point) => [
    words.frameName(point.frame),
    words.loadName(point.load),
    words.CLASS_NAMES[point.cacheClass],
    point.backEnd,
    ...[point.p50, point.p90, point.p99, point.p999, point.max].map(words.significant),
    formatCount(point.frames),
  ]);
}

function loss(result: BenchResult): string {
  const order = result.backEnds.map(({ name }) => name);
  const points = [...result.loss].sort(
    (a, b) =>
      words.byFrame(a.frame, b.frame) ||
      a.cacheClass.localeCompare(b.cacheClass) ||
      order.indexOf(a.backEnd) - order.indexOf(b.backEnd) ||
      a.offered - b.offered,
  );
  const columns = [
    ...left("frame", "cores", "back-end"),
    ...right("offered Mpps", "received Mpps", "loss", "of it never sent"),
    ...left("drops counted"),
  ];
  return bySetting("Loss over load", points, columns, (point) => [
    words.frameName(point.frame),
    words.CLASS_NAMES[point.cacheClass],
    point.backEnd,
    words.significant(point.offered / 1e6),
    words.significant(point.received / 1e6),
    words.percent(lossShare(point.offered, point.received)),
    point.unsent === undefined || point.offered === 0 ? "" : words.percent(point.unsent / point.offered),
    dropsText(point.drops),
  ]);
}

/** A table for each direction and number of ports and flows, which stand in its title. */
function bySetting<T extends Parameters<typeof words.settingName>[0]>(
  title: string,
  points: readonly T[],
  columns: readonly Column[],
  row: (point: T) => (string | number)[],
): string {
  const settings = [...new Set(points.map(words.settingName))];
  const tables = settings.map((setting) => {
    const rows = points.filter((point) => words.settingName(point) === setting).map(row);
    return `${title}${setting === "" ? "" : `: ${setting}`}\n${indent(renderTable(columns, rows))}`;
  });
  return tables.join("\n\n");
}

/** Share of the offered frames that did not arrive; frames in flight can make more arrive than were offered. */
export function lossShare(offered: number, received: number): number {
  return offered > 0 ? Math.max(0, 1 - received / offered) : 0;
}

/** "no-rx-buffer 12.0 k, port-down 3": causes that counted something, most first. */
export function dropsText(drops: Record<string, number> | undefined): string {
  return Object.entries(drops ?? {})
    .filter(([, count]) => count > 0)
    .sort(([, a], [, b]) => b - a)
    .map(([cause, count]) => `${cause} ${formatCount(count)}`)
    .join(", ");
}

/** Whether any frame of the run arrived changed, twice or out of order. */
export function hasWrongFrames({ wrong, throughput }: BenchResult): boolean {
  return (wrong ?? 0) > 0 || throughput.some((point) => point.wrong > 0);
}

/** What a reader must know before he believes the figures. */
function trust(result: BenchResult): string {
  const { stalls, moved } = result.discarded;
  const lines = [
    `Windows left out: ${stalls} with a stall of the machine, ${moved} during which the cores moved.`,
    ...(hasWrongFrames(result)
      ? ["! Frames arrived changed, twice or out of order: figures with them are worth nothing."]
      : []),
    ...result.notes.map((note) => `Note: ${note}`),
  ];
  return lines.join("\n");
}
