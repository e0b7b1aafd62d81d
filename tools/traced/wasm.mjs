// Reads a Wasm binary as far as the tracer needs it: sections, and each instruction of each function with its operands'
// places. Opcodes and immediates: WebAssembly Core Specification 2.0, 5.4 and 5.5, and the threads proposal.

export const SECTION = { custom: 0, type: 1, import: 2, function: 3, export: 7, start: 8, element: 9, code: 10 };
export const I32 = 0x7f;
export const I64 = 0x7e;
export const F32 = 0x7d;
export const F64 = 0x7c;
export const V128 = 0x7b;
export const CALL = 0x10;
export const RETURN_CALL = 0x12;
export const REF_FUNC = 0xd2;

/** A cursor over bytes; what does not make sense throws with the offset at which it stands. */
export class Reader {
  constructor(bytes, at = 0) {
    this.bytes = bytes;
    this.at = at;
  }

  byte() {
    if (this.at >= this.bytes.length) throw new Error(`the module ends at ${this.at}, in the middle of something`);
    return this.bytes[this.at++];
  }

  /** An unsigned LEB128 number of up to 32 bits. */
  u32() {
    let value = 0;
    for (let shift = 0; shift < 35; shift += 7) {
      const byte = this.byte();
      value += (byte & 0x7f) * 2 ** shift;
      if (byte < 0x80) return value;
    }
    throw new Error(`a number at ${this.at} does not end`);
  }

  /** Skips a LEB128 number, signed or not. */
  skipLeb() {
    while (this.byte() >= 0x80);
  }

  skip(count) {
    this.at += count;
  }

  name() {
    const length = this.u32();
    const text = new TextDecoder().decode(this.bytes.subarray(this.at, this.at + length));
    this.at += length;
    return text;
  }
}

/** A number as unsigned LEB128. */
export function leb(value) {
  const bytes = [];
  do {
    const byte = value % 128;
    value = Math.floor(value / 128);
    bytes.push(value > 0 ? byte | 0x80 : byte);
  } while (value > 0);
  return bytes;
}

/** A number as signed LEB128, for i32.const. */
export function signedLeb(value) {
  const bytes = [];
  while (true) {
    const byte = value & 0x7f;
    value >>= 7;
    if ((value === 0 && (byte & 0x40) === 0) || (value === -1 && (byte & 0x40) !== 0)) return [...bytes, byte];
    bytes.push(byte | 0x80);
  }
}

/** The sections of a module: id, and where their bodies begin and end; of custom ones also the name. */
export function sectionsOf(bytes) {
  const reader = new Reader(bytes, 8);
  const sections = [];
  while (reader.at < bytes.length) {
    const id = reader.byte();
    const length = reader.u32();
    const start = reader.at;
    const name = id === SECTION.custom ? new Reader(bytes, start).name() : "";
    sections.push({ id, name, start, end: start + length });
    reader.skip(length);
  }
  return sections;
}

/**
 * Skips the immediates of the instruction whose opcode was at `at`, and tells what it is: { opcode, sub, index } with the
 * function index of calls; for memory instructions `memory`, the kind of access (see MEMORY and friends).
 */
export function instruction(reader) {
  const at = reader.at;
  const opcode = reader.byte();
  if (opcode === 0xfc) return prefixed(reader, at, BULK[reader.u32()]);
  if (opcode === 0xfd) return vector(reader, at);
  if (opcode === 0xfe) return atomic(reader, at);
  if (opcode >= 0x28 && opcode <= 0x3e) return access(reader, at, MEMORY[opcode - 0x28]);
  if (opcode === CALL || opcode === RETURN_CALL || opcode === REF_FUNC) {
    return { at, opcode, index: reader.u32() };
  }
  const immediates = PLAIN[opcode];
  if (immediates === undefined) throw unknown(opcode, at);
  skipImmediates(reader, immediates);
  return { at, opcode };
}

function prefixed(reader, at, entry) {
  if (entry === undefined) throw unknown(0xfc, at);
  skipImmediates(reader, entry.immediates);
  return { at, opcode: 0xfc, memory: entry.memory };
}

function vector(reader, at) {
  const sub = reader.u32();
  if (sub in VECTOR) {
    const { lane, ...kind } = VECTOR[sub];
    const found = access(reader, at, kind);
    if (lane) reader.byte();
    return found;
  }
  if (sub === 12 || sub === 13) reader.skip(16);
  else if (sub >= 21 && sub <= 34) reader.skip(1);
  return { at, opcode: 0xfd };
}

function atomic(reader, at) {
  const sub = reader.u32();
  if (sub === 3) {
    reader.skip(1);
    return { at, opcode: 0xfe };
  }
  const kind = ATOMIC[sub];
  if (kind === undefined) throw unknown(0xfe, at);
  return access(reader, at, kind);
}

function access(reader, at, kind) {
  const align = reader.u32();
  if (align & 0x40) throw new Error(`the instruction at ${at} names a memory: the tracer knows one only`);
  return { at, opcode: 0, memory: { ...kind, offset: reader.u32() } };
}

function unknown(opcode, at) {
  return new Error(
    `opcode 0x${opcode.toString(16)} at ${at} is none that the tracer knows: add it to tools/traced/wasm.mjs`,
  );
}

function skipImmediates(reader, immediates) {
  for (const kind of immediates) {
    if (kind === "l") reader.skipLeb();
    else if (kind === "4") reader.skip(4);
    else if (kind === "8") reader.skip(8);
    else if (kind === "t") for (let count = reader.u32() + 1; count > 0; count--) reader.skipLeb();
    else if (kind === "s") for (let count = reader.u32(); count > 0; count--) reader.skipLeb();
  }
}

/** Immediates of the one-byte opcodes: l a LEB128, 4 and 8 bytes, t a branch table, s a list of types. */
const PLAIN = {
  0: "",
  1: "",
  2: "l",
  3: "l",
  4: "l",
  5: "",
  11: "",
  12: "l",
  13: "l",
  14: "t",
  15: "",
  17: "ll",
  19: "ll",
  26: "",
  27: "",
  28: "s",
  32: "l",
  33: "l",
  34: "l",
  35: "l",
  36: "l",
  37: "l",
  38: "l",
  63: "l",
  64: "l",
  65: "l",
  66: "l",
  67: "4",
  68: "8",
  208: "l",
  209: "",
};
for (let opcode = 0x45; opcode <= 0xc4; opcode++) PLAIN[opcode] = "";

/** memory.copy and memory.fill touch ranges; the other opcodes behind 0xfc touch no memory, or are not compiled. */
const BULK = {
  10: { immediates: "ll", memory: { range: "copy" } },
  11: { immediates: "l", memory: { range: "fill" } },
};
for (let sub = 0; sub <= 7; sub++) BULK[sub] = { immediates: "" };

/** Opcodes 0x28 to 0x3e: bytes, whether they write, and the types of the operands behind the address. */
const load = (size) => ({ size, kind: "read", operands: [] });
const store = (size, type) => ({ size, kind: "write", operands: [type] });
const MEMORY = [
  ...[4, 8, 4, 8, 1, 1, 2, 2, 1, 1, 2, 2, 4, 4].map(load),
  ...[
    [4, I32],
    [8, I64],
    [4, F32],
    [8, F64],
    [1, I32],
    [2, I32],
    [1, I64],
    [2, I64],
    [4, I64],
  ].map((x) => store(...x)),
];

const VECTOR = { 0: load(16), 11: store(16, V128), 92: load(4), 93: load(8) };
for (let sub = 1; sub <= 6; sub++) VECTOR[sub] = load(8);
for (const [i, size] of [1, 2, 4, 8].entries()) {
  VECTOR[7 + i] = load(size);
  VECTOR[84 + i] = { ...load(size), operands: [V128], lane: true };
  VECTOR[88 + i] = { ...store(size, V128), lane: true };
}

/** Behind 0xfe: notify and wait, loads, stores, and six kinds of read-modify-write and cmpxchg of seven widths each. */
const ATOMIC = {
  0: { size: 4, kind: "read", atomic: true, operands: [I32] },
  1: { size: 4, kind: "read", atomic: true, operands: [I32, I64] },
  2: { size: 8, kind: "read", atomic: true, operands: [I64, I64] },
};
const WIDTHS = [
  [4, I32],
  [8, I64],
  [1, I32],
  [2, I32],
  [1, I64],
  [2, I64],
  [4, I64],
];
for (const [i, [size, type]] of WIDTHS.entries()) {
  ATOMIC[0x10 + i] = { size, kind: "read", atomic: true, operands: [] };
  ATOMIC[0x17 + i] = { size, kind: "write", atomic: true, operands: [type] };
  for (let family = 0; family < 6; family++) {
    ATOMIC[0x1e + family * 7 + i] = { size, kind: "update", atomic: true, operands: [type] };
  }
  ATOMIC[0x48 + i] = { size, kind: "update", atomic: true, operands: [type, type] };
}
