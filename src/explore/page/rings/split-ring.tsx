// Picture of a split virtqueue (virtio 1.3, 2.7): descriptor table between the available ring, which the driver writes, and the used
// ring, which the switch writes. Wide: side by side with arrows; narrow: the table above the two rings.

import type { DescriptorRow, FieldView, QueueView, SplitView } from "../../machine/index.js";
import {
  bufferText,
  type Column,
  countOf,
  HEAD,
  type RingProps,
  ROW_HEAD,
  RowHead,
  ROWS_MOST,
  tablesHeight,
  Target,
} from "./descriptors.js";
import { Arrow, Cell, Heading, Marker, Picture, ROW, type Touched } from "./parts.js";

export function SplitRing({ queue, touched, width }: RingProps) {
  const split = queue.split!;
  const rows = Math.min(queue.size, ROWS_MOST);
  const wide = width >= 600;
  const tables = split.descriptors.filter(({ table }) => table);
  const side = wide ? 138 : Math.floor((width - 48) / 2);
  const tableX = wide ? side + 42 : 0;
  const tableWidth = wide ? width - 2 * tableX : width;
  const tableHeight = HEAD + (rows + 1) * ROW;
  const indirectY = tableHeight + 10;
  const indirectHeight = tablesHeight(tables);
  const ringY = wide ? 0 : indirectY + indirectHeight + 4;
  const ringHeight = HEAD + (rows + 3) * ROW;
  const height = wide ? Math.max(indirectY + indirectHeight, ringHeight) + 4 : ringY + ringHeight + 4;
  const usedX = width - side;
  const rowY = (index: number) => HEAD + ROW + index * ROW + ROW / 2;
  const slotY = (slot: number) => ringY + HEAD + (slot + 2) * ROW + ROW / 2;
  return (
    <Picture width={width} height={height} label={describe(queue)}>
      <Descriptors {...{ split, rows, touched, wide }} x={tableX} width={tableWidth} y={0} />
      {tables.map((row, i) => (
        <Indirect
          key={row.index}
          {...{ row, touched }}
          x={tableX}
          width={tableWidth}
          y={indirectY + tablesHeight(tables.slice(0, i))}
        />
      ))}
      <Avail {...{ queue, split, rows, touched }} x={0} y={ringY} width={side} />
      <Used {...{ queue, split, rows, touched }} x={usedX} y={ringY} width={side} />
      {wide &&
        availArrows(queue, split, rows).map(({ slot, head }) => (
          <Arrow key={`a${slot}`} class="arrow-driver" from={[side, slotY(slot)]} to={[tableX, rowY(head)]} bend={18} />
        ))}
      {wide &&
        usedArrows(queue, split, rows).map(({ slot, head }) => (
          <Arrow
            key={`u${slot}`}
            class="arrow-device"
            from={[usedX, slotY(slot)]}
            to={[tableX + tableWidth, rowY(head)]}
            bend={-18}
          />
        ))}
    </Picture>
  );
}

interface PartProps {
  split: SplitView;
  rows: number;
  touched: readonly Touched[];
  x: number;
  y: number;
  width: number;
}

function Descriptors({ split, rows, touched, x, y, width, wide }: PartProps & { wide: boolean }) {
  const columns = columnsOf(x, width, wide);
  return (
    <g>
      <Heading x={x} y={y + 14}>
        descriptor table
      </Heading>
      <Titles {...{ columns }} y={y + HEAD} last="next" />
      {split.descriptors.slice(0, rows).map((row) => (
        <Row key={row.index} {...{ row, touched, columns }} x={x} y={y + HEAD + (row.index + 1) * ROW} />
      ))}
    </g>
  );
}

interface Columns {
  target: Column;
  len: Column;
  flags: Column;
  next: Column;
}

function columnsOf(x: number, width: number, wide: boolean): Columns {
  const index = x + ROW_HEAD;
  const fixed = wide ? [48, 92, 42] : [44, 74, 38];
  const [len, flags, next] = fixed as [number, number, number];
  const target = width - (index - x) - len - flags - next;
  return {
    target: [index, target],
    len: [index + target, len],
    flags: [index + target + len, flags],
    next: [index + target + len + flags, next],
  };
}

function Titles({ columns, y, last }: { columns: Columns; y: number; last: string }) {
  const entries = { addr: columns.target, len: columns.len, flags: columns.flags, [last]: columns.next };
  return (
    <g class="titles">
      {Object.entries(entries).map(([name, [x]]) => (
        <text key={name} x={x + 4} y={y + 16}>
          {name}
        </text>
      ))}
    </g>
  );
}

function Row({
  row,
  touched,
  columns,
  x,
  y,
}: {
  row: DescriptorRow;
  touched: readonly Touched[];
  columns: Columns;
  x: number;
  y: number;
}) {
  const { addr, len, flags, next, target, names } = row;
  const unused = row.state === "free" && len.value === 0;
  const cell = (field: FieldView, [left, width]: Column, text: string) => (
    <Cell x={left} y={y} w={width} field={field} touched={touched} text={text} class={unused ? "faint" : ""} />
  );
  const links = names.includes("NEXT");
  const letters = names.map((name) => SHORT[name] ?? name).join(" ");
  return (
    <g>
      <RowHead x={x} y={y} state={row.state} index={row.index} />
      {cell(addr, columns.target, bufferText(row))}
      {cell(len, columns.len, len.text)}
      {cell(flags, columns.flags, letters || "0")}
      {cell(next, columns.next, next.place.field === "next" && !links ? "–" : next.text)}
      <Target {...{ target, len, y }} column={columns.target} />
    </g>
  );
}

/** Flags in a table's column; the packed ring's two bits have a picture of their own. */
const SHORT: Record<string, string> = { INDIRECT: "INDIR." };

function Indirect({
  row,
  touched,
  x,
  y,
  width,
}: {
  row: DescriptorRow;
  touched: readonly Touched[];
  x: number;
  y: number;
  width: number;
}) {
  const columns = columnsOf(x, width, width > 420);
  return (
    <g class="indirect">
      <Heading x={x} y={y + 14}>
        {`indirect table of descriptor ${row.index}`}
      </Heading>
      <path class="bracket" d={`M${x + 3} ${y + 2} v${HEAD + row.table!.length * ROW - 6}`} />
      {row.table!.map((inner) => (
        <Row
          key={inner.index}
          row={{ ...inner, state: row.state }}
          {...{ touched, columns }}
          x={x}
          y={y + HEAD + inner.index * ROW}
        />
      ))}
    </g>
  );
}

interface RingPartProps extends PartProps {
  queue: QueueView;
}

function Avail({ queue, split, rows, touched, x, y, width }: RingPartProps) {
  const { avail } = split;
  const label = 62;
  const cell = (field: FieldView, row: number, text?: string) => (
    <Cell x={x + label} y={y + HEAD + row * ROW} w={width - label} field={field} touched={touched} text={text} />
  );
  const driverAt = avail.idx.value % queue.size;
  const deviceAt = queue.device.nextAvail.value % queue.size;
  return (
    <g class="part-driver">
      <Heading x={x} y={y + 14}>
        available ring
      </Heading>
      <Labels x={x + label} y={y + HEAD} names={["flags", "idx", ...numbers(rows)]} shift={25} />
      {cell(avail.flags, 0, avail.flags.value ? "NO_INT." : "0")}
      {cell(avail.idx, 1)}
      {avail.ring.slice(0, rows).map((field, i) => cell(field, i + 2))}
      {cell(avail.usedEvent, rows + 2)}
      <Labels x={x + label} y={y + HEAD + (rows + 2) * ROW} names={["used_event"]} />
      {driverAt < rows && (
        <Marker
          x={x + label - 1}
          y={y + HEAD + (driverAt + 2) * ROW}
          who="D"
          title="The driver puts its next head here"
        />
      )}
      {deviceAt < rows && (
        <Marker x={x + width + 1} left y={y + HEAD + (deviceAt + 2) * ROW} who="S" title="The switch looks here next" />
      )}
    </g>
  );
}

function Used({ queue, split, rows, touched, x, y, width }: RingPartProps) {
  const { used } = split;
  const label = 62;
  const room = width - label;
  const cell = (field: FieldView, row: number, left: number, w: number, text?: string) => (
    <Cell x={x + left} y={y + HEAD + row * ROW} w={w} field={field} touched={touched} text={text} />
  );
  const deviceAt = queue.device.nextUsed.value % queue.size;
  const driverAt = queue.driver.lastUsed % queue.size;
  return (
    <g class="part-device">
      <Heading x={x + width} y={y + 14} anchor="end">
        used ring
      </Heading>
      {cell(used.flags, 0, 0, room, used.flags.value ? "NO_NOTIFY" : "0")}
      {cell(used.idx, 1, 0, room)}
      {used.ring
        .slice(0, rows)
        .map(({ id, len }, i) => [
          cell(id, i + 2, 0, Math.floor(room * 0.4)),
          cell(len, i + 2, Math.floor(room * 0.4), room - Math.floor(room * 0.4)),
        ])}
      {cell(used.availEvent, rows + 2, 0, room)}
      <Labels x={x + width} y={y + HEAD} names={["flags", "idx", ...numbers(rows), "avail_event"]} />
      {deviceAt < rows && (
        <Marker
          x={x - 1}
          y={y + HEAD + (deviceAt + 2) * ROW}
          who="S"
          title="The switch puts its next used element here"
        />
      )}
      {driverAt < rows && (
        <Marker x={x + room + 1} left y={y + HEAD + (driverAt + 2) * ROW} who="D" title="The driver looks here next" />
      )}
    </g>
  );
}

/** `shift`: how far numbers stand from the cells, so that a marker has room between. */
function Labels({ x, y, names, shift = 4 }: { x: number; y: number; names: readonly string[]; shift?: number }) {
  return (
    <g class="labels">
      {names.map((name, i) => (
        <text key={name} x={/^\d/.test(name) ? x - shift : x - 4} y={y + i * ROW + ROW / 2 + 4} text-anchor="end">
          {name}
        </text>
      ))}
    </g>
  );
}

function numbers(count: number): string[] {
  return Array.from({ length: count }, (_, i) => String(i));
}

/** Slots between what the driver has published and what the switch has taken, with the descriptor that each names. */
function availArrows(queue: QueueView, { avail }: SplitView, rows: number) {
  return slots(queue.device.nextAvail.value, avail.idx.value, queue.size, rows).flatMap((slot) => {
    const head = avail.ring[slot]!.value;
    return head < rows ? [{ slot, head }] : [];
  });
}

function usedArrows(queue: QueueView, { used }: SplitView, rows: number) {
  return slots(queue.driver.lastUsed, used.idx.value, queue.size, rows).flatMap((slot) => {
    const head = used.ring[slot]!.id.value;
    return head < rows ? [{ slot, head }] : [];
  });
}

function slots(from: number, to: number, size: number, rows: number): number[] {
  const count = Math.min((to - from) & 0xffff, size);
  return Array.from({ length: count }, (_, i) => (from + i) % size).filter((slot) => slot < rows);
}

function describe({ name, size, split, device, driver, status }: QueueView): string {
  const { avail, used, descriptors } = split!;
  return (
    `${name}: split ring of ${size} entries, ${status.text}. avail.idx ${avail.idx.value}, the switch has taken ${device.nextAvail.value}. ` +
    `used.idx ${used.idx.value}, the driver has taken ${driver.lastUsed}. ` +
    `Descriptors: ${countOf(descriptors, "free")} free, ${countOf(descriptors, "written")} written, ${countOf(descriptors, "available")} available, ${countOf(descriptors, "used")} used.`
  );
}
