// Whether a move makes sense at all: a page's form, a lesson or a link may ask for anything.

import { BAD_CHAINS } from "./driver/hostile.js";
import type { Operation, SendOperation } from "./driver/net.js";
import type { Fault } from "./log.js";
import { GUEST_NAMES, SIZE_MAX } from "./setup.js";

/** Bytes of payload, pieces of a frame, bytes of a piece, accesses for which a store is held. */
const PAYLOAD_MOST = 4096;
const PIECES_MOST = 64;
const PIECE_MOST = 65_535;
const HELD_MOST = 1_000_000;

/** Throws an Error that says what is wrong with it; `guests`: how many there are. */
export function checkOperation(guest: number, operation: Operation, guests: number): void {
  checkGuest(guest, guests);
  if (operation.do === "send") checkSend(operation, guests);
  if (operation.do === "post") within("receive buffers to give", operation.buffers, 0, SIZE_MAX);
  if (operation.do === "send-bad" && !BAD_CHAINS.includes(operation.bad)) {
    throw new Error(`there is no bad chain called ${operation.bad}: there are ${BAD_CHAINS.join(", ")}`);
  }
}

function checkSend({ to, payload, pieces = [] }: SendOperation, guests: number): void {
  if (typeof to === "number") checkGuest(to, guests);
  within("payload", payload, 0, PAYLOAD_MOST);
  within("number of buffers", pieces.length, 0, PIECES_MOST);
  for (const piece of pieces) within("length of a buffer", piece, 1, PIECE_MOST);
}

/** The same for a fault. */
export function checkFault(fault: Fault, guests: number): void {
  if (fault.fault === "skip-recheck") return;
  checkGuest(fault.guest, guests);
  if (fault.fault === "hold-store") within("accesses for which a store is held", fault.accesses, 0, HELD_MOST);
}

function checkGuest(guest: number, guests: number): void {
  if (Number.isInteger(guest) && guest >= 0 && guest < guests) return;
  throw new Error(`there is no guest ${guest}: there are ${GUEST_NAMES.slice(0, guests).join(", ")}, from 0 on`);
}

function within(what: string, value: number, least: number, most: number): void {
  if (Number.isInteger(value) && value >= least && value <= most) return;
  throw new Error(`${what}: ${value} is no whole number from ${least} to ${most}`);
}
