// What an agent reads its ports from, and how it hears that something changed there.

import { type FSWatcher, statSync, watch } from "node:fs";
import type { Reading } from "./desired.js";

/** A place that says which ports there should be. */
export interface PortSource {
  /** In words, for people and the state file. */
  readonly text: string;
  /** The folder in which changes are seen, and the names that matter there; undefined: all. */
  readonly watched: { folder: string; name?: string };
  /** One look. What is wrong is in the answer; it never rejects. */
  read(): Promise<Reading>;
}

/** Hears of changes in a folder, also of one that is not there yet or is made anew. It may miss some, and says more than there are. */
export class FolderWatch {
  private watcher: FSWatcher | undefined;
  private inode: bigint | undefined;

  constructor(
    private readonly place: PortSource["watched"],
    private readonly changed: () => void,
  ) {}

  /** Watches the folder that is there now; to be called again and again. */
  renew(): void {
    let inode: bigint | undefined;
    try {
      inode = statSync(this.place.folder, { bigint: true }).ino;
    } catch {
      // Not there: nothing to watch.
    }
    if (this.watcher !== undefined && inode === this.inode) return;
    this.stop();
    if (inode === undefined) return;
    try {
      this.watcher = watch(this.place.folder, (_, name) => {
        if (this.place.name === undefined || name === null || name === this.place.name) this.changed();
      });
      this.watcher.on("error", () => this.stop());
      this.inode = inode;
    } catch {
      // No more watches are to be had, or the folder has gone: the agent looks from time to time anyway.
    }
  }

  stop(): void {
    this.watcher?.close();
    this.watcher = undefined;
  }
}
