// The frame by which others learn where a guest is now (RFC 903, as every hypervisor sends it after a migration).

const FRAME_BYTES = 60;
const ETHERTYPE_RARP = 0x8035;
const HARDWARE_ETHERNET = 1;
const PROTOCOL_IPV4 = 0x0800;
const REQUEST_REVERSE = 3;

/** A broadcast RARP request of the interface `mac` (core/mac.ts) for its own address. */
export function rarpFrame(mac: bigint): Uint8Array {
  const bytes = new Uint8Array(FRAME_BYTES);
  const view = new DataView(bytes.buffer);
  const address = Uint8Array.from({ length: 6 }, (_, i) => Number((mac >> BigInt(8 * i)) & 0xffn));
  bytes.fill(0xff, 0, 6);
  bytes.set(address, 6);
  view.setUint16(12, ETHERTYPE_RARP);
  view.setUint16(14, HARDWARE_ETHERNET);
  view.setUint16(16, PROTOCOL_IPV4);
  bytes[18] = 6;
  bytes[19] = 4;
  view.setUint16(20, REQUEST_REVERSE);
  // Sender and target; nobody knows the IP addresses.
  bytes.set(address, 22);
  bytes.set(address, 32);
  return bytes;
}
