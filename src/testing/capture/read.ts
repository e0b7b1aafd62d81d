// Reads what others captured: pcap (microseconds or nanoseconds, either byte order) and pcapng, Ethernet only.

import {
  BYTE_ORDER_MAGIC,
  ENHANCED_PACKET,
  INTERFACE_DESCRIPTION,
  LINKTYPE_ETHERNET,
  OPTION_IF_TSRESOL,
  SECTION_HEADER,
  SIMPLE_PACKET,
} from "./pcapng.js";

/** A frame of a file: nanoseconds since the first one, and the bytes that were captured. */
export interface RecordedFrame {
  time: number;
  bytes: Uint8Array;
}

const PCAP_MICRO = 0xa1b2c3d4;
const PCAP_NANO = 0xa1b23c4d;

/** All frames of a pcap or pcapng file. Throws when it is neither, is damaged, or is not of Ethernet. */
export function readCapture(file: Uint8Array): RecordedFrame[] {
  const view = new DataView(file.buffer, file.byteOffset, file.byteLength);
  if (file.length < 24) throw new Error("the file is too short for pcap or pcapng");
  const frames: { time: bigint; bytes: Uint8Array }[] = [];
  const add = (time: bigint, at: number, length: number) => {
    if (at + length > file.length) throw new Error(`the capture ends within the frame at ${at}`);
    frames.push({ time, bytes: file.slice(at, at + length) });
  };
  if (view.getUint32(0, true) === SECTION_HEADER) readPcapng(view, add);
  else readPcap(view, add);
  const first = frames[0]?.time ?? 0n;
  return frames.map(({ time, bytes }) => ({ time: Number(time - first), bytes }));
}

type Add = (nanoseconds: bigint, at: number, length: number) => void;

function readPcap(view: DataView, add: Add): void {
  const little = [PCAP_MICRO, PCAP_NANO].includes(view.getUint32(0, true));
  const magic = view.getUint32(0, little);
  if (magic !== PCAP_MICRO && magic !== PCAP_NANO) throw new Error("the file is neither pcap nor pcapng");
  requireEthernet(view.getUint32(20, little) & 0xffff);
  const unit = magic === PCAP_NANO ? 1n : 1000n;
  for (let at = 24; at + 16 <= view.byteLength; ) {
    const seconds = BigInt(view.getUint32(at, little));
    const length = view.getUint32(at + 8, little);
    add(seconds * 1_000_000_000n + BigInt(view.getUint32(at + 4, little)) * unit, at + 16, length);
    at += 16 + length;
  }
}

function readPcapng(view: DataView, add: Add): void {
  let little = true;
  /** Of each interface of the section. */
  let perSecond: bigint[] = [];
  let last = 0n;
  for (let at = 0; at + 12 <= view.byteLength; ) {
    if (view.getUint32(at, true) === SECTION_HEADER) {
      little = view.getUint32(at + 8, true) === BYTE_ORDER_MAGIC;
      perSecond = [];
    }
    const type = view.getUint32(at, little);
    const length = view.getUint32(at + 4, little);
    if (length < 12 || length % 4 !== 0 || at + length > view.byteLength)
      throw new Error(`the block at ${at} is damaged`);
    if (type === INTERFACE_DESCRIPTION) {
      requireEthernet(view.getUint16(at + 8, little));
      perSecond.push(resolution(view, at + 16, at + length - 4, little));
    } else if (type === ENHANCED_PACKET) {
      const unit = perSecond[view.getUint32(at + 8, little)];
      if (!unit) throw new Error(`the frame at ${at} is of an interface that the file does not describe`);
      const ticks = (BigInt(view.getUint32(at + 12, little)) << 32n) | BigInt(view.getUint32(at + 16, little));
      last = (ticks * 1_000_000_000n) / unit;
      add(last, at + 28, view.getUint32(at + 20, little));
    } else if (type === SIMPLE_PACKET) {
      add(last, at + 12, Math.min(view.getUint32(at + 8, little), length - 16));
    }
    at += length;
  }
}

/** Ticks in a second, as an interface's options have it; default a million. */
function resolution(view: DataView, from: number, end: number, little: boolean): bigint {
  for (let at = from; at + 4 <= end; ) {
    const code = view.getUint16(at, little);
    const length = view.getUint16(at + 2, little);
    if (code === OPTION_IF_TSRESOL) {
      const value = view.getUint8(at + 4);
      return value & 0x80 ? 2n ** BigInt(value & 0x7f) : 10n ** BigInt(value);
    }
    at += 4 + ((length + 3) & ~3);
  }
  return 1_000_000n;
}

function requireEthernet(linkType: number): void {
  if (linkType !== LINKTYPE_ETHERNET)
    throw new Error(`the capture is of link type ${linkType}: only Ethernet (1) is read`);
}
