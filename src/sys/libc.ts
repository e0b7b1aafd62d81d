// The C library, through koffi: every function this project calls, declared once.
//
// Importing this file loads nothing, so it may be imported on macOS or by a browser bundler; the first `libc()` loads
// koffi. Everything is synchronous. A pointer parameter takes a typed array (its memory is used in place, also over a
// SharedArrayBuffer) or an address as BigInt. All structures are laid out by hand in `pinned` memory: the layouts of
// Linux on x86-64 and arm64 are the same, except epoll_event (epoll.ts).

import type * as Koffi from "koffi";
import { SystemError, SystemUnavailable } from "./system-error.js";

export { isSystemError, SystemError, SystemUnavailable } from "./system-error.js";

/** Memory handed to C: a typed array, or an address that the caller keeps alive. */
export type Pointer = Uint8Array | bigint;

/** The functions of the C library, named as in the manual. Failure is a negative result; then `lastError` at once. */
export interface Libc {
  socket(domain: number, type: number, protocol: number): number;
  socketpair(domain: number, type: number, protocol: number, pair: Pointer): number;
  bind(fd: number, address: Pointer, length: number): number;
  listen(fd: number, backlog: number): number;
  accept4(fd: number, address: null, length: null, flags: number): number;
  connect(fd: number, address: Pointer, length: number): number;
  getsockopt(fd: number, level: number, name: number, value: Pointer, length: Pointer): number;
  recvmsg(fd: number, message: Pointer, flags: number): number;
  sendmsg(fd: number, message: Pointer, flags: number): number;
  fchmod(fd: number, mode: number): number;
  fcntl(fd: number, command: number, argument: number): number;
  ioctl(fd: number, request: number, argument: Pointer): number;
  open(path: string, flags: number): number;
  /** A call that the C library has no function for, with one argument. */
  syscall(number: number, argument: number): number;
  close(fd: number): number;
  read(fd: number, buffer: Pointer, length: number): number;
  write(fd: number, buffer: Pointer, length: number): number;
  /** -1 on failure, as all the others: the address is returned as a signed integer. */
  mmap(address: bigint, length: number, protection: number, flags: number, fd: number, offset: bigint): number | bigint;
  madvise(address: bigint, length: number, advice: number): number;
  fstatfs(fd: number, buffer: Pointer): number;
  sysconf(name: number): number;
  memfd_create(name: string, flags: number): number;
  ftruncate(fd: number, length: number | bigint): number;
  eventfd(initial: number, flags: number): number;
  epoll_create1(flags: number): number;
  epoll_ctl(epfd: number, operation: number, fd: number, event: Pointer): number;
  epoll_wait(epfd: number, events: Pointer, maxEvents: number, timeoutMs: number): number;
  sched_setaffinity(tid: number, size: number, mask: Pointer): number;
  sched_getaffinity(tid: number, size: number, mask: Pointer): number;
  sched_getcpu(): number;
  clock_gettime(clock: number, time: Pointer): number;
  /** Address of a struct group, null when there is no such group. */
  getgrnam(name: string): bigint | null;
}

// fcntl, ioctl, open and syscall are variadic in C; with such arguments the calls are the same on both architectures.
const DECLARATIONS: Record<keyof Libc, string> = {
  socket: "int socket(int, int, int)",
  socketpair: "int socketpair(int, int, int, void *)",
  bind: "int bind(int, const void *, uint32_t)",
  listen: "int listen(int, int)",
  accept4: "int accept4(int, void *, void *, int)",
  connect: "int connect(int, const void *, uint32_t)",
  getsockopt: "int getsockopt(int, int, int, void *, void *)",
  recvmsg: "intptr_t recvmsg(int, void *, int)",
  sendmsg: "intptr_t sendmsg(int, const void *, int)",
  fchmod: "int fchmod(int, uint32_t)",
  fcntl: "int fcntl(int, int, intptr_t)",
  ioctl: "int ioctl(int, unsigned long, void *)",
  open: "int open(const char *, int)",
  syscall: "intptr_t syscall(intptr_t, intptr_t)",
  close: "int close(int)",
  read: "intptr_t read(int, void *, size_t)",
  write: "intptr_t write(int, const void *, size_t)",
  mmap: "intptr_t mmap(uintptr_t, size_t, int, int, int, int64_t)",
  madvise: "int madvise(uintptr_t, size_t, int)",
  fstatfs: "int fstatfs(int, void *)",
  sysconf: "intptr_t sysconf(int)",
  memfd_create: "int memfd_create(const char *, uint32_t)",
  ftruncate: "int ftruncate(int, int64_t)",
  eventfd: "int eventfd(uint32_t, int)",
  epoll_create1: "int epoll_create1(int)",
  epoll_ctl: "int epoll_ctl(int, int, int, const void *)",
  epoll_wait: "int epoll_wait(int, void *, int, int)",
  sched_setaffinity: "int sched_setaffinity(int, size_t, const void *)",
  sched_getaffinity: "int sched_getaffinity(int, size_t, void *)",
  sched_getcpu: "int sched_getcpu(void)",
  clock_gettime: "int clock_gettime(int, void *)",
  getgrnam: "void *getgrnam(const char *)",
};

type KoffiModule = typeof Koffi;

let koffiModule: KoffiModule | undefined;
let functions: Libc | undefined;

/**
 * Why the system calls cannot be used on a platform (names as `process.platform` and `process.arch` have them), as a
 * sentence; null when they can, if koffi loads.
 */
export function unsupportedReason(platform: string, arch: string): string | null {
  if (platform !== "linux") {
    return `The switch maps guest memory with Linux system calls, and this is ${platform}: run it on Linux.`;
  }
  if (arch !== "x64" && arch !== "arm64") {
    return `The switch knows the system call structures of x86-64 and arm64 only, and this is ${arch}.`;
  }
  return null;
}

/**
 * koffi, loaded at first use.
 * @throws SystemUnavailable when this is not Linux on x86-64 or arm64, or koffi cannot be loaded
 */
export function koffi(): KoffiModule {
  if (koffiModule === undefined) {
    const reason = unsupportedReason(process.platform, process.arch);
    if (reason !== null) throw new SystemUnavailable(reason);
    try {
      // Not an import: bundlers and other systems must be able to load this file without koffi being there.
      koffiModule = process.getBuiltinModule("node:module").createRequire(import.meta.url)("koffi") as KoffiModule;
    } catch (cause) {
      const why = cause instanceof Error ? cause.message.split("\n")[0] : String(cause);
      throw new SystemUnavailable(
        `The npm package koffi, which makes the system calls, cannot be loaded (${why}): ` +
          "run `npm install` on this machine, without --omit=optional.",
        { cause },
      );
    }
  }
  return koffiModule;
}

/**
 * The C library; loads koffi at the first call.
 * @throws SystemUnavailable as `koffi()`, or when the C library lacks a function
 */
export function libc(): Libc {
  if (functions === undefined) {
    const library = koffi().load(null);
    try {
      const entries = Object.entries(DECLARATIONS).map(([name, declaration]) => [name, library.func(declaration)]);
      functions = Object.fromEntries(entries) as Libc;
    } catch (cause) {
      throw new SystemUnavailable(
        `This system's C library lacks a function the switch needs (${(cause as Error).message}): ` +
          "glibc 2.27 or musl 1.2 and later have them all.",
        { cause },
      );
    }
  }
  return functions;
}

/** errno of the system call made just before: read it before anything else runs. */
export function lastErrno(): number {
  return koffi().errno();
}

/** The error of the system call made just before: construct it before anything else runs. */
export function lastError(syscall: string, path?: string): SystemError {
  return new SystemError(syscall, lastErrno(), path);
}

/** `result` of a call that fails with a negative number, else the error thrown. */
export function check(result: number, syscall: string, path?: string): number {
  if (result < 0) throw lastError(syscall, path);
  return result;
}

/** The number of an error code on this machine: "EAGAIN" → 11. */
export function errnoOf(code: string): number {
  return process.getBuiltinModule("node:os").constants.errno[code as "EAGAIN"];
}

/** Memory outside the JavaScript heap, which never moves: its address is good as long as the object is referenced. */
export interface Pinned {
  bytes: Uint8Array;
  view: DataView;
  address: bigint;
}

/** `length` zeroed bytes with a fixed address. */
export function pinned(length: number): Pinned {
  // A view over an explicit ArrayBuffer: a small `new Uint8Array(n)` would live in the heap, where the GC moves it.
  const buffer = new ArrayBuffer(length);
  const bytes = new Uint8Array(buffer);
  return { bytes, view: new DataView(buffer), address: addressOf(bytes) };
}

/** The address of a typed array's first byte; good only while the array is referenced. */
export function addressOf(bytes: Uint8Array): bigint {
  return koffi().address(bytes);
}
