// One file, JSON or YAML, with a list of ports.

import { basename, dirname, resolve } from "node:path";
import { parseYaml } from "../config/yaml-file.js";
import { isPlain } from "../vif/switch-port.js";
import type { Item, Reading } from "./desired.js";
import { readText, UnreadableFile } from "./read-text.js";
import type { PortSource } from "./source.js";

/** As much as all files of a folder may have. */
const LIST_MAX = 64 * 1024 * 1024;
const YAML_MAX = 4 * 1024 * 1024;
const DEPTH_MAX = 64;

export class ListSource implements PortSource {
  readonly text: string;
  readonly watched: { folder: string; name: string };
  private last: { stamp: string | undefined; reading: Reading } | undefined;

  constructor(private readonly file: string) {
    this.text = `the list in ${file}`;
    this.watched = { folder: dirname(resolve(file)), name: basename(file) };
  }

  async read(): Promise<Reading> {
    try {
      const read = await readText(this.file, LIST_MAX, this.last?.stamp);
      if (read !== undefined) this.last = { stamp: read.stamp, reading: this.parse(read.text) };
      return this.last!.reading;
    } catch (error) {
      if (!(error instanceof UnreadableFile)) throw error;
      return fault(`${this.file} ${error.message}`);
    }
  }

  private parse(text: string): Reading {
    if (text.trim() === "") return fault(`${this.file} is empty: for no ports write []`);
    const { value, lines } = parse(text, this.file);
    if (lines.length > 0) return fault(lines.join("; "));
    const list = isPlain(value) && !Object.hasOwn(value, "id") && !Object.hasOwn(value, "port") ? value.ports : value;
    if (!Array.isArray(list)) return fault(`${this.file} must be a list of ports, or a map with the list "ports"`);
    return { items: list.map((port, i) => itemOf(port, i)), refused: [] };
  }
}

/** JSON is YAML, whose parser names line and column, and is slower. */
function parse(text: string, file: string): { value?: unknown; lines: string[] } {
  try {
    return { value: JSON.parse(text) as unknown, lines: [] };
  } catch {
    // No JSON.
  }
  if (text.length > YAML_MAX) return { lines: [`${file} is no JSON, and too long for YAML (${YAML_MAX >> 20} MiB)`] };
  if (isTooDeep(text)) return { lines: [`${file}: not valid YAML: it is nested too deeply for a list of ports`] };
  return parseYaml(text, file);
}

/** The YAML parser recurses, and what is nested very deeply would end the process. */
function isTooDeep(text: string): boolean {
  let depth = 0;
  for (const character of text.replace(/"(\\.|[^"\\])*"/g, "")) {
    if (character === "[" || character === "{") depth++;
    if (character === "]" || character === "}") depth = Math.max(depth - 1, 0);
    if (depth > DEPTH_MAX) return true;
  }
  return /^[ \t]*([-?][ \t]+){64}/m.test(text);
}

function fault(text: string): Reading {
  return { items: [], refused: [], fault: text };
}

/** By its id, so that a port is the same one wherever it stands in the list. */
function itemOf(value: unknown, i: number): Item {
  const port = isPlain(value) && isPlain(value.port) ? value.port : value;
  const id = isPlain(port) && typeof port.id === "string" && port.id.length <= 36 ? port.id : undefined;
  return { from: id === undefined ? `item ${i}` : `port ${id}`, value };
}
