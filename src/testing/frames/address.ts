// Addresses as text and as bytes, and who has them.

/** Who sends or gets a packet: a guest of the lab, or any object with these addresses. */
export interface Station {
  /** "02:00:00:00:00:01". */
  mac: string;
  /** "10.0.0.1"; needed for ARP and packets over IPv4. */
  ip4?: string;
  /** "fd00::1"; needed for packets over IPv6. */
  ip6?: string;
}

/** To everybody. */
export const BROADCAST = "ff:ff:ff:ff:ff:ff";

/** The six octets of a MAC address. Throws when the text is none. */
export function macBytes(mac: string): Uint8Array {
  if (!/^([0-9a-f]{2}:){5}[0-9a-f]{2}$/i.test(mac)) throw new Error(`"${mac}" is no MAC address (02:00:00:00:00:01)`);
  return Uint8Array.from(mac.split(":"), (octet) => Number.parseInt(octet, 16));
}

/** The inverse of macBytes, from the octets at `at`. */
export function macText(bytes: Uint8Array, at = 0): string {
  return Array.from(bytes.subarray(at, at + 6), (octet) => octet.toString(16).padStart(2, "0")).join(":");
}

/** The four octets of an IPv4 address. Throws when the text is none. */
export function ip4Bytes(address: string): Uint8Array {
  const octets = address.split(".").map((part) => (/^\d{1,3}$/.test(part) ? Number(part) : 256));
  if (octets.length !== 4 || octets.some((octet) => octet > 255)) throw new Error(`"${address}" is no IPv4 address`);
  return Uint8Array.from(octets);
}

/** The 16 octets of an IPv6 address (RFC 4291, 2.2, without the form that ends in an IPv4 address). Throws when it is none. */
export function ip6Bytes(address: string): Uint8Array {
  const halves = address.split("::");
  const [head, tail] = halves.map((half) => (half === "" ? [] : half.split(":")));
  const missing = 8 - head!.length - (tail?.length ?? 0);
  const words = tail ? [...head!, ...Array.from({ length: Math.max(missing, 0) }, () => "0"), ...tail] : head!;
  const good = halves.length <= 2 && words.length === 8 && (tail === undefined || missing > 0);
  if (!good || words.some((word) => !/^[0-9a-f]{1,4}$/i.test(word))) throw new Error(`"${address}" is no IPv6 address`);
  return Uint8Array.from(words.flatMap((word) => [Number.parseInt(word, 16) >> 8, Number.parseInt(word, 16) & 0xff]));
}
