// Which field lies at an address, and where a field lies: rings, tables, buffers, the structs of the core. Made once for a
// machine, since nothing moves.

import { DROP_CAUSE_NAMES } from "../../core/causes.js";
import { CONTROL_START } from "../../core/bridge.js";
import { MISSES_OFFSET } from "../../core/bridge-port.js";
import * as layout from "../../core/layout.js";
import type { Layout } from "../../core/views.js";
import type { QueueKey } from "./driver/access.js";
import type { RingLayout, Rooms } from "./guest-layout.js";
import { GUEST_NAMES } from "./setup.js";
import type { GuestWorld, World } from "./world.js";

/** A field, an entry without fields, or a buffer. */
export interface Place {
  /** "a.transmitq.desc[3].addr", "b.rx[0]", "core.fdb.entries[2].key": the same for the life of the machine. */
  name: string;
  /** What it is part of: a ring, an indirect table, a buffer, other RAM of a guest, the core's own structs, or nothing. */
  kind: "ring" | "table" | "buffer" | "ram" | "core" | "unused";
  guest?: number;
  queue?: QueueKey;
  /** "desc", "avail", "used"; packed: "desc", "driver", "device"; "rx", "tx"; of the core: "fdb", "worker", "queue", … */
  part: string;
  /** Number of the descriptor, entry or buffer. */
  index?: number;
  field?: string;
  /** Offset in linear memory, and bytes. */
  address: number;
  length: number;
}

interface Field {
  name: string;
  offset: number;
  bytes: number;
}

/** Equal entries side by side. */
interface Area {
  start: number;
  stride: number;
  count: number;
  kind: Place["kind"];
  part: string;
  guest?: number;
  queue?: QueueKey;
  /** `many`: its name goes on with the entry's number. */
  name: string;
  many: boolean;
  fields: readonly Field[];
}

const WIDTH: Record<string, number> = { u64: 8, u32: 4, i32: 4, u16: 2, u8: 1 };
const DESCRIPTOR = [field("addr", 0, 8), field("len", 8, 4), field("flags", 12, 2), field("next", 14, 2)];
const PACKED_DESCRIPTOR = [field("addr", 0, 8), field("len", 8, 4), field("id", 12, 2), field("flags", 14, 2)];
const EVENT = [field("desc", 0, 2), field("flags", 2, 2)];

function field(name: string, offset: number, bytes: number): Field {
  return { name, offset, bytes };
}

export class Places {
  /** Ascending, none over another. */
  private readonly areas: Area[];
  private readonly byName = new Map<string, Place | undefined>();

  constructor(private readonly world: World) {
    this.areas = [...world.guests.flatMap(guestAreas), ...coreAreas(world)].sort((a, b) => a.start - b.start);
  }

  /** The field at an offset in linear memory. */
  at(address: number): Place {
    const area = this.areaOf(address);
    if (!area) return this.elsewhere(address);
    const index = Math.floor((address - area.start) / area.stride);
    const start = area.start + index * area.stride;
    const found = area.fields.find(
      ({ offset, bytes }) => address >= start + offset && address < start + offset + bytes,
    );
    return placeOf(area, index, found);
  }

  /** All fields that a range touches, in order. */
  within(address: number, length: number): Place[] {
    const places: Place[] = [];
    for (let at = address; at < address + length; ) {
      const place = this.at(at);
      places.push(place);
      at = Math.max(at + 1, place.address + place.length);
    }
    return places;
  }

  /** The field of a name; undefined when there is none. */
  named(name: string): Place | undefined {
    if (!this.byName.has(name)) this.byName.set(name, this.find(name));
    return this.byName.get(name);
  }

  private find(name: string): Place | undefined {
    for (const area of this.areas) {
      if (!name.startsWith(area.name)) continue;
      const [, number, of] = /^(?:\[(\d+)\])?(?:\.(.+))?$/.exec(name.slice(area.name.length)) ?? [];
      const index = Number(number ?? 0);
      if (area.many !== (number !== undefined) || index >= area.count) continue;
      const found = area.fields.find((one) => one.name === of);
      if (found || (of === undefined && area.fields.length === 0)) return placeOf(area, index, found);
    }
    return undefined;
  }

  private areaOf(address: number): Area | undefined {
    let low = 0;
    for (let count = this.areas.length; count > 1; ) {
      const half = count >> 1;
      if (this.areas[low + half]!.start <= address) low += half;
      count -= half;
    }
    const area = this.areas[low];
    const inside = area && address >= area.start && address < area.start + area.count * area.stride;
    return inside ? area : undefined;
  }

  private elsewhere(address: number): Place {
    const guest = this.world.guests.find(
      ({ window, layout: { bytes } }) => address >= window && address < window + bytes,
    );
    if (guest)
      return { name: `${nameOf(guest)}.ram`, kind: "ram", guest: guest.number, part: "ram", address, length: 1 };
    return { name: address < CONTROL_START ? "nothing" : "core", kind: "unused", part: "core", address, length: 1 };
  }
}

function placeOf(area: Area, index: number, of: Field | undefined): Place {
  const { kind, guest, queue, part, stride, many } = area;
  const entry = many ? `${area.name}[${index}]` : area.name;
  const start = area.start + index * stride;
  const place: Place = {
    name: of ? `${entry}.${of.name}` : entry,
    kind,
    part,
    address: start + (of?.offset ?? 0),
    length: of?.bytes ?? stride,
  };
  if (guest !== undefined) place.guest = guest;
  if (queue) place.queue = queue;
  if (many) place.index = index;
  if (of) place.field = of.name;
  return place;
}

function nameOf({ number }: GuestWorld): string {
  return GUEST_NAMES[number]!;
}

function guestAreas(guest: GuestWorld): Area[] {
  const { layout: places } = guest;
  return [
    ...ringAreas(guest, "receiveq", places.receiveq),
    ...ringAreas(guest, "transmitq", places.transmitq),
    ...tableAreas(guest, places.tables),
    rooms(guest, "rx", "receiveq", places.rxBuffers),
    rooms(guest, "tx", "transmitq", places.txBuffers),
  ];
}

function ringAreas({ number, window, layout: { base } }: GuestWorld, queue: QueueKey, ring: RingLayout): Area[] {
  const name = `${GUEST_NAMES[number]}.${queue}`;
  const at = (address: number) => window + address - base;
  const common = { kind: "ring" as const, guest: number, queue };
  const { size, packed } = ring;
  const single = (part: string, start: number, label: string, fields: readonly Field[], stride: number): Area => {
    return { ...common, part, start, stride, count: 1, name: `${name}.${label}`, many: false, fields };
  };
  const many = (part: string, start: number, label: string, fields: readonly Field[], stride: number): Area => {
    return { ...common, part, start, stride, count: size, name: `${name}.${label}`, many: true, fields };
  };
  const [desc, avail, used] = [at(ring.desc), at(ring.avail), at(ring.used)];
  if (packed) {
    return [
      many("desc", desc, "desc", PACKED_DESCRIPTOR, 16),
      single("driver", avail, "driver_event", EVENT, 4),
      single("device", used, "device_event", EVENT, 4),
    ];
  }
  const index = [field("flags", 0, 2), field("idx", 2, 2)];
  return [
    many("desc", desc, "desc", DESCRIPTOR, 16),
    single("avail", avail, "avail", index, 4),
    many("avail", avail + 4, "avail.ring", [], 2),
    single("avail", avail + 4 + size * 2, "avail.used_event", [], 2),
    single("used", used, "used", index, 4),
    many("used", used + 4, "used.ring", [field("id", 0, 4), field("len", 4, 4)], 8),
    single("used", used + 4 + size * 8, "used.avail_event", [], 2),
  ];
}

function tableAreas(
  { number, window, setup, layout: { base } }: GuestWorld,
  { base: first, count, bytes }: Rooms,
): Area[] {
  return Array.from({ length: count }, (_, i) => ({
    start: window + first - base + i * bytes,
    stride: 16,
    count: bytes / 16,
    kind: "table" as const,
    part: "table",
    guest: number,
    queue: "transmitq" as const,
    name: `${GUEST_NAMES[number]}.table[${i}]`,
    many: true,
    fields: setup.ring === "packed" ? PACKED_DESCRIPTOR : DESCRIPTOR,
  }));
}

function rooms({ number, window, layout: { base } }: GuestWorld, part: string, queue: QueueKey, all: Rooms): Area {
  const { base: first, count, bytes } = all;
  const start = window + first - base;
  const name = `${GUEST_NAMES[number]}.${part}`;
  return { start, stride: bytes, count, kind: "buffer", part, guest: number, queue, name, many: true, fields: [] };
}

function coreAreas({ bridge, guests, data }: World): Area[] {
  const areas: Area[] = [];
  const add = (
    part: string,
    name: string,
    start: number,
    of: Layout | number,
    count = 1,
    extra: Partial<Area> = {},
  ) => {
    const stride = typeof of === "number" ? of : of.size;
    const fields = typeof of === "number" ? [] : fieldsOf(of);
    areas.push({ start, stride, count, kind: "core", part, name: `core.${name}`, many: count > 1, fields, ...extra });
  };
  const listOf = (part: string, name: string, at: number, entry: Layout | number, header = 4) => {
    add(part, `${name}.count`, at, header);
    const count = data.getUint32(at, true);
    if (count > 0) add(part, name, at + header, entry, count, { many: true });
  };
  const worker = bridge.workers[0]!;
  const { fdb } = bridge;
  add("core", "root", bridge.core.at, layout.Core);
  listOf("core", "floodList", bridge.core.get("floodList"), 4);
  add("core", "ports", bridge.core.get("ports"), 4, layout.PORTS_MAX);
  add("fdb", "fdb", fdb.at, layout.Fdb);
  add("fdb", "fdb.entries", fdb.get("entries"), layout.FdbEntry, (fdb.get("bucketMask") + 1) * 4);
  add("fdb", "fdb.portEntries", fdb.get("portEntries"), 4, layout.PORTS_MAX);
  add("worker", "worker", worker.at, layout.Worker);
  listOf("worker", "worker.transmitqs", worker.get("transmitqs"), 4);
  const { BURST, SEGMENTS, RX_NOTES, CHAIN_SEGMENTS } = layout;
  add("frames", "frames", worker.get("frameTable"), layout.Frame, BURST);
  add("segments", "txSegments", worker.get("txSegmentTable"), layout.Segment, SEGMENTS);
  add("segments", "rxSegments", worker.get("rxSegmentTable"), layout.Segment, SEGMENTS);
  add("placements", "placements", worker.get("placements"), layout.Placement, BURST);
  add("calls", "calls", worker.get("calls"), 4, layout.CALLS_MAX);
  add("groups", "groups", worker.get("groupTable"), layout.Group, BURST);
  add("groups", "groupOf", worker.get("groupOf"), 1, layout.PORTS_MAX);
  add("scratch", "headerScratch", worker.get("headerScratch"), 64);
  add("scratch", "headerCopies", worker.get("headerCopies"), layout.HEADER_COPY, BURST);
  add("offloads", "offloads", worker.get("offloadTable"), layout.Offload, BURST);
  add("packet", "packet", worker.get("packet"), layout.Packet);
  add("packet", "packetHeaders", worker.get("packetHeaders"), layout.HEADERS_MAX);
  add("notes", "txNotes", worker.get("txNoteTable"), layout.Reserved, BURST);
  add("notes", "rxNotes", worker.get("rxNoteTable"), layout.Reserved, RX_NOTES);
  add("notes", "reserved", worker.get("reservedTable"), layout.Reserved, CHAIN_SEGMENTS);
  for (const { number, port } of guests) {
    const guest = GUEST_NAMES[number]!;
    add("port", `${guest}.port`, port.struct.at, layout.Port, 1, { guest: number });
    listOf("port", `${guest}.regions`, port.struct.get("regions"), layout.Region, 8);
    listOf("port", `${guest}.receiveqs`, port.struct.get("receiveqs"), 4);
    for (const { index, struct } of port.queues.values()) {
      const queue = index === 0 ? "receiveq" : "transmitq";
      const extra = { guest: number, queue: queue as QueueKey };
      add("queue", `${guest}.${queue}`, struct.at, MISSES_OFFSET, 1, { ...extra, fields: queueFields() });
    }
  }
  return areas;
}

function fieldsOf({ fields }: Layout): Field[] {
  return Object.entries(fields).map(([name, { offset, type }]) => field(name, offset, WIDTH[type]!));
}

/** The drop counters lie behind the struct, one for each cause. */
function queueFields(): Field[] {
  const { drops } = layout.Queue.fields;
  const named = fieldsOf(layout.Queue).filter(({ name }) => name !== "drops");
  return [...named, ...DROP_CAUSE_NAMES.map((cause, i) => field(`drops.${cause}`, drops.offset + i * 8, 8))];
}
