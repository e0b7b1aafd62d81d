// The copies of frames that have found room: headers of ours in front, checksums finished where the receiver's driver does
// not take them open (virtio 1.3, 5.1.6.4).

import { DirtyLog, Frame, Offload, Placement, Queue, SCRATCH_FROM, SCRATCH_TO, Worker } from "../abi";
import { capturePlaced, capturesOf } from "../capture";
import { copy, copySegments, onePiece } from "../memory/copy";
import { logOf, markPlaced } from "../memory/log";
import { completeChecksum } from "../net/checksum";
import { writeHeader, writeHeaderSegments } from "../net/header";

/** The copies of all frames placed before `end`; what they wrote is marked where the receiver is being migrated, and captured. */
export function copyPlaced(worker: Worker, queue: Queue, end: usize): void {
  if (worker.offloaded) copyOffloaded(worker, queue, end);
  else copyPlain(worker, queue, end);
  const log = logOf(queue);
  if (log != 0) markPlaced(changetype<DirtyLog>(log), worker, worker.placements, end, queue.headerSize);
  const captures = capturesOf(queue);
  if (captures != 0) capturePlaced(worker, captures, end, queue.headerSize);
}

/** In one pass, so that the cache misses of all copies overlap. */
function copyPlain(worker: Worker, queue: Queue, end: usize): void {
  const header = queue.headerSize;
  const frames: usize = worker.frameTable;
  for (let at: usize = worker.placements; at < end; at += offsetof<Placement>()) {
    const placement = changetype<Placement>(at);
    const frame = changetype<Frame>(frames + placement.frame * offsetof<Frame>());
    if (placement.segments == 1 && frame.segments == 1) {
      const to: usize = placement.at;
      writeHeader(to, header, placement.buffers, 0, 0);
      copy(to + header, frame.at, frame.length);
    } else {
      copyInPieces(worker, frame, placement, header, 0, 0);
    }
  }
}

/** The same when some of the burst's frames ask for something: the receiver's driver does it, or we do. */
function copyOffloaded(worker: Worker, queue: Queue, end: usize): void {
  const header = queue.headerSize;
  const frames: usize = worker.frameTable;
  for (let at: usize = worker.placements; at < end; at += offsetof<Placement>()) {
    const placement = changetype<Placement>(at);
    const frame = changetype<Frame>(frames + placement.frame * offsetof<Frame>());
    const offload = offloadOf(worker, placement.frame);
    if (offload.needs & ~queue.offloads) {
      copyAndComplete(worker, queue, frame, placement, offload);
    } else if (placement.segments == 1 && frame.segments == 1) {
      const to: usize = placement.at;
      writeHeader(to, header, placement.buffers, offload.fields, offload.checksumOffset);
      copy(to + header, frame.at, frame.length);
    } else {
      copyInPieces(worker, frame, placement, header, offload.fields, offload.checksumOffset);
    }
  }
}

/** The same for a receiver that does not take a checksum that is only begun. */
function copyAndComplete(worker: Worker, queue: Queue, frame: Frame, placement: Placement, offload: Offload): void {
  const header = queue.headerSize;
  const to = copyInPieces(worker, frame, placement, header, 0, 0);
  completeChecksum(to, header, frame.length, <u32>(offload.fields >> 48), offload.checksumOffset);
  queue.checksums += 1;
}

/** The same where one side is in several pieces: both are made lists of segments. Returns the receiver's. */
function copyInPieces(
  worker: Worker,
  frame: Frame,
  placement: Placement,
  header: u32,
  fields: u64,
  checksumOffset: u32,
): usize {
  const scratch: usize = worker.headerScratch;
  const from: usize = frame.segments == 1 ? onePiece(scratch + SCRATCH_FROM, frame.at, frame.length) : frame.at;
  const to: usize =
    placement.segments == 1 ? onePiece(scratch + SCRATCH_TO, placement.at, header + frame.length) : placement.at;
  writeHeaderSegments(worker, to, header, placement.buffers, fields, checksumOffset);
  copySegments(to, header, from, 0, frame.length);
  return to;
}

/**
 * What frame `number` of the burst asks for; only where worker.offloaded says that some frame does.
 * @inline
 */
export function offloadOf(worker: Worker, number: u32): Offload {
  return changetype<Offload>(worker.offloadTable + number * offsetof<Offload>());
}
