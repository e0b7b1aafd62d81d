// What the tests of system calls share: they run where the calls exist, in a temporary folder, and clean up.

import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, describe, test } from "vitest";
import { libc } from "../../src/sys/libc.js";
import { closeFd } from "../../src/sys/memfd.js";

const reason = whyNot();

/** `describe`, skipped with a printed reason where the system calls are not available. */
export function describeLinux(name: string, body: () => void): void {
  if (reason === null) {
    describe(name, body);
  } else {
    console.log(`skipped: ${name}: ${reason}`);
    describe.skip(`${name} (${reason})`, body);
  }
}

function whyNot(): string | null {
  try {
    libc();
    return null;
  } catch (error) {
    return (error as Error).message;
  }
}

/** `test`, skipped with a printed reason where fewer than `needed` huge pages of 2 MiB are free. */
export function testHugePages(needed: number, name: string, body: () => Promise<void>): void {
  const free = freeHugePages();
  const enough = free >= needed;
  const whyNot = `${needed} free huge pages of 2 MiB are needed, there are ${free}: see vm.nr_hugepages`;
  if (!enough) console.log(`skipped: ${name}: ${whyNot}`);
  test.skipIf(!enough)(enough ? name : `${name} (${whyNot})`, body);
}

function freeHugePages(): number {
  try {
    const folder = "/sys/kernel/mm/hugepages/hugepages-2048kB";
    const [free, reserved] = ["free_hugepages", "resv_hugepages"].map((name) =>
      Number(readFileSync(`${folder}/${name}`, "latin1")),
    );
    return free! - reserved!;
  } catch {
    return 0;
  }
}

/** A function that makes temporary folders, which are removed after each test. */
export function useFolders(): () => string {
  const folders: string[] = [];
  afterEach(() => {
    for (const folder of folders.splice(0)) rmSync(folder, { recursive: true, force: true });
  });
  return () => {
    const folder = mkdtempSync(join(tmpdir(), "ringbridge-sys-"));
    folders.push(folder);
    return folder;
  };
}

/** A function that notes descriptors, which are closed after each test; a closed one is taken out with `release`. */
export function useDescriptors(): { own: <T extends number>(fd: T) => T; close: (fd: number) => void } {
  const open = new Set<number>();
  afterEach(() => {
    for (const fd of open) closeFd(fd);
    open.clear();
  });
  return {
    own(fd) {
      open.add(fd);
      return fd;
    },
    close(fd) {
      open.delete(fd);
      closeFd(fd);
    },
  };
}

/** Make a FIFO, the only pipe that Node can open by itself. */
export function makeFifo(folder: string): string {
  const path = join(folder, "fifo");
  execFileSync("mkfifo", [path]);
  return path;
}
