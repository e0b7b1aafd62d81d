// The process that a command sees in tests: its output is kept, its signals are sent by hand.

import { EventEmitter } from "node:events";
import { Readable } from "node:stream";
import type { Io } from "../../src/cli/io.js";

export class FakeIo implements Io {
  /** What the command finds on its standard input. */
  input = "";
  out = "";
  err = "";
  env: Record<string, string | undefined> = {};
  signals = new EventEmitter();
  exits: number[] = [];
  readonly #watchers = new Set<() => void>();

  stdout = Object.assign(new EventEmitter(), { write: (text: string) => this.#add("out", text), isTTY: false });
  stderr = { write: (text: string) => this.#add("err", text), isTTY: false };

  get stdin(): AsyncIterable<string> {
    return Readable.from([this.input]);
  }

  exit(code: number): void {
    this.exits.push(code);
  }

  /** Resolves once `condition` holds; it is looked at after every write. */
  until(condition: () => boolean): Promise<void> {
    return new Promise((resolve) => {
      const look = () => {
        if (!condition()) return;
        this.#watchers.delete(look);
        resolve();
      };
      this.#watchers.add(look);
      look();
    });
  }

  /** How many listeners are left on the signals and on standard output. */
  listeners(): number {
    const count = (emitter: EventEmitter) =>
      emitter.eventNames().reduce((sum, name) => sum + emitter.listenerCount(name), 0);
    return count(this.signals) + count(this.stdout);
  }

  #add(stream: "out" | "err", text: string): boolean {
    this[stream] += text;
    for (const look of this.#watchers) look();
    return true;
  }
}
