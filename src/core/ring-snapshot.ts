// Reads a running queue's ring out of linear memory while workers and guest go on: a picture of one moment, or nearly.
// It takes no lock and writes nothing. Only the parts of the ring itself are read, which are mapped, and whose pages are
// there, as long as the ring runs; never a buffer or an indirect table, whose pages may still be on their way (postcopy).
//
// For the thread that starts and stops rings: it alone knows that this one is not taken away meanwhile.

import type { BridgeQueue } from "./bridge-port.js";
import { PACKED_WRAP } from "./packed-ring.js";
import type { EventAreaView, PackedRingView, RingView, SplitDescriptorView, SplitRingView } from "./ring-view.js";
import { splitRingBytes } from "./split-ring.js";
import { VIRTQ_DESC_F_NEXT, VIRTQ_DESC_SIZE } from "../../assembly/spec/virtio.js";
import type { Views } from "./views.js";

/** Positions that are read of a ring, and of those how many lie behind the device. */
export const RING_VIEW_ENTRIES = 256;
const BEHIND = 64;

/** The ring of a queue; undefined while it does not run. */
export function ringView(queue: BridgeQueue): RingView | undefined {
  if (!queue.running) return undefined;
  return queue.struct.get("packed") === 1 ? packedView(queue) : splitView(queue);
}

function splitView({ struct }: BridgeQueue): SplitRingView {
  const { views } = struct;
  const [desc, avail, used, size] = [struct.get("desc"), struct.get("avail"), struct.get("used"), struct.get("size")];
  const u16 = (at: number) => views.data.getUint16(at, true);
  const nextAvail = struct.get("nextAvail") & 0xffff;
  const view: SplitRingView = {
    kind: "split",
    size,
    availIndex: u16(avail + 2),
    usedIndex: u16(used + 2),
    device: { nextAvail, nextUsed: struct.get("nextUsed") & 0xffff },
    availFlags: u16(avail),
    usedFlags: u16(used),
    entries: positions(nextAvail % size, size).map((position) => {
      const element = (used + 4 + position * 8) >>> 2;
      return {
        position,
        head: u16(avail + 4 + position * 2),
        usedId: views.u32[element]!,
        usedLength: views.u32[element + 1]!,
      };
    }),
    descriptors: [],
    movedBy: 0,
  };
  const heads = size <= RING_VIEW_ENTRIES ? positions(0, size) : view.entries.map(({ head }) => head);
  view.descriptors = descriptors(views, desc, size, heads);
  if (struct.get("eventIdx") === 1) {
    const bytes = splitRingBytes(size);
    view.usedEvent = u16(avail + bytes.avail - 2);
    view.availEvent = u16(used + bytes.used - 2);
  }
  view.movedBy = (struct.get("nextAvail") - nextAvail) & 0xffff;
  return view;
}

/** The descriptors of chains with these heads, each once, and no more than a window's worth. */
function descriptors(views: Views, table: number, size: number, heads: readonly number[]): SplitDescriptorView[] {
  const read = new Map<number, SplitDescriptorView>();
  for (const head of heads) {
    let index = head;
    while (index < size && !read.has(index) && read.size < RING_VIEW_ENTRIES) {
      const word = (table + index * VIRTQ_DESC_SIZE) >>> 3;
      const address = views.u64[word]!;
      const [length, flags, next] = fields(views.u64[word + 1]!);
      read.set(index, { index, address: hex(address), length, flags, next });
      if ((flags & VIRTQ_DESC_F_NEXT) === 0) break;
      index = next;
    }
  }
  return [...read.values()].sort((a, b) => a.index - b.index);
}

function packedView({ struct }: BridgeQueue): PackedRingView {
  const { views } = struct;
  const [desc, size, cursor] = [struct.get("desc"), struct.get("size"), struct.get("nextAvail")];
  const place = cursor & ~PACKED_WRAP;
  const entries = positions(place % size, size).map((position) => {
    const word = (desc + position * VIRTQ_DESC_SIZE) >>> 3;
    const address = views.u64[word]!;
    // In a packed ring id and flags stand the other way round.
    const [length, id, flags] = fields(views.u64[word + 1]!);
    return { position, address: hex(address), length, id, flags };
  });
  const after = struct.get("nextAvail");
  return {
    kind: "packed",
    size,
    device: { position: place, wrap: cursor >>> 15 },
    driverArea: eventArea(views, struct.get("avail")),
    deviceArea: eventArea(views, struct.get("used")),
    entries,
    movedBy: after === cursor ? 0 : ((after & ~PACKED_WRAP) - place + size) % size || size,
  };
}

function eventArea({ u32 }: Views, at: number): EventAreaView {
  const word = u32[at >>> 2]!;
  return { position: word & 0x7fff, wrap: (word >>> 15) & 1, flags: (word >>> 16) & 3 };
}

/** The second half of a descriptor: 32, 16 and 16 bits. */
function fields(word: bigint): [number, number, number] {
  const high = Number(word >> 32n);
  return [Number(word & 0xffff_ffffn), high & 0xffff, high >>> 16];
}

/** All positions in order, or those of a window around one. */
function positions(around: number, size: number): number[] {
  if (size <= RING_VIEW_ENTRIES) return Array.from({ length: size }, (_, i) => i);
  return Array.from({ length: RING_VIEW_ENTRIES }, (_, i) => (around - BEHIND + i + size) % size);
}

function hex(value: bigint): string {
  return `0x${value.toString(16)}`;
}
