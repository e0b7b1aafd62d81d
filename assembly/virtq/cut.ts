// Delivering one frame as the segments that a receiver without its offload can take (net/segment.ts).

import { DirtyLog, Frame, Offload, Placement, Queue, SCRATCH_TO, Worker } from "../abi";
import { countDrop } from "../bridge/stats";
import { captureDelivered, capturesOf } from "../capture";
import { onePiece } from "../memory/copy";
import { logOf, markSegments } from "../memory/log";
import { holdForDelivery } from "../memory/windows";
import { beginCut, cutNext, writeCut } from "../net/segment";
import { DROP_RX_CHAIN_BAD, DROP_TRANSLATION, DROP_TX_OFFLOAD, QUEUE_OK } from "../spec/status";
import { trace, TRACE_ENQUEUE } from "../trace";
import { reserve } from "./reserve";
import { mayNote, publish } from "./ring";

/**
 * Cuts frame `number` of the burst and delivers each segment by itself, from worker.rxCursor on; a segment that gets no
 * room is dropped and counted. No frame may wait for its copy, and worker.placements is used. False: nothing has been
 * done, for the place of the first segment is not known yet, and there is a backlog to wait in.
 */
export function deliverCut(worker: Worker, source: Queue, queue: Queue, regions: usize, number: u32, end: u32): bool {
  const frame = changetype<Frame>(worker.frameTable + number * offsetof<Frame>());
  const offload = changetype<Offload>(worker.offloadTable + number * offsetof<Offload>());
  const count = beginCut(worker, frame, offload, queue.offloads);
  if (count == 0) {
    // The guest has changed its headers since they were checked.
    countDrop(source, DROP_TX_OFFLOAD, 1);
    return true;
  }
  queue.segmented += 1;
  queue.segments += count;
  const placement = changetype<Placement>(worker.placements);
  const header = queue.headerSize;
  for (let left = count; left > 0; --left) {
    const length = cutNext(worker);
    worker.rxSegments = 0;
    holdForDelivery(worker); // the segment before has been copied
    if (!mayNote(worker, queue.packed != 0)) publish(worker, queue, worker.rxCursor, true, true);
    const cause = reserve(worker, queue, regions, placement, end, header + length);
    if (cause == DROP_TRANSLATION && left == count && queue.backlog) {
      queue.segmented -= 1;
      queue.segments -= count;
      return false;
    }
    if (cause >= 0) {
      // A bad chain has been given back and the next may be good; what else is wrong stays so for all that follow.
      const dropped = cause == DROP_RX_CHAIN_BAD && queue.status == QUEUE_OK ? 1 : left;
      countDrop(queue, cause, dropped);
      if (dropped == left) break;
      continue;
    }
    const to: usize =
      placement.segments == 1
        ? onePiece(worker.headerScratch + SCRATCH_TO, placement.at, header + length)
        : placement.at;
    writeCut(worker, to, header, placement.buffers);
    const log = logOf(queue);
    if (log != 0) markSegments(changetype<DirtyLog>(log), worker, to, header + length);
    const captures = capturesOf(queue);
    if (captures != 0) captureDelivered(worker, captures, to, header, length);
    queue.frames += 1;
    queue.bytes += length;
    trace(worker, TRACE_ENQUEUE, changetype<usize>(queue), number, placement.buffers);
  }
  worker.rxSegments = 0;
  return true;
}
