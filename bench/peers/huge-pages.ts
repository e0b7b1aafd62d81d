// 2 MiB pages for peers that want them: as many as they need are reserved, and just as many given back.

import { readFileSync, writeFileSync } from "node:fs";

const NR_HUGEPAGES = "/proc/sys/vm/nr_hugepages";

export interface HugePages {
  pages: number;
  /** Gives back what was reserved; what others had stays. */
  release(): void;
}

/**
 * Reserves `pages` more 2 MiB pages than there were. Returns the reason, as text, when that is not possible: then
 * nothing has changed.
 * @param path the kernel's counter of them
 */
export function reserveHugePages(pages: number, path = NR_HUGEPAGES): HugePages | string {
  let before: number;
  try {
    before = read(path);
    writeFileSync(path, String(before + pages));
  } catch (error) {
    return `${path} is not ours to write (${(error as NodeJS.ErrnoException).code ?? String(error)})`;
  }
  const got = read(path) - before;
  const reserved = {
    pages: got,
    release() {
      writeFileSync(path, String(Math.max(0, read(path) - this.pages)));
      this.pages = 0;
    },
  };
  if (got === pages) return reserved;
  reserved.release();
  return `the kernel found ${Math.max(0, got)} of ${pages} free pages of 2 MiB`;
}

function read(path: string): number {
  return Number(readFileSync(path, "utf8").trim());
}
