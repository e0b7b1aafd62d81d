// How the configuration speaks of what is wrong with it: problems, the error that carries them, "did you mean".

/** One fault: where in the tree of keys, whether the key or its value is meant, and a sentence with the fix. */
export interface Problem {
  path: string[];
  at: "key" | "value";
  text: string;
}

/** Everything that is wrong with a configuration, one line each: "file:line:column: key.path: what, and the fix". */
export class ConfigError extends Error {
  readonly lines: string[];

  constructor(lines: string[]) {
    super(lines.join("\n"));
    this.name = "ConfigError";
    this.lines = lines;
  }
}

/** A value as an operator wrote it, short enough for a line of text. */
export function describeValue(value: unknown): string {
  if (value === null || value === undefined) return "nothing";
  if (typeof value === "string") return JSON.stringify(value.length > 60 ? `${value.slice(0, 60)}…` : value);
  if (Array.isArray(value)) return "a list";
  if (typeof value === "object") return "a map";
  return String(value);
}

/** How many slips turn `a` into `b`: letters added, left out, replaced, or swapped with their neighbour. */
export function editDistance(a: string, b: string): number {
  const rows = [Array.from({ length: b.length + 1 }, (_, column) => column)];
  for (let row = 1; row <= a.length; row++) {
    const above = rows[row - 1]!;
    const current = [row];
    for (let column = 1; column <= b.length; column++) {
      const replaced = above[column - 1]! + (a[row - 1] === b[column - 1] ? 0 : 1);
      let distance = Math.min(replaced, above[column]! + 1, current[column - 1]! + 1);
      if (row > 1 && column > 1 && a[row - 1] === b[column - 2] && a[row - 2] === b[column - 1]) {
        distance = Math.min(distance, rows[row - 2]![column - 2]! + 1);
      }
      current.push(distance);
    }
    rows.push(current);
  }
  return rows[a.length]![b.length]!;
}

/** ` (did you mean "x"?)` for the nearest candidate, or nothing when none is near. Case, "-" and "_" do not count. */
export function didYouMean(word: string, candidates: readonly string[]): string {
  if (word.length > 64) return "";
  const plain = (text: string) => text.toLowerCase().replace(/[-_]/g, "");
  let best: string | undefined;
  let bestDistance = Number.POSITIVE_INFINITY;
  for (const candidate of candidates) {
    const distance = editDistance(plain(word), plain(candidate));
    if (distance < bestDistance) [best, bestDistance] = [candidate, distance];
  }
  // A third of the letters wrong is still a slip; more is another word.
  const near = best !== undefined && bestDistance <= Math.max(1, Math.floor(best.length / 3));
  return near ? ` (did you mean "${best}"?)` : "";
}
