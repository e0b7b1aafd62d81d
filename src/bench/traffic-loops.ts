// The loops of a window: nothing in them but calls into the driver and looks at the clock. No allocation, no event loop.

import type { DriverExports, DriverQueue } from "../guest/driver.js";
import { VERIFY_SEQUENCE } from "../guest/driver-layout.js";
import { nowNs } from "./clock.js";
import type { ExactLatencies } from "./latency.js";
import { Pace } from "./pace.js";

/** Frames in one call: of the driver's own passes, and of most guests' drivers. */
const SEND_BURST = 64;
/** Buffers looked at in one call: more than can be sent meanwhile, so that receiveqs stay full. */
const RECEIVE_BUDGET = 256;
/** Nothing under way for so long, and all sent buffers returned: nothing more will come. */
const QUIET_NS = 1e6;
const DRAIN_NS = 200e6;
/** A frame that the clock was late for may go so long after the end of the window. */
const GRACE_NS = 50e3;
/** A single frame that has not come by then was lost. */
const LOST_NS = 20e6;

/** A queue of a guest as the loops drive it. */
export interface Lane {
  queue: DriverQueue;
  /** The driver's struct of the queue. */
  pointer: number;
  kick(): void;
}

export interface Lanes {
  driver: DriverExports;
  /** Transmitqs that send, and receiveqs where it may arrive. */
  tx: readonly Lane[];
  rx: readonly Lane[];
}

/** How a window went, by the generator's clock. Frames are counted by the driver. */
export interface LoopTimes {
  ns: number;
  /** Frames taken from receiveqs within that time. */
  received: number;
  /** Longest time that the generator itself stood still, and that no frame came though some were under way. */
  gapNs: number;
  silenceNs: number;
  /** Paced only: frames that were due and for which the rings had no room to the end. */
  unsent: number;
}

/** Sends as much as the rings take, for `ns` nanoseconds. */
export function flatOut({ driver, tx, rx }: Lanes, ns: number): LoopTimes {
  const start = nowNs();
  let last = start;
  let heard = start;
  let gapNs = 0;
  let silenceNs = 0;
  let received = 0;
  for (;;) {
    for (const lane of tx) if ((driver.send(lane.pointer, SEND_BURST, 0) & 1) !== 0) lane.kick();
    const frames = receiveAll(driver, rx, 0);
    received += frames;
    const now = nowNs();
    if (now - last > gapNs) gapNs = now - last;
    last = now;
    if (frames > 0) heard = now;
    else if (now - heard > silenceNs) silenceNs = now - heard;
    if (now - start >= ns) return { ns: now - start, received, gapNs, silenceNs, unsent: 0 };
  }
}

/** Sends at a rate, by the clock, for `ns` nanoseconds. Stamps are the times at which frames were due. */
export function paced({ driver, tx, rx }: Lanes, ns: number, framesPerSecond: number): LoopTimes {
  const paces = tx.map((_, i) => new Pace(framesPerSecond, ns, i, tx.length));
  for (const [i, { queue }] of tx.entries()) {
    queue.struct.set("stampStep", Math.min(Math.round(paces[i]!.intervalNs * 256), 2 ** 32 - 1));
  }
  const start = nowNs();
  let last = start;
  let heard = start;
  let gapNs = 0;
  let silenceNs = 0;
  let received = 0;
  for (;;) {
    const now = nowNs();
    const frames = receiveAll(driver, rx, now >>> 0);
    received += frames;
    let late = 0;
    for (let i = 0; i < tx.length; i++) {
      const pace = paces[i]!;
      const due = pace.due(now - start);
      if (due <= 0) continue;
      const lane = tx[i]!;
      const stamp = (start + pace.nextNs) >>> 0;
      const result = driver.send(lane.pointer, due < SEND_BURST ? due : SEND_BURST, stamp);
      if ((result & 1) !== 0) lane.kick();
      pace.sent += result >>> 1;
      late += due - (result >>> 1);
    }
    if (now - last > gapNs) gapNs = now - last;
    last = now;
    if (frames > 0) heard = now;
    else if (late > 0 && now - heard > silenceNs) silenceNs = now - heard;
    if (now - start >= ns && (late === 0 || now - start >= ns + GRACE_NS)) {
      const unsent = paces.reduce((sum, { total, sent }) => sum + total - sent, 0);
      return { ns: now - start, received, gapNs, silenceNs, unsent };
    }
  }
}

/** One frame at a time from the first sender to wherever it arrives, each timed, for `ns` nanoseconds. */
export function oneInFlight({ driver, tx, rx }: Lanes, ns: number, latencies: ExactLatencies): LoopTimes {
  const lane = tx[0]!;
  const start = nowNs();
  let received = 0;
  let gapNs = 0;
  for (;;) {
    const sent = nowNs();
    if (sent - start >= ns) return { ns: sent - start, received, gapNs, silenceNs: 0, unsent: 0 };
    if ((driver.send(lane.pointer, 1, 0) & 1) !== 0) lane.kick();
    let frames = 0;
    let turns = 0;
    do {
      frames = receiveAll(driver, rx, 0);
      // The clock is not read in every turn: that would take longer than the turn.
    } while (frames === 0 && ((++turns & 0xfff) !== 0 || nowNs() - sent < LOST_NS));
    const arrived = nowNs();
    if (frames > 0) latencies.record(arrived - sent);
    received += frames;
    if (arrived - sent > gapNs) gapNs = arrived - sent;
  }
}

/** Receives until all that was sent has come or never will. */
export function drain({ driver, tx, rx }: Lanes): void {
  const start = nowNs();
  let quietSince = start;
  let now = start;
  for (;;) {
    const frames = receiveAll(driver, rx, now >>> 0);
    let pending = 0;
    for (const lane of tx) pending += driver.reclaim(lane.pointer);
    now = nowNs();
    if (frames > 0 || pending > 0) quietSince = now;
    if (now - quietSince >= QUIET_NS || now - start >= DRAIN_NS) return;
  }
}

/** Sends `frames` of each transmitq, in small portions that no receiveq overflows of. */
export function announce(lanes: Lanes, frames: number): void {
  const { driver, tx, rx } = lanes;
  const end = nowNs() + DRAIN_NS;
  for (const lane of tx) {
    for (let sent = 0; sent < frames && nowNs() < end; ) {
      const result = driver.send(lane.pointer, Math.min(SEND_BURST, frames - sent), 0);
      if ((result & 1) !== 0) lane.kick();
      sent += result >>> 1;
      receiveAll(driver, rx, 0);
    }
  }
  drain(lanes);
}

function receiveAll(driver: DriverExports, rx: readonly Lane[], stamp: number): number {
  let frames = 0;
  for (const lane of rx) {
    const result = driver.receive(lane.pointer, RECEIVE_BUDGET, VERIFY_SEQUENCE, stamp);
    if ((result & 1) !== 0) lane.kick();
    frames += result >>> 1;
  }
  return frames;
}
