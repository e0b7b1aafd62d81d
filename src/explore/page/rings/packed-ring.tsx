// Picture of a packed virtqueue (virtio 1.3, 2.8): one ring of descriptors that both sides write, with the two bits that say whose
// each is, read against the wrap counters; beside it the two event suppression structures.

import type { FieldView, PackedView, QueueView } from "../../machine/index.js";
import { bytesAt } from "../lit.js";
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
import { Cell, Heading, Marker, Picture, ROW, type Touched, touchOf } from "./parts.js";

const WRAP = 0x8000;
/** Room for the markers left and right of the ring. */
const SIDE = 26;

type PackedRow = PackedView["descriptors"][number];

export function PackedRing({ queue, touched, width }: RingProps) {
  const packed = queue.packed!;
  const rows = Math.min(queue.size, ROWS_MOST);
  const wide = width >= 600;
  const eventWidth = wide ? 120 : Math.floor((width - 12) / 2);
  const ringWidth = wide ? width - eventWidth - 24 : width;
  const ringHeight = HEAD + (rows + 1) * ROW;
  const tables = packed.descriptors.filter(({ table }) => table);
  const indirectHeight = 10 + tablesHeight(tables);
  const eventY = wide ? 0 : ringHeight + indirectHeight + 26;
  const height = (wide ? Math.max(ringHeight + indirectHeight, 10 * ROW) : eventY + 4 * ROW) + 26;
  const at = (position: number) => HEAD + ROW + (position & ~WRAP) * ROW;
  const deviceNext = queue.device.nextAvail.value;
  const columns = columnsOf(SIDE, ringWidth - 2 * SIDE);
  const eventX = wide ? ringWidth + 24 : 0;
  return (
    <Picture width={width} height={height} label={describe(queue)}>
      <Heading x={SIDE} y={14}>
        descriptor ring
      </Heading>
      <Titles columns={columns} />
      {packed.descriptors.slice(0, rows).map((row) => (
        <Row key={row.index} {...{ row, touched, columns }} y={at(row.index)} />
      ))}
      <Marker
        x={SIDE - 2}
        y={at(queue.driver.nextAvail)}
        who="D"
        title={`The driver makes descriptors available here next, ${wrapText(queue.driver.nextAvail)}`}
      />
      <Marker
        x={ringWidth - SIDE + 2}
        left
        y={at(deviceNext)}
        who="S"
        title={`The switch takes the next chain here, ${wrapText(deviceNext)}`}
      />
      <WrapCounters {...{ queue }} x={SIDE} y={ringHeight + 6} />
      {tables.map((row, i) => (
        <Inner key={row.index} {...{ row, touched, columns }} y={ringHeight + 30 + tablesHeight(tables.slice(0, i))} />
      ))}
      <Event
        {...{ touched }}
        title="driver_event"
        x={eventX}
        y={eventY}
        width={eventWidth}
        fields={packed.driverEvent}
      />
      <Event
        {...{ touched }}
        title="device_event"
        x={wide ? eventX : eventWidth + 12}
        y={wide ? 4.4 * ROW : eventY}
        width={eventWidth}
        fields={packed.deviceEvent}
      />
    </Picture>
  );
}

interface Columns {
  state: number;
  addr: Column;
  len: Column;
  id: Column;
  flags: Column;
  avail: number;
  used: number;
}

function columnsOf(x: number, width: number): Columns {
  const index = x + ROW_HEAD;
  const narrow = width < 420;
  const [len, id, flags] = narrow ? [38, 28, 46] : [52, 42, 92];
  const bits = 2 * ROW;
  const addr = width - (index - x) - len! - id! - flags! - bits;
  return {
    state: x,
    addr: [index, addr],
    len: [index + addr, len!],
    id: [index + addr + len!, id!],
    flags: [index + addr + len! + id!, flags!],
    avail: index + addr + len! + id! + flags!,
    used: index + addr + len! + id! + flags! + ROW,
  };
}

function Titles({ columns }: { columns: Columns }) {
  const y = HEAD + 16;
  return (
    <g class="titles">
      <text x={columns.addr[0] + 4} y={y}>
        addr
      </text>
      <text x={columns.len[0] + 4} y={y}>
        len
      </text>
      <text x={columns.id[0] + 4} y={y}>
        id
      </text>
      <text x={columns.flags[0] + 4} y={y}>
        flags
      </text>
      <text x={columns.avail + ROW / 2} y={y} text-anchor="middle">
        A
      </text>
      <text x={columns.used + ROW / 2} y={y} text-anchor="middle">
        U
      </text>
    </g>
  );
}

interface RowProps {
  row: PackedRow;
  touched: readonly Touched[];
  columns: Columns;
  y: number;
  inner?: boolean;
}

function Row({ row, touched, columns, y, inner }: RowProps) {
  const { addr, len, flags, next, target, names } = row;
  const unused = row.state === "free" && len.value === 0 && flags.value === 0;
  const cell = (field: FieldView, [left, width]: Column, text: string) => (
    <Cell x={left} y={y} w={width} field={field} touched={touched} text={text} class={unused ? "faint" : ""} />
  );
  const others = names.filter((name) => name !== "AVAIL" && name !== "USED");
  const narrow = columns.flags[1] < 60;
  const letters = others.map((name) => (narrow ? name.slice(0, 1) : name === "INDIRECT" ? "INDIR." : name)).join(" ");
  return (
    <g>
      <RowHead x={columns.state} y={y} state={row.state} index={row.index} />
      {cell(addr, columns.addr, bufferText(row))}
      {cell(len, columns.len, len.text)}
      {cell(next, columns.id, next.text)}
      {cell(flags, columns.flags, letters || "0")}
      {!inner && <Bit x={columns.avail} y={y} set={row.availBit} name="AVAIL" {...{ flags, touched }} />}
      {!inner && <Bit x={columns.used} y={y} set={row.usedBit} name="USED" {...{ flags, touched }} />}
      <Target {...{ target, len, y }} column={columns.addr} />
    </g>
  );
}

function Bit({
  x,
  y,
  set,
  name,
  flags,
  touched,
}: {
  x: number;
  y: number;
  set: boolean;
  name: string;
  flags: FieldView;
  touched: readonly Touched[];
}) {
  return (
    <g class={`bit ${set ? "is-set" : ""} ${touchOf(touched, flags.place)}`} data-at={bytesAt(flags.place)}>
      <title>{`${name} is ${set ? 1 : 0}`}</title>
      <rect x={x} y={y} width={ROW} height={ROW} />
      <text x={x + ROW / 2} y={y + ROW / 2 + 4} text-anchor="middle">
        {set ? "1" : "0"}
      </text>
    </g>
  );
}

/** The counters that the bits are read against: of memory nobody shares, so they lie in no byte of the ring. */
function WrapCounters({ queue, x, y }: { queue: QueueView; x: number; y: number }) {
  const { wrap } = queue.packed!;
  return (
    <g class="wraps">
      <text class="driver-text" x={x} y={y + 14}>
        {`D wrap counter ${Number(wrap.driver)}`}
      </text>
      <text class="device-text" x={x + 150} y={y + 14}>
        {`S wrap counter ${Number(wrap.device)}`}
      </text>
    </g>
  );
}

function Inner({ row, touched, columns, y }: Omit<RowProps, "inner">) {
  return (
    <g class="indirect">
      <Heading x={columns.state} y={y + 14}>
        {`indirect table of descriptor ${row.index}`}
      </Heading>
      {row.table!.map((one) => (
        <Row
          key={one.index}
          row={{ ...one, state: row.state, availBit: false, usedBit: false }}
          {...{ touched, columns }}
          y={y + HEAD + one.index * ROW}
          inner
        />
      ))}
    </g>
  );
}

function Event({
  title,
  fields,
  touched,
  x,
  y,
  width,
}: {
  title: string;
  fields: PackedView["driverEvent"];
  touched: readonly Touched[];
  x: number;
  y: number;
  width: number;
}) {
  return (
    <g class={title === "driver_event" ? "part-driver" : "part-device"}>
      <Heading x={x} y={y + 14}>
        {title}
      </Heading>
      <g class="labels">
        <text x={x + 36} y={y + HEAD + 16} text-anchor="end">
          desc
        </text>
        <text x={x + 36} y={y + HEAD + ROW + 16} text-anchor="end">
          flags
        </text>
      </g>
      <Cell x={x + 40} y={y + HEAD} w={width - 40} field={fields.desc} touched={touched} />
      <Cell x={x + 40} y={y + HEAD + ROW} w={width - 40} field={fields.flags} touched={touched} />
    </g>
  );
}

function wrapText(position: number): string {
  return `wrap counter ${position & WRAP ? 1 : 0}`;
}

function describe({ name, size, packed, status, driver, device }: QueueView): string {
  const { descriptors } = packed!;
  return (
    `${name}: packed ring of ${size} descriptors, ${status.text}. The driver is at ${driver.nextAvail & ~WRAP}, ${wrapText(driver.nextAvail)}; ` +
    `the switch at ${device.nextAvail.value & ~WRAP}, ${wrapText(device.nextAvail.value)}. ` +
    `Descriptors: ${countOf(descriptors, "free")} free, ${countOf(descriptors, "available")} available, ${countOf(descriptors, "used")} used.`
  );
}
