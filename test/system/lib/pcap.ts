// Capture files (libpcap's format, Ethernet): what testpmd and tcpdump read and write.
import { readFileSync, writeFileSync } from "node:fs";

// The first word tells in which fraction of a second the times are: micro or nano.
const magic = 0xa1b2c3d4;
const nanoMagic = 0xa1b23c4d;
const fileHeaderBytes = 24;
const recordHeaderBytes = 16;

/** Writes frames to a capture file. */
export function writePcap(path: string, frames: readonly Buffer[]): void {
  const header = Buffer.alloc(fileHeaderBytes);
  header.writeUInt32LE(magic, 0);
  header.writeUInt16LE(2, 4);
  header.writeUInt16LE(4, 6);
  header.writeUInt32LE(0x40000, 16);
  header.writeUInt32LE(1, 20);
  const records = frames.flatMap((frame, index) => {
    const record = Buffer.alloc(recordHeaderBytes);
    record.writeUInt32LE(index, 4);
    record.writeUInt32LE(frame.length, 8);
    record.writeUInt32LE(frame.length, 12);
    return [record, frame];
  });
  writeFileSync(path, Buffer.concat([header, ...records]));
}

/** The frames of a capture file, a last one that is cut off left out. Throws for a file of another kind. */
export function readPcap(path: string): Buffer[] {
  const file = readFileSync(path);
  if (file.length < fileHeaderBytes || ![magic, nanoMagic].includes(file.readUInt32LE(0)))
    throw new Error(`${path} is no capture file`);
  const frames: Buffer[] = [];
  for (let at = fileHeaderBytes; at + recordHeaderBytes <= file.length; ) {
    const end = at + recordHeaderBytes + file.readUInt32LE(at + 8);
    if (end > file.length) break;
    frames.push(file.subarray(at + recordHeaderBytes, end));
    at = end;
  }
  return frames;
}
