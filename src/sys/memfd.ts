// Descriptors as such: memory files, duplicates, closing.

import type { Fd } from "../fd.js";
import { check, errnoOf, lastErrno, libc, SystemError } from "./libc.js";

const MFD_CLOEXEC = 1;
const MFD_ALLOW_SEALING = 2;
const MFD_HUGETLB = 4;
const MFD_HUGE_2MB = 21 << 26;
const F_DUPFD_CLOEXEC = 1030;
const F_ADD_SEALS = 1033;
const F_SEAL_SHRINK = 2;

export interface MemfdOptions {
  /** Seal the file against shrinking (F_SEAL_SHRINK), so that whoever maps it needs not fear a SIGBUS. */
  seals?: boolean;
  /** Back it with 2 MiB huge pages: `size` must be a multiple of 2 MiB, and pages must be reserved to be touched. */
  hugePages?: boolean;
}

/**
 * A new memory file of `size` bytes, all zero, close-on-exec.
 * @param name shown in /proc/<pid>/fd and /proc/<pid>/maps
 */
export function createMemfd(name: string, size: number | bigint, options: MemfdOptions = {}): Fd {
  const flags =
    MFD_CLOEXEC | (options.seals ? MFD_ALLOW_SEALING : 0) | (options.hugePages ? MFD_HUGETLB | MFD_HUGE_2MB : 0);
  const fd = check(libc().memfd_create(name, flags), "memfd_create", name);
  try {
    check(libc().ftruncate(fd, size), "ftruncate", name);
    if (options.seals) check(libc().fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK), "fcntl(F_ADD_SEALS)", name);
  } catch (error) {
    closeFd(fd);
    throw error;
  }
  return fd;
}

/**
 * Close a descriptor. EBADF is thrown: closing a number twice is a mistake that closes somebody else's file next time.
 * Every other outcome (EINTR, EIO) leaves the descriptor closed on Linux, and is not an error here.
 */
export function closeFd(fd: Fd): void {
  if (libc().close(fd) < 0) {
    const errno = lastErrno();
    if (errno === errnoOf("EBADF")) throw new SystemError("close", errno, undefined, `descriptor ${fd} is not open`);
  }
}

/** A second descriptor (close-on-exec, number at least 3) of the same open file: both share flags and position. */
export function dupFd(fd: Fd): Fd {
  return check(libc().fcntl(fd, F_DUPFD_CLOEXEC, 3), "fcntl(F_DUPFD_CLOEXEC)");
}
