// What the tables of both forms of ring are drawn of: a row's state and number in front, a descriptor's buffer behind.

import type { DescriptorRow, DescriptorState, FieldView, Place, QueueView } from "../../machine/index.js";
import { bytesAt } from "../lit.js";
import { ROW, StateBox, type Touched } from "./parts.js";

export interface RingProps {
  queue: QueueView;
  touched: readonly Touched[];
  /** The picture's width in its own units, which are pixels. */
  width: number;
}

/** Rows of a ring that are drawn; larger rings are shown from their start. */
export const ROWS_MOST = 16;
/** Room for a heading above a table. */
export const HEAD = 22;
/** From a row's left end to its first column. */
export const ROW_HEAD = ROW + 22;

/** A column's left end and its width. */
export type Column = [left: number, width: number];

type Buffer = Pick<DescriptorRow, "addr" | "target">;

/** The state of a descriptor, and its number at the left of the first column. */
export function RowHead({ x, y, state, index }: { x: number; y: number; state: DescriptorState; index: number }) {
  return (
    <>
      <StateBox x={x} y={y} state={state} />
      <text class="index" x={x + ROW_HEAD - 4} y={y + ROW / 2 + 4} text-anchor="end">
        {index}
      </text>
    </>
  );
}

/** What stands in the column of the address: a buffer's name, where it has one. */
export function bufferText({ addr, target }: Buffer): string {
  if (target) return targetName(target);
  return addr.value === 0 ? "–" : addr.text;
}

/** Over the address: it lights the buffer's bytes. */
export function Target({ target, len, column: [left, width], y }: TargetProps) {
  if (!target) return null;
  const bytes = bytesAt({ address: target.address, length: Math.min(len.value, 4096) || 1 });
  return <rect class="target" x={left} y={y} width={width} height={ROW} data-at={bytes} />;
}

interface TargetProps extends Pick<DescriptorRow, "target"> {
  len: FieldView;
  column: Column;
  y: number;
}

/** A buffer by its name; a table by its own, and not by its first field's. */
function targetName({ kind, name }: Place): string {
  return kind === "table" ? name.replace(/\[\d+\]\.\w+$/, "") : name;
}

/** Height of the indirect tables of these rows, one below the other. */
export function tablesHeight(rows: readonly { table?: readonly unknown[] | undefined }[]): number {
  return rows.reduce((sum, { table }) => sum + HEAD + table!.length * ROW + 6, 0);
}

/** How many of a ring's descriptors are in a state. */
export function countOf(rows: readonly { state: DescriptorState }[], state: DescriptorState): number {
  return rows.filter((row) => row.state === state).length;
}
