// The pictures of a run: rates and queues over time, drops by cause, how latencies are spread.

import type { ChartPoint, Series } from "../bench/report/chart.js";
import type { Figure } from "../bench/report/figure.js";
import { numberText } from "./expectations.js";
import type { RunResult } from "./result.js";
import type { GroupSample } from "./samples.js";

/** Lines in one chart; what else there is becomes one more. */
const LINES = 7;

/** Only those that have something to show. */
export function figuresOf(run: RunResult): Figure[] {
  const { samples } = run;
  const overTime = (title: string, unit: string, lines: [string, number[]][]) =>
    figure(
      title,
      "time in ms",
      unit,
      lines.map(([name, values]) => [name, points(samples.times, values)]),
    );
  const groups = (value: (samples: readonly GroupSample[]) => number[]) =>
    Object.entries(samples.groups).map(([name, own]): [string, number[]] => [name, value(own)]);
  const causes = Object.keys(run.drops);
  const dropped = causes.map((cause): [string, number[]] => {
    return [
      cause,
      rates(
        samples.times,
        samples.drops.map((drops) => drops[cause] ?? 0),
      ),
    ];
  });
  const latencies = run.flows.map(({ name, distribution }): [string, ChartPoint[]] => {
    return [name, distribution.map(([x, y]) => ({ x, y }))];
  });
  return [
    overTime(
      "Sent",
      "frames in a ms",
      groups((own) =>
        rates(
          samples.times,
          own.map(({ sent }) => sent),
        ),
      ),
    ),
    overTime(
      "Received",
      "frames in a ms",
      groups((own) =>
        rates(
          samples.times,
          own.map(({ received }) => received),
        ),
      ),
    ),
    overTime(
      "Waiting in receive rings",
      "frames",
      groups((own) => own.map(({ waiting }) => waiting)),
    ),
    overTime("Dropped, by cause", "frames in a ms", dropped),
    figure("Latency", "milliseconds", "share of the frames that took no longer", latencies, false),
  ].filter((each) => each !== undefined);
}

function points(times: readonly number[], values: readonly number[]): ChartPoint[] {
  return values.map((y, i) => ({ x: times[i]!, y }));
}

/** What was added in each step, for a millisecond. */
function rates(times: readonly number[], counts: readonly number[]): number[] {
  return counts.map((count, i) => (i === 0 ? 0 : (count - counts[i - 1]!) / (times[i]! - times[i - 1]!)));
}

/** Undefined when all of it is zero. */
function figure(
  title: string,
  x: string,
  y: string,
  lines: readonly (readonly [string, ChartPoint[]])[],
  bare = true,
): Figure | undefined {
  const there = joined(lines.filter(([, own]) => own.some((point) => point.y !== 0)));
  if (there.length === 0) return undefined;
  const series = there.map(([name, own], style): Series => ({ name, style, points: own, bare }));
  return {
    chart: { title, x: { label: x, scale: "linear" }, y: { label: y, scale: "linear" }, series },
    ...(bare ? overCommonTimes(x, there) : pairs(x, y, there)),
  };
}

type Lines = readonly (readonly [string, ChartPoint[]])[];

function overCommonTimes(x: string, lines: Lines): Pick<Figure, "columns" | "rows"> {
  const rows = lines[0]![1].map((point, i) => [point.x, ...lines.map(([, own]) => own[i]!.y)].map(numberText));
  return { columns: [x, ...lines.map(([name]) => name)], rows };
}

function pairs(x: string, y: string, lines: Lines): Pick<Figure, "columns" | "rows"> {
  const rows = lines.flatMap(([name, own]) => own.map((point) => [name, numberText(point.x), numberText(point.y)]));
  return { columns: ["", x, y], rows };
}

/** Lines beyond those that can be told apart are added up, where their points lie one above the other. */
function joined(lines: Lines): Lines {
  if (lines.length <= LINES + 1) return lines;
  const rest = lines.slice(LINES);
  const common = rest.every(([, own]) => own.every((point, i) => point.x === rest[0]![1][i]?.x));
  if (!common) return lines.slice(0, LINES);
  const sum = rest[0]![1].map(({ x }, i) => ({ x, y: rest.reduce((all, [, own]) => all + own[i]!.y, 0) }));
  return [...lines.slice(0, LINES), [`${rest.length} others`, sum]];
}
