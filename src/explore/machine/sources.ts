// Where in the drivers' sources each of their accesses stands. A name is written once in each file, on the line of its access.

/** Texts of src/explore/machine/driver/*.ts by their paths in the repository. */
export type DriverSource = Readonly<Record<string, string>>;

/** The file of each kind of access: the names are unique in it. */
export const DRIVER_FILES = ["split", "packed", "net", "hostile"].map(
  (name) => `src/explore/machine/driver/${name}.ts`,
);

const CLAUSE = /\b((?:2\.[78]|5\.1)(?:\.\d+)*)\b/g;

/** A line of the sources, with what they say of it. */
export interface SourceLine {
  /** Path in the repository; line from 1. */
  file: string;
  line: number;
  /** The line without the space around it. */
  text: string;
  /** The function that it is in, from its declaration to its closing brace. */
  function?: { name: string; line: number; endLine: number };
  /** Clauses of virtio 1.3 that the sources name there. */
  clauses: readonly string[];
}

/** The line of an access in a file; undefined when the sources are not at hand. */
export function lineOf(sources: DriverSource | undefined, file: string, name: string): SourceLine | undefined {
  const lines = sources?.[file]?.split("\n");
  const at = lines?.findIndex((line) => line.includes(JSON.stringify(name))) ?? -1;
  if (!lines || at < 0) return undefined;
  const found = functionAround(lines, at);
  const beside = clausesIn(lines[at]!.split("//")[1] ?? "");
  const above = lines[at - 1]!.trim().startsWith("//") ? clausesIn(lines[at - 1]!) : [];
  const clauses = [beside, above, found?.clauses ?? []].find((some) => some.length > 0) ?? [];
  const line: SourceLine = { file, line: at + 1, text: lines[at]!.trim(), clauses };
  if (found) line.function = { name: found.name, line: found.line, endLine: found.endLine };
  return line;
}

function functionAround(lines: string[], at: number) {
  for (let i = at; i >= 0; i--) {
    const name = /^(?:export )?function\*? (\w+)/.exec(lines[i]!)?.[1];
    if (!name) continue;
    const end = lines.findIndex((line, number) => number > i && line === "}");
    let first = i;
    while (first > 0 && /^(\/\*\*| \*|\/\/)/.test(lines[first - 1]!)) first--;
    return { name, line: i + 1, endLine: end + 1, clauses: clausesIn(lines.slice(first, i).join("\n")) };
  }
  return undefined;
}

function clausesIn(text: string): string[] {
  return [...new Set(Array.from(text.matchAll(CLAUSE), ([, clause]) => clause!))];
}
