// Where each traced instruction comes from: source file, line and column, the function that it was written in, and the clause
// of the virtio specification that the source names there.

import { readFileSync } from "node:fs";
import { SourceMap } from "node:module";
import ts from "typescript";

/** A clause as the sources name it: of the split ring, the packed ring, or the network device (virtio 1.3). */
const CLAUSE = /\b((?:2\.[78]|5\.1)(?:\.\d+)*)\b/g;

/**
 * { files, functions, sites }: `files` are [path, text], `functions` { name, file, line, endLine, clauses }, and `sites` for
 * each traced instruction { file, line, column, within, compiledInto, clauses }, numbers of the lists before. `within` is -1 in
 * what AssemblyScript's library gives.
 */
export function locate(sites, sourceMap) {
  const map = new SourceMap(JSON.parse(sourceMap));
  const files = [];
  const functions = [];
  const parsed = new Map();
  const open = (path) => {
    if (!parsed.has(path)) {
      const own = path.startsWith("assembly/");
      const text = own ? readFileSync(path, "utf8") : "";
      const first = functions.length;
      if (own) functions.push(...functionsOf(path, text, files.length));
      parsed.set(path, { file: files.length, lines: text.split("\n"), functions: functions.slice(first), first });
      files.push([path, text]);
    }
    return parsed.get(path);
  };
  const located = sites.map(({ offset, start, function: compiledInto }) => {
    const { originalSource, originalLine, originalColumn } = entryFor(map, offset, start);
    const { file, lines, functions: inFile, first } = open(originalSource);
    const line = originalLine + 1;
    const number = inFile.findIndex((one) => one.line <= line && line <= one.endLine);
    const found = inFile[number];
    const clauses = found ? clausesOf(lines, line, found) : [];
    return {
      file,
      line,
      column: originalColumn + 1,
      within: found ? first + number : -1,
      compiledInto: compiledInto.split("/").at(-1),
      clauses,
    };
  });
  return { files, functions, sites: located };
}

/**
 * Where the sources have the instruction at `offset`. asc gives the load of a field no place of its own, but the pointer in
 * front of it has one: then that counts. `start`: where the function's code begins.
 */
function entryFor(map, offset, start) {
  for (let at = offset; at >= start; ) {
    const entry = map.findEntry(0, at);
    if (entry.originalSource !== undefined) return entry;
    at = entry.generatedColumn - 1;
  }
  throw new Error(`the source map has nothing for the instruction at ${offset}, nor for any in front of it`);
}

/** The functions of a file, with the clauses that their doc comments name, else those of the file's first comment. */
function functionsOf(path, text, file) {
  const source = ts.createSourceFile(path, text, ts.ScriptTarget.Latest, true);
  const lineOf = (position) => source.getLineAndCharacterOfPosition(position).line + 1;
  const header = text.slice(0, text.search(/^(?!\/\/)/m));
  return source.statements.filter(ts.isFunctionDeclaration).map((node) => {
    const doc = text.slice(node.getFullStart(), node.getStart());
    const named = clausesIn(doc);
    return {
      name: node.name.text,
      file,
      line: lineOf(node.getStart()),
      endLine: lineOf(node.getEnd()),
      clauses: named.length > 0 ? named : clausesIn(header),
    };
  });
}

/** The nearest clause: in the comments right above the line or beside it, else the function's. */
function clausesOf(lines, line, { line: first, clauses }) {
  const beside = clausesIn(lines[line - 1].split("//")[1] ?? "");
  if (beside.length > 0) return beside;
  for (let above = line - 1; above > first; above--) {
    const text = lines[above - 1].trim();
    if (!text.startsWith("//")) break;
    const named = clausesIn(text);
    if (named.length > 0) return named;
  }
  return clauses;
}

function clausesIn(text) {
  return [...new Set(Array.from(text.matchAll(CLAUSE), ([, clause]) => clause))];
}
