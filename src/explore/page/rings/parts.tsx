// The pieces that all pictures of rings are made of: cells that stand for bytes, letters for who has a descriptor, markers for
// where driver and switch stand.

import type { ComponentChildren } from "preact";
import type { DescriptorState, FieldView } from "../../machine/index.js";
import { bytesAt } from "../lit.js";

/** Bytes that the step in hand has touched. */
export interface Touched {
  address: number;
  length: number;
  write: boolean;
}

export const STATE_LETTERS: Record<DescriptorState, string> = { free: "F", written: "W", available: "A", used: "U" };
export const STATE_TEXTS: Record<DescriptorState, string> = {
  free: "free: the driver's",
  written: "written by the driver, not yet available",
  available: "available: the switch's",
  used: "used: given back, not yet taken by the driver",
};

export function touchOf(touched: readonly Touched[], { address, length }: { address: number; length: number }): string {
  const hits = touched.filter((range) => range.address < address + length && address < range.address + range.length);
  if (hits.length === 0) return "";
  return hits.some(({ write }) => write) ? "is-written" : "is-read";
}

interface CellProps {
  x: number;
  y: number;
  w: number;
  h?: number;
  field: FieldView;
  touched: readonly Touched[];
  text?: string;
  class?: string;
}

export const ROW = 24;

/** A picture in pixels; `label` says it in words. */
export function Picture({
  width,
  height,
  label,
  children,
}: {
  width: number;
  height: number;
  label: string;
  children: ComponentChildren;
}) {
  return (
    <svg class="ring" viewBox={`0 0 ${width} ${height}`} width={width} height={height} role="img" aria-label={label}>
      {children}
    </svg>
  );
}

/** A box with the value of a field. A step that wrote it makes it bold, with a bar below; one that read it, a dotted bar. */
export function Cell({ x, y, w, h = ROW, field, touched, text = field.text, class: more = "" }: CellProps) {
  const touch = touchOf(touched, field.place);
  const room = Math.floor((w - 6) / 6.9);
  const short = text.length > room ? `${text.slice(0, Math.max(1, room - 1))}…` : text;
  return (
    <g class={`cell ${more} ${touch}`} data-at={bytesAt(field.place)}>
      <title>{`${field.place.name} = ${field.text}`}</title>
      <rect x={x} y={y} width={w} height={h} />
      <text x={x + 4} y={y + h / 2 + 4}>
        {short}
      </text>
      {touch && <line class="touch-bar" x1={x + 2} x2={x + w - 2} y1={y + h - 2.5} y2={y + h - 2.5} />}
    </g>
  );
}

/** The letter of a descriptor's state, in a box with a pattern of its own. */
export function StateBox({ x, y, state }: { x: number; y: number; state: DescriptorState }) {
  return (
    <g class={`state state-${state}`}>
      <title>{STATE_TEXTS[state]}</title>
      <rect x={x} y={y} width={ROW} height={ROW} />
      {state === "written" && <rect class="dash" x={x + 3} y={y + 3} width={ROW - 6} height={ROW - 6} />}
      <text x={x + ROW / 2} y={y + ROW / 2 + 4} text-anchor="middle">
        {STATE_LETTERS[state]}
      </text>
    </g>
  );
}

/** A flag at a row: where the driver (D) or the switch (S) goes on. It points to the right, or to the left. */
export function Marker({
  x,
  y,
  who,
  left,
  title,
}: {
  x: number;
  y: number;
  who: "D" | "S";
  left?: boolean;
  title: string;
}) {
  const middle = y + ROW / 2;
  const shape = left ? `M${x} ${middle} l7 -8 h13 v16 h-13 z` : `M${x} ${middle} l-7 -8 h-13 v16 h13 z`;
  return (
    <g class={who === "D" ? "marker marker-driver" : "marker marker-device"}>
      <title>{title}</title>
      <path d={shape} />
      <text x={left ? x + 13 : x - 13} y={middle + 4} text-anchor="middle">
        {who}
      </text>
    </g>
  );
}

export function Heading({
  x,
  y,
  children,
  anchor,
}: {
  x: number;
  y: number;
  children: ComponentChildren;
  anchor?: "end";
}) {
  return (
    <text class="heading" x={x} y={y} text-anchor={anchor}>
      {children}
    </text>
  );
}

/** A curve with an arrow's head, from one side of a row to another. */
export function Arrow({
  from,
  to,
  bend,
  class: kind,
}: {
  from: [number, number];
  to: [number, number];
  bend: number;
  class: string;
}) {
  const [x1, y1] = from;
  const [x2, y2] = to;
  const side = Math.sign(x2 - (x1 + bend)) || 1;
  return (
    <g class={`arrow ${kind}`}>
      <path d={`M${x1} ${y1} C${x1 + bend} ${y1} ${x2 - side * Math.abs(bend)} ${y2} ${x2 - side * 5} ${y2}`} />
      <path class="head" d={`M${x2} ${y2} l${-side * 7} -4 v8 z`} />
    </g>
  );
}
