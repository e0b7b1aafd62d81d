// MAC addresses as the core and vhost-user have them: 48-bit numbers, the first octet lowest.

const TEXT = /^[0-9a-f]{2}(:[0-9a-f]{2}){5}$/i;

/** "52:54:00:12:34:56" as a number, or undefined when it is no MAC address. */
export function parseMac(text: string): bigint | undefined {
  if (!TEXT.test(text)) return undefined;
  return BigInt(`0x${text.split(":").reverse().join("")}`);
}

/** The inverse of parseMac; bits above 47 are not looked at. */
export function formatMac(mac: bigint): string {
  return Array.from({ length: 6 }, (_, i) => Number((mac >> BigInt(8 * i)) & 0xffn))
    .map((octet) => octet.toString(16).padStart(2, "0"))
    .join(":");
}

/** Whether an interface can have the address: it is no group address and not zero. */
export function isInterfaceMac(mac: bigint): boolean {
  return mac !== 0n && (mac & 1n) === 0n && mac < 1n << 48n;
}
