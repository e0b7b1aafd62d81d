// Frames that cases send: numbered, of an EtherType of their own, so that what others flood is not taken for them.

const ETHERTYPE = 0x88b6;
/** Of frames that only open the path and teach a switch where everybody is. */
export const OPENING = 0xffff_ffff;
export const FRAME_MIN = 60;
export const FRAME_MAX = 1514;

const BROADCAST = 0xff;

/** The last byte of a guest's MAC address, by its port. */
export type Station = 1 | 2;

/** A frame of `length` bytes from one station to another with a number, filled with a pattern of that number. */
export function frame(from: Station, to: Station | "all", length: number, number: number): Uint8Array {
  const bytes = new Uint8Array(length);
  const view = new DataView(bytes.buffer);
  if (to === "all") bytes.fill(BROADCAST, 0, 6);
  else bytes.set([0x02, 0x52, 0x42, 0, 0, to]);
  bytes.set([0x02, 0x52, 0x42, 0, 0, from], 6);
  view.setUint16(12, ETHERTYPE);
  view.setUint32(14, number);
  for (let i = 18; i < length; i++) bytes[i] = number * 31 + i * 7;
  return bytes;
}

/** The number of one of our frames; undefined of anything else. */
export function frameNumber(bytes: Uint8Array): number | undefined {
  if (bytes.length < 18) return undefined;
  const view = new DataView(bytes.buffer, bytes.byteOffset);
  return view.getUint16(12) === ETHERTYPE ? view.getUint32(14) : undefined;
}

/** In what two byte strings differ, as a sentence; undefined when they are the same. */
export function difference(got: Uint8Array, sent: Uint8Array): string | undefined {
  if (got.length !== sent.length) return `${got.length} bytes arrived where ${sent.length} had been sent`;
  const at = got.findIndex((byte, i) => byte !== sent[i]);
  return at < 0 ? undefined : `byte ${at} arrived as 0x${got[at]!.toString(16)}, was 0x${sent[at]!.toString(16)}`;
}
