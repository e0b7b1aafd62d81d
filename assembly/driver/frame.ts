// The frames that the load driver sends: every byte can be told from the header, so the receiver notices any change.
//
//   0  destination, source, EtherType 0x88b5 (IEEE 802 local experimental), number of the flow (big endian)
//  16  u32 sequence number in the flow, u32 length of the frame
//  24  u32 stamp (the sender's clock), u32 check word: a mix of flow and the three numbers before
//  32  payload: 16-byte vectors that count up from the check word
//
// Frames that differ in their sequence number only have different check words, so that a stale buffer shows as well.

import { DriverQueue, Flow, FLOW_BYTES, FRAME_MIN } from "./abi";

/**
 * The check word. Each number alone decides it (its factor is odd), so a change to any one of them shows.
 * @inline
 */
function checkWord(flow: u32, sequence: u32, length: u32, stamp: u32): u32 {
  const mixed = (sequence * 0x9e3779b1) ^ (flow * 0x85ebca6b) ^ (length * 0xc2b2ae35) ^ stamp;
  return mixed ^ (mixed >>> 15);
}

/**
 * Writes a frame of `length` bytes (FRAME_MIN or more). With `payload`, up to 15 bytes behind it are written as well.
 * @inline
 */
export function writeFrame(at: usize, flow: Flow, sequence: u32, length: u32, stamp: u32, payload: u32): void {
  v128.store(at, v128.load(changetype<usize>(flow)));
  writeBody(at, flow, sequence, length, stamp, payload);
}

/**
 * All of a frame but its first 16 bytes.
 * @inline
 */
export function writeBody(at: usize, flow: Flow, sequence: u32, length: u32, stamp: u32, payload: u32): void {
  const check = checkWord(flow.number, sequence, length, stamp);
  store<u64>(at, ((<u64>length) << 32) | sequence, 16);
  store<u64>(at, ((<u64>check) << 32) | stamp, 24);
  if (payload) writePayload(at + FRAME_MIN, at + length, check);
}

/**
 * True when the frame that starts at `at` is whole: the check word, and with `payload` every byte up to `length`.
 * The header before it was compared by the caller. Up to 15 bytes behind the frame are read.
 * @inline
 */
export function isWhole(at: usize, flow: Flow, length: u32, payload: bool): bool {
  const first = load<u64>(at, 16);
  const second = load<u64>(at, 24);
  const check = checkWord(flow.number, <u32>first, <u32>(first >> 32), <u32>second);
  if (<u32>(first >> 32) != length || <u32>(second >> 32) != check) return false;
  return !payload || isPayload(at + FRAME_MIN, at + length, check);
}

/** The first vector of a payload: four different words from the check word. */
const LANES: v128 = i32x4(0x00000000, 0x3c6ef372, 0x1b873593, 0x7feb352d);
/** From one vector to the next. */
const STEP: v128 = i32x4(0x01010101, 0x11213141, 0x2f0b4c47, 0x68e31da5);

/** The same two, three and four times. */
const STEP2: v128 = i32x4(0x02020202, 0x22426282, 0x5e16988e, 0xd1c63b4a);
const STEP3: v128 = i32x4(0x03030303, 0x336393c3, 0x8d21e4d5, 0x3aa958ef);
const STEP4: v128 = i32x4(0x04040404, 0x4484c504, 0xbc2d311c, 0xa38c7694);

function writePayload(at: usize, end: usize, check: u32): void {
  let words = i32x4.add(i32x4.splat(check), LANES);
  while (at + 48 < end) {
    v128.store(at, words);
    v128.store(at, i32x4.add(words, STEP), 16);
    v128.store(at, i32x4.add(words, STEP2), 32);
    v128.store(at, i32x4.add(words, STEP3), 48);
    words = i32x4.add(words, STEP4);
    at += 64;
  }
  while (at < end) {
    v128.store(at, words);
    words = i32x4.add(words, STEP);
    at += 16;
  }
}

function isPayload(at: usize, end: usize, check: u32): bool {
  let words = i32x4.add(i32x4.splat(check), LANES);
  let differences = i32x4.splat(0);
  while (at + 64 <= end) {
    const a = v128.xor(v128.load(at), words);
    const b = v128.xor(v128.load(at, 16), i32x4.add(words, STEP));
    const c = v128.xor(v128.load(at, 32), i32x4.add(words, STEP2));
    const d = v128.xor(v128.load(at, 48), i32x4.add(words, STEP3));
    differences = v128.or(differences, v128.or(v128.or(a, b), v128.or(c, d)));
    words = i32x4.add(words, STEP4);
    at += 64;
  }
  while (at + 16 <= end) {
    differences = v128.or(differences, v128.xor(v128.load(at), words));
    words = i32x4.add(words, STEP);
    at += 16;
  }
  if (at < end) {
    // Of the last vector only the lanes that belong to the frame.
    const index = i8x16(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    const inside = i8x16.lt_u(index, i8x16.splat(<i8>(end - at)));
    differences = v128.or(differences, v128.and(v128.xor(v128.load(at), words), inside));
  }
  return !v128.any_true(differences);
}

/**
 * The flow that a frame says it belongs to, if it has our EtherType and the receiver knows the number; else 0.
 * @inline
 */
export function flowOf(queue: DriverQueue, at: usize): usize {
  const words = load<u32>(at, 12);
  if ((words & 0xffff) != 0xb588) return 0;
  const number = bswap<u16>(<u16>(words >>> 16));
  if (<u32>number >= queue.flowCount) return 0;
  return queue.flows + <u32>number * FLOW_BYTES;
}
