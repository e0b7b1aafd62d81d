// Puts a call in front of every instruction that touches memory, and changes nothing else: what is left when the calls are
// taken out is the module that went in, instruction by instruction (test/explore/traced.test.ts).
//
//   trace.access(site, address)              a load, a store, an atomic; the instruction's constant offset comes on top
//   trace.range(site, to, from, length)      memory.copy; memory.fill, with the byte to fill with in place of `from`
//
// `site` is the number of the instruction in the list that is returned.

import { I32, instruction, leb, Reader, SECTION, sectionsOf, signedLeb } from "./wasm.mjs";

const TRACE_IMPORTS = [
  { name: "access", parameters: [I32, I32] },
  { name: "range", parameters: [I32, I32, I32, I32] },
];
const MAGIC = 8;
const FUNCTION_TYPE = 0x60;
const FUNCTION_KIND = 0;
const NAMES_OF_FUNCTIONS = 1;
const OP = { call: 0x10, get: 0x20, set: 0x21, tee: 0x22, i32Const: 0x41 };

/**
 * Returns { bytes, sites }: the module with tracing, and for each traced instruction { offset, start, function, memory }: where
 * its opcode and its function's first were in `bytes` as given, the name of its function, and what wasm.mjs says of it. Custom sections are left out.
 */
export function instrument(bytes) {
  const sections = sectionsOf(bytes);
  const section = (id) => sections.find((one) => one.id === id);
  const types = parameterCounts(bytes, section(SECTION.type));
  const { functions: imported, end: importsEnd, count: imports } = importsOf(bytes, section(SECTION.import));
  if (section(SECTION.start) || section(SECTION.element)) {
    throw new Error("the module has a start function or a table: the tracer would have to move their function numbers");
  }
  const functionTypes = vector(bytes, section(SECTION.function));
  const names = functionNames(bytes, sections);
  const module = { bytes, types, functionTypes, imported, names, sites: [] };

  const parts = [[...bytes.subarray(0, MAGIC)]];
  for (const { id, start, end } of sections) {
    if (id === SECTION.custom) continue;
    let body = [...bytes.subarray(start, end)];
    if (id === SECTION.type) body = withTypes(bytes, start, end, types.length);
    if (id === SECTION.import) {
      const added = TRACE_IMPORTS.flatMap(({ name }, i) => [
        ...text("trace"),
        ...text(name),
        FUNCTION_KIND,
        ...leb(types.length + i),
      ]);
      body = [...leb(imports + TRACE_IMPORTS.length), ...bytes.subarray(importsEnd, end), ...added];
    }
    if (id === SECTION.export) body = exportsMoved(bytes, start, imported);
    if (id === SECTION.code) body = codeTraced(module, start);
    parts.push([id, ...leb(body.length)], body);
  }
  return { bytes: Uint8Array.from(parts.flat()), sites: module.sites };
}

function text(name) {
  return [...leb(name.length), ...new TextEncoder().encode(name)];
}

function withTypes(bytes, start, end, count) {
  const reader = new Reader(bytes, start);
  reader.u32();
  const added = TRACE_IMPORTS.flatMap(({ parameters }) => [FUNCTION_TYPE, parameters.length, ...parameters, 0]);
  return [...leb(count + TRACE_IMPORTS.length), ...bytes.subarray(reader.at, end), ...added];
}

/** How many parameters each function type has. */
function parameterCounts(bytes, { start }) {
  const reader = new Reader(bytes, start);
  return Array.from({ length: reader.u32() }, () => {
    if (reader.byte() !== FUNCTION_TYPE) throw new Error(`the type at ${reader.at} is none of a function`);
    const parameters = reader.u32();
    reader.skip(parameters);
    reader.skip(reader.u32());
    return parameters;
  });
}

/** How many of the imports are functions, how many there are, and where their list begins. */
function importsOf(bytes, { start }) {
  const reader = new Reader(bytes, start);
  const count = reader.u32();
  const begin = reader.at;
  let functions = 0;
  for (let i = 0; i < count; i++) {
    reader.name();
    reader.name();
    const kind = reader.byte();
    if (kind === FUNCTION_KIND) {
      functions++;
      reader.u32();
    } else if (kind === 2) {
      if (reader.byte() & 1) reader.u32();
      reader.u32();
    } else {
      throw new Error(`import ${i} is neither a function nor a memory: the tracer does not know how long it is`);
    }
  }
  return { functions, count, end: begin };
}

function vector(bytes, { start }) {
  const reader = new Reader(bytes, start);
  return Array.from({ length: reader.u32() }, () => reader.u32());
}

function exportsMoved(bytes, start, imported) {
  const reader = new Reader(bytes, start);
  const count = reader.u32();
  const body = leb(count);
  for (let i = 0; i < count; i++) {
    const name = reader.name();
    const kind = reader.byte();
    const index = reader.u32();
    body.push(...text(name), kind, ...leb(kind === FUNCTION_KIND ? moved(index, imported) : index));
  }
  return body;
}

/** The number of a function when the tracer's imports stand behind the others. */
function moved(index, imported) {
  return index < imported ? index : index + TRACE_IMPORTS.length;
}

/** Names from the debug build's name section, by function number. */
function functionNames(bytes, sections) {
  const names = new Map();
  const custom = sections.find(({ name }) => name === "name");
  if (custom === undefined) return names;
  const reader = new Reader(bytes, custom.start);
  reader.name();
  while (reader.at < custom.end) {
    const id = reader.byte();
    const length = reader.u32();
    const next = reader.at + length;
    if (id === NAMES_OF_FUNCTIONS) {
      for (let left = reader.u32(); left > 0; left--) {
        const index = reader.u32();
        names.set(index, reader.name());
      }
    }
    reader.at = next;
  }
  return names;
}

function codeTraced(module, start) {
  const reader = new Reader(module.bytes, start);
  const count = reader.u32();
  const body = leb(count);
  for (let number = 0; number < count; number++) {
    const size = reader.u32();
    const code = functionTraced(module, reader, number, reader.at + size);
    for (const piece of [leb(code.length), code]) for (const byte of piece) body.push(byte);
  }
  return body;
}

function functionTraced(module, reader, number, end) {
  const { bytes, imported, sites } = module;
  const declared = reader.u32();
  const groups = reader.at;
  let locals = module.types[module.functionTypes[number]];
  for (let left = declared; left > 0; left--) {
    locals += reader.u32();
    reader.byte();
  }
  const own = new ScratchLocals(locals);
  const out = [];
  const copy = (from, to) => {
    for (let at = from; at < to; at++) out.push(bytes[at]);
  };
  const first = reader.at;
  let copied = first;
  const name = module.names.get(imported + number) ?? String(imported + number);
  while (reader.at < end) {
    const { at, opcode, index, memory } = instruction(reader);
    if (memory === undefined && index === undefined) continue;
    copy(copied, at);
    copied = at;
    if (index !== undefined) {
      out.push(opcode, ...leb(moved(index, imported)));
      copied = reader.at;
    } else {
      out.push(...prelude(memory, sites.length, imported, own));
      sites.push({ offset: at, start: first, function: name, memory });
    }
  }
  copy(copied, end);
  return [...leb(declared + own.types.length), ...bytes.subarray(groups, first), ...own.declarations(), ...out];
}

/** Locals of the tracer's own, behind the function's: made when first asked for, one for each use at a time. */
class ScratchLocals {
  types = [];
  constructor(first) {
    this.first = first;
  }

  /** Numbers of locals of these types, no two alike. */
  take(types) {
    const taken = new Set();
    return types.map((type) => {
      let at = this.types.findIndex((one, i) => one === type && !taken.has(i));
      if (at < 0) at = this.types.push(type) - 1;
      taken.add(at);
      return this.first + at;
    });
  }

  declarations() {
    return this.types.flatMap((type) => [1, type]);
  }
}

/** The instructions in front of one that finds its address and operands on the stack: they leave the stack as it was. */
function prelude(memory, site, imported, own) {
  const call = (which, ...locals) => [
    OP.i32Const,
    ...signedLeb(site),
    ...locals.flatMap((local) => [OP.get, ...leb(local)]),
    OP.call,
    ...leb(imported + which),
  ];
  if (memory.range !== undefined) {
    const [to, from, length] = own.take([I32, I32, I32]);
    return [
      ...[
        OP.set,
        ...leb(length),
        OP.set,
        ...leb(from),
        OP.tee,
        ...leb(to),
        OP.get,
        ...leb(from),
        OP.get,
        ...leb(length),
      ],
      ...call(1, to, from, length),
    ];
  }
  const [address, ...operands] = own.take([I32, ...memory.operands]);
  return [
    ...[...operands].reverse().flatMap((local) => [OP.set, ...leb(local)]),
    ...[OP.tee, ...leb(address)],
    ...call(0, address),
    ...operands.flatMap((local) => [OP.get, ...leb(local)]),
  ];
}
