// Notifications: the eventfds behind kick and call.
//
// A front-end may pass anything where an eventfd is due (case M40): a full blocking pipe, a pipe nobody reads, a
// regular file. `adoptNotifier` makes a received descriptor non-blocking and says what it is, so that the switch can
// refuse it; after that `signal` and `drain` neither block nor throw, whatever the descriptor is. (A write to a broken
// pipe is EPIPE, not a signal: Node ignores SIGPIPE.)

import { fstatSync, readFileSync, readlinkSync } from "node:fs";
import type { Fd } from "../fd.js";
import { check, errnoOf, lastErrno, libc, type Pinned, pinned } from "./libc.js";
import { setNonBlocking } from "./socket.js";
import { errnoName } from "./system-error.js";

const EFD_CLOEXEC = 0o2000000;
const EFD_NONBLOCK = 0o4000;
const COUNTER_BYTES = 8;
const COUNTER_MAX = 0xffff_ffff_ffff_fffen;

// Scratch of this thread: the increment that is written, and the counter that is read.
let one: Pinned | undefined;
let counter: Pinned | undefined;
let eagain = 0;

function scratch(): { one: Pinned; counter: Pinned } {
  if (one === undefined || counter === undefined) {
    one = pinned(COUNTER_BYTES);
    one.view.setBigUint64(0, 1n, true);
    counter = pinned(COUNTER_BYTES);
    eagain = errnoOf("EAGAIN");
  }
  return { one, counter };
}

/** A new eventfd, non-blocking and close-on-exec, whose counter starts at `initial`. */
export function createEventFd(initial = 0): Fd {
  return check(libc().eventfd(initial, EFD_NONBLOCK | EFD_CLOEXEC), "eventfd");
}

/**
 * Add 1 to the counter of a non-blocking eventfd. Never throws.
 * @returns "ok"; "full" when the counter (or a pipe) can take no more, which still means the reader has something to
 *   read; else the error's code, such as "EPIPE" or "EBADF": the descriptor will never notify anybody
 */
export function signal(fd: Fd): "ok" | "full" | string {
  if (libc().write(fd, (one ?? scratch().one).address, COUNTER_BYTES) >= 0) return "ok";
  const errno = lastErrno();
  return errno === eagain ? "full" : errnoName(errno);
}

/**
 * Read and reset the counter of a non-blocking eventfd. Never throws.
 * @returns the counter (at least 1); null when nothing was signalled; 0n when the descriptor is readable but no
 *   eventfd, at its end or in error: it will never notify, and whoever waits for it should stop
 */
export function drain(fd: Fd): bigint | null {
  const into = counter ?? scratch().counter;
  const bytes = libc().read(fd, into.address, COUNTER_BYTES);
  if (bytes === COUNTER_BYTES) return into.view.getBigUint64(0, true);
  return bytes < 0 && lastErrno() === eagain ? null : 0n;
}

/** "other" is everything else: devices, folders, timers, … */
/**
 * True when the counter of an eventfd is at its highest, so that a write to it waits, or fails when it is non-blocking.
 * Costs a file of /proc: for use when something is wrong already.
 */
export function isFull(fd: Fd): boolean {
  try {
    const count = /^eventfd-count:\s*([0-9a-f]+)/m.exec(readFileSync(`/proc/self/fdinfo/${fd}`, "utf8"))?.[1];
    return count !== undefined && BigInt(`0x${count}`) >= COUNTER_MAX;
  } catch {
    return false;
  }
}

export type NotifierKind = "eventfd" | "pipe" | "socket" | "file" | "other";

export interface Notifier {
  kind: NotifierKind;
  /** What the descriptor refers to, in the kernel's words, for messages: "anon_inode:[eventfd]", "/tmp/x". */
  target: string;
}

/**
 * Make a descriptor that was received as kick, call or error notifier non-blocking, and say what it is. The flag lives
 * in the open file, which the sender shares: a front-end can clear it again, and `signal` then waits while the counter
 * is full; see `isFull`.
 * @throws SystemError EBADF when the number is no open descriptor
 */
export function adoptNotifier(fd: Fd): Notifier {
  setNonBlocking(fd, true);
  const target = readlinkSync(`/proc/self/fd/${fd}`);
  return { kind: target === "anon_inode:[eventfd]" ? "eventfd" : fileKind(fd), target };
}

function fileKind(fd: Fd): NotifierKind {
  const status = fstatSync(fd);
  if (status.isFIFO()) return "pipe";
  if (status.isSocket()) return "socket";
  return status.isFile() ? "file" : "other";
}
