// The host's side of backlogs (assembly/virtq/backlog.ts): room for frames to receivers behind a virtual IOMMU, and the list
// by which the workers find them.

import { DROP_TRANSLATION } from "../../assembly/spec/status.js";
import type { BridgeQueue } from "./bridge-port.js";
import type { ControlMemory } from "./control-memory.js";
import * as layout from "./layout.js";
import { Struct } from "./views.js";

/** Room for the frames that wait for one receiveq: some hundred of an Ethernet's, seven of the longest. */
export const BACKLOG_BYTES = 512 * 1024;
/** Buffers that a ring asks ahead for at first, and again when all translations were forgotten (Queue.ahead). */
const AHEAD = 2;
const BYTES = layout.Backlog.size + BACKLOG_BYTES;

/** Gives a receiveq its backlog, when it has none yet. It runs nowhere. */
export function giveBacklog(queue: BridgeQueue, control: ControlMemory): void {
  const { struct } = queue;
  queue.backlog ??= new Struct(struct.views, layout.Backlog, control.allocate(BYTES));
  queue.backlog.set("size", BACKLOG_BYTES);
  struct.set("backlog", queue.backlog.at);
  struct.set("askedFrom", struct.get("nextAvail"));
  askFew(queue);
}

/** All its translations are forgotten: it asks for a few buffers, till it uses more. */
export function askFew(queue: BridgeQueue): void {
  queue.struct.publish("ahead", AHEAD);
}

/** The receiveq, which no worker has any more, goes on without one; what waits in it is dropped and counted. */
export function takeBacklog(queue: BridgeQueue, control: ControlMemory): void {
  queue.struct.publish("waiting", 0);
  queue.struct.set("backlog", 0);
  if (queue.backlog === undefined) return;
  queue.countDrops(DROP_TRANSLATION, queue.backlog.get("frames"));
  control.release(queue.backlog.at, BYTES);
  queue.backlog = undefined;
}

/** Frames wait in some backlog. */
export function isHolding(queues: Iterable<BridgeQueue>): boolean {
  for (const { backlog } of queues) if (backlog !== undefined && backlog.load("frames") > 0) return true;
  return false;
}
