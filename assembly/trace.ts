// Steps of the data path, recorded in a ring by builds with TRACE=1; in the release build nothing of it is left.

import { TRACE_EVENTS, TraceEvent, Worker } from "./abi";

/** A chain was taken from a transmitq: head, frame bytes (0: refused). */
export const TRACE_DEQUEUE: u32 = 1;
/** A chain was refused: fault (virtq/chain.ts), descriptor index. */
export const TRACE_FAULT: u32 = 2;
/** A frame was placed in a receiveq: frame number in the burst, chains used. */
export const TRACE_ENQUEUE: u32 = 3;
/** An address was learned or moved; subject is the port: low and high half of the address. */
export const TRACE_LEARN: u32 = 4;
/** A frame was decided upon; subject is the destination port, 0 for a flood: frame number. */
export const TRACE_FORWARD: u32 = 5;

/** @inline */
export function trace(worker: Worker, kind: u32, subject: usize, a: u32, b: u32): void {
  if (TRACE) {
    const slot = worker.trace + (worker.traceCount & (TRACE_EVENTS - 1)) * (offsetof<TraceEvent>() as u32);
    const event = changetype<TraceEvent>(slot);
    event.kind = kind;
    event.subject = <u32>subject;
    event.a = a;
    event.b = b;
    worker.traceCount += 1;
  }
}
