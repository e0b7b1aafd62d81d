// One plot over time, drawn by uPlot: lines that differ in colour and in pattern, axes in short numbers.

import { useEffect, useLayoutEffect, useRef } from "preact/hooks";
import uPlot from "uplot";
import { useWidth } from "./use-width.js";

export interface PlotLine {
  name: string;
  /** A custom property of the style sheet: "--driver". */
  colour: string;
  /** Lengths of dash and gap; none: a solid line. */
  dash?: number[];
  values: readonly (number | null)[];
}

interface PlotProps {
  /** Seconds since 1970, and as many values for each line. */
  times: readonly number[];
  lines: readonly PlotLine[];
  /** Seconds that are shown, up to the last. */
  span: number;
  /** Highest value that is shown at least. */
  top: number;
  format(value: number): string;
  height: number;
  /** What the plot shows, for those who do not see it. */
  label: string;
  /** Called with the number of the moment under the pointer. */
  onHover?(index: number | null): void;
  paused: boolean;
}

/** All plots show the moment that the pointer is on in one of them. */
const SYNC = "ringbridge";
/** Between two figures of the axis: no halves of a frame. */
const STEPS = Array.from({ length: 13 }, (_, i) => [1, 2, 5].map((step) => step * 10 ** i)).flat();

export function Plot({ times, lines, span, top, format, height, label, onHover, paused }: PlotProps) {
  const [width, ref] = useWidth<HTMLDivElement>();
  const plot = useRef<uPlot | undefined>(undefined);
  const latest = useRef({ span, top, onHover, format });
  latest.current = { span, top, onHover, format };
  const shape = lines.map(({ name, colour, dash }) => `${name} ${colour} ${dash}`).join();
  const theme = useThemeOf();

  useLayoutEffect(() => {
    if (width === 0 || ref.current === null) return;
    const made = new uPlot(optionsOf(lines, width, height, latest), [[]], ref.current);
    plot.current = made;
    return () => {
      plot.current = undefined;
      made.destroy();
    };
  }, [shape, width === 0, theme, height]);

  useLayoutEffect(() => plot.current?.setSize({ width, height }), [width, height]);

  // The arrays are the same ones, and have grown: after each picture there may be more of them.
  useEffect(() => {
    const from = firstWithin(times, span);
    // uPlot keeps what it is given.
    const data = [times.slice(from), ...lines.map(({ values }) => values.slice(from))];
    plot.current?.setData(data as uPlot.AlignedData, true);
  });

  return <div class={paused ? "plot paused" : "plot"} role="img" aria-label={label} ref={ref} style={{ height }} />;
}

/** The number of the first moment that is within the last `span` seconds, or the one before it. */
function firstWithin(times: readonly number[], span: number): number {
  const start = (times.at(-1) ?? 0) - span;
  let index = times.length;
  while (index > 0 && times[index - 1]! >= start) index--;
  return Math.max(0, index - 1);
}

interface Latest {
  current: Pick<PlotProps, "span" | "top" | "onHover" | "format">;
}

function optionsOf(lines: readonly PlotLine[], width: number, height: number, latest: Latest): uPlot.Options {
  const style = getComputedStyle(document.documentElement);
  const colour = (name: string) => resolved(style.getPropertyValue(name));
  const ink = colour("--ink-2");
  const grid = { stroke: colour("--line"), width: 1 };
  const font = "12px system-ui, sans-serif";
  return {
    width,
    height,
    legend: { show: false },
    padding: [6, 8, 0, 0],
    cursor: { sync: { key: SYNC }, y: false, drag: { x: false, y: false }, points: { size: 6 } },
    scales: {
      x: {
        time: true,
        range: (_, __, max) => {
          const end = max ?? Date.now() / 1000;
          return [end - latest.current.span, end];
        },
      },
      y: { range: () => [0, Math.max(latest.current.top, 1)] },
    },
    axes: [
      { stroke: ink, grid: { show: false }, ticks: { ...grid, size: 4 }, font, size: 24, space: 70, values: times },
      {
        stroke: ink,
        grid,
        ticks: { show: false },
        font,
        size: 62,
        space: 26,
        incrs: STEPS,
        values: (_, values) => values.map((value) => latest.current.format(value)),
      },
    ],
    series: [
      {},
      ...lines.map(({ name, colour: property, dash }) => ({
        label: name,
        stroke: colour(property),
        width: 2,
        points: { show: false },
        ...(dash && { dash }),
      })),
    ],
    hooks: { setCursor: [({ cursor }) => latest.current.onHover?.(cursor.idx ?? null)] },
  };
}

function times(_: uPlot, values: number[]): string[] {
  return values.map((seconds) => new Date(seconds * 1000).toTimeString().slice(0, 8));
}

/** A canvas does not know light-dark(): a browser that does computes it for an element. */
function resolved(value: string): string {
  const probe = document.createElement("span");
  probe.style.color = value;
  document.body.append(probe);
  const { color } = getComputedStyle(probe);
  probe.remove();
  return color;
}

/** Which theme is on: a canvas must be drawn anew when it changes. */
function useThemeOf(): string {
  const dark = matchMedia("(prefers-color-scheme: dark)").matches;
  return document.documentElement.dataset.theme ?? (dark ? "dark" : "light");
}
