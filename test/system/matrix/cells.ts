// The matrix of QEMU devices: every combination of what changes a ring's or a frame's layout, as properties of
// virtio-net-pci, and the feature bits by which a guest tells that it got what the cell is about.
import * as virtio from "../../../assembly/spec/virtio.js";

/** Values of each dimension, the plainest first. */
export const dimensions = {
  ring: ["split", "packed"],
  mrg: [true, false],
  indirect: [true, false],
  eventIdx: [true, false],
  pairs: [1, 4],
  /** mixed: the second guest has none. */
  offloads: ["all", "none", "mixed"],
  device: ["transitional", "modern", "legacy"],
} as const;

type Dimensions = typeof dimensions;
export type Cell = { [K in keyof Dimensions]: Dimensions[K][number] };
type Key = keyof Cell;
const keys = Object.keys(dimensions) as Key[];

/** What one guest of a cell gets: properties for QEMU, bits that its driver must have accepted, and must not. */
export interface Side {
  offloads: boolean;
  device: string[];
  accepted: number[];
  refused: number[];
}

/** Bytes of a cell's virtio_net_hdr: virtio 0.9.5 has no num_buffers unless buffers are merged. */
export function headerBytes(cell: Cell): number {
  return cell.device === "legacy" && !cell.mrg ? 10 : 12;
}

// Checksum and TCP segmentation, both ways: QEMU's properties and their bits.
const offloadProperties = {
  csum: virtio.VIRTIO_NET_F_CSUM,
  guest_csum: virtio.VIRTIO_NET_F_GUEST_CSUM,
  host_tso4: virtio.VIRTIO_NET_F_HOST_TSO4,
  host_tso6: virtio.VIRTIO_NET_F_HOST_TSO6,
  guest_tso4: virtio.VIRTIO_NET_F_GUEST_TSO4,
  guest_tso6: virtio.VIRTIO_NET_F_GUEST_TSO6,
};
// Those that a back-end may leave out; they go with the others when a guest is to have none.
const otherOffloads = ["gso", "guest_ecn", "guest_ufo", "host_ecn", "host_ufo"];

/** Virtio 1.x has no legacy device with packed rings. */
function exists(cell: Cell): boolean {
  return cell.ring === "split" || cell.device !== "legacy";
}

/** All cells. */
export function product(): Cell[] {
  let cells: Record<string, unknown>[] = [{}];
  for (const key of keys) {
    cells = cells.flatMap((cell) => dimensions[key].map((value) => ({ ...cell, [key]: value })));
  }
  return (cells as Cell[]).filter(exists);
}

/** Few cells in which every two values of two dimensions that can meet do so: the greedy choice, the same every time. */
export function pairwise(cells: readonly Cell[] = product()): Cell[] {
  const pairsOf = (cell: Cell) =>
    keys.flatMap((a, index) => keys.slice(index + 1).map((b) => `${a}=${cell[a]} ${b}=${cell[b]}`));
  const open = new Set(cells.flatMap(pairsOf));
  const chosen: Cell[] = [];
  while (open.size > 0) {
    const gain = (cell: Cell) => pairsOf(cell).filter((pair) => open.has(pair)).length;
    const best = cells.reduce((a, b) => (gain(b) > gain(a) ? b : a));
    chosen.push(best);
    for (const pair of pairsOf(best)) open.delete(pair);
  }
  return chosen;
}

/** The plainest cell with these values instead. */
export function cellWith(values: Partial<Cell>): Cell {
  const plain = Object.fromEntries(keys.map((key) => [key, dimensions[key][0]])) as Cell;
  return { ...plain, ...values };
}

/** A cell in a line. */
export function title(cell: Cell): string {
  const without = (["mrg", "indirect", "eventIdx"] as const).filter((key) => !cell[key]).map((key) => `no ${key}`);
  const queues = cell.pairs === 1 ? "1 queue pair" : `${cell.pairs} queue pairs`;
  return [cell.ring, ...without, queues, `offloads ${cell.offloads}`, cell.device].join(", ");
}

/** The first and the second guest of a cell. */
export function sides(cell: Cell): [Side, Side] {
  return [side(cell, cell.offloads !== "none"), side(cell, cell.offloads === "all")];
}

function side(cell: Cell, offloads: boolean): Side {
  const accepted: number[] = [];
  const refused: number[] = [];
  const device: string[] = [];
  const property = (name: string, bit: number, on: boolean) => {
    device.push(`${name}=${on ? "on" : "off"}`);
    (on ? accepted : refused).push(bit);
  };
  property("packed", virtio.VIRTIO_F_RING_PACKED, cell.ring === "packed");
  property("mrg_rxbuf", virtio.VIRTIO_NET_F_MRG_RXBUF, cell.mrg);
  property("indirect_desc", virtio.VIRTIO_F_INDIRECT_DESC, cell.indirect);
  property("event_idx", virtio.VIRTIO_F_EVENT_IDX, cell.eventIdx);
  for (const [name, bit] of Object.entries(offloadProperties)) property(name, bit, offloads);
  if (!offloads) device.push(...otherOffloads.map((name) => `${name}=off`));
  (cell.pairs > 1 ? accepted : refused).push(virtio.VIRTIO_NET_F_MQ);
  (cell.device === "legacy" ? refused : accepted).push(virtio.VIRTIO_F_VERSION_1);
  device.push(`disable-modern=${cell.device === "legacy" ? "on" : "off"}`);
  device.push(`disable-legacy=${cell.device === "modern" ? "on" : "off"}`);
  return { offloads, device, accepted, refused };
}
