// Where in the core's sources each traced access stands: reads the table that the build writes beside the traced core
// (tools/traced.mjs), dist/wasm/core.sites.json.

/** The file as it is. Columns of numbers: one entry for each site. */
export interface SiteTable {
  /** SHA-256 of dist/wasm/core.release.wasm, in hex, and of the traced build of the same sources. */
  release: string;
  traced: string;
  /** [path in the repository, text]; the text of AssemblyScript's own library is left out. */
  files: readonly (readonly [string, string])[];
  functions: readonly SourceFunction[];
  sites: Record<
    "file" | "line" | "column" | "within" | "compiledInto" | "clauses" | "kind" | "size" | "offset",
    readonly number[]
  >;
  compiledInto: readonly string[];
  clauses: readonly string[];
  kinds: readonly string[];
}

export interface SourceFunction {
  name: string;
  /** Number in `files`. */
  file: number;
  /** First and last line, from 1. */
  line: number;
  endLine: number;
}

/** What an instruction does to memory; an update is an atomic read-modify-write. */
export type AccessKind = "read" | "write" | "update" | "copy" | "fill";

/** One instruction of the core that touches memory. */
export interface Site {
  number: number;
  kind: AccessKind;
  atomic: boolean;
  /** Bytes; 0 for copy and fill, which say so each time. */
  size: number;
  /** The instruction's constant, on top of its address: mostly a field's place in its struct. */
  offset: number;
  /** Path in the repository; line and column from 1. */
  file: string;
  line: number;
  column: number;
  /** The source line, without the space around it. */
  text: string;
  /** The function of the sources that it was written in; undefined in AssemblyScript's library. */
  function: SourceFunction | undefined;
  /** The function of the Wasm module that the optimizer put it into: one that calls `function`, or the same. */
  compiledInto: string;
  /** Clauses of virtio 1.3 that the sources name there: "2.7.8". */
  clauses: readonly string[];
}

export class Sites {
  readonly count: number;
  private readonly made: (Site | undefined)[] = [];
  private readonly lines: string[][];

  constructor(readonly table: SiteTable) {
    this.count = table.sites.line.length;
    this.lines = table.files.map(([, text]) => text.split("\n"));
  }

  /** The site with a number below `count`. Throws when there is none such: then the table is another build's. */
  get(number: number): Site {
    const found = this.made[number];
    if (found) return found;
    const { sites, files, functions, compiledInto, clauses, kinds } = this.table;
    const line = sites.line[number];
    if (line === undefined) throw new Error(`there is no site ${number}: table and module are of different builds`);
    const words = kinds[sites.kind[number]!]!.split(" ");
    const file = sites.file[number]!;
    const site: Site = {
      number,
      kind: words.at(-1) as AccessKind,
      atomic: words[0] === "atomic",
      size: sites.size[number]!,
      offset: sites.offset[number]!,
      file: files[file]![0],
      line,
      column: sites.column[number]!,
      text: (this.lines[file]![line - 1] ?? "").trim(),
      function: functions[sites.within[number]!],
      compiledInto: compiledInto[sites.compiledInto[number]!]!,
      clauses: clauses[sites.clauses[number]!]!.split(" ").filter(Boolean),
    };
    this.made[number] = site;
    return site;
  }

  /** All sites on a line of a source file: where a breakpoint on it stops. */
  onLine(file: string, line: number): number[] {
    const { sites, files } = this.table;
    return Array.from({ length: this.count }, (_, i) => i).filter(
      (i) => sites.line[i] === line && files[sites.file[i]!]![0] === file,
    );
  }
}
