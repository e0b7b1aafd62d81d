// The YAML side of a configuration file: from text to plain values, and from a key path back to line and column.

import {
  type Document,
  isAlias,
  isMap,
  isScalar,
  isSeq,
  LineCounter,
  type Node,
  type Pair,
  parseDocument,
  visit,
} from "yaml";
import type { Problem } from "./problems.js";

/** A parsed file. `value` is undefined when the syntax is broken; `lines` then say where. */
export interface YamlFile {
  value: unknown;
  lines: string[];
  /** "file:line:column" of a key or of its value; of the nearest parent that exists when it is not in the file. */
  locate(path: readonly string[], at: Problem["at"]): string;
}

/** Parses YAML 1.2 text; `file` is the name that positions start with. Never throws. */
export function parseYaml(text: string, file: string): YamlFile {
  const counter = new LineCounter();
  // Without prettyErrors a message is one line; the position is added here in our own form. Warnings (a map as a key)
  // would go to the process; what they warn of becomes an unknown key anyway.
  const document = parseDocument(text, { lineCounter: counter, prettyErrors: false, logLevel: "error" });
  const position = (offset: number) => {
    const { line, col } = counter.linePos(offset);
    return `${file}:${Math.max(line, 1)}:${Math.max(col, 1)}`;
  };
  const locate: YamlFile["locate"] = (path, at) => position(offsetOf(document, path, at));
  const broken = (lines: string[]): YamlFile => ({ value: undefined, lines, locate });

  if (document.errors.length > 0) {
    return broken(
      document.errors.map((error) => `${position(error.pos[0])}: not valid YAML: ${oneLine(error.message)}`),
    );
  }
  keepModesAsWritten(document);
  try {
    return { value: document.toJS(), lines: [], locate };
  } catch (error) {
    // An alias without its anchor, or so many aliases that they would fill the memory.
    return broken([`${file}: not valid YAML: ${oneLine((error as Error).message)}`]);
  }
}

/** YAML reads `mode: 0660` as the decimal number 660: give the checks the digits as they were written. */
function keepModesAsWritten(document: Document): void {
  visit(document, {
    Pair(_, pair) {
      const { key, value } = pair as Pair;
      if (isScalar(key) && key.value === "mode" && isScalar(value) && typeof value.value === "number" && value.source) {
        value.value = value.source;
      }
    },
  });
}

function offsetOf(document: Document, path: readonly string[], at: Problem["at"]): number {
  let node: unknown = document.contents;
  let offset = (document.contents as Node | null)?.range?.[0] ?? 0;
  for (const [depth, segment] of path.entries()) {
    if (isAlias(node)) node = node.resolve(document);
    if (isSeq(node)) {
      const item = node.items[Number(segment)] as Node | undefined;
      offset = item?.range?.[0] ?? offset;
      node = item;
      continue;
    }
    if (!isMap(node)) return offset;
    const pair = node.items.find(({ key }) => isScalar(key) && String(key.value) === segment);
    if (pair === undefined) return offset;
    const wanted = at === "key" && depth === path.length - 1 ? pair.key : (pair.value ?? pair.key);
    // A key without a value has an empty value, placed after the colon: the key is the better place to look at.
    const place = isScalar(wanted) && wanted.value === null && !wanted.source ? pair.key : wanted;
    offset = (place as Node).range?.[0] ?? offset;
    node = pair.value;
  }
  return offset;
}

function oneLine(message: string): string {
  return message.replace(/\s+/g, " ").trim();
}
