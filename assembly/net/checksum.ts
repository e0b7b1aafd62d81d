// The Internet checksum (RFC 1071). Sums are taken over 16-bit words as they lie in memory, low byte first: the ones'
// complement sum does not mind, as long as what is added to it (`bswap` of a length) and stored is of the same order.

import { Segment } from "../abi";

/**
 * The 16-bit ones' complement sum of what was added up.
 * @inline
 */
export function fold(sum: u64): u32 {
  const words = (sum & 0xffff) + ((sum >> 16) & 0xffff) + ((sum >> 32) & 0xffff) + (sum >> 48);
  const once = <u32>(words & 0xffff) + <u32>(words >> 16);
  return (once & 0xffff) + (once >> 16);
}

/**
 * The checksum for a sum: never 0, which in UDP means "none" (RFC 768); elsewhere 0xffff means the same.
 * @inline
 */
export function finish(sum: u64): u32 {
  const checksum = ~fold(sum) & 0xffff;
  return checksum == 0 ? 0xffff : checksum;
}

/** The folded sum of `length` bytes at any address, at most 512 KiB: the 32-bit lanes hold no more. */
export function sumBytes(at: usize, length: u32): u32 {
  const end = at + length;
  let sum: u64 = 0;
  if (length >= 64) {
    const vectors = at + (length & ~63);
    let a = i32x4.splat(0);
    let b = a;
    let c = a;
    let d = a;
    while (at < vectors) {
      a = i32x4.add(a, i32x4.extadd_pairwise_i16x8_u(v128.load(at)));
      b = i32x4.add(b, i32x4.extadd_pairwise_i16x8_u(v128.load(at, 16)));
      c = i32x4.add(c, i32x4.extadd_pairwise_i16x8_u(v128.load(at, 32)));
      d = i32x4.add(d, i32x4.extadd_pairwise_i16x8_u(v128.load(at, 48)));
      at += 64;
    }
    a = i32x4.add(i32x4.add(a, b), i32x4.add(c, d));
    sum = <u64>(<u32>i32x4.extract_lane(a, 0)) + <u64>(<u32>i32x4.extract_lane(a, 1));
    sum += <u64>(<u32>i32x4.extract_lane(a, 2)) + <u64>(<u32>i32x4.extract_lane(a, 3));
  }
  for (; at + 4 <= end; at += 4) sum += load<u32>(at);
  if (at + 2 <= end) {
    sum += load<u16>(at);
    at += 2;
  }
  if (at < end) sum += load<u8>(at);
  return fold(sum);
}

/** The folded sum of `length` bytes of a list of segments, from `skip` bytes into it; it holds at least that much. */
export function sumSegments(list: usize, skip: u32, length: u32): u32 {
  let sum: u64 = 0;
  let odd = false; // a piece that begins in the middle of a word
  while (length > 0) {
    const segment = changetype<Segment>(list);
    const room = segment.length;
    if (skip >= room) {
      skip -= room;
    } else {
      const piece = min(room - skip, length);
      const part = sumBytes(segment.offset + skip, piece);
      sum += odd ? <u32>bswap<u16>(<u16>part) : part;
      odd = odd != ((piece & 1) != 0);
      length -= piece;
      skip = 0;
    }
    list += offsetof<Segment>();
  }
  return fold(sum);
}

/** Writes a checksum (low byte first) `skip` bytes into a list of segments that holds it. */
export function storeChecksum(list: usize, skip: u32, checksum: u32): void {
  for (let i: u32 = 0; i < 2; ++i, ++skip, checksum >>= 8) {
    while (skip >= changetype<Segment>(list).length) {
      skip -= changetype<Segment>(list).length;
      list += offsetof<Segment>();
    }
    store<u8>(changetype<Segment>(list).offset + skip, <u8>checksum);
  }
}

/**
 * Finishes the checksum of the frame at `skip` in a list of segments: `start` and `offset` are its header's csum_start
 * and csum_offset. The sum of the pseudo header stands where the checksum goes, so it is added with the rest.
 */
export function completeChecksum(list: usize, skip: u32, length: u32, start: u32, offset: u32): void {
  storeChecksum(list, skip + start + offset, finish(sumSegments(list, skip + start, length - start)));
}
