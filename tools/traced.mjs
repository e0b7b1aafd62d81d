// The traced build of the core: the release build's instructions, with a call in front of each that touches memory
// (tools/traced/instrument.mjs), and a table of where in the sources each of them stands. Part of `node tools/build.mjs`.

import { createHash } from "node:crypto";
import { readFileSync, rmSync, writeFileSync } from "node:fs";
import { instrument } from "./traced/instrument.mjs";
import { locate } from "./traced/sites.mjs";
import { SECTION, sectionsOf } from "./traced/wasm.mjs";

/**
 * Makes `dist/wasm/<name>.traced.wasm` and `.sites.json` from a build of the same sources and options as `release` that has
 * names and a source map: `mapped`, which is removed. Throws when that is not the release build's code.
 */
export function writeTraced(name, release, mapped) {
  const bytes = readFileSync(mapped);
  const original = readFileSync(release);
  if (!codeOf(bytes).equals(codeOf(original))) {
    throw new Error(
      `asc compiles ${name} with a source map into other code than without: its traced build would be another`,
    );
  }
  const { bytes: traced, sites } = instrument(bytes);
  const { files, functions, sites: located } = locate(sites, readFileSync(`${mapped}.map`, "utf8"));
  const lists = lister();
  const table = {
    release: sha256(original),
    traced: sha256(traced),
    files,
    functions,
    // As numbers, in columns: a list of objects would be four times as long.
    sites: {
      file: located.map(({ file }) => file),
      line: located.map(({ line }) => line),
      column: located.map(({ column }) => column),
      within: located.map(({ within }) => within),
      compiledInto: located.map(({ compiledInto }) => lists.number("compiledInto", compiledInto)),
      clauses: located.map(({ clauses }) => lists.number("clauses", clauses.join(" "))),
      kind: sites.map(({ memory }) =>
        lists.number("kinds", memory.range ?? (memory.atomic ? "atomic " : "") + memory.kind),
      ),
      size: sites.map(({ memory }) => memory.size ?? 0),
      offset: sites.map(({ memory }) => memory.offset ?? 0),
    },
    ...lists.all,
  };
  writeFileSync(`dist/wasm/${name}.traced.wasm`, traced);
  writeFileSync(`dist/wasm/${name}.sites.json`, JSON.stringify(table));
  rmSync(mapped);
  rmSync(`${mapped}.map`);
}

/** Lists of different words, to be named by their numbers. */
function lister() {
  const all = {};
  const number = (list, word) => {
    all[list] ??= [];
    if (!all[list].includes(word)) all[list].push(word);
    return all[list].indexOf(word);
  };
  return { all, number };
}

function codeOf(bytes) {
  const { start, end } = sectionsOf(bytes).find(({ id }) => id === SECTION.code);
  return bytes.subarray(start, end);
}

function sha256(bytes) {
  return createHash("sha256").update(bytes).digest("hex");
}
