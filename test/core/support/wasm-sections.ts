// The sections of a Wasm module (WebAssembly core specification, 5.5.2), as far as tests look into them.

interface Section {
  id: number;
  body: Uint8Array;
}

function sections(bytes: Uint8Array): Section[] {
  const found: Section[] = [];
  for (let at = 8; at < bytes.length; ) {
    const id = bytes[at++]!;
    let size = 0;
    for (let shift = 0; ; shift += 7) {
      const byte = bytes[at++]!;
      size |= (byte & 0x7f) << shift;
      if (byte < 0x80) break;
    }
    found.push({ id, body: bytes.subarray(at, at + size) });
    at += size;
  }
  return found;
}

/** Numbers of all sections but custom ones (names and the like), in order. */
export function sectionIds(bytes: Uint8Array): number[] {
  return sections(bytes)
    .map(({ id }) => id)
    .filter((id) => id !== 0);
}

/** Contents of the section with this number. */
export function section(bytes: Uint8Array, id: number): Uint8Array | undefined {
  return sections(bytes).find((each) => each.id === id)?.body;
}
