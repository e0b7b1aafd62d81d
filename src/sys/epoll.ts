// Waiting for many descriptors at once: epoll, for the threads that move frames.
//
// The set of descriptors may be changed by any thread while another waits: the functions take the epoll descriptor's
// number. `Epoll` owns one and the memory its events are written to, for the thread that waits.

import type { Fd } from "../fd.js";
import { check, errnoOf, lastErrno, libc, type Pinned, pinned } from "./libc.js";
import { closeFd } from "./memfd.js";
import { SystemError } from "./system-error.js";
import { onReadable } from "./uv-poll.js";

export const EPOLLIN = 0x001;
export const EPOLLOUT = 0x004;
export const EPOLLERR = 0x008;
export const EPOLLHUP = 0x010;
export const EPOLLRDHUP = 0x2000;
export const EPOLLET = 1 << 31;

const EPOLL_CLOEXEC = 0o2000000;
const EPOLL_CTL_ADD = 1;
const EPOLL_CTL_DEL = 2;
const EPOLL_CTL_MOD = 3;

// struct epoll_event {u32 events; u64 data} is packed on x86-64 only.
const PACKED = process.arch === "x64";
const EVENT_INTS = PACKED ? 3 : 4;
const EVENT_DATA_INT = PACKED ? 1 : 2;
const DEFAULT_CAPACITY = 64;

let controlEvent: Pinned | undefined;

function control(epfd: Fd, operation: number, fd: Fd, token: number, flags: number): number {
  controlEvent ??= pinned(EVENT_INTS * 4);
  controlEvent.view.setInt32(0, flags, true);
  controlEvent.view.setInt32(EVENT_DATA_INT * 4, token, true);
  return libc().epoll_ctl(epfd, operation, fd, controlEvent.address);
}

/**
 * Watch a descriptor. Callable from any thread.
 * @param token 32-bit integer that the events of this descriptor carry
 * @param flags EPOLLIN | EPOLLOUT | …; EPOLLERR and EPOLLHUP are always reported
 * @throws SystemError EEXIST (already watched), EPERM (a regular file or folder cannot be watched), EBADF
 */
export function epollAdd(epfd: Fd, fd: Fd, token: number, flags: number): void {
  check(control(epfd, EPOLL_CTL_ADD, fd, token, flags), "epoll_ctl(ADD)");
}

/** Change token and flags of a watched descriptor. Callable from any thread. Throws SystemError ENOENT, EBADF. */
export function epollModify(epfd: Fd, fd: Fd, token: number, flags: number): void {
  check(control(epfd, EPOLL_CTL_MOD, fd, token, flags), "epoll_ctl(MOD)");
}

/**
 * Stop watching a descriptor; nothing happens when it was not watched. Callable from any thread. Do it before closing:
 * a closed descriptor stays in the set as long as somebody else holds the same open file.
 * @throws SystemError EBADF
 */
export function epollRemove(epfd: Fd, fd: Fd): void {
  if (control(epfd, EPOLL_CTL_DEL, fd, 0, 0) < 0) {
    const errno = lastErrno();
    if (errno !== errnoOf("ENOENT")) throw new SystemError("epoll_ctl(DEL)", errno);
  }
}

/** A set of watched descriptors, and the events of the last wait. */
export class Epoll {
  readonly fd: Fd;
  /** Of the last wait, index 0 up to what it returned: the token given to `add`. */
  readonly tokens: Int32Array;
  /** Of the last wait: EPOLLIN | EPOLLHUP | … */
  readonly flags: Int32Array;
  readonly #events: Pinned;
  readonly #ints: Int32Array;
  readonly #eintr = errnoOf("EINTR");
  readonly #owned: boolean;
  #endAsync: ((events: number) => void) | undefined;

  /**
   * @param capacity the most events that one wait returns
   * @param existing the descriptor of a set that another thread made and closes, to wait on it here; none: a new set
   */
  constructor(capacity = DEFAULT_CAPACITY, existing?: Fd) {
    this.tokens = new Int32Array(capacity);
    this.flags = new Int32Array(capacity);
    this.#events = pinned(capacity * EVENT_INTS * 4);
    this.#ints = new Int32Array(this.#events.bytes.buffer);
    this.#owned = existing === undefined;
    this.fd = existing ?? check(libc().epoll_create1(EPOLL_CLOEXEC), "epoll_create1");
  }

  /** As `epollAdd`. */
  add(fd: Fd, token: number, flags: number): void {
    epollAdd(this.fd, fd, token, flags);
  }

  /** As `epollModify`. */
  modify(fd: Fd, token: number, flags: number): void {
    epollModify(this.fd, fd, token, flags);
  }

  /** As `epollRemove`. */
  remove(fd: Fd): void {
    epollRemove(this.fd, fd);
  }

  /**
   * Block this thread until an event or the time-out; then read `tokens` and `flags`. Only an event ends it early, not
   * `Worker.terminate()`: give every set an eventfd that wakes it.
   * @param timeoutMs milliseconds; 0 only looks, -1 waits for ever
   * @param maxEvents at most the capacity
   * @returns how many events there are; 0 after the time-out
   */
  wait(timeoutMs: number, maxEvents = this.tokens.length): number {
    const limit = Math.min(maxEvents, this.tokens.length);
    let count = libc().epoll_wait(this.fd, this.#events.address, limit, timeoutMs);
    if (count < 0) count = this.#waitAgain(timeoutMs, limit);
    for (let i = 0, at = 0; i < count; i++, at += EVENT_INTS) {
      this.flags[i] = this.#ints[at];
      this.tokens[i] = this.#ints[at + EVENT_DATA_INT];
    }
    return count;
  }

  /** After a wait that failed: throws, unless a signal interrupted it; then waits for what is left of the time. */
  #waitAgain(timeoutMs: number, limit: number): number {
    const endMs = performance.now() + timeoutMs;
    for (;;) {
      const errno = lastErrno();
      if (errno !== this.#eintr) throw new SystemError("epoll_wait", errno);
      const leftMs = timeoutMs < 0 ? -1 : Math.max(0, Math.ceil(endMs - performance.now()));
      const count = libc().epoll_wait(this.fd, this.#events.address, limit, leftMs);
      if (count >= 0) return count;
    }
  }

  /**
   * As `wait`, without blocking the thread: its event loop goes on, and is kept alive until the promise is settled.
   * Main thread only; one at a time. `close` settles it with 0.
   */
  waitAsync(timeoutMs: number): Promise<number> {
    if (this.#endAsync !== undefined) return Promise.reject(new Error("this epoll set is already being waited for"));
    const count = this.wait(0);
    if (count > 0 || timeoutMs === 0) return Promise.resolve(count);
    return new Promise((resolve) => {
      const end = (events: number) => {
        clearTimeout(timer);
        poll.close();
        this.#endAsync = undefined;
        resolve(events);
      };
      const look = () => {
        const events = this.wait(0);
        // Somebody may have read what woke us: then the wait goes on.
        if (events > 0) end(events);
      };
      const poll = onReadable(this.fd, look);
      const timer = timeoutMs < 0 ? undefined : setTimeout(() => end(this.wait(0)), timeoutMs);
      this.#endAsync = end;
    });
  }

  /** Close the set, unless another thread owns it. The watched descriptors stay open. */
  close(): void {
    this.#endAsync?.(0);
    if (this.#owned) closeFd(this.fd);
  }
}
