// A plot for each port: what its guest sends and what it gets, all on one scale.

import { useState } from "preact/hooks";
import { formatDuration } from "../../../cli/table.js";
import type { LivePort } from "../../live.js";
import type { History, PortSeries } from "../history.js";
import type { Picture } from "../model.js";
import { Plot } from "../plot.js";
import { axisText, inUnit, rateText, type Unit } from "../units.js";

const PLOTS_FIRST = 12;
const HEIGHT = 132;

interface PortPlotsProps {
  picture: Picture;
  history: History;
  unit: Unit;
  span: number;
  paused: boolean;
  chosen: string | undefined;
  onChoose(name: string | undefined): void;
}

export function PortPlots({ picture, history, unit, span, paused, chosen, onChoose }: PortPlotsProps) {
  const [all, setAll] = useState(false);
  const [hover, setHover] = useState<number | null>(null);
  const { ports } = picture;
  const chosenFirst = [...ports].sort((a, b) => Number(b.name === chosen) - Number(a.name === chosen));
  const shown = all ? ports : (ports.length > PLOTS_FIRST ? chosenFirst : ports).slice(0, PLOTS_FIRST);
  const from = Math.max(
    0,
    history.times.findIndex((time) => time >= history.times.at(-1)! - span),
  );
  const keys: [keyof PortSeries, keyof PortSeries] =
    unit === "frames" ? ["rxFrames", "txFrames"] : ["rxBits", "txBits"];
  const top = roundUp(Math.max(1, ...shown.map(({ name }) => highest(history.ports.get(name), keys, from))));

  if (ports.length === 0) return <p class="empty">No ports, no plots.</p>;
  return (
    <>
      <div class="plots">
        {shown.map((port) => (
          <PortPlot
            key={port.name}
            {...{ port, history, unit, span, paused, top, keys, from, hover }}
            chosen={port.name === chosen}
            onChoose={() => onChoose(port.name)}
            onHover={setHover}
          />
        ))}
      </div>
      {ports.length > shown.length && (
        <button type="button" onClick={() => setAll(true)}>
          Show all {ports.length} ports
        </button>
      )}
    </>
  );
}

interface PortPlotProps {
  port: LivePort;
  history: History;
  unit: Unit;
  span: number;
  paused: boolean;
  top: number;
  keys: [keyof PortSeries, keyof PortSeries];
  from: number;
  hover: number | null;
  chosen: boolean;
  onChoose(): void;
  onHover(index: number | null): void;
}

function PortPlot({
  port,
  history,
  unit,
  span,
  paused,
  top,
  keys,
  from,
  hover,
  chosen,
  onChoose,
  onHover,
}: PortPlotProps) {
  const { name, state, lastError } = port;
  const series = history.ports.get(name);
  const [rxKey, txKey] = keys;
  const last = inUnit(history.last(name), unit);
  // What the plot was given begins one moment earlier, unless it is the first of all.
  const shown = hover === null ? last : inUnit(history.at(name, Math.max(0, from - 1) + hover), unit);
  const peak = rateText(highest(series, keys, from), unit);
  return (
    <article class={chosen ? "panel plot-card chosen" : "panel plot-card"}>
      <h3>
        <button type="button" class="quiet" aria-pressed={chosen} onClick={onChoose}>
          {name}
        </button>
        <span class="note">
          {state === "running" ? `${port.queues.length} queues` : state} for{" "}
          {formatDuration(Date.now() - port.stateSince)}
        </span>
      </h3>
      <p class="legend">
        <span class="key key-rx">
          <span aria-hidden="true">━━</span> from the guest <b>{rateText(shown.rx, unit)}</b>
        </span>{" "}
        <span class="key key-tx">
          <span aria-hidden="true">┅┅</span> to the guest <b>{rateText(shown.tx, unit)}</b>
        </span>
      </p>
      <Plot
        times={history.times}
        lines={[
          { name: "from the guest", colour: "--driver", values: series?.[rxKey] ?? [] },
          { name: "to the guest", colour: "--device", dash: [6, 4], values: series?.[txKey] ?? [] },
        ]}
        {...{ span, top, paused, onHover }}
        format={axisText}
        height={HEIGHT}
        label={
          `${name}: ${rateText(last.rx, unit)} from the guest and ${rateText(last.tx, unit)} to it now, ` +
          `at most ${peak} in the time shown`
        }
      />
      {lastError !== undefined && <p class="port-error">⚠ {lastError}</p>}
    </article>
  );
}

function highest(series: PortSeries | undefined, keys: readonly (keyof PortSeries)[], from: number): number {
  let most = 0;
  for (const key of keys) {
    const values = series?.[key] ?? [];
    for (let i = from; i < values.length; i++) most = Math.max(most, values[i] ?? 0);
  }
  return most;
}

/** So that the scale does not move all the time: to the next of 1, 1.5, 2, 3, 5, 7.5, 10. */
export function roundUp(value: number): number {
  const magnitude = 10 ** Math.floor(Math.log10(value));
  const step = [1, 1.5, 2, 3, 5, 7.5, 10].find((each) => each * magnitude >= value * 1.02) ?? 10;
  return step * magnitude;
}
