// Writes pcapng (draft-ietf-opsawg-pcapng) block by block: a section, an interface for each port, a packet block for each
// frame, at the end what each interface has counted. Nothing of the machine or the hour gets into it but what the caller
// gives, so the same frames give the same bytes. A leaf: it runs wherever JavaScript does.

export const SECTION_HEADER = 0x0a0d0d0a;
export const INTERFACE_DESCRIPTION = 1;
export const SIMPLE_PACKET = 3;
export const INTERFACE_STATISTICS = 5;
export const ENHANCED_PACKET = 6;
export const BYTE_ORDER_MAGIC = 0x1a2b3c4d;
export const LINKTYPE_ETHERNET = 1;
export const OPTION_COMMENT = 1;
export const OPTION_IF_NAME = 2;
export const OPTION_IF_TSRESOL = 9;
export const OPTION_IF_TSOFFSET = 14;
export const OPTION_EPB_FLAGS = 2;
/** Bits 0 and 1 of epb_flags. */
export const DIRECTION_BITS = 3;
export const FLAGS_INBOUND = 1;
export const FLAGS_OUTBOUND = 2;
export const OPTION_ISB_RECEIVED = 4;
export const OPTION_ISB_DROPPED = 5;
export const OPTION_ISB_ACCEPTED = 6;
export const OPTION_ISB_DELIVERED = 8;
const OPTION_ISB_START = 2;
const OPTION_ISB_END = 3;
const OPTION_IF_FILTER = 11;
const OPTION_USER_APPLICATION = 4;
const FILTER_AS_TEXT = 0;
const NANOSECONDS = 9;
const FIRST_CHUNK = 16 * 1024;

/** Nanoseconds in two halves, as the format has them: a double does not hold those since 1970. */
export interface Nanoseconds {
  /** Bits 32 to 63 and 0 to 31. */
  high: number;
  low: number;
}

/** A whole number of nanoseconds, below 2^53, in its halves. */
export function halves(time: number): Nanoseconds {
  return { high: Math.floor(time / 2 ** 32), low: time % 2 ** 32 };
}

export interface InterfaceOptions {
  /** Most bytes that are kept of a frame; default no limit. */
  snapLength?: number;
  /** The expression that frames had to match. */
  filter?: string;
}

export interface PacketBlock {
  /** Index of the interface, in the order of `interface` calls. */
  interface: number;
  direction?: "in" | "out";
  time: Nanoseconds;
  /** The bytes that were kept, and how many the frame had. */
  bytes: Uint8Array;
  length: number;
  comment?: string;
}

/** What an interface has counted (pcapng's Interface Statistics Block). */
export interface InterfaceCounts {
  /** Frames that passed; of them: missed, matching the filter, written. */
  received: number;
  dropped: number;
  accepted: number;
  delivered: number;
}

type Option = readonly [code: number, value: Uint8Array];

export class PcapngWriter {
  private chunk = new Uint8Array(FIRST_CHUNK);
  private view = new DataView(this.chunk.buffer);
  private at = 0;

  /** Bytes written since the last `take`. */
  get length(): number {
    return this.at;
  }

  /** All that was written since the last call. */
  take(): Uint8Array<ArrayBuffer> {
    const bytes = this.chunk.slice(0, this.at);
    this.at = 0;
    return bytes;
  }

  /** What a file begins with. */
  section(): void {
    const body = new Uint8Array(16);
    const view = new DataView(body.buffer);
    view.setUint32(0, BYTE_ORDER_MAGIC, true);
    view.setUint16(4, 1, true);
    view.setBigInt64(8, -1n, true);
    this.block(SECTION_HEADER, body, [[OPTION_USER_APPLICATION, utf8("ringbridge")]]);
  }

  /** The next interface, with times in nanoseconds. */
  interface(name: string, { snapLength = 0, filter }: InterfaceOptions = {}): void {
    const body = new Uint8Array(8);
    const view = new DataView(body.buffer);
    view.setUint16(0, LINKTYPE_ETHERNET, true);
    view.setUint32(4, snapLength, true);
    const options: Option[] = [
      [OPTION_IF_NAME, utf8(name)],
      [OPTION_IF_TSRESOL, Uint8Array.of(NANOSECONDS)],
    ];
    if (filter !== undefined) options.push([OPTION_IF_FILTER, Uint8Array.of(FILTER_AS_TEXT, ...utf8(filter))]);
    this.block(INTERFACE_DESCRIPTION, body, options);
  }

  packet({ interface: number, direction, time, bytes, length, comment }: PacketBlock): void {
    const text = comment === undefined ? undefined : utf8(comment);
    const flagBytes = direction === undefined ? 0 : 8;
    const optionBytes = flagBytes + (text ? 4 + padded(text.length) : 0);
    const total = 32 + padded(bytes.length) + (optionBytes > 0 ? optionBytes + 4 : 0);
    let at = this.reserve(total);
    const { view } = this;
    view.setUint32(at, ENHANCED_PACKET, true);
    view.setUint32(at + 4, total, true);
    view.setUint32(at + 8, number, true);
    view.setUint32(at + 12, time.high, true);
    view.setUint32(at + 16, time.low, true);
    view.setUint32(at + 20, bytes.length, true);
    view.setUint32(at + 24, length, true);
    this.chunk.set(bytes, at + 28);
    at += 28 + padded(bytes.length);
    if (direction !== undefined) {
      view.setUint16(at, OPTION_EPB_FLAGS, true);
      view.setUint16(at + 2, 4, true);
      view.setUint32(at + 4, direction === "in" ? FLAGS_INBOUND : FLAGS_OUTBOUND, true);
      at += 8;
    }
    if (text) at = this.option(at, OPTION_COMMENT, text);
    if (optionBytes > 0) at += 4;
    view.setUint32(at, total, true);
  }

  statistics(number: number, counts: InterfaceCounts, from: Nanoseconds, to: Nanoseconds): void {
    const body = new Uint8Array(12);
    const view = new DataView(body.buffer);
    view.setUint32(0, number, true);
    view.setUint32(4, to.high, true);
    view.setUint32(8, to.low, true);
    this.block(INTERFACE_STATISTICS, body, [
      [OPTION_ISB_START, timeBytes(from)],
      [OPTION_ISB_END, timeBytes(to)],
      [OPTION_ISB_RECEIVED, countBytes(counts.received)],
      [OPTION_ISB_DROPPED, countBytes(counts.dropped)],
      [OPTION_ISB_ACCEPTED, countBytes(counts.accepted)],
      [OPTION_ISB_DELIVERED, countBytes(counts.delivered)],
    ]);
  }

  /** A block around a body of whole words, with its length before and behind it. */
  private block(type: number, body: Uint8Array, options: readonly Option[]): void {
    const optionBytes = options.reduce((sum, [, value]) => sum + 4 + padded(value.length), 0) + 4;
    const total = 12 + body.length + optionBytes;
    let at = this.reserve(total);
    this.view.setUint32(at, type, true);
    this.view.setUint32(at + 4, total, true);
    this.chunk.set(body, at + 8);
    at += 8 + body.length;
    for (const [code, value] of options) at = this.option(at, code, value);
    this.view.setUint32(at + 4, total, true);
  }

  /** Writes an option and gives the place behind it. */
  private option(at: number, code: number, value: Uint8Array): number {
    this.view.setUint16(at, code, true);
    this.view.setUint16(at + 2, value.length, true);
    this.chunk.set(value, at + 4);
    return at + 4 + padded(value.length);
  }

  /** Where the next `bytes` go, all zero. */
  private reserve(bytes: number): number {
    const at = this.at;
    this.at += bytes;
    if (this.at > this.chunk.length) {
      const grown = new Uint8Array(Math.max(2 * this.chunk.length, this.at));
      grown.set(this.chunk.subarray(0, at));
      this.chunk = grown;
      this.view = new DataView(grown.buffer);
    } else {
      this.chunk.fill(0, at, this.at);
    }
    return at;
  }
}

/** What one port saw: a frame, which way it went, and when. */
export interface CapturedFrame {
  /** Index of the interface. */
  interface: number;
  /** As the port sees it: "in" from the guest, "out" to the guest. */
  direction: "in" | "out";
  /** Nanoseconds. */
  time: number;
  bytes: Uint8Array;
}

/** A whole file. */
export function writePcapng(interfaces: readonly string[], frames: readonly CapturedFrame[]): Uint8Array {
  const writer = new PcapngWriter();
  writer.section();
  for (const name of interfaces) writer.interface(name);
  for (const { time, bytes, ...frame } of frames) {
    writer.packet({ ...frame, bytes, time: halves(time), length: bytes.length });
  }
  return writer.take();
}

function padded(length: number): number {
  return (length + 3) & ~3;
}

function utf8(text: string): Uint8Array {
  return new TextEncoder().encode(text);
}

function timeBytes({ high, low }: Nanoseconds): Uint8Array {
  const bytes = new Uint8Array(8);
  new DataView(bytes.buffer).setUint32(0, high, true);
  new DataView(bytes.buffer).setUint32(4, low, true);
  return bytes;
}

function countBytes(count: number): Uint8Array {
  const bytes = new Uint8Array(8);
  new DataView(bytes.buffer).setBigUint64(0, BigInt(count), true);
  return bytes;
}
