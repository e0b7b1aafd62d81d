// Typed access to the shared structs of assembly/abi.ts through the generated layout.

export interface Layout {
  readonly size: number;
  readonly fields: Readonly<Record<string, { readonly offset: number; readonly type: string }>>;
}

/** The views over one linear memory. Offsets are bytes, as in the core. */
export class Views {
  readonly bytes: Uint8Array;
  readonly u32: Uint32Array;
  readonly i32: Int32Array;
  readonly u64: BigUint64Array;
  readonly data: DataView;

  constructor(readonly memory: WebAssembly.Memory) {
    const { buffer } = memory;
    this.bytes = new Uint8Array(buffer);
    this.u32 = new Uint32Array(buffer);
    this.i32 = new Int32Array(buffer);
    this.u64 = new BigUint64Array(buffer);
    this.data = new DataView(buffer);
  }
}

/** One struct in linear memory. */
export class Struct<L extends Layout> {
  constructor(
    readonly views: Views,
    readonly layout: L,
    /** Offset of the struct in linear memory: what the core calls a pointer. */
    readonly at: number,
  ) {}

  /** Value of a field; 64-bit counters as doubles. */
  get(field: keyof L["fields"] & string): number {
    const { offset, type } = this.layout.fields[field]!;
    if (type === "u64") return Number(this.views.u64[(this.at + offset) >>> 3]);
    return type === "i32" ? this.views.i32[(this.at + offset) >>> 2]! : this.views.u32[(this.at + offset) >>> 2]!;
  }

  /** Sets a field nobody else reads yet. */
  set(field: keyof L["fields"] & string, value: number): void {
    const { offset, type } = this.layout.fields[field]!;
    if (type === "u64") this.views.u64[(this.at + offset) >>> 3] = BigInt(value);
    else this.views.i32[(this.at + offset) >>> 2] = value;
  }

  /** Sets a 32-bit field that workers read, after everything written before it. */
  publish(field: keyof L["fields"] & string, value: number): void {
    Atomics.store(this.views.i32, (this.at + this.layout.fields[field]!.offset) >>> 2, value);
  }

  /** Reads a 32-bit field that workers write. */
  load(field: keyof L["fields"] & string): number {
    return Atomics.load(this.views.u32, (this.at + this.layout.fields[field]!.offset) >>> 2);
  }
}
