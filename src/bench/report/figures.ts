// Which pictures a benchmark's result makes: a chart and the table of its figures for each.

import type { FrameSize } from "../../guest/traffic.js";
import type { BenchResult, CacheClass, LatencyPoint, ThroughputPoint } from "../result.js";
import { groupBy as groupsByKey } from "../statistics.js";
import type { Axis, Chart, ChartPoint, Series } from "./chart.js";
import type { Figure } from "./figure.js";
import type { HistoryEntry, HistoryPoint } from "./history.js";
import { lossShare } from "./table.js";
import * as words from "./words.js";

export interface Section {
  title: string;
  /** A sentence on how to read it. */
  text: string;
  figures: Figure[];
}

const PDR_LOSS = 0.5;

/** All sections that there are figures for. `history` is that of earlier runs and this one, oldest first. */
export function sectionsOf(result: BenchResult, history: readonly HistoryEntry[]): Section[] {
  const styles = new Map(result.backEnds.map(({ name }, i) => [name, i]));
  const style = (name: string) => {
    if (!styles.has(name)) styles.set(name, styles.size);
    return styles.get(name)!;
  };
  const sections = [
    throughputSection(result, style),
    ratioSection(result, style),
    lossSection(result, style),
    latencySection(result, style),
    costSection(result, style),
    trendSection(history),
  ];
  return sections.filter(({ figures }) => figures.length > 0);
}

type StyleOf = (backEnd: string) => number;

/** Things by what they have in common, in the order in which they come. */
function groupBy<T>(items: readonly T[], key: (item: T) => string): T[][] {
  return [...groupsByKey(items, key).values()];
}

/** One series for each back-end, in the order of the styles. */
function seriesOf<T extends { backEnd: string }>(items: readonly T[], style: StyleOf, point: (item: T) => ChartPoint) {
  const series = groupBy(items, ({ backEnd }) => backEnd).map((group): Series => {
    const name = group[0]!.backEnd;
    return { name, style: style(name), points: group.map(point) };
  });
  return series.sort((a, b) => a.style - b.style);
}

/** Groups of which several frame sizes were measured: the others say nothing over frame size, unless they are all. */
function overFrames<T extends { frame: FrameSize }>(groups: T[][]): T[][] {
  const wide = groups.filter((group) => new Set(group.map(({ frame }) => frame)).size > 1);
  return wide.length > 0 ? wide : groups;
}

/** An axis with a place for each frame size among `items`. */
function frameAxis(items: readonly { frame: FrameSize }[]) {
  const frames = [...new Set(items.map(({ frame }) => frame))].sort(words.byFrame);
  const ticks = frames.map((frame) => (typeof frame === "string" ? words.frameName(frame) : String(frame)));
  const axis: Axis = { label: "Frame size (bytes)", scale: "ordinal", ticks };
  // A mix is no size that follows the largest one, nor are frames that go the way of another kind.
  return { axis, place: (frame: FrameSize) => ({ x: frames.indexOf(frame), apart: typeof frame === "string" }) };
}

/** What points have in common but for back-end and frame size, as a title says it. */
function setting(point: Partial<Pick<ThroughputPoint, "direction" | "flows" | "ports">> & { cacheClass: CacheClass }) {
  const name = words.settingName(point);
  return `${name}${name === "" ? "" : ", "}cores: ${words.CLASS_NAMES[point.cacheClass]}`;
}

function throughputSection(result: BenchResult, style: StyleOf): Section {
  const groups = groupBy(result.throughput, (point) => `${point.method}/${setting(point)}`);
  const figures = overFrames(groups).flatMap((group) => {
    const first = group[0]!;
    const { axis, place } = frameAxis(group);
    const rows = group.map((point) => [
      words.frameName(point.frame),
      point.backEnd,
      words.spreadText(point.framesPerSecond, 1e6),
      words.spreadText(point.bitsPerSecond, 1e9),
      words.percent(point.lossRatio),
      point.framesPerSecond.windows,
    ]);
    const columns = ["Frame", "Back-end", "Mpps (quartiles)", "Gbit/s (quartiles)", "Loss", "Windows"];
    const title = `${words.METHOD_NAMES[first.method]}, ${setting(first)}`;
    const kinds = [
      { field: "framesPerSecond", unit: 1e6, label: "Frames per second (million)" },
      { field: "bitsPerSecond", unit: 1e9, label: "Bits per second (Gbit/s)" },
    ] as const;
    return kinds.map(({ field, unit, label }): Figure => {
      const series = seriesOf(group, style, ({ frame, [field]: spread }) => ({
        ...{ ...place(frame), y: spread.median / unit, low: spread.low / unit, high: spread.high / unit },
      }));
      const name = field === "framesPerSecond" ? "Frames" : "Bits";
      return { chart: { title: `${name}: ${title}`, x: axis, y: { label, scale: "linear" }, series }, columns, rows };
    });
  });
  const meanings = Object.entries(words.METHOD_MEANINGS).map(
    ([method, text]) => `${words.METHOD_NAMES[method as keyof typeof words.METHOD_NAMES]}: ${text}`,
  );
  return {
    title: "Throughput over frame size",
    text: `Median of many short windows; bars reach from the lower to the upper quartile. ${meanings.join("; ")}.`,
    figures,
  };
}

function ratioSection(result: BenchResult, style: StyleOf): Section {
  const groups = groupBy(result.ratios, (point) => `${point.reference}/${setting(point)}`);
  const figures = overFrames(groups).map((group): Figure => {
    const first = group[0]!;
    const { axis, place } = frameAxis(group);
    return {
      chart: {
        title: `Beside ${first.reference}: ${setting(first)}`,
        x: axis,
        y: { label: `Times ${first.reference}`, scale: "linear" },
        series: seriesOf(group, style, ({ frame, ratio }) => ({
          ...{ ...place(frame), y: ratio.median, low: ratio.low, high: ratio.high },
        })),
        guide: { y: 1, text: `as fast as ${first.reference}` },
      },
      columns: ["Frame", "Back-end", `× ${first.reference} (quartiles)`, "Windows"],
      rows: group.map((point) => [
        words.frameName(point.frame),
        point.backEnd,
        words.spreadText(point.ratio, 1),
        point.ratio.windows,
      ]),
    };
  });
  return {
    title: "Side by side",
    text: "Each back-end over the reference, from neighbouring windows of one run: what the machine did cancels out.",
    figures,
  };
}

function lossSection(result: BenchResult, style: StyleOf): Section {
  const groups = groupBy(result.loss, (point) => `${point.frame}/${setting(point)}`);
  const figures = groups.map((group): Figure => {
    const first = group[0]!;
    return {
      chart: {
        title: `Loss: ${words.frameName(first.frame)}, ${setting(first)}`,
        x: { label: "Offered frames per second (million)", scale: "linear" },
        y: { label: "Loss (%)", scale: "linear" },
        series: seriesOf(group, style, ({ offered, received }) => ({
          ...{ x: offered / 1e6, y: 100 * lossShare(offered, received) },
        })),
        guide: { y: PDR_LOSS, text: `PDR: ${PDR_LOSS} %` },
      },
      columns: ["Back-end", "Offered Mpps", "Received Mpps", "Loss"],
      rows: group.map(({ backEnd, offered, received }) => [
        backEnd,
        words.significant(offered / 1e6),
        words.significant(received / 1e6),
        words.percent(lossShare(offered, received)),
      ]),
    };
  });
  return { title: "Loss over load", text: "Share of the offered frames that did not arrive.", figures };
}

const PERCENTILES = [
  { field: "p50", text: "50 %" },
  { field: "p90", text: "90 %" },
  { field: "p99", text: "99 %" },
  { field: "p999", text: "99.9 %" },
  { field: "max", text: "max" },
] as const;

function latencySection(result: BenchResult, style: StyleOf): Section {
  const groups = groupBy(result.latency, (point) => `${point.frame}/${point.load}/${setting(point)}`);
  const figures = groups.map((group): Figure => {
    const first = group[0]!;
    const percentiles = group.flatMap((point) =>
      PERCENTILES.map(({ field }, x) => ({ backEnd: point.backEnd, x, y: point[field] })),
    );
    const row = (point: LatencyPoint) => PERCENTILES.map(({ field }) => words.significant(point[field]));
    return {
      chart: {
        title: `Latency: ${words.frameName(first.frame)}, ${words.loadName(first.load)}, ${setting(first)}`,
        x: {
          label: "Share of the frames that took no longer",
          scale: "ordinal",
          ticks: PERCENTILES.map(({ text }) => text),
        },
        y: { label: "Latency (µs)", scale: "log" },
        series: seriesOf(percentiles, style, ({ x, y }) => ({ x, y })),
      },
      columns: ["Back-end", ...PERCENTILES.map(({ text }) => `${text} (µs)`), "Frames"],
      rows: group.map((point) => [point.backEnd, ...row(point), point.frames]),
    };
  });
  return {
    title: "Latency",
    text: "From when a frame was due to be sent, even where the sender was late, to its arrival; logarithmic axis.",
    figures,
  };
}

/** Nanoseconds of the switch's core for each frame, where it is the bottleneck: offered flat out. */
function costSection(result: BenchResult, style: StyleOf): Section {
  const points = result.throughput.filter(
    ({ method, framesPerSecond }) => method === "mrr" && framesPerSecond.median > 0,
  );
  const over = (field: "ports" | "flows", label: string, name: string): Figure[] => {
    const other = field === "ports" ? "flows" : "ports";
    const key = (point: ThroughputPoint) => [point.frame, point.direction, point.cacheClass, point[other]].join("/");
    const groups = groupBy(points, key).filter((group) => new Set(group.map((point) => point[field])).size > 1);
    return groups.map((group): Figure => {
      const { frame, direction, cacheClass } = group[0]!;
      const fixed = field === "ports" ? words.flowsName(group[0]!.flows) : `${group[0]!.ports} ports`;
      const where = `${words.DIRECTION_NAMES[direction]}, cores: ${words.CLASS_NAMES[cacheClass]}`;
      return {
        chart: {
          title: `Cost over ${name}: ${words.frameName(frame)}, ${fixed}, ${where}`,
          x: { label, scale: "log" },
          y: { label: "Time per frame (ns)", scale: "linear" },
          series: seriesOf(group, style, (point) => {
            const { median, low, high } = point.framesPerSecond;
            return { x: point[field], y: 1e9 / median, ...(low > 0 ? { low: 1e9 / high, high: 1e9 / low } : {}) };
          }),
        },
        columns: ["Back-end", label, "Time per frame (ns)", "Mpps (quartiles)"],
        rows: group.map((point) => [
          point.backEnd,
          point[field],
          words.significant(1e9 / point.framesPerSecond.median),
          words.spreadText(point.framesPerSecond, 1e6),
        ]),
      };
    });
  };
  return {
    title: "Cost per frame",
    text: "Time between two forwarded frames when more are offered than can be carried.",
    figures: [
      ...over("ports", "Ports in use", "ports"),
      ...over("flows", "Flows, each between two MAC addresses of its own", "flows"),
    ],
  };
}

/** What became of the figures of our own switch from run to run. */
function trendSection(history: readonly HistoryEntry[]): Section {
  const runs = history.length > 1 ? history : [];
  const ticks = runs.map(({ at, commit }) =>
    commit === undefined ? at.slice(0, 10) : `${at.slice(5, 10)} ${commit.slice(0, 7)}`,
  );
  const all = runs.flatMap((run, x) =>
    run.points.filter(({ backEnd }) => backEnd === "ringbridge").map((point) => ({ ...point, run, x })),
  );
  type Item = (typeof all)[number];
  const groups = groupBy(all, ({ direction, cacheClass, run }) =>
    [run.generator, run.cpu, direction, cacheClass].join("/"),
  );
  const figure = (
    group: Item[],
    label: string,
    of: (point: HistoryPoint) => number | undefined,
    guide?: Chart["guide"],
  ) => {
    const items = group.filter((point) => of(point) !== undefined).sort((a, b) => words.byFrame(a.frame, b.frame));
    if (new Set(items.map(({ x }) => x)).size < 2) return [];
    const { direction, cacheClass, run } = items[0]!;
    const series = groupBy(items, ({ frame }) => String(frame)).map((points, style): Series => {
      const name = words.frameName(points[0]!.frame);
      return { name, style, points: points.map((point) => ({ x: point.x, y: of(point)! })) };
    });
    const cores = `cores: ${words.CLASS_NAMES[cacheClass]}`;
    const where = `${words.DIRECTION_NAMES[direction]}, ${cores}, ${run.generator} generator, ${run.cpu}`;
    const chart: Chart = {
      title: `ringbridge: ${where}`,
      x: { label: "Run (date and commit)", scale: "ordinal", ticks },
      y: { label, scale: "linear" },
      series,
      ...(guide ? { guide } : {}),
    };
    const rows = items.map((point) => [ticks[point.x]!, words.frameName(point.frame), words.significant(of(point)!)]);
    return [{ chart, columns: ["Run", "Frame", label], rows }];
  };
  const figures = groups.flatMap((group) => [
    ...figure(group, "Frames per second (million)", ({ mpps }) => mpps),
    ...figure(group, "Times the reference", ({ ratio }) => ratio, { y: 1, text: "as fast as the reference" }),
  ]);
  return {
    title: "Trend",
    text: "The same points in earlier runs (bench/history.jsonl). The ratio to the run's own reference says most.",
    figures,
  };
}
