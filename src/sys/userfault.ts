// userfaultfd: whoever touches a page that is not there waits until somebody else has brought it (userfaultfd(2),
// ioctl_userfaultfd(2)). The somebody holds the descriptor and reads from it who waits, and for what.
//
// A descriptor has power over all memory of the process that made it: whoever holds it can have any part of that memory
// wait for him, and put his own bytes where no page has been yet. It may be given only to those who are trusted with the
// whole process.

import type { Fd } from "../fd.js";
import { check, errnoOf, lastErrno, libc, pinned } from "./libc.js";
import { closeFd } from "./memfd.js";
import { SystemError } from "./system-error.js";

/** Numbers of the system call; the table of arm64 is the generic one. */
const SYS_USERFAULTFD: Partial<Record<string, number>> = { x64: 323, arm64: 282 };
const DEVICE = "/dev/userfaultfd";
const O_CLOEXEC = 0o2000000;
const O_NONBLOCK = 0o4000;
const O_RDWR = 2;
/** Only for faults of the program itself, not of the kernel on its behalf: what an unprivileged process may have. */
const UFFD_USER_MODE_ONLY = 1;

/** Requests as linux/userfaultfd.h makes them: direction, size of the struct, 0xAA, number. */
const USERFAULTFD_IOC_NEW = 0x0000_aa00;
const UFFDIO_API = 0xc018_aa3f;
const UFFDIO_REGISTER = 0xc020_aa00;
const UFFDIO_UNREGISTER = 0x8010_aa01;
const UFFDIO_WAKE = 0x8010_aa02;
const UFFD_API = 0xaan;
const UFFDIO_REGISTER_MODE_MISSING = 1n;

/**
 * A new descriptor, close-on-exec, whose reads do not wait. It is for faults that the program itself makes: a system call
 * that is given an address in registered memory fails with EFAULT instead of waiting.
 * @throws SystemError ENOSYS (a kernel without it), EPERM (forbidden: seccomp, or vm.unprivileged_userfaultfd before Linux
 *   5.11), EINVAL (a kernel with another interface)
 */
export function createUserfault(): Fd {
  const fd = newUserfault();
  try {
    // struct uffdio_api: u64 api, features, ioctls. No features: faults of missing pages are all that is wanted.
    request(fd, UFFDIO_API, "UFFDIO_API", [UFFD_API, 0n, 0n]);
  } catch (error) {
    closeFd(fd);
    throw error;
  }
  return fd;
}

/** Why there can be none here, as a sentence for the operator; undefined when there can. */
export function userfaultFault(): string | undefined {
  try {
    closeFd(createUserfault());
    return undefined;
  } catch (error) {
    return (error as Error).message;
  }
}

/**
 * From now on whoever touches a missing page there waits. Address and length in bytes, multiples of the page size.
 * @throws SystemError EINVAL (memory of a kind that cannot), EBUSY (registered with another), ENOMEM
 */
export function registerMissing(fd: Fd, address: bigint, length: number): void {
  // struct uffdio_register: u64 start, len, mode, ioctls.
  request(fd, UFFDIO_REGISTER, "UFFDIO_REGISTER", [address, BigInt(length), UFFDIO_REGISTER_MODE_MISSING, 0n]);
}

/** Pages that are missing there are zero again, and whoever waits for one goes on. */
export function unregister(fd: Fd, address: bigint, length: number): void {
  request(fd, UFFDIO_UNREGISTER, "UFFDIO_UNREGISTER", [address, BigInt(length)]);
}

/** Whoever waits for a page there looks again. */
export function wakeFaults(fd: Fd, address: bigint, length: number): void {
  request(fd, UFFDIO_WAKE, "UFFDIO_WAKE", [address, BigInt(length)]);
}

function newUserfault(): Fd {
  const number = SYS_USERFAULTFD[process.arch];
  if (number === undefined) throw new SystemError("userfaultfd", errnoOf("ENOSYS"));
  const flags = O_CLOEXEC | O_NONBLOCK;
  let fd = libc().syscall(number, flags | UFFD_USER_MODE_ONLY);
  // Before Linux 5.11 there was no such flag.
  if (fd < 0 && lastErrno() === errnoOf("EINVAL")) fd = libc().syscall(number, flags);
  if (fd >= 0) return fd;
  const errno = lastErrno();
  return fromDevice(flags | UFFD_USER_MODE_ONLY) ?? fail(errno);
}

/** A way for those who are kept from the system call: a file with permissions. Undefined when it is not theirs. */
function fromDevice(flags: number): Fd | undefined {
  const device = libc().open(DEVICE, O_RDWR | O_CLOEXEC);
  if (device < 0) return undefined;
  const fd = libc().ioctl(device, USERFAULTFD_IOC_NEW, BigInt(flags));
  closeFd(device);
  return fd < 0 ? undefined : fd;
}

function fail(errno: number): never {
  throw new SystemError("userfaultfd", errno);
}

function request(fd: Fd, number: number, name: string, words: readonly bigint[]): void {
  const { bytes, view } = pinned(words.length * 8);
  words.forEach((word, i) => {
    view.setBigUint64(i * 8, word, true);
  });
  check(libc().ioctl(fd, number, bytes), name);
}
