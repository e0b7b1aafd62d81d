// What the doctor looks at: the machine, behind an interface, so that the checks can be shown other machines in tests.

import { execFileSync } from "node:child_process";
import { accessSync, constants, lstatSync, readFileSync, readSync, statfsSync, statSync } from "node:fs";
import { libc, unsupportedReason } from "../sys/libc.js";
import { hostPageSize, mapInto, memoryBase, unmap } from "../sys/mapping.js";
import { closeFd, createMemfd } from "../sys/memfd.js";
import { userfaultFault } from "../sys/userfault.js";

export interface Machine {
  platform: string;
  arch: string;
  /** Such as "20.19.0". */
  nodeVersion: string;
  uid: number;
  /** Groups of this process's user. */
  gids: readonly number[];
  env: Record<string, string | undefined>;
  /** Text of a file, undefined when it cannot be read. */
  read(path: string): string | undefined;
  /** What lies at a path (a link is followed for a folder, not for the file itself). */
  kindOf(path: string): "socket" | "folder" | "other" | "nothing";
  /** Permission bits and owner of a folder, undefined when it is not there. */
  folder(path: string): { mode: number; uid: number; gid: number } | undefined;
  mayWrite(folder: string): boolean;
  /** Bytes free in the file system of a path, undefined when there is none. */
  freeBytes(path: string): number | undefined;
  /** First line that a program prints, undefined when it is not there or fails. */
  firstLine(program: string, args: readonly string[]): string | undefined;
  /** Why the system calls cannot be made here; undefined when they can. */
  systemCallFault(): string | undefined;
  /** Makes the switch's memory, 4 GiB of addresses; returns why it cannot. */
  memoryFault(): string | undefined;
  /** Maps a memory file into a WebAssembly memory and sees that writes arrive; returns why not. */
  mappingFault(): string | undefined;
  /** Makes a userfaultfd; returns why not. */
  userfaultFault(): string | undefined;
}

/** This machine. */
export function thisMachine(env: Record<string, string | undefined>): Machine {
  return {
    platform: process.platform,
    arch: process.arch,
    nodeVersion: process.versions.node,
    uid: process.getuid?.() ?? 0,
    gids: [...(process.getgroups?.() ?? []), process.getgid?.() ?? 0],
    env,
    read: (path) => attempt(() => readFileSync(path, "utf8")),
    kindOf: (path) => {
      const found = attempt(() => lstatSync(path));
      if (found === undefined) return "nothing";
      return found.isSocket() ? "socket" : found.isDirectory() ? "folder" : "other";
    },
    folder: (path) => {
      const found = attempt(() => statSync(path));
      return found?.isDirectory() ? { mode: found.mode & 0o7777, uid: found.uid, gid: found.gid } : undefined;
    },
    mayWrite: (folder) =>
      attempt(() => {
        accessSync(folder, constants.W_OK | constants.X_OK);
        return true;
      }) ?? false,
    freeBytes: (path) =>
      attempt(() => {
        const { bavail, bsize } = statfsSync(path);
        return bavail * bsize;
      }),
    firstLine: (program, args) =>
      attempt(() => {
        const output = execFileSync(program, args, {
          encoding: "utf8",
          timeout: 5000,
          stdio: ["ignore", "pipe", "ignore"],
        });
        return output.split("\n")[0];
      }),
    systemCallFault: () => unsupportedReason(process.platform, process.arch) ?? fault(() => libc()),
    memoryFault: () => fault(() => new WebAssembly.Memory({ initial: 65536, maximum: 65536, shared: true })),
    mappingFault: () => fault(tryMapping),
    userfaultFault,
  };
}

/** One page of a memory file, mapped over the second 64 KiB of a small shared memory. */
function tryMapping(): void {
  const memory = new WebAssembly.Memory({ initial: 4, maximum: 4, shared: true });
  const base = memoryBase(memory);
  const length = hostPageSize();
  const offset = 65_536;
  const fd = createMemfd("ringbridge-doctor", length);
  try {
    mapInto(base, offset, fd, 0, length);
    new Uint8Array(memory.buffer)[offset] = 0x5a;
    const byte = Buffer.alloc(1);
    readSync(fd, byte, 0, 1, 0);
    unmap(base, offset, length);
    if (byte[0] !== 0x5a) throw new Error("what was written to the memory did not arrive in the mapped file");
  } finally {
    closeFd(fd);
  }
}

function attempt<T>(action: () => T): T | undefined {
  try {
    return action();
  } catch {
    // Not there, not allowed or failing are one answer here: the machine does not have it.
    return undefined;
  }
}

function fault(action: () => unknown): string | undefined {
  try {
    action();
    return undefined;
  } catch (error) {
    return (error as Error).message;
  }
}
