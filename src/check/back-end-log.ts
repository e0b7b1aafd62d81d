// What a back-end that was started here writes on standard output and error: kept in a file, so that it need not wait for
// a reader and may live longer than we do; its end is told when a case goes wrong.

import { closeSync, fstatSync, ftruncateSync, mkdtempSync, openSync, readSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Fd } from "../vhost-user/effects.js";

/** Bytes of a file of our own that are kept when a case begins. */
const KEPT_BYTES = 1 << 20;
const TAIL_BYTES = 16 << 10;
const TAIL_LINES = 12;
const LINE_LENGTH = 200;

export class BackEndLog {
  readonly fd: Fd;
  private readonly folder: string | undefined;
  private begins = 0;

  /**
   * @param path a file that is to stay; default one that goes with this object. Throws what open(2) does.
   */
  constructor(path?: string) {
    this.folder = path === undefined ? mkdtempSync(join(tmpdir(), "ringbridge-check-")) : undefined;
    // To be appended to: several write into it, and may find it shorter than they left it.
    this.fd = openSync(path ?? join(this.folder!, "back-end.log"), "a+");
    if (path !== undefined) ftruncateSync(this.fd);
  }

  /** What is written from now on belongs to a new case. */
  mark(): void {
    const { size } = fstatSync(this.fd);
    const full = this.folder !== undefined && size > KEPT_BYTES;
    if (full) ftruncateSync(this.fd);
    this.begins = full ? 0 : size;
  }

  /** The last lines since `mark`; none when nothing was written. */
  tail(): string[] {
    const { size } = fstatSync(this.fd);
    const from = Math.max(this.begins, size - TAIL_BYTES);
    const bytes = new Uint8Array(Math.max(0, size - from));
    const length = readSync(this.fd, bytes, 0, bytes.length, from);
    const text = new TextDecoder().decode(bytes.subarray(0, length));
    const lines = text.split(/\r?\n/).filter((line) => line.trim() !== "");
    return lines
      .slice(-TAIL_LINES)
      .map((line) => (line.length > LINE_LENGTH ? `${line.slice(0, LINE_LENGTH)}…` : line));
  }

  close(): void {
    closeSync(this.fd);
    if (this.folder !== undefined) rmSync(this.folder, { recursive: true, force: true });
  }
}
