// Reads capture files as they come, in pieces of any length: pcap (microseconds or nanoseconds) and pcapng, either byte
// order, Ethernet only. What a file says is not believed: every length is checked before it is used. A leaf.

import {
  BYTE_ORDER_MAGIC,
  DIRECTION_BITS,
  ENHANCED_PACKET,
  FLAGS_INBOUND,
  FLAGS_OUTBOUND,
  INTERFACE_DESCRIPTION,
  INTERFACE_STATISTICS,
  LINKTYPE_ETHERNET,
  OPTION_COMMENT,
  OPTION_EPB_FLAGS,
  OPTION_IF_NAME,
  OPTION_IF_TSOFFSET,
  OPTION_IF_TSRESOL,
  OPTION_ISB_DROPPED,
  OPTION_ISB_RECEIVED,
  SECTION_HEADER,
  SIMPLE_PACKET,
} from "./pcapng.js";

const PCAP_MICRO = 0xa1b2c3d4;
const PCAP_NANO = 0xa1b23c4d;
const PCAP_HEADER = 24;
const PCAP_RECORD = 16;
/** No block or record is longer: a length beyond it is a damaged one, and nothing is kept for it. */
const LONGEST = 16 * 1024 * 1024;
const SECOND = 1_000_000_000n;

export interface ReadFrame {
  /** Nanoseconds since 1970, or since whenever the file's clock began. */
  time: bigint;
  /** The bytes that were kept, a copy, and how many the frame had. */
  bytes: Uint8Array;
  length: number;
  /** Of its interface. */
  interface: number;
  direction?: "in" | "out";
  comment?: string;
}

/** An interface of a pcapng file; of a pcap file there is one without a name. */
export interface ReadInterface {
  name?: string;
  /** Of its last statistics block. */
  received?: number;
  dropped?: number;
}

interface Interface extends ReadInterface {
  perSecond: bigint;
  /** Seconds that are added to all times. */
  offset: bigint;
}

export class CaptureReader {
  private form: "unknown" | "pcap" | "pcapng" = "unknown";
  private little = true;
  private pending = new Uint8Array(0);
  /** Bytes of the file before `pending`. */
  private before = 0;
  private list: Interface[] = [];
  private last = 0n;

  /** `onFrame` is called for each frame, in the order of the file. */
  constructor(private readonly onFrame: (frame: ReadFrame) => void) {}

  /** Those of the section in hand, known so far. */
  get interfaces(): readonly ReadInterface[] {
    return this.list;
  }

  /** Takes the next piece of the file. Throws an Error with a sentence when it is damaged, or no capture of Ethernet. */
  push(piece: Uint8Array): void {
    const bytes = new Uint8Array(this.pending.length + piece.length);
    bytes.set(this.pending);
    bytes.set(piece, this.pending.length);
    const view = new DataView(bytes.buffer);
    let at = 0;
    for (;;) {
      const taken = this.form === "pcap" ? this.record(bytes, view, at) : this.block(bytes, view, at);
      if (taken === 0) break;
      at += taken;
    }
    this.pending = bytes.slice(at);
    this.before += at;
  }

  /** The file has ended. Throws when that is in the middle of something. */
  end(): void {
    if (this.form === "unknown") throw new Error("the file is too short for pcap or pcapng");
    if (this.pending.length === 0) return;
    if (this.form === "pcap") throw new Error(`the capture ends within the frame at ${this.before}`);
    throw new Error(`the block at ${this.before} is damaged: the file ends within it`);
  }

  /** Takes pcap's next record; returns its length, 0 while it is not all there. */
  private record(bytes: Uint8Array, view: DataView, at: number): number {
    if (view.byteLength < at + PCAP_RECORD) return 0;
    const { little } = this;
    const captured = view.getUint32(at + 8, little);
    if (captured > LONGEST) throw new Error(`the frame at ${this.before + at} is damaged: it has ${captured} bytes`);
    if (view.byteLength < at + PCAP_RECORD + captured) return 0;
    const { perSecond } = this.list[0]!;
    const time = BigInt(view.getUint32(at, little)) * SECOND;
    this.onFrame({
      time: time + BigInt(view.getUint32(at + 4, little)) * (SECOND / perSecond),
      bytes: bytes.slice(at + PCAP_RECORD, at + PCAP_RECORD + captured),
      length: view.getUint32(at + 12, little),
      interface: 0,
    });
    return PCAP_RECORD + captured;
  }

  /** The same with pcapng's next block, or with the beginning of a file of either kind. */
  private block(bytes: Uint8Array, view: DataView, at: number): number {
    if (view.byteLength < at + 12) return 0;
    if (view.getUint32(at, true) === SECTION_HEADER) {
      this.form = "pcapng";
      this.little = view.getUint32(at + 8, true) === BYTE_ORDER_MAGIC;
      if (!this.little && view.getUint32(at + 8) !== BYTE_ORDER_MAGIC)
        throw new Error(`the section at ${this.before + at} is of no known byte order`);
      this.list = [];
    } else if (this.form === "unknown") {
      return this.begin(view);
    }
    const { little } = this;
    const length = view.getUint32(at + 4, little);
    if (length < 12 || length % 4 !== 0 || length > LONGEST)
      throw new Error(`the block at ${this.before + at} is damaged: it has ${length} bytes`);
    if (view.byteLength < at + length) return 0;
    this.take(bytes.subarray(at, at + length), new DataView(bytes.buffer, at, length), this.before + at);
    return length;
  }

  /** pcap's file header. */
  private begin(view: DataView): number {
    const little = [PCAP_MICRO, PCAP_NANO].includes(view.getUint32(0, true));
    const magic = view.getUint32(0, little);
    if (magic !== PCAP_MICRO && magic !== PCAP_NANO) throw new Error("the file is neither pcap nor pcapng");
    if (view.byteLength < PCAP_HEADER) return 0;
    // The upper bits say whether frames have a check sequence.
    requireEthernet(view.getUint32(20, little) & 0xffff);
    this.form = "pcap";
    this.little = little;
    this.list = [{ perSecond: magic === PCAP_NANO ? SECOND : 1_000_000n, offset: 0n }];
    return PCAP_HEADER;
  }

  private take(block: Uint8Array, view: DataView, at: number): void {
    const { little } = this;
    const short = (bytes: number) => {
      if (block.length < 12 + bytes) throw new Error(`the block at ${at} is damaged: it is too short for what it is`);
    };
    switch (view.getUint32(0, little)) {
      case INTERFACE_DESCRIPTION:
        short(8);
        requireEthernet(view.getUint16(8, little));
        this.list.push(this.interface(block, view));
        break;
      case ENHANCED_PACKET:
        short(20);
        this.packet(block, view, at);
        break;
      case SIMPLE_PACKET: {
        short(4);
        const length = view.getUint32(8, little);
        if (this.list.length === 0) throw noInterface(at);
        const bytes = block.slice(12, Math.min(12 + length, block.length - 4));
        this.onFrame({ time: this.last, bytes, length, interface: 0 });
        break;
      }
      case INTERFACE_STATISTICS: {
        short(12);
        const of = this.list[view.getUint32(8, little)];
        if (!of) throw noInterface(at);
        for (const { code, value } of this.options(block, view, 20)) {
          const count = value.length === 8 ? Number(viewOf(value).getBigUint64(0, little)) : undefined;
          if (code === OPTION_ISB_RECEIVED) of.received = count;
          if (code === OPTION_ISB_DROPPED) of.dropped = count;
        }
        break;
      }
    }
  }

  private interface(block: Uint8Array, view: DataView): Interface {
    const found: Interface = { perSecond: 1_000_000n, offset: 0n };
    for (const { code, value } of this.options(block, view, 16)) {
      if (code === OPTION_IF_NAME) found.name = new TextDecoder().decode(value);
      if (code === OPTION_IF_TSRESOL && value.length === 1) {
        found.perSecond = value[0]! & 0x80 ? 2n ** BigInt(value[0]! & 0x7f) : 10n ** BigInt(value[0]!);
      }
      if (code === OPTION_IF_TSOFFSET && value.length === 8) found.offset = viewOf(value).getBigInt64(0, this.little);
    }
    return found;
  }

  private packet(block: Uint8Array, view: DataView, at: number): void {
    const { little } = this;
    const number = view.getUint32(8, little);
    const of = this.list[number];
    if (!of) throw noInterface(at);
    const ticks = (BigInt(view.getUint32(12, little)) << 32n) | BigInt(view.getUint32(16, little));
    const captured = view.getUint32(20, little);
    if (captured > block.length - 32) throw new Error(`the capture ends within the frame at ${at}`);
    this.last = (ticks * SECOND) / of.perSecond + of.offset * SECOND;
    const frame: ReadFrame = {
      time: this.last,
      bytes: block.slice(28, 28 + captured),
      length: view.getUint32(24, little),
      interface: number,
    };
    for (const { code, value } of this.options(block, view, 28 + ((captured + 3) & ~3))) {
      if (code === OPTION_COMMENT) frame.comment = new TextDecoder().decode(value);
      if (code === OPTION_EPB_FLAGS && value.length === 4) {
        const bits = viewOf(value).getUint32(0, little) & DIRECTION_BITS;
        if (bits === FLAGS_INBOUND) frame.direction = "in";
        if (bits === FLAGS_OUTBOUND) frame.direction = "out";
      }
    }
    this.onFrame(frame);
  }

  /** The options of a block from `from` on. */
  private *options(block: Uint8Array, view: DataView, from: number): Generator<{ code: number; value: Uint8Array }> {
    const end = block.length - 4;
    for (let at = from; at + 4 <= end; ) {
      const code = view.getUint16(at, this.little);
      const length = view.getUint16(at + 2, this.little);
      if (code === 0 || at + 4 + length > end) return;
      yield { code, value: block.subarray(at + 4, at + 4 + length) };
      at += 4 + ((length + 3) & ~3);
    }
  }
}

/** A frame of a file: nanoseconds since the first one, and the bytes that were captured. */
export interface RecordedFrame {
  time: number;
  bytes: Uint8Array;
}

/** All frames of a pcap or pcapng file. Throws when it is neither, is damaged, or is not of Ethernet. */
export function readCapture(file: Uint8Array): RecordedFrame[] {
  const frames: ReadFrame[] = [];
  const reader = new CaptureReader((frame) => frames.push(frame));
  reader.push(file);
  reader.end();
  const first = frames[0]?.time ?? 0n;
  return frames.map(({ time, bytes }) => ({ time: Number(time - first), bytes }));
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

function noInterface(at: number): Error {
  return new Error(`the frame at ${at} is of an interface that the file does not describe`);
}

function requireEthernet(linkType: number): void {
  if (linkType !== LINKTYPE_ETHERNET)
    throw new Error(`the capture is of link type ${linkType}: only Ethernet (1) is read`);
}
