// What a worker has in linear memory: its struct, and the tables that a burst fills.

import type { ControlMemory } from "./control-memory.js";
import * as layout from "./layout.js";
import type { PublishedLists } from "./published-lists.js";
import type { Struct } from "./views.js";

/** Worker number `id` of so many, asleep and without transmitqs. */
export function createWorker(
  control: ControlMemory,
  lists: PublishedLists,
  id: number,
  workers: number,
): Struct<typeof layout.Worker> {
  const worker = control.struct(layout.Worker);
  worker.set("id", id);
  worker.set("workers", workers);
  worker.set("parked", 1);
  worker.set("transmitqs", lists.of([]));
  worker.set("frameTable", control.allocate(layout.BURST * layout.Frame.size));
  worker.set("txSegmentTable", control.allocate(layout.SEGMENTS * layout.Segment.size));
  worker.set("rxSegmentTable", control.allocate(layout.SEGMENTS * layout.Segment.size));
  worker.set("placements", control.allocate(layout.BURST * layout.Placement.size));
  worker.set("calls", control.allocate(layout.CALLS_MAX * 4));
  worker.set("groupTable", control.allocate(layout.BURST * layout.Group.size));
  worker.set("groupOf", control.allocate(layout.PORTS_MAX));
  worker.set("headerScratch", control.allocate(64));
  worker.set("headerCopies", control.allocate(layout.BURST * layout.HEADER_COPY));
  worker.set("offloadTable", control.allocate(layout.BURST * layout.Offload.size));
  worker.set("packet", control.allocate(layout.Packet.size));
  worker.set("packetHeaders", control.allocate(layout.HEADERS_MAX));
  worker.set("fragmentId", Math.floor(Math.random() * 2 ** 32));
  worker.set("txNoteTable", control.allocate(layout.BURST * layout.Reserved.size));
  worker.set("rxNoteTable", control.allocate(layout.RX_NOTES * layout.Reserved.size));
  worker.set("reservedTable", control.allocate(layout.CHAIN_SEGMENTS * layout.Reserved.size));
  worker.set("trace", control.allocate(layout.TRACE_EVENTS * layout.TraceEvent.size));
  return worker;
}
