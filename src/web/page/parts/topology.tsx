// The switch in the middle, its ports on both sides; a line for each direction, as wide as what flows there.

import type { LivePort } from "../../live.js";
import type { History } from "../history.js";
import type { Picture } from "../model.js";
import { inUnit, rateText, type Unit } from "../units.js";
import { useWidth } from "../use-width.js";

/** More would be no picture any more: those with the most traffic are shown. */
const PORTS_MAX = 24;
const ROW = 76;
const BOX = { width: 128, height: 56 };
const NARROW = 560;

interface TopologyProps {
  picture: Picture;
  history: History;
  unit: Unit;
  chosen: string | undefined;
  onChoose(name: string | undefined): void;
}

export function Topology({ picture, history, unit, chosen, onChoose }: TopologyProps) {
  const [width, ref] = useWidth<HTMLDivElement>();
  const { ports } = picture;
  const busiest = (port: LivePort) => {
    const { rx, tx } = inUnit(history.last(port.name), unit);
    return (rx ?? 0) + (tx ?? 0);
  };
  const shown =
    ports.length <= PORTS_MAX ? ports : [...ports].sort((a, b) => busiest(b) - busiest(a)).slice(0, PORTS_MAX);
  const narrow = width < NARROW;
  const columns =
    narrow || shown.length < 2 ? [shown] : [shown.filter((_, i) => i % 2 === 0), shown.filter((_, i) => i % 2 === 1)];
  const height = Math.max(1, columns[0]!.length) * ROW;
  const hub = narrow || columns.length === 1 ? { x: width - 58, width: 54 } : { x: width / 2 - 45, width: 90 };

  return (
    <div ref={ref}>
      {ports.length === 0 && <p class="empty">This switch has no ports: its configuration names none yet.</p>}
      {width > 0 && ports.length > 0 && (
        <svg
          class="topology"
          width={width}
          height={height}
          aria-label={`The switch and ${shown.length} of its ${ports.length} ports`}
        >
          <rect class="hub" x={hub.x} y={4} width={hub.width} height={height - 8} rx={8} />
          <text
            class="hub-name"
            x={hub.x + hub.width / 2}
            y={height / 2}
            text-anchor="middle"
            dominant-baseline="middle"
          >
            switch
          </text>
          {columns.map((column, side) =>
            column.map((port, row) => (
              <PortBox
                key={port.name}
                port={port}
                left={side === 0}
                x={side === 0 ? 2 : width - BOX.width - 2}
                y={row * ROW + (ROW - BOX.height) / 2}
                hubX={side === 0 ? hub.x : hub.x + hub.width}
                rates={inUnit(history.last(port.name), unit)}
                unit={unit}
                chosen={port.name === chosen}
                onChoose={onChoose}
              />
            )),
          )}
        </svg>
      )}
      {shown.length < ports.length && (
        <p class="note">
          The {shown.length} busiest of {ports.length} ports.
        </p>
      )}
      {ports.length > 0 && (
        <p class="note">
          ● a ring runs, ◐ connected, ○ waits for its guest. A line is the wider the more flows where its arrow points.
          Choose a port to see only what is its own.
        </p>
      )}
    </div>
  );
}

interface PortBoxProps {
  port: LivePort;
  left: boolean;
  x: number;
  y: number;
  hubX: number;
  rates: { rx: number | null; tx: number | null };
  unit: Unit;
  chosen: boolean;
  onChoose(name: string | undefined): void;
}

const MARKS = { running: "●", connected: "◐", waiting: "○" } as const;

function PortBox({ port, left, x, y, hubX, rates, unit, chosen, onChoose }: PortBoxProps) {
  const { name, state } = port;
  const broken = port.queues.filter((queue) => queue.state === "broken").length;
  const edge = left ? x + BOX.width : x;
  const [from, to] = [Math.min(edge, hubX), Math.max(edge, hubX)];
  const middle = (from + to) / 2;
  const rows = [
    { rate: rates.rx, y: y + BOX.height / 2 - 12, kind: "rx", arrow: left ? "→" : "←" },
    { rate: rates.tx, y: y + BOX.height / 2 + 14, kind: "tx", arrow: left ? "←" : "→" },
  ];
  const words = broken > 0 ? `${broken} broken` : state;
  const label = `${name}, ${words}: ` + `${rateText(rates.rx, unit)} from the guest, ${rateText(rates.tx, unit)} to it`;
  const choose = () => onChoose(name);
  return (
    <g>
      {rows.map(({ rate, y: at, kind, arrow }) => (
        <g key={kind} class={`flow flow-${kind}`}>
          <line x1={from} x2={to} y1={at + 6} y2={at + 6} stroke-width={strokeOf(rate)} class={rate ? "" : "idle"} />
          <text x={middle} y={at} text-anchor="middle">
            {arrow} {rateText(rate, unit)}
          </text>
        </g>
      ))}
      <g
        class={`port port-${state}`}
        role="button"
        // In SVG the names of attributes are as they are written.
        tabindex={0}
        aria-pressed={chosen}
        aria-label={label}
        onClick={choose}
        onKeyDown={(event) => {
          if (event.key !== "Enter" && event.key !== " ") return;
          event.preventDefault();
          choose();
        }}
      >
        <rect x={x} y={y} width={BOX.width} height={BOX.height} rx={6} />
      </g>
      <g class="port-text">
        <text class="port-name" x={x + 10} y={y + 23}>
          {MARKS[state]} {short(name)}
        </text>
        <text class="port-state" x={x + 10} y={y + 43}>
          {broken > 0 ? "⚠ " : ""}
          {words}
        </text>
      </g>
    </g>
  );
}

/** Each factor of ten is two pixels. */
function strokeOf(rate: number | null): number {
  return rate === null || rate < 1 ? 1 : 1 + Math.min(10, Math.log10(rate) * 1.3);
}

function short(name: string): string {
  return name.length > 12 ? `${name.slice(0, 11)}…` : name;
}
