// Network addresses as text and as bytes. A leaf.

/** "52:54:00:12:34:56" */
export function macText(bytes: Uint8Array, at = 0): string {
  return Array.from(bytes.subarray(at, at + 6), (octet) => octet.toString(16).padStart(2, "0")).join(":");
}

/** The six octets; undefined when the text is none. */
export function macBytes(text: string): Uint8Array | undefined {
  if (!/^([0-9a-f]{1,2}:){5}[0-9a-f]{1,2}$/i.test(text)) return undefined;
  return Uint8Array.from(text.split(":"), (octet) => Number.parseInt(octet, 16));
}

/** "10.0.0.1", or "fd00::1" (RFC 5952: the longest run of zeros is left out). */
export function ipText(bytes: Uint8Array): string {
  if (bytes.length === 4) return bytes.join(".");
  const words = Array.from({ length: 8 }, (_, i) => ((bytes[2 * i]! << 8) | bytes[2 * i + 1]!).toString(16));
  let [start, length] = [0, 1];
  for (let i = 0; i < 8; i++) {
    let end = i;
    while (words[end] === "0") end++;
    if (end - i > length) [start, length] = [i, end - i];
  }
  if (length === 1) return words.join(":");
  return `${words.slice(0, start).join(":")}::${words.slice(start + length).join(":")}`;
}

/** The 4 or 16 octets of an address; undefined when the text is none. */
export function ipBytes(text: string): Uint8Array | undefined {
  return text.includes(":") ? ip6Bytes(text) : ip4Bytes(text);
}

function ip4Bytes(text: string): Uint8Array | undefined {
  if (!/^\d{1,3}(\.\d{1,3}){3}$/.test(text)) return undefined;
  const octets = text.split(".").map(Number);
  return octets.every((octet) => octet < 256) ? Uint8Array.from(octets) : undefined;
}

/** RFC 4291, 2.2; an address may end in an IPv4 address. */
function ip6Bytes(text: string): Uint8Array | undefined {
  const last = text.slice(text.lastIndexOf(":") + 1);
  const ip4 = last.includes(".") ? ip4Bytes(last) : undefined;
  if (last.includes(".") && ip4 === undefined) return undefined;
  const hexadecimal = ip4
    ? `${text.slice(0, -last.length)}${((ip4[0]! << 8) | ip4[1]!).toString(16)}:${((ip4[2]! << 8) | ip4[3]!).toString(16)}`
    : text;
  const halves = hexadecimal.split("::");
  const [head, tail] = halves.map((half) => (half === "" ? [] : half.split(":")));
  const missing = 8 - head!.length - (tail?.length ?? 0);
  if (halves.length > 2 || (tail ? missing < 1 : missing !== 0)) return undefined;
  const words = tail ? [...head!, ...Array.from({ length: missing }, () => "0"), ...tail] : head!;
  if (words.some((word) => !/^[0-9a-f]{1,4}$/i.test(word))) return undefined;
  return Uint8Array.from(words.flatMap((word) => [Number.parseInt(word, 16) >> 8, Number.parseInt(word, 16) & 0xff]));
}
