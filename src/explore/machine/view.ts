// What the panes show, as plain data: rings, buffers, the forwarding database, counters, who may move. Each field says where it
// lies, so that a pane can light its bytes.

import { DROP_CAUSE_NAMES, queueStatusText } from "../../core/causes.js";
import * as layout from "../../core/layout.js";
import { formatMac } from "../../core/mac.js";
import { Struct } from "../../core/views.js";
import { describeFrame } from "../../testing/frames/describe.js";
import type { QueueKey } from "./driver/access.js";
import type { DriverState, ReceivedFrame } from "./driver/net.js";
import type { RingState } from "./driver/ring.js";
import type { Engine } from "./engine.js";
import { type FieldView, fieldAt } from "./field-text.js";
import type { FaultLogic, HeldStore } from "./log.js";
import type { Place, Places } from "./places.js";
import { type PackedView, packedView, type SplitView, splitView } from "./ring-view.js";
import { GUEST_NAMES, type GuestSetup } from "./setup.js";
import type { GuestWorld, World } from "./world.js";

export interface QueueView {
  /** "a.transmitq" */
  name: string;
  guest: number;
  queue: QueueKey;
  size: number;
  /** How the queue is: in order, or why the switch has stopped it and at which descriptor. */
  status: { text: string; stopped: boolean; descriptor?: number };
  /** Free-running indices, or positions with the wrap counter in bit 15: where driver and device stand for themselves. */
  driver: { nextAvail: number; lastUsed: number; free: number };
  device: { nextAvail: FieldView; nextUsed: FieldView };
  counters: { frames: number; bytes: number; calls: number; drops: Record<string, number> };
  split?: SplitView;
  packed?: PackedView;
}

/** A buffer's room with what lies in it. */
export interface BufferView {
  place: Place;
  /** Guest physical address. */
  address: number;
  /** Who has it: the driver, or the device till it is given back. */
  owner: "driver" | "device";
  /** The virtio_net header, and the frame in a line, of a buffer that holds some. */
  header?: HeaderView;
  frame?: string;
}

/** struct virtio_net_hdr (virtio 1.3, 5.1.6). */
export interface HeaderView {
  flags: number;
  gsoType: number;
  headerLength: number;
  gsoSize: number;
  checksumStart: number;
  checksumOffset: number;
  buffers: number;
}

export interface GuestView {
  number: number;
  name: string;
  setup: GuestSetup;
  /** Guest physical address of its RAM, where that lies in linear memory, and how long it is. */
  base: number;
  window: number;
  bytes: number;
  receiveq: QueueView;
  transmitq: QueueView;
  tx: BufferView[];
  rx: BufferView[];
  /** Its eventfds: the kick that the worker has not woken for, calls that the driver has not answered. */
  kicked: boolean;
  called: Record<QueueKey, boolean>;
  /** The operation under way, those that wait, and the access that comes next: "avail.idx". */
  operation?: string;
  waiting: string[];
  next?: string;
  sent: number;
  received: { text: string; header: HeaderView; buffers: number[]; bytes: number }[];
}

export interface View {
  guests: GuestView[];
  device: { phase: string; accesses: number; canMove: boolean };
  fdb: { mac: string; guest: number; seen: number; place: Place }[];
  held: readonly HeldStore[];
  faults: FaultLogic;
  /** The clock of the forwarding database, in seconds. */
  now: number;
}

export function viewOf(world: World, engine: Engine, places: Places): View {
  const { logic } = engine;
  return {
    guests: world.guests.map((guest) => guestView(world, engine, places, guest)),
    device: { phase: logic.device.phase, accesses: logic.device.accesses, canMove: engine.deviceCanMove },
    fdb: fdbView(world, places),
    held: logic.held,
    faults: logic.faults,
    now: logic.now,
  };
}

function guestView(world: World, engine: Engine, places: Places, guest: GuestWorld): GuestView {
  const { number, setup, layout: of, window } = guest;
  const state = engine.driverState(number);
  const { running, queue } = engine.logic.drivers[number]!;
  const view: GuestView = {
    number,
    name: GUEST_NAMES[number]!,
    setup,
    base: of.base,
    window,
    bytes: of.bytes,
    receiveq: queueView(world, places, guest, "receiveq", state),
    transmitq: queueView(world, places, guest, "transmitq", state),
    tx: buffers(world, places, guest, "tx", state.freeTx),
    rx: buffers(world, places, guest, "rx", state.freeRx),
    kicked: engine.logic.kicks[number]!,
    called: engine.logic.calls[number]!,
    waiting: queue.map((operation) => operation.do),
    sent: state.sent,
    received: state.received.map(receivedView),
  };
  if (running) view.operation = running.operation.do;
  const next = engine.nextAccess(number);
  if (next) view.next = next.name;
  return view;
}

function queueView(world: World, places: Places, guest: GuestWorld, key: QueueKey, state: DriverState): QueueView {
  const name = `${GUEST_NAMES[guest.number]}.${key}`;
  const queue = guest.port.queues.get(key === "receiveq" ? 0 : 1)!;
  const { status, statusDescriptor } = queue;
  const counted = queue.counters();
  const drops = counted.drops.map((count, cause) => [DROP_CAUSE_NAMES[cause]!, count] as const);
  const ring = state[key];
  const at = (field: string) => fieldAt(world, places.named(`core.${name}.${field}`)!);
  const view: QueueView = {
    name,
    guest: guest.number,
    queue: key,
    size: ring.ring.size,
    status: { text: queueStatusText(status), stopped: status !== 0 },
    driver: driverPlace(ring),
    device: { nextAvail: at("nextAvail"), nextUsed: at("nextUsed") },
    counters: { ...counted, drops: Object.fromEntries(drops.filter(([, count]) => count > 0)) },
  };
  if (status !== 0) view.status.descriptor = statusDescriptor;
  const field = (suffix: string) => fieldAt(world, places.named(`${name}.${suffix}`)!);
  const context = { world, places, guest, field, state, queue: key, device: view.device.nextAvail.value };
  if (ring.ring.packed) view.packed = packedView(context);
  else view.split = splitView(context);
  return view;
}

function driverPlace(ring: RingState): QueueView["driver"] {
  if ("freeSlots" in ring) return { nextAvail: ring.nextAvail, lastUsed: ring.nextUsed, free: ring.freeSlots };
  return { nextAvail: ring.nextAvail, lastUsed: ring.lastUsed, free: ring.free.length };
}

function buffers(
  world: World,
  places: Places,
  guest: GuestWorld,
  part: "tx" | "rx",
  free: readonly number[],
): BufferView[] {
  const rooms = part === "tx" ? guest.layout.txBuffers : guest.layout.rxBuffers;
  return Array.from({ length: rooms.count }, (_, i) => {
    const place = places.named(`${GUEST_NAMES[guest.number]}.${part}[${i}]`)!;
    const view: BufferView = {
      place,
      address: rooms.base + i * rooms.bytes,
      owner: free.includes(i) ? "driver" : "device",
    };
    const bytes = world.bytes.slice(place.address, place.address + place.length);
    if (bytes.some((byte) => byte !== 0)) {
      view.header = headerView(bytes);
      view.frame = describeFrame(bytes.subarray(12));
    }
    return view;
  });
}

function headerView(bytes: Uint8Array): HeaderView {
  const word = (at: number) => bytes[at]! | (bytes[at + 1]! << 8);
  return {
    flags: bytes[0]!,
    gsoType: bytes[1]!,
    headerLength: word(2),
    gsoSize: word(4),
    checksumStart: word(6),
    checksumOffset: word(8),
    buffers: word(10),
  };
}

function receivedView({ header, frame, buffers: used }: ReceivedFrame): GuestView["received"][number] {
  return { text: describeFrame(frame), header: headerView(header), buffers: used, bytes: frame.length };
}

function fdbView({ bridge, data }: World, places: Places): View["fdb"] {
  const entries = bridge.fdb.get("entries");
  const count = (bridge.fdb.get("bucketMask") + 1) * 4;
  return Array.from({ length: count }, (_, i) => new Struct(bridge.views, layout.FdbEntry, entries + i * 16)).flatMap(
    (entry) => {
      const key = data.getBigUint64(entry.at, true);
      if (key === 0n) return [];
      const place = places.at(entry.at);
      return [{ mac: formatMac(key), guest: Number(key >> 48n) - 1, seen: entry.get("seen"), place }];
    },
  );
}
