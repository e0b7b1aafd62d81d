// The Ethernet header (IEEE 802.3): two addresses, as numbers.

/** Destination, source, type: the least a frame must have. */
export const ETHERNET_HEADER: u32 = 14;

/** A MAC address as a little-endian number: the first octet is the lowest byte. */
export const MAC_MASK: u64 = 0x0000_ffff_ffff_ffff;

/**
 * Group addresses (multicast and broadcast) have the lowest bit of their first octet set.
 * @inline
 */
export function isGroup(address: u64): bool {
  return <bool>(<u32>address & 1);
}

/**
 * 01:80:c2:00:00:00 to :0f stay between a bridge and its neighbour (IEEE 802.1Q, table 8-1).
 * @inline
 */
export function isReserved(address: u64): bool {
  return (address & 0x0000_f0ff_ffff_ffff) == 0x0000_0000_00c2_8001;
}
