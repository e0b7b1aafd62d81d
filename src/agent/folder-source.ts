// A folder with a JSON file for each port. Files are to be replaced, not overwritten (written elsewhere, then renamed);
// one that is overwritten is no JSON for a moment, and what it said before goes on.

import { readdir } from "node:fs/promises";
import { join } from "node:path";
import type { Item, Reading, Refused } from "./desired.js";
import { PORT_FILE_MAX, readText, UnreadableFile } from "./read-text.js";
import type { PortSource } from "./source.js";

/** Ten times as many as a switch can have ports: beyond it something else is wrong. */
const FILES_MAX = 10_240;

interface Known {
  stamp: string | undefined;
  item: Item | undefined;
  refused: Refused | undefined;
}

export class FolderSource implements PortSource {
  readonly text: string;
  readonly watched: { folder: string };
  private known = new Map<string, Known>();

  constructor(private readonly folder: string) {
    this.text = `the files *.json in ${folder}`;
    this.watched = { folder };
  }

  async read(): Promise<Reading> {
    let names: string[];
    try {
      const all = await readdir(this.folder);
      // Names with a dot in front are those of files that are being written.
      names = all.filter((name) => name.endsWith(".json") && !name.startsWith(".")).sort();
    } catch (error) {
      return { items: [], refused: [], fault: `${this.folder} cannot be read: ${(error as Error).message}` };
    }
    if (names.length > FILES_MAX) {
      const fault = `${this.folder} has ${names.length} files, more than the ${FILES_MAX} that are read`;
      return { items: [], refused: [], fault };
    }
    const known = new Map<string, Known>();
    for (const name of names) {
      const now = await this.look(name);
      if (now !== undefined) known.set(name, now);
    }
    this.known = known;
    const all = [...known.values()];
    return { items: all.flatMap(({ item }) => item ?? []), refused: all.flatMap(({ refused }) => refused ?? []) };
  }

  /** Undefined for a file that has gone meanwhile. */
  private async look(name: string): Promise<Known | undefined> {
    const before = this.known.get(name);
    const refuse = (reason: string, stamp?: string): Known => ({
      ...{ stamp, item: undefined },
      refused: { from: name, reason },
    });
    let read: Awaited<ReturnType<typeof readText>>;
    try {
      read = await readText(join(this.folder, name), PORT_FILE_MAX, before?.stamp);
    } catch (error) {
      if (!(error instanceof UnreadableFile)) throw error;
      return /ENOENT/.test(error.message) ? undefined : refuse(error.message);
    }
    if (read === undefined) return before;
    const { text, stamp } = read;
    try {
      return { stamp, item: { from: name, value: JSON.parse(text) as unknown }, refused: undefined };
    } catch (error) {
      const reason =
        text.trim() === "" ? "is empty" : `is no JSON, or not all of it is there: ${(error as Error).message}`;
      return refuse(`${reason}; write to another name, then rename`, stamp);
    }
  }
}
