// The driver of a network card (virtio 1.3, 5.1.6): what it does with its two queues, as operations of which each is a list of
// memory accesses.

import {
  VIRTIO_NET_HDR_F_NEEDS_CSUM,
  VIRTIO_NET_HDR_NUM_BUFFERS_OFFSET,
  VIRTIO_NET_HDR_SIZE,
} from "../../../../assembly/spec/virtio.js";
import { concat } from "../../../testing/bytes.js";
import { leaveToDevice, tcp, udp } from "../../../testing/frames/index.js";
import { type GuestLayout, layGuestOut, type Rooms, TABLE_ENTRIES } from "../guest-layout.js";
import { type GuestSetup, stationOf } from "../setup.js";
import { kick, type Piece, type QueueKey, read, type Steps, write } from "./access.js";
import { type SendBadOperation, sendBad } from "./hostile.js";
import { add, freeDescriptors, freshRing, type RingState, take, wantCalls, wantsKick } from "./ring.js";

/** What a driver can be told to do. Plain data: it stands in the URL. */
export type Operation =
  | SendOperation
  | PostOperation
  | ReceiveOperation
  | ReclaimOperation
  | CallsOperation
  | SendBadOperation;

/** Sends a frame, and kicks when the switch wants it. */
export interface SendOperation {
  do: "send";
  /** Number of a guest, or everybody, or an address that nobody has. */
  to: number | "broadcast" | "unknown";
  /** Bytes of the UDP or TCP payload, 0 to 4096. */
  payload: number;
  /** Bytes of the buffers in which header and frame are listed; the last takes the rest. Default one buffer. */
  pieces?: number[];
  /** Lists the buffers in an indirect table. */
  indirect?: boolean;
  /** Leaves the UDP checksum, or the segmentation into TCP segments of 512 bytes, to the switch. */
  leave?: "checksum" | "segments";
}

/** Gives receive buffers to the switch, as far as there are any. */
export interface PostOperation {
  do: "post";
  buffers: number;
}

/** Takes the frames that have come. `again`: gives their buffers to the switch once more. */
export interface ReceiveOperation {
  do: "receive";
  again?: boolean;
}

/** Takes back the buffers of frames that were sent. */
export interface ReclaimOperation {
  do: "reclaim";
}

/** Asks for calls of a queue, or asks not to be called. */
export interface CallsOperation {
  do: "calls";
  queue: QueueKey;
  wanted: boolean;
}

/** A frame that a driver has taken, with the header in front of it. */
export interface ReceivedFrame {
  header: Uint8Array;
  frame: Uint8Array;
  /** Receive buffers that it lay in. */
  buffers: number[];
}

/** What a driver remembers: plain data, changed by its operations only. */
export interface DriverState {
  guest: number;
  setup: GuestSetup;
  layout: GuestLayout;
  receiveq: RingState;
  transmitq: RingState;
  /** Buffers that the switch does not have. */
  freeRx: number[];
  freeTx: number[];
  /** Frames handed to the ring so far; frames taken from it. */
  sent: number;
  received: ReceivedFrame[];
}

const SEGMENT = 512;
const HEADER = new Uint8Array(VIRTIO_NET_HDR_SIZE);
/** A locally administered address that no guest of the machine has. */
const NOBODY = { mac: "02:00:00:00:00:ff", ip4: "10.0.0.99", ip6: "fd00::99" };

export function freshDriver(guest: number, setup: GuestSetup): DriverState {
  const layout = layGuestOut(setup);
  const numbers = ({ count }: Rooms) => Array.from({ length: count }, (_, i) => i);
  return {
    guest,
    setup,
    layout,
    receiveq: freshRing(layout.receiveq, setup.eventIdx),
    transmitq: freshRing(layout.transmitq, setup.eventIdx),
    freeRx: numbers(layout.rxBuffers),
    freeTx: numbers(layout.txBuffers),
    sent: 0,
    received: [],
  };
}

/** Runs an operation; its result is a sentence's end: "gives 2 receive buffers". */
export function operate(driver: DriverState, operation: Operation): Steps<string> {
  if (operation.do === "send") return send(driver, operation);
  if (operation.do === "post") return post(driver, operation.buffers);
  if (operation.do === "receive") return receive(driver, operation.again ?? false);
  if (operation.do === "reclaim") return reclaim(driver);
  if (operation.do === "send-bad") return sendBad(driver, operation);
  return askForCalls(driver, operation);
}

/** The frame that an operation sends, and the virtio_net header in front of it. */
export function frameToSend(
  guest: number,
  number: number,
  operation: SendOperation,
): { header: Uint8Array; frame: Uint8Array } {
  const { to, payload, leave } = operation;
  const from = stationOf(guest);
  const target = to === "broadcast" ? to : to === "unknown" ? NOBODY : stationOf(to);
  // The payload tells one frame from another.
  const bytes = Uint8Array.from({ length: payload }, (_, i) => (number * 16 + i) & 0xff);
  const options = { from, to: target, payload: bytes, sourcePort: 40_000 + number };
  const plain = leave === "segments" ? tcp(options) : udp(options);
  if (leave === undefined) return { header: HEADER, frame: plain };
  const left = leaveToDevice(plain, leave === "segments" ? SEGMENT : 0);
  return { header: concat([left.header, HEADER.subarray(left.header.length)]), frame: left.frame };
}

/** Sends one frame (5.1.6.2). */
function* send(driver: DriverState, operation: SendOperation): Steps<string> {
  const { transmitq, layout } = driver;
  const buffer = driver.freeTx[0];
  if (buffer === undefined) return "has no buffer left to send with: it must take some back";
  const { header, frame } = frameToSend(driver.guest, driver.sent, operation);
  const address = layout.txBuffers.base + buffer * layout.txBuffers.bytes;
  const pieces = cut(address, header.length + frame.length, operation.pieces ?? []);
  if (header.length + frame.length > layout.txBuffers.bytes) return `has no buffer for ${frame.length} bytes`;
  if (pieces.length > TABLE_ENTRIES) return `cannot list ${pieces.length} buffers`;
  if (freeDescriptors(transmitq) < (operation.indirect ? 1 : pieces.length)) return "finds its transmitq full";
  driver.freeTx.shift();
  driver.sent += 1;
  yield write("virtio_net_hdr", address, header); // 5.1.6
  yield write("frame", address + header.length, frame);
  const before = transmitq.nextAvail;
  const table = operation.indirect ? layout.tables.base + buffer * layout.tables.bytes : undefined;
  yield* add(transmitq, pieces, buffer, table);
  const kicks = yield* wantsKick(transmitq, before);
  if (!kicks) return "has sent: the switch wants no kick";
  yield kick("kick", "transmitq"); // 2.7.13.4, 2.8.21.1
  return "has sent and kicked";
}

/** A range of memory as pieces of these lengths; what is left is the last one. */
function cut(address: number, length: number, lengths: number[]): Piece[] {
  const pieces: Piece[] = [];
  for (let at = 0; at < length; ) {
    const piece = Math.min(lengths[pieces.length] || length, length - at);
    pieces.push({ address: address + at, length: piece, writable: false });
    at += piece;
  }
  return pieces;
}

/** Gives receive buffers (5.1.6.3). */
function* post(driver: DriverState, buffers: number): Steps<string> {
  const { receiveq, layout, setup } = driver;
  const before = receiveq.nextAvail;
  let given = 0;
  while (given < buffers && driver.freeRx.length > 0 && freeDescriptors(receiveq) > 0) {
    const buffer = driver.freeRx.shift()!;
    const address = layout.rxBuffers.base + buffer * layout.rxBuffers.bytes;
    yield* add(receiveq, [{ address, length: setup.rxBufferBytes, writable: true }], buffer);
    given++;
  }
  if (given > 0 && (yield* wantsKick(receiveq, before))) yield kick("kick for buffers", "receiveq");
  return `has given ${given} receive buffers`;
}

/** Takes all frames that are there (5.1.6.4). */
function* receive(driver: DriverState, again: boolean): Steps<string> {
  let frames = 0;
  while (true) {
    const first = yield* take(driver.receiveq);
    if (!first) break;
    const used = [first];
    const { address, bytes } = placeOf(driver, first.buffer, first.written);
    const parts = [yield* read("received header and frame", address, bytes)];
    // A merged frame goes on in the next buffers; all of them came at once. (5.1.6.4)
    for (let left = buffersOf(driver, parts[0]!) - 1; left > 0; left--) {
      const next = yield* take(driver.receiveq);
      if (!next) break;
      const place = placeOf(driver, next.buffer, next.written);
      parts.push(yield* read("the frame's next buffer", place.address, place.bytes));
      used.push(next);
    }
    const buffers = used.map(({ buffer }) => buffer);
    driver.freeRx.push(...buffers);
    const whole = concat(parts);
    if (whole.length < HEADER.length) continue; // a bad buffer given back
    driver.received.push({ header: whole.slice(0, HEADER.length), frame: whole.slice(HEADER.length), buffers });
    frames++;
    if (again) yield* post(driver, buffers.length);
  }
  return frames === 0 ? "finds no frame" : `has received ${frames} frame${frames > 1 ? "s" : ""}`;
}

function placeOf({ layout, setup }: DriverState, buffer: number, written: number): { address: number; bytes: number } {
  const address = layout.rxBuffers.base + buffer * layout.rxBuffers.bytes;
  return { address, bytes: Math.min(written, setup.rxBufferBytes) };
}

/** num_buffers of a frame's header; without mergeable buffers it is always 1 (5.1.6.4.1). */
function buffersOf({ setup }: DriverState, bytes: Uint8Array): number {
  if (!setup.mergeable || bytes.length < HEADER.length) return 1;
  return bytes[VIRTIO_NET_HDR_NUM_BUFFERS_OFFSET]! | (bytes[VIRTIO_NET_HDR_NUM_BUFFERS_OFFSET + 1]! << 8);
}

/** Takes back the buffers of frames that were sent (2.7.14). */
function* reclaim(driver: DriverState): Steps<string> {
  let buffers = 0;
  for (let used = yield* take(driver.transmitq); used; used = yield* take(driver.transmitq)) {
    driver.freeTx.push(used.buffer);
    buffers++;
  }
  return buffers === 0 ? "finds nothing sent" : `has taken ${buffers} sent buffer${buffers > 1 ? "s" : ""} back`;
}

function* askForCalls(driver: DriverState, { queue, wanted }: CallsOperation): Steps<string> {
  const there = yield* wantCalls(driver[queue], wanted);
  if (!wanted) return `wants no calls of its ${queue}`;
  return there ? `asks for calls, and sees that there is something already` : `asks for calls of its ${queue}`;
}

/** Is the checksum of a received frame only begun (5.1.6.4.1)? */
export function isChecksumOpen({ header }: ReceivedFrame): boolean {
  return (header[0]! & VIRTIO_NET_HDR_F_NEEDS_CSUM) !== 0;
}
