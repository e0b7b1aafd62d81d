// Who has what of a ring: from the bytes of a snapshot to a state for each position. All numbers may be a guest's nonsense.

import type { PackedRingView, RingView, SplitDescriptorView, SplitRingView } from "../../core/ring-view.js";

/** With the driver; made available, the switch has not taken it yet; taken, and not yet given back. */
export type CellState = "driver" | "available" | "device";

export interface Cell {
  position: number;
  state: CellState;
  /** Where an index stands: next for the switch, next for the driver. */
  marks: ("device" | "driver")[];
}

export interface Cells {
  cells: Cell[];
  counts: Record<CellState, number>;
  /** Said when the indices cannot be true. */
  fault?: string;
}

const DESC_F_NEXT = 1;
const DESC_F_WRITE = 2;
const DESC_F_INDIRECT = 4;
const PACKED_AVAIL = 1 << 7;
const PACKED_USED = 1 << 15;

export function cellsOf(view: RingView): Cells {
  return view.kind === "split" ? splitCells(view) : packedCells(view);
}

function splitCells({ size, availIndex, device, entries }: SplitRingView): Cells {
  const distance = (from: number, to: number) => (to - from) & 0xffff;
  // The switch's own numbers: what stands in used.idx is guest memory too.
  const taken = Math.min(distance(device.nextUsed, device.nextAvail), size);
  const waiting = distance(device.nextAvail, availIndex);
  const first = device.nextUsed % size;
  const cells = entries.map(({ position }): Cell => {
    const ahead = (position - first + size) % size;
    const state = ahead < taken ? "device" : ahead < taken + Math.min(waiting, size) ? "available" : "driver";
    return { position, state, marks: [] };
  });
  mark(cells, device.nextAvail % size, "device");
  mark(cells, availIndex % size, "driver");
  const known = { driver: size - Math.min(size, taken + waiting), available: Math.min(waiting, size), device: taken };
  const fault =
    taken + waiting > size
      ? `avail.idx is ${taken + waiting} ahead of used.idx: a ring of ${size} has no more than that`
      : undefined;
  return { cells, counts: known, fault };
}

function packedCells({ device, entries, size }: PackedRingView): Cells {
  const counts = { driver: 0, available: 0, device: 0 };
  const cells = entries.map(({ position, flags }): Cell => {
    // Positions before the device's are looked at in the next round, with the other wrap counter.
    const wrap = position >= device.position ? device.wrap : device.wrap ^ 1;
    const avail = (flags & PACKED_AVAIL) === 0 ? 0 : 1;
    const used = (flags & PACKED_USED) === 0 ? 0 : 1;
    const state = avail === wrap && used !== wrap ? "available" : "driver";
    counts[state]++;
    return { position, state, marks: [] };
  });
  mark(cells, device.position % size, "device");
  return { cells, counts };
}

function mark(cells: Cell[], position: number, by: "device" | "driver"): void {
  cells.find((cell) => cell.position === position)?.marks.push(by);
}

/** One descriptor in words. */
export interface DescriptorText {
  index: number;
  address: string;
  length: number;
  flags: string;
}

export interface PositionText {
  /** What stands at this position of the ring itself. */
  facts: [name: string, value: string][];
  chain: DescriptorText[];
}

/** What a snapshot has of one position. Undefined: it is not in it. */
export function positionText(view: RingView, position: number): PositionText | undefined {
  return view.kind === "split" ? splitText(view, position) : packedText(view, position);
}

function splitText(view: SplitRingView, position: number): PositionText | undefined {
  const entry = view.entries.find((each) => each.position === position);
  if (entry === undefined) return undefined;
  const { head, usedId, usedLength } = entry;
  return {
    facts: [
      [`avail.ring[${position}]`, `head ${head}`],
      [`used.ring[${position}]`, `id ${usedId}, len ${usedLength}`],
    ],
    chain: chainOf(view.descriptors, head),
  };
}

function chainOf(table: readonly SplitDescriptorView[], head: number): DescriptorText[] {
  const chain: DescriptorText[] = [];
  let at = table.find(({ index }) => index === head);
  while (at !== undefined && chain.length < table.length) {
    const { index, address, length, flags, next } = at;
    chain.push({ index, address, length, flags: flagText(flags, next) });
    at = (flags & DESC_F_NEXT) === 0 ? undefined : table.find((each) => each.index === next);
  }
  return chain;
}

function packedText(view: PackedRingView, position: number): PositionText | undefined {
  const entry = view.entries.find((each) => each.position === position);
  if (entry === undefined) return undefined;
  const { address, length, id, flags } = entry;
  const bit = (mask: number) => ((flags & mask) === 0 ? 0 : 1);
  return {
    facts: [
      [`desc[${position}].id`, String(id)],
      ["AVAIL, USED", `${bit(PACKED_AVAIL)}, ${bit(PACKED_USED)}`],
    ],
    chain: [{ index: position, address, length, flags: flagText(flags) }],
  };
}

function flagText(flags: number, next?: number): string {
  const names = [
    (flags & DESC_F_WRITE) === 0 ? "device reads" : "device writes",
    (flags & DESC_F_NEXT) === 0 ? "" : next === undefined ? "NEXT" : `NEXT → ${next}`,
    (flags & DESC_F_INDIRECT) === 0 ? "" : "INDIRECT",
  ];
  return names.filter((name) => name !== "").join(", ");
}
