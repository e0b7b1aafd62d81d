// The one copy: from the sender's buffer to the receiver's.

import { Segment } from "../abi";

/** Up to this many bytes an inline SIMD loop beats the call that memory.copy is (docs/PERFORMANCE.md). */
const INLINE_MAX: u32 = 512;

/**
 * Copies `length` bytes between two ranges that do not overlap.
 * @inline
 */
export function copy(to: usize, from: usize, length: u32): void {
  if (length > INLINE_MAX) {
    memory.copy(to, from, length);
  } else if (length >= 16) {
    // Whole vectors, then the last 16 bytes again: an overlap costs less than a loop over single bytes.
    const last = length - 16;
    let at: u32 = 0;
    while (at + 48 <= last) {
      const a = v128.load(from + at);
      const b = v128.load(from + at, 16);
      const c = v128.load(from + at, 32);
      const d = v128.load(from + at, 48);
      v128.store(to + at, a);
      v128.store(to + at, b, 16);
      v128.store(to + at, c, 32);
      v128.store(to + at, d, 48);
      at += 64;
    }
    while (at < last) {
      v128.store(to + at, v128.load(from + at));
      at += 16;
    }
    v128.store(to + last, v128.load(from + last));
  } else {
    for (let at: u32 = 0; at < length; ++at) store<u8>(to + at, load<u8>(from + at));
  }
}

/** A list of one segment, written at `list`. */
export function onePiece(list: usize, offset: u32, length: u32): usize {
  changetype<Segment>(list).offset = offset;
  changetype<Segment>(list).length = length;
  return list;
}

/**
 * Copies `length` bytes from a list of segments, `fromSkip` bytes into its first one, to another list, `skip` bytes into
 * that. Both lists hold at least that much: their makers counted.
 */
export function copySegments(to: usize, skip: u32, from: usize, fromSkip: u32, length: u32): void {
  let target = changetype<Segment>(to);
  while (skip >= target.length) {
    skip -= target.length;
    to += offsetof<Segment>();
    target = changetype<Segment>(to);
  }
  let targetAt = target.offset + skip;
  let targetLeft = target.length - skip;
  let source = changetype<Segment>(from);
  let sourceAt = source.offset + fromSkip;
  let sourceLeft = source.length - fromSkip;
  while (true) {
    let piece = min(min(targetLeft, sourceLeft), length);
    copy(targetAt, sourceAt, piece);
    length -= piece;
    if (length == 0) return;
    targetAt += piece;
    targetLeft -= piece;
    sourceAt += piece;
    sourceLeft -= piece;
    if (targetLeft == 0) {
      to += offsetof<Segment>();
      target = changetype<Segment>(to);
      targetAt = target.offset;
      targetLeft = target.length;
    }
    if (sourceLeft == 0) {
      from += offsetof<Segment>();
      source = changetype<Segment>(from);
      sourceAt = source.offset;
      sourceLeft = source.length;
    }
  }
}

/** Copies the first `length` bytes of a list of segments to one place; the list holds at least that much. */
export function gather(to: usize, from: usize, length: u32): void {
  while (true) {
    const source = changetype<Segment>(from);
    const piece = min(source.length, length);
    copy(to, source.offset, piece);
    length -= piece;
    if (length == 0) return;
    to += piece;
    from += offsetof<Segment>();
  }
}

/** Writes `length` bytes from one place over the beginning of a list of segments that holds at least that much. */
export function scatter(to: usize, from: usize, length: u32): void {
  while (true) {
    const target = changetype<Segment>(to);
    const piece = min(target.length, length);
    copy(target.offset, from, piece);
    length -= piece;
    if (length == 0) return;
    from += piece;
    to += offsetof<Segment>();
  }
}
