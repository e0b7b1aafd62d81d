// The two forms of ring as the panes draw them: rows of descriptors with their fields, and who has each of them.

import { VIRTQ_DESC_F_INDIRECT, VIRTQ_DESC_F_NEXT } from "../../../assembly/spec/virtio.js";
import { packedAfter } from "../../core/packed-ring.js";
import type { QueueKey } from "./driver/access.js";
import type { DriverState } from "./driver/net.js";
import type { PackedState } from "./driver/packed.js";
import type { SplitState } from "./driver/split.js";
import { descriptorFlags, type FieldView, fieldAt } from "./field-text.js";
import type { Place, Places } from "./places.js";
import { GUEST_NAMES } from "./setup.js";
import type { GuestWorld, World } from "./world.js";

/**
 * Whose a descriptor is: `free` the driver's; `written` in a chain that the driver has not made available yet; `available` the
 * device's; `used` given back, and the driver has not taken it.
 */
export type DescriptorState = "free" | "written" | "available" | "used";

export interface DescriptorRow {
  index: number;
  state: DescriptorState;
  addr: FieldView;
  len: FieldView;
  flags: FieldView;
  /** Names of the flags that are set. */
  names: string[];
  /** `next`; in a packed ring the buffer id. */
  next: FieldView;
  /** What the address points to, if that is the guest's memory: "a.tx[0]". */
  target?: Place;
  /** The indirect table that it points to. */
  table?: DescriptorRow[];
}

export interface SplitView {
  descriptors: DescriptorRow[];
  avail: { flags: FieldView; idx: FieldView; ring: FieldView[]; usedEvent: FieldView };
  used: { flags: FieldView; idx: FieldView; ring: { id: FieldView; len: FieldView }[]; availEvent: FieldView };
}

export interface PackedView {
  descriptors: (DescriptorRow & { availBit: boolean; usedBit: boolean })[];
  /** Wrap counters of driver and device, of the place where each makes or takes the next. */
  wrap: { driver: boolean; driverUsed: boolean; device: boolean };
  driverEvent: { desc: FieldView; flags: FieldView };
  deviceEvent: { desc: FieldView; flags: FieldView };
}

export interface RingContext {
  world: World;
  places: Places;
  guest: GuestWorld;
  state: DriverState;
  queue: QueueKey;
  /** The device's nextAvail. */
  device: number;
  /** A field of the ring: "avail.idx". */
  field(suffix: string): FieldView;
}

const WRAP = 0x8000;
const AVAIL = 0x80;
const USED = 0x8000;

export function splitView(context: RingContext): SplitView {
  const { field } = context;
  const ring = context.state[context.queue] as SplitState;
  const { size } = ring.ring;
  const all = <T>(of: (i: number) => T) => Array.from({ length: size }, (_, i) => of(i));
  const view: SplitView = {
    descriptors: all((i) => row(context, `${nameOf(context)}.desc[${i}]`, i)),
    avail: {
      flags: field("avail.flags"),
      idx: field("avail.idx"),
      ring: all((i) => field(`avail.ring[${i}]`)),
      usedEvent: field("avail.used_event"),
    },
    used: {
      flags: field("used.flags"),
      idx: field("used.idx"),
      ring: all((i) => ({ id: field(`used.ring[${i}].id`), len: field(`used.ring[${i}].len`) })),
      availEvent: field("used.avail_event"),
    },
  };
  for (let i = 0; i < size; i++) if (!ring.free.includes(i)) view.descriptors[i]!.state = "written";
  const { ring: heads, idx } = view.avail;
  mark(
    view,
    range(context.device, idx.value, size).map((i) => heads[i % size]!.value),
    "available",
  );
  const used = range(ring.lastUsed, view.used.idx.value, size).map((i) => view.used.ring[i % size]!.id.value);
  mark(view, used, "used");
  return view;
}

/** 16-bit indices from one to before another, at most a ring's size. */
function range(from: number, to: number, size: number): number[] {
  const count = Math.min((to - from) & 0xffff, size);
  return Array.from({ length: count }, (_, i) => (from + i) & 0xffff);
}

/** The descriptors of these chains, as the table links them. */
function mark({ descriptors }: SplitView, heads: number[], state: DescriptorState): void {
  for (const head of heads) {
    let next: DescriptorRow | undefined = descriptors[head];
    for (let left = descriptors.length; next && left > 0; left--) {
      next.state = state;
      next = next.flags.value & VIRTQ_DESC_F_NEXT ? descriptors[next.next.value] : undefined;
    }
  }
}

export function packedView(context: RingContext): PackedView {
  const { field, device } = context;
  const ring = context.state[context.queue] as PackedState;
  const { size } = ring.ring;
  const descriptors = Array.from({ length: size }, (_, i) => {
    const found = row(context, `${nameOf(context)}.desc[${i}]`, i);
    const flags = found.flags.value;
    return { ...found, availBit: (flags & AVAIL) !== 0, usedBit: (flags & USED) !== 0 };
  });
  const each = (from: number, to: number, state: DescriptorState) => {
    let at = from;
    for (let left = size; at !== to && left > 0; left--, at = packedAfter(at, 1, size)) {
      descriptors[at & ~WRAP]!.state = state;
    }
  };
  each(ring.nextUsed, device, "used");
  each(device, ring.nextAvail, "available");
  return {
    descriptors,
    wrap: {
      driver: (ring.nextAvail & WRAP) !== 0,
      driverUsed: (ring.nextUsed & WRAP) !== 0,
      device: (device & WRAP) !== 0,
    },
    driverEvent: { desc: field("driver_event.desc"), flags: field("driver_event.flags") },
    deviceEvent: { desc: field("device_event.desc"), flags: field("device_event.flags") },
  };
}

function nameOf({ guest, queue }: RingContext): string {
  return `${GUEST_NAMES[guest.number]}.${queue}`;
}

function row(context: RingContext, name: string, index: number, inside = false): DescriptorRow {
  const { world, places, guest } = context;
  const at = (field: string) => fieldAt(world, places.named(`${name}.${field}`)!);
  const [addr, len, flags] = [at("addr"), at("len"), at("flags")];
  const next = at(guest.setup.ring === "packed" ? "id" : "next");
  const found: DescriptorRow = { index, state: "free", addr, len, flags, names: descriptorFlags(flags.value), next };
  const target = placeOf(context, addr.value);
  if (!target || len.value === 0) return found;
  found.target = target;
  if (flags.value & VIRTQ_DESC_F_INDIRECT && !inside && target.kind === "table") {
    const count = Math.min(len.value >> 4, 8);
    const table = target.name.slice(0, target.name.lastIndexOf("["));
    found.table = Array.from({ length: count }, (_, i) => row(context, `${table}[${i}]`, i, true));
  }
  return found;
}

function placeOf({ places, guest: { window, layout } }: RingContext, address: number): Place | undefined {
  if (address < layout.base || address >= layout.base + layout.bytes) return undefined;
  return places.at(window + address - layout.base);
}
