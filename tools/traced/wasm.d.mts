// Types of wasm.mjs, for tests.

export interface Section {
  id: number;
  name: string;
  start: number;
  end: number;
}

export interface Instruction {
  at: number;
  opcode: number;
  index?: number;
  memory?: object;
}

export const SECTION: Record<
  "custom" | "type" | "import" | "function" | "export" | "start" | "element" | "code",
  number
>;

export class Reader {
  constructor(bytes: Uint8Array, at?: number);
  bytes: Uint8Array;
  at: number;
  byte(): number;
  u32(): number;
}

export function sectionsOf(bytes: Uint8Array): Section[];
export function instruction(reader: Reader): Instruction;
